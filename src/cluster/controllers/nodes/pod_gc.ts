import type { KubeObject } from "../../contracts.ts";
import { withCondition } from "../kit/conditions.ts";
import type { ControllerContext } from "../kit/context.ts";
import { isTerminated } from "../kit/pods.ts";
import { keyOf, NODES, PODS } from "../kit/types.ts";
import { remove, unless } from "../kit/writes.ts";

/** kube's --terminated-pod-gc-threshold is 12500, for clusters a thousand times the size. */
const TERMINATED_MAX = 500;
/** A node that comes back within this time, as after a restart of the cluster, finds its pods again. */
const NODE_ABSENT_MS = 40_000;

/** Removes pods that nobody else would: those of nodes that are gone, deleted ones never bound, and old ended ones. */
export function startPodGarbage({ api, caches, runner, clock }: ControllerContext): void {
  const pods = caches.of(PODS);
  const nodes = caches.of(NODES);
  pods.index("node", (pod) => pod.spec?.nodeName ? [pod.spec.nodeName] : []);
  pods.index("terminated", (pod) => isTerminated(pod) ? ["yes"] : []);
  const queue = runner.register("pod-gc", reconcile);
  const surplus = runner.register("pod-gc-terminated", trim);

  nodes.onChange((event, node) => {
    if (event !== "DELETED") return;
    for (const pod of pods.by("node", node.metadata.name)) queue.addAfter(keyOf(pod), NODE_ABSENT_MS);
  });
  pods.onChange((event, pod, previous) => {
    if (event === "DELETED") return;
    if (!pod.spec?.nodeName) {
      if (pod.metadata.deletionTimestamp) queue.add(keyOf(pod));
    } else if (!nodes.find(undefined, pod.spec.nodeName) && pod.spec.nodeName !== previous?.spec?.nodeName) {
      queue.addAfter(keyOf(pod), NODE_ABSENT_MS);
    }
    if (pods.count("terminated", "yes") > TERMINATED_MAX) surplus.add("all");
  });

  function reconcile(key: string): void {
    const pod = pods.get(key);
    if (!pod) return;
    if (!pod.spec?.nodeName) {
      if (pod.metadata.deletionTimestamp) remove(api, PODS, pod, { gracePeriodSeconds: 0 });
      return;
    }
    if (nodes.find(undefined, pod.spec.nodeName)) return;
    if (!isTerminated(pod)) fail(pod);
    remove(api, PODS, pod, { gracePeriodSeconds: 0 });
  }

  /** Its owner shall see that the pod came to its end and not that it vanished. */
  function fail(pod: KubeObject): void {
    const conditions = withCondition(pod.status?.conditions, {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByPodGC",
      message: "PodGC: node no longer exists",
    }, clock.now());
    const status = { ...pod.status, phase: "Failed", conditions };
    unless(
      ["NotFound", "Conflict"],
      () => api.update(PODS, { ...structuredClone(pod), status }, { subresource: "status" }),
    );
  }

  function trim(): void {
    const ended = pods.by("terminated", "yes").filter((pod) => !pod.metadata.deletionTimestamp).sort((a, b) =>
      (a.metadata.creationTimestamp ?? "") < (b.metadata.creationTimestamp ?? "") ? -1 : 1
    );
    for (const pod of ended.slice(0, Math.max(0, ended.length - TERMINATED_MAX))) {
      remove(api, PODS, pod, { gracePeriodSeconds: 0 });
    }
  }
}
