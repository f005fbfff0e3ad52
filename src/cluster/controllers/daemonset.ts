import { ApiError } from "../api_error.ts";
import type { KubeObject } from "../contracts.ts";
import type { ControllerContext } from "./kit/context.ts";
import { canonicalJson } from "./kit/hash.ts";
import {
  claim,
  deletePod,
  indexOrphans,
  isActive,
  isAvailable,
  isReady,
  podFromTemplate,
  untilAvailable,
} from "./kit/pods.ts";
import { scaledValue } from "./kit/quantity.ts";
import { hashOf, pruneRevisions, REVISION_LABEL, syncRevisions } from "./kit/revisions.ts";
import { matchesSelector } from "./kit/selector.ts";
import { CONTROLLER_REVISIONS, controllerOf, DAEMON_SETS, keyOf, NODES, PODS } from "./kit/types.ts";
import { writeStatus } from "./kit/writes.ts";
import { matchesNode, type Toleration, untolerated } from "./scheduler/placement.ts";

const COMPONENT = "daemonset-controller";
/** Pods made or deleted per turn of the event loop. */
const BURST = 20;
/** First wait before a failed pod is replaced; doubled by each failure on the node. */
const FAILED_POD_BACKOFF_MS = 1000;
const FAILED_POD_BACKOFF_MAX_MS = 15 * 60_000;

/** What every daemon pod tolerates, so that it outlives a node's troubles. */
const TOLERATIONS: Toleration[] = [
  { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/disk-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/pid-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/unschedulable", operator: "Exists", effect: "NoSchedule" },
];
const HOST_NETWORK_TOLERATION: Toleration = {
  key: "node.kubernetes.io/network-unavailable",
  operator: "Exists",
  effect: "NoSchedule",
};

/** Keeps one pod of each DaemonSet on every node that it selects and tolerates. */
export function startDaemonSets({ api, caches, runner, events, clock }: ControllerContext): void {
  const sets = caches.of(DAEMON_SETS);
  const pods = caches.of(PODS);
  const nodes = caches.of(NODES);
  const revisions = caches.of(CONTROLLER_REVISIONS);
  indexOrphans(pods);
  indexOrphans(revisions);
  const queue = runner.register("daemonset", reconcile);
  const failures = new Map<string, { count: number; atMs: number }>();

  sets.onChange((_event, set) => queue.add(keyOf(set)));
  pods.onChange((_event, pod, previous) => {
    for (const version of [pod, previous]) {
      if (!version) continue;
      const owner = controllerOf(version);
      if (owner?.kind === "DaemonSet") queue.add(`${version.metadata.namespace}/${owner.name}`);
    }
    if (!controllerOf(pod)) {
      for (const set of sets.inNamespace(pod.metadata.namespace!)) {
        if (matchesSelector(set.spec.selector, pod.metadata.labels)) queue.add(keyOf(set));
      }
    }
  });
  nodes.onChange((event, node, previous) => {
    const changed = event === "DELETED" || !previous ||
      canonicalJson([node.metadata.labels, node.spec]) !== canonicalJson([previous.metadata.labels, previous.spec]);
    if (changed) { for (const set of sets.all()) queue.add(keyOf(set)); }
  });

  function reconcile(key: string): void {
    const set = sets.get(key);
    if (!set) return;
    const mine = claim(api, PODS, pods, set, set.spec.selector);
    const byNode = new Map<string, KubeObject[]>();
    for (const pod of mine) {
      const node = nodeOf(pod);
      byNode.set(node, [...byNode.get(node) ?? [], pod]);
    }
    if (set.metadata.deletionTimestamp) return;
    const { update, all } = syncRevisions(api, revisions, set);
    const hash = hashOf(update);
    const plan = { create: [] as string[], delete: [] as KubeObject[] };
    for (const node of nodes.all()) manage(set, node, byNode.get(node.metadata.name) ?? [], hash, plan);
    if (set.spec.updateStrategy?.type !== "OnDelete") rollingUpdate(set, byNode, hash, plan);
    const failure = apply(set, hash, plan);
    if (plan.create.length > BURST || plan.delete.length > BURST) queue.add(key);
    pruneRevisions(api, set, all, new Set([hash, ...mine.map((pod) => pod.metadata.labels?.[REVISION_LABEL] ?? "")]));
    updateStatus(set, byNode, hash);
    if (failure !== undefined) throw new ApiError(500, "FailedCreate", failure);
  }

  /** What one node lacks or has too much of, leaving rolling updates aside. */
  function manage(
    set: KubeObject,
    node: KubeObject,
    present: KubeObject[],
    hash: string,
    plan: { create: string[]; delete: KubeObject[] },
  ): void {
    const { shouldRun, mayStay } = fits(set, node);
    const active = present.filter((pod) => !pod.metadata.deletionTimestamp);
    if (!shouldRun && !mayStay) {
      plan.delete.push(...active);
      return;
    }
    const failed = active.filter((pod) => pod.status?.phase === "Failed" || pod.status?.phase === "Succeeded");
    for (const pod of failed) {
      const wait = failureBackoff(`${set.metadata.uid}/${node.metadata.name}`, pod);
      if (wait > 0) queue.addAfter(keyOf(set), wait);
      else plan.delete.push(pod);
    }
    if (failed.length > 0) return;
    if (active.length === 0) {
      // While one is still ending, the next must wait: both would claim the node's ports and paths.
      if (shouldRun && present.length === 0) plan.create.push(node.metadata.name);
      return;
    }
    if (active.length === 1) return;
    // Two are right only while a surge goes on: one old, one new.
    const [current, old] = split(active, hash);
    const surging = surge(set) > 0 && current.length > 0;
    if (!surging) return void plan.delete.push(...oldestFirst(active).slice(1));
    const newest = oldestFirst(current)[0];
    plan.delete.push(...oldestFirst(current).slice(1));
    const available = isAvailable(newest, set.spec.minReadySeconds ?? 0, clock.now());
    plan.delete.push(...(available ? old : oldestFirst(old).slice(1)));
  }

  function rollingUpdate(
    set: KubeObject,
    byNode: Map<string, KubeObject[]>,
    hash: string,
    plan: { create: string[]; delete: KubeObject[] },
  ): void {
    const running = [...nodes.all()].filter((node) => fits(set, node).shouldRun);
    const rolling = set.spec.updateStrategy?.rollingUpdate ?? {};
    const maxSurge = surge(set, running.length);
    const maxUnavailable = maxSurge > 0
      ? 0
      : Math.max(1, scaledValue(rolling.maxUnavailable ?? 1, running.length, "up"));
    const leaving = new Set(plan.delete);
    const outdated: { node: string; pod: KubeObject; available: boolean }[] = [];
    let [unavailable, surges] = [0, 0];
    for (const node of running) {
      const name = node.metadata.name;
      const active = (byNode.get(name) ?? []).filter((pod) => isActive(pod) && !leaving.has(pod));
      const [current, old] = split(active, hash);
      const isUp = (pod: KubeObject) => isAvailable(pod, set.spec.minReadySeconds ?? 0, clock.now());
      if (!active.some(isUp)) unavailable++;
      if (current.length > 0 && old.length > 0) surges++;
      if (current.length === 0 && old.length > 0 && !plan.create.includes(name)) {
        outdated.push({ node: name, pod: old[0], available: isUp(old[0]) });
      }
    }
    if (maxSurge > 0) {
      for (const { node, pod, available } of outdated) {
        // One that does not work anyway needs nobody beside it.
        if (!available) plan.delete.push(pod);
        else if (surges < maxSurge) {
          surges++;
          plan.create.push(node);
        }
      }
      return;
    }
    for (const { pod, available } of outdated) {
      if (!available) plan.delete.push(pod);
      else if (unavailable < maxUnavailable) {
        unavailable++;
        plan.delete.push(pod);
      }
    }
  }

  function apply(set: KubeObject, hash: string, plan: { create: string[]; delete: KubeObject[] }): string | undefined {
    for (const pod of plan.delete.slice(0, BURST)) {
      deletePod(api, pod);
      events.normal(set, COMPONENT, "SuccessfulDelete", `Deleted pod: ${pod.metadata.name}`);
    }
    for (const node of plan.create.slice(0, BURST)) {
      try {
        const pod = api.create(PODS, daemonPod(set, hash, node));
        events.normal(set, COMPONENT, "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
      } catch (thrown) {
        if (!(thrown instanceof ApiError)) throw thrown;
        if (JSON.stringify(thrown.details ?? {}).includes("NamespaceTerminating")) return undefined;
        events.warning(set, COMPONENT, "FailedCreate", `Error creating: ${thrown.message}`);
        return thrown.message;
      }
    }
    return undefined;
  }

  /** Milliseconds until the node's failed pod may be replaced. */
  function failureBackoff(place: string, pod: KubeObject): number {
    const now = clock.now();
    const last = failures.get(place) ?? { count: 0, atMs: -Infinity };
    const wait = last.count === 0
      ? 0
      : Math.min(FAILED_POD_BACKOFF_MAX_MS, FAILED_POD_BACKOFF_MS * 2 ** (last.count - 1));
    if (last.atMs + wait > now) return last.atMs + wait - now;
    failures.set(place, { count: last.atMs + 2 * FAILED_POD_BACKOFF_MAX_MS < now ? 1 : last.count + 1, atMs: now });
    events.warning(
      pod,
      COMPONENT,
      "FailedDaemonPod",
      `Found failed daemon pod ${pod.metadata.namespace}/${pod.metadata.name} on node ${
        nodeOf(pod)
      }, will try to kill it`,
    );
    return 0;
  }

  function updateStatus(set: KubeObject, byNode: Map<string, KubeObject[]>, hash: string): void {
    const now = clock.now();
    const minReadySeconds = set.spec.minReadySeconds ?? 0;
    let [desired, current, misscheduled, ready, updated, available] = [0, 0, 0, 0, 0, 0];
    let soonest = Infinity;
    for (const node of nodes.all()) {
      const present = byNode.get(node.metadata.name) ?? [];
      if (!fits(set, node).shouldRun) {
        if (present.length > 0) misscheduled++;
        continue;
      }
      desired++;
      if (present.length === 0) continue;
      current++;
      // Of an old and a new pod the new one is what counts, once it is ready.
      const ordered = oldestFirst(present.filter((pod) => !pod.metadata.deletionTimestamp));
      const up = ordered.filter(isReady);
      if (up.length > 0) ready++;
      const waits = up.map((pod) => untilAvailable(pod, minReadySeconds, now)!);
      if (waits.includes(0)) available++;
      else soonest = Math.min(soonest, ...waits);
      if (ordered.some((pod) => pod.metadata.labels?.[REVISION_LABEL] === hash)) updated++;
    }
    if (soonest < Infinity) queue.addAfter(keyOf(set), soonest);
    writeStatus(api, DAEMON_SETS, set, {
      currentNumberScheduled: current,
      numberMisscheduled: misscheduled,
      desiredNumberScheduled: desired,
      numberReady: ready,
      observedGeneration: set.metadata.generation,
      ...(updated > 0 ? { updatedNumberScheduled: updated } : {}),
      ...(available > 0 ? { numberAvailable: available } : {}),
      ...(desired > available ? { numberUnavailable: desired - available } : {}),
      ...(set.status?.conditions ? { conditions: set.status.conditions } : {}),
    });
  }
}

/** Whether a pod of the set belongs on the node, and whether one that is there may stay (it tolerates NoExecute). */
function fits(set: KubeObject, node: KubeObject): { shouldRun: boolean; mayStay: boolean } {
  const spec = set.spec.template.spec;
  if (node.metadata.deletionTimestamp || !matchesNode(spec, node)) return { shouldRun: false, mayStay: false };
  const tolerations = [
    ...spec.tolerations ?? [],
    ...TOLERATIONS,
    ...(spec.hostNetwork ? [HOST_NETWORK_TOLERATION] : []),
  ];
  return {
    shouldRun: !untolerated(node.spec?.taints, tolerations, ["NoSchedule", "NoExecute"]),
    mayStay: !untolerated(node.spec?.taints, tolerations, ["NoExecute"]),
  };
}

/** The node a daemon pod runs on or, before it is bound, was made for. */
function nodeOf(pod: KubeObject): string {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ??
    [];
  for (const term of terms) {
    for (const { key, operator, values } of term.matchFields ?? []) {
      if (key === "metadata.name" && operator === "In" && values?.length === 1) return values[0];
    }
  }
  return "";
}

/** A pod for one node: bound to it by affinity, which replaces what the template says of node names. */
function daemonPod(set: KubeObject, hash: string, node: string): KubeObject {
  const pod = podFromTemplate(set, set.spec.template);
  pod.metadata.labels![REVISION_LABEL] = hash;
  const required = "requiredDuringSchedulingIgnoredDuringExecution";
  const terms: any[] = pod.spec.affinity?.nodeAffinity?.[required]?.nodeSelectorTerms ?? [{}];
  const matchFields = [{ key: "metadata.name", operator: "In", values: [node] }];
  pod.spec.affinity = {
    ...pod.spec.affinity,
    nodeAffinity: {
      ...pod.spec.affinity?.nodeAffinity,
      [required]: { nodeSelectorTerms: terms.map((term) => ({ ...term, matchFields })) },
    },
  };
  pod.spec.tolerations = [
    ...pod.spec.tolerations ?? [],
    ...TOLERATIONS,
    ...(pod.spec.hostNetwork ? [HOST_NETWORK_TOLERATION] : []),
  ];
  return pod;
}

function surge(set: KubeObject, nodes = 1): number {
  if (set.spec.updateStrategy?.type === "OnDelete") return 0;
  return scaledValue(set.spec.updateStrategy?.rollingUpdate?.maxSurge ?? 0, nodes, "up");
}

function split(pods: KubeObject[], hash: string): [current: KubeObject[], old: KubeObject[]] {
  const current = pods.filter((pod) => pod.metadata.labels?.[REVISION_LABEL] === hash);
  return [current, pods.filter((pod) => !current.includes(pod))];
}

function oldestFirst(pods: KubeObject[]): KubeObject[] {
  return [...pods].sort((a, b) => {
    const difference = Date.parse(a.metadata.creationTimestamp ?? "") - Date.parse(b.metadata.creationTimestamp ?? "");
    return difference || (a.metadata.name < b.metadata.name ? -1 : 1);
  });
}
