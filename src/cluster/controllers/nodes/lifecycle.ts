import type { KubeObject } from "../../contracts.ts";
import { timestamp } from "../kit/time.ts";
import { type Condition, findCondition, withCondition } from "../kit/conditions.ts";
import type { ControllerContext } from "../kit/context.ts";
import { canonicalJson } from "../kit/hash.ts";
import { isTerminated } from "../kit/pods.ts";
import { LEASES, NODES, PODS } from "../kit/types.ts";
import { writeStatus } from "../kit/writes.ts";
import type { Taint } from "../scheduler/placement.ts";

const COMPONENT = "node-controller";
const LEASE_NAMESPACE = "kube-node-lease";
/** kube's --node-monitor-grace-period. */
const GRACE_MS = 50_000;
/** A heartbeat that was out of date when we started is given this long: the runtime starts after us. */
const STARTING_GRACE_MS = 10_000;
const NOT_READY = "node.kubernetes.io/not-ready";
const UNREACHABLE = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE = "node.kubernetes.io/unschedulable";
/** Taints that follow from a Node's conditions and spec, and are taken away with their cause. */
const MANAGED = new Set([NOT_READY, UNREACHABLE, UNSCHEDULABLE]);

/**
 * Watches each Node's heartbeat, which is its Lease or, where it has none, its status: one that stops makes the Node's
 * Ready condition Unknown. Taints follow the condition and `spec.unschedulable`, and pods of a Node that is not ready
 * lose their Ready condition so that Services leave them out.
 */
export function startNodeLifecycle({ api, caches, runner, events, clock }: ControllerContext): void {
  const nodes = caches.of(NODES);
  const leases = caches.of(LEASES);
  const pods = caches.of(PODS);
  pods.index("node", (pod) => pod.spec?.nodeName ? [pod.spec.nodeName] : []);
  const queue = runner.register("node-lifecycle", reconcile);
  /** When a heartbeat was last seen to change, by our own clock: those of the nodes are not compared with it. */
  const beats = new Map<string, { mark: string; atMs: number }>();

  nodes.onChange((event, node) => {
    if (event === "DELETED") beats.delete(node.metadata.name);
    else queue.add(node.metadata.name);
  });
  leases.onChange((event, lease) => {
    if (event !== "DELETED" && lease.metadata.namespace === LEASE_NAMESPACE) queue.add(lease.metadata.name);
  });

  function reconcile(name: string): void {
    const node = nodes.find(undefined, name);
    if (!node) return;
    const now = clock.now();
    const lease = leases.find(LEASE_NAMESPACE, name);
    const ready = findCondition(node.status?.conditions, "Ready");
    const mark = canonicalJson([lease?.spec?.renewTime, ready?.lastHeartbeatTime]);
    const beat = beats.get(name);
    if (beat?.mark !== mark) {
      const renewed = Date.parse(lease?.spec?.renewTime ?? "");
      const leftover = !beat && now - renewed > GRACE_MS;
      beats.set(name, { mark, atMs: leftover ? now - GRACE_MS + STARTING_GRACE_MS : now });
    }
    const silentMs = now - beats.get(name)!.atMs;
    let current = node;
    if (silentMs >= GRACE_MS) current = markUnknown(node, ready);
    else queue.addAfter(name, GRACE_MS - silentMs);
    current = writeTaints(current);
    if (findCondition(current.status?.conditions, "Ready")?.status !== "True" && ready) markPodsNotReady(name);
  }

  function markUnknown(node: KubeObject, ready: Condition | undefined): KubeObject {
    if (ready?.status === "Unknown") return node;
    events.normal(node, COMPONENT, "NodeNotReady", `Node ${node.metadata.name} status is now: NodeNotReady`);
    const conditions = withCondition(node.status?.conditions, {
      type: "Ready",
      status: "Unknown",
      reason: "NodeStatusUnknown",
      message: "Kubelet stopped posting node status.",
    }, clock.now());
    return writeStatus(api, NODES, node, { ...node.status, conditions });
  }

  function writeTaints(node: KubeObject): KubeObject {
    const ready = findCondition(node.status?.conditions, "Ready");
    const wanted: Taint[] = [];
    if (ready?.status === "Unknown") {
      wanted.push({ key: UNREACHABLE, effect: "NoSchedule" }, { key: UNREACHABLE, effect: "NoExecute" });
    } else if (ready?.status !== "True") {
      wanted.push({ key: NOT_READY, effect: "NoSchedule" });
      // A node that has never been ready has nobody to evict.
      if (ready) wanted.push({ key: NOT_READY, effect: "NoExecute" });
    }
    if (node.spec?.unschedulable) wanted.push({ key: UNSCHEDULABLE, effect: "NoSchedule" });
    const present: Taint[] = node.spec?.taints ?? [];
    const same = (a: Taint, b: Taint) => a.key === b.key && a.effect === b.effect;
    const keep = present.filter((taint) => !MANAGED.has(taint.key) || wanted.some((other) => same(taint, other)));
    const added = wanted.filter((taint) => !present.some((other) => same(taint, other)))
      .map((taint) => ({ ...taint, timeAdded: timestamp(clock.now()) }));
    if (added.length === 0 && keep.length === present.length) return node;
    const next = structuredClone(node);
    next.spec = { ...next.spec, taints: [...keep, ...added] };
    if (next.spec.taints.length === 0) delete next.spec.taints;
    return api.update(NODES, next);
  }

  function markPodsNotReady(node: string): void {
    for (const pod of pods.by("node", node)) {
      if (isTerminated(pod) || findCondition(pod.status?.conditions, "Ready")?.status !== "True") continue;
      const conditions = withCondition(pod.status.conditions, { type: "Ready", status: "False" }, clock.now());
      writeStatus(api, PODS, pod, { ...pod.status, conditions });
      events.warning(pod, COMPONENT, "NodeNotReady", "Node is not ready");
    }
  }
}
