import type { KubeObject } from "../../contracts.ts";
import { controllerOf } from "../kit/types.ts";
import { isTerminated } from "../kit/pods.ts";
import { matchesNode, matchesTerm, type Taint, tolerates, untolerated } from "./placement.ts";
import { lacking } from "./resources.ts";
import { type ClusterView, podAffinityReason, spreadReason } from "./topology.ts";

/** Where a pod shall run, or why it can run nowhere. */
export type Placement = { node: string } | { message: string };

/** Chooses a node as kube-scheduler's filters do, and among those that fit the one that is least used. */
export function decide(view: ClusterView, pod: KubeObject): Placement {
  if (view.nodes.length === 0) return { message: "no nodes available to schedule pods" };
  const reasons = new Map<string, number>();
  let best: { node: string; score: number[] } | undefined;
  for (const node of view.nodes) {
    const against = reasonsAgainst(view, pod, node);
    for (const reason of against) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    if (against.length > 0) continue;
    const score = scoreOf(view, pod, node);
    if (!best || less(score, best.score)) best = { node: node.metadata.name, score };
  }
  if (best) return { node: best.node };
  const list = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort().join(", ");
  return { message: `0/${view.nodes.length} nodes are available: ${list}.` };
}

/** What the first filter that refuses the node says: empty when the pod may run there. */
export function reasonsAgainst(view: ClusterView, pod: KubeObject, node: KubeObject): string[] {
  const { spec } = pod;
  const cordon: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };
  if (node.spec?.unschedulable && !(spec.tolerations ?? []).some((toleration: any) => tolerates(toleration, cordon))) {
    return ["node(s) were unschedulable"];
  }
  const taint = untolerated(node.spec?.taints, spec.tolerations, ["NoSchedule", "NoExecute"]);
  if (taint) return [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`];
  if (!matchesNode(spec, node)) return ["node(s) didn't match Pod's node affinity/selector"];
  const onNode = view.podsOn(node.metadata.name);
  if (portsTaken(pod, onNode)) return ["node(s) didn't have free ports for the requested pod ports"];
  const missing = lacking(pod, node, onNode);
  if (missing.length > 0) return missing.map((name) => name === "pods" ? "Too many pods" : `Insufficient ${name}`);
  const spread = spreadReason(view, pod, node);
  if (spread) return [spread];
  const affinity = podAffinityReason(view, pod, node);
  return affinity ? [affinity] : [];
}

interface HostPort {
  hostPort?: number;
  hostIP?: string;
  protocol?: string;
}

/** The ports of its node that a pod takes; with hostNetwork the API server copies containerPort to hostPort. */
function hostPorts(pod: KubeObject): HostPort[] {
  return (pod.spec?.containers ?? []).flatMap((container: any) => container.ports ?? [])
    .filter(({ hostPort }: HostPort) => hostPort);
}

function portsTaken(pod: KubeObject, onNode: KubeObject[]): boolean {
  const wanted = hostPorts(pod);
  if (wanted.length === 0) return false;
  const any = (ip: string | undefined) => !ip || ip === "0.0.0.0";
  return onNode.filter((other) => !isTerminated(other)).flatMap(hostPorts).some((taken) =>
    wanted.some((port) =>
      port.hostPort === taken.hostPort && (port.protocol ?? "TCP") === (taken.protocol ?? "TCP") &&
      (any(port.hostIP) || any(taken.hostIP) || port.hostIP === taken.hostIP)
    )
  );
}

/** Smaller is better: taints it would rather avoid, preferred affinity, pods of the same owner there, pods there. */
function scoreOf(view: ClusterView, pod: KubeObject, node: KubeObject): number[] {
  const avoid =
    ((node.spec?.taints ?? []) as Taint[]).filter((taint) =>
      taint.effect === "PreferNoSchedule" && untolerated([taint], pod.spec.tolerations, ["PreferNoSchedule"])
    ).length;
  const preferred = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const weight = preferred.reduce(
    (sum: number, { weight, preference }: any) => sum + (matchesTerm(preference, node) ? weight : 0),
    0,
  );
  const present = view.podsOn(node.metadata.name).filter((other) => !isTerminated(other));
  const owner = controllerOf(pod)?.uid;
  const siblings = owner === undefined ? 0 : present.filter((other) => controllerOf(other)?.uid === owner).length;
  return [avoid, -weight, siblings, present.length];
}

function less(a: number[], b: number[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] < b[i];
  return false;
}
