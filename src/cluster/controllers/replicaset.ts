import { ApiError } from "../api_error.ts";
import type { KubeObject } from "../contracts.ts";
import { withCondition, withoutCondition } from "./kit/conditions.ts";
import type { ControllerContext } from "./kit/context.ts";
import {
  byDeletionOrder,
  claim,
  deletePod,
  indexOrphans,
  isActive,
  isReady,
  isTerminated,
  podFromTemplate,
  untilAvailable,
} from "./kit/pods.ts";
import { matchesLabels, matchesSelector } from "./kit/selector.ts";
import { controllerOf, keyOf, PODS, REPLICA_SETS } from "./kit/types.ts";
import { writeStatus } from "./kit/writes.ts";

const COMPONENT = "replicaset-controller";

/** Pods made or deleted per turn of the event loop; the next turn goes on. */
const BURST = 20;

/** Keeps as many pods of each ReplicaSet as it asks for. */
export function startReplicaSets({ api, caches, runner, events, clock }: ControllerContext): void {
  const sets = caches.of(REPLICA_SETS);
  const pods = caches.of(PODS);
  indexOrphans(pods);
  const queue = runner.register("replicaset", reconcile);

  sets.onChange((_event, set) => queue.add(keyOf(set)));
  pods.onChange((_event, pod, previous) => {
    for (const version of [pod, previous]) {
      if (!version) continue;
      const owner = controllerOf(version);
      if (owner?.kind === "ReplicaSet") queue.add(`${version.metadata.namespace}/${owner.name}`);
    }
    if (!controllerOf(pod)) {
      for (const set of sets.inNamespace(pod.metadata.namespace!)) {
        if (matchesSelector(set.spec.selector, pod.metadata.labels)) queue.add(keyOf(set));
      }
    }
  });

  function reconcile(key: string): void {
    const set = sets.get(key);
    if (!set) return;
    const mine = claim(api, PODS, pods, set, set.spec.selector, (pod) => !isTerminated(pod));
    const active = mine.filter(isActive);
    let failure: string | undefined;
    if (!set.metadata.deletionTimestamp) {
      const missing = (set.spec.replicas ?? 1) - active.length;
      if (missing > 0) failure = createPods(set, Math.min(missing, BURST));
      else if (missing < 0) deletePods(set, active, Math.min(-missing, BURST));
      if (failure === undefined && Math.abs(missing) > BURST) queue.add(key);
    }
    updateStatus(set, active, failure);
    if (failure !== undefined) throw new ApiError(500, "FailedCreate", failure);
  }

  function createPods(set: KubeObject, count: number): string | undefined {
    for (let i = 0; i < count; i++) {
      try {
        const pod = api.create(PODS, podFromTemplate(set, set.spec.template));
        events.normal(set, COMPONENT, "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
      } catch (thrown) {
        if (!(thrown instanceof ApiError)) throw thrown;
        if (thrown.details && JSON.stringify(thrown.details).includes("NamespaceTerminating")) return undefined;
        events.warning(set, COMPONENT, "FailedCreate", `Error creating: ${thrown.message}`);
        return thrown.message;
      }
    }
    return undefined;
  }

  function deletePods(set: KubeObject, active: KubeObject[], count: number): void {
    for (const pod of byDeletionOrder(active).slice(0, count)) {
      deletePod(api, pod);
      events.normal(set, COMPONENT, "SuccessfulDelete", `Deleted pod: ${pod.metadata.name}`);
    }
  }

  function updateStatus(set: KubeObject, active: KubeObject[], failure: string | undefined): void {
    const minReadySeconds = set.spec.minReadySeconds ?? 0;
    const now = clock.now();
    let [ready, available, labeled] = [0, 0, 0];
    let soonest = Infinity;
    for (const pod of active) {
      if (matchesLabels(set.spec.template?.metadata?.labels, pod.metadata.labels)) labeled++;
      if (!isReady(pod)) continue;
      ready++;
      const wait = untilAvailable(pod, minReadySeconds, now);
      if (wait === 0) available++;
      else if (wait !== undefined) soonest = Math.min(soonest, wait);
    }
    if (soonest < Infinity) queue.addAfter(keyOf(set), soonest);
    const conditions = failure === undefined
      ? withoutCondition(set.status?.conditions, "ReplicaFailure")
      : withCondition(set.status?.conditions, {
        type: "ReplicaFailure",
        status: "True",
        reason: "FailedCreate",
        message: failure,
      }, now);
    writeStatus(api, REPLICA_SETS, set, {
      replicas: active.length,
      ...(labeled > 0 ? { fullyLabeledReplicas: labeled } : {}),
      ...(ready > 0 ? { readyReplicas: ready } : {}),
      ...(available > 0 ? { availableReplicas: available } : {}),
      observedGeneration: set.metadata.generation,
      ...(conditions.length > 0 ? { conditions } : {}),
    });
  }
}
