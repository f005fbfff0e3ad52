import type { KubeObject } from "../../contracts.ts";
import type { ControllerContext } from "../kit/context.ts";
import { canonicalJson } from "../kit/hash.ts";
import { deletePod, isTerminated } from "../kit/pods.ts";
import { keyOf, NODES, PODS } from "../kit/types.ts";
import { type Taint, tolerates, type Toleration } from "../scheduler/placement.ts";

const COMPONENT = "taint-eviction-controller";

/** Deletes pods from nodes with a NoExecute taint that they do not tolerate, or do not tolerate any longer. */
export function startTaintEviction({ api, caches, runner, events, clock }: ControllerContext): void {
  const nodes = caches.of(NODES);
  const pods = caches.of(PODS);
  pods.index("node", (pod) => pod.spec?.nodeName ? [pod.spec.nodeName] : []);
  const queue = runner.register("taint-eviction", reconcile);

  nodes.onChange((event, node, previous) => {
    if (event === "DELETED" || canonicalJson(node.spec?.taints) === canonicalJson(previous?.spec?.taints)) return;
    for (const pod of pods.by("node", node.metadata.name)) queue.add(keyOf(pod));
  });
  pods.onChange((event, pod, previous) => {
    if (event === "DELETED" || !pod.spec?.nodeName || previous?.spec?.nodeName) return;
    if (noExecute(nodes.find(undefined, pod.spec.nodeName)).length > 0) queue.add(keyOf(pod));
  });

  function reconcile(key: string): void {
    const pod = pods.get(key);
    if (!pod?.spec?.nodeName || pod.metadata.deletionTimestamp || isTerminated(pod)) return;
    const taints = noExecute(nodes.find(undefined, pod.spec.nodeName));
    const waits = taints.map((taint) => toleratedUntil(taint, pod.spec.tolerations ?? []));
    const until = Math.min(Infinity, ...waits);
    if (until === Infinity) return;
    const left = until - clock.now();
    if (left > 0) return queue.addAfter(key, left);
    events.normal(pod, COMPONENT, "TaintManagerEviction", `Marking for deletion Pod ${key}`);
    deletePod(api, pod);
  }
}

function noExecute(node: KubeObject | undefined): Taint[] {
  return (node?.spec?.taints ?? []).filter((taint: Taint) => taint.effect === "NoExecute");
}

/** The time up to which a taint is tolerated: infinity for ever, 0 for not at all. */
function toleratedUntil(taint: Taint, tolerations: Toleration[]): number {
  const matching = tolerations.filter((toleration) => tolerates(toleration, taint));
  if (matching.length === 0) return 0;
  const seconds = matching.map(({ tolerationSeconds }) => tolerationSeconds).filter((s) =>
    s !== undefined && s !== null
  );
  if (seconds.length === 0) return Infinity;
  return (Date.parse(taint.timeAdded ?? "") || 0) + Math.max(0, Math.min(...seconds as number[])) * 1000;
}
