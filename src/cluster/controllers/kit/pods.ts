import type { ClusterApi, KubeObject } from "../../contracts.ts";
import { type Condition, findCondition, isTrue } from "./conditions.ts";
import type { ObjectCache } from "./cache.ts";
import { type LabelSelector, matchesSelector } from "./selector.ts";
import { controllerOf, ownerReference, PODS } from "./types.ts";
import { ApiError } from "../../api_error.ts";
import type { GroupResource } from "../../contracts.ts";

/** Whether the pod has ended for good. */
export function isTerminated(pod: KubeObject): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Whether the pod counts towards replicas: neither ended nor being deleted. */
export function isActive(pod: KubeObject): boolean {
  return !isTerminated(pod) && pod.metadata.deletionTimestamp === undefined;
}

export function isReady(pod: KubeObject): boolean {
  return isTrue(pod.status?.conditions, "Ready");
}

/** Milliseconds until the pod has been ready for `minReadySeconds`: 0 when it has, undefined when it is not ready. */
export function untilAvailable(pod: KubeObject, minReadySeconds: number, nowMs: number): number | undefined {
  const ready = findCondition(pod.status?.conditions, "Ready");
  if (ready?.status !== "True") return undefined;
  if (minReadySeconds === 0) return 0;
  const since = Date.parse(ready.lastTransitionTime ?? "") || 0;
  return Math.max(0, since + minReadySeconds * 1000 - nowMs);
}

export function isAvailable(pod: KubeObject, minReadySeconds: number, nowMs: number): boolean {
  return untilAvailable(pod, minReadySeconds, nowMs) === 0;
}

/** A pod made from a template, owned by `owner`; its namespace is the owner's. */
export function podFromTemplate(owner: KubeObject, template: any): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "",
      generateName: `${owner.metadata.name}-`,
      namespace: owner.metadata.namespace,
      labels: { ...template?.metadata?.labels },
      annotations: { ...template?.metadata?.annotations },
      finalizers: template?.metadata?.finalizers,
      ownerReferences: [ownerReference(owner)],
    },
    spec: structuredClone(template?.spec ?? {}),
  };
}

/**
 * Orders pods so that the ones to be deleted first come first, as ReplicaSets do: unscheduled, pending, not ready, lower
 * deletion cost, more of the same on a node, ready for a shorter time, more restarts, younger.
 */
export function byDeletionOrder(pods: KubeObject[]): KubeObject[] {
  const onNode = new Map<string, number>();
  for (const pod of pods) {
    const node = pod.spec?.nodeName ?? "";
    onNode.set(node, (onNode.get(node) ?? 0) + 1);
  }
  const phases: Record<string, number> = { Pending: 0, Unknown: 1, Running: 2 };
  const rank = (pod: KubeObject): number[] => [
    pod.spec?.nodeName ? 1 : 0,
    phases[pod.status?.phase ?? "Pending"] ?? 0,
    isReady(pod) ? 1 : 0,
    deletionCost(pod),
    -(onNode.get(pod.spec?.nodeName ?? "") ?? 0),
    -(Date.parse((findCondition(pod.status?.conditions, "Ready") as Condition)?.lastTransitionTime ?? "") || 0),
    -restarts(pod),
    -(Date.parse(pod.metadata.creationTimestamp ?? "") || 0),
  ];
  return pods.map((pod) => ({ pod, rank: rank(pod) })).sort((a, b) => {
    for (let i = 0; i < a.rank.length; i++) if (a.rank[i] !== b.rank[i]) return a.rank[i] - b.rank[i];
    return a.pod.metadata.name < b.pod.metadata.name ? 1 : -1;
  }).map(({ pod }) => pod);
}

function deletionCost(pod: KubeObject): number {
  const cost = Number(pod.metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? 0);
  return Number.isFinite(cost) ? cost : 0;
}

function restarts(pod: KubeObject): number {
  return (pod.status?.containerStatuses ?? []).reduce((sum: number, c: any) => sum + (c.restartCount ?? 0), 0);
}

/** Deletes a pod; one that is gone already is what was wanted. */
export function deletePod(api: ClusterApi, pod: KubeObject): void {
  try {
    api.delete(PODS, pod.metadata.namespace, pod.metadata.name, { preconditions: { uid: pod.metadata.uid } });
  } catch (thrown) {
    if (!(thrown instanceof ApiError) || (thrown.code !== 404 && thrown.code !== 409)) throw thrown;
  }
}

/**
 * The objects of one type that belong to `owner`: those it controls and its selector still matches, and those that match
 * and nobody controls, which are adopted. One that it controls but does not match any more is released. While the
 * owner is being deleted nothing changes hands.
 */
export function claim(
  api: ClusterApi,
  type: GroupResource,
  cache: ObjectCache,
  owner: KubeObject,
  selector: LabelSelector | undefined,
  filter: (object: KubeObject) => boolean = () => true,
): KubeObject[] {
  const mine: KubeObject[] = [];
  for (const object of cache.controlledBy(owner.metadata.uid!)) {
    if (matchesSelector(selector, object.metadata.labels) && filter(object)) mine.push(object);
    else if (!owner.metadata.deletionTimestamp && !object.metadata.deletionTimestamp) release(api, type, owner, object);
  }
  if (owner.metadata.deletionTimestamp) return mine;
  for (const object of cache.by("orphan", owner.metadata.namespace ?? "")) {
    if (object.metadata.deletionTimestamp || !matchesSelector(selector, object.metadata.labels) || !filter(object)) {
      continue;
    }
    mine.push(api.patch(type, object.metadata.namespace, object.metadata.name, "merge", {
      metadata: {
        uid: object.metadata.uid,
        ownerReferences: [...object.metadata.ownerReferences ?? [], ownerReference(owner)],
      },
    }));
  }
  return mine;
}

/** Declares the index that {@linkcode claim} finds objects without a controller by. */
export function indexOrphans(cache: ObjectCache): void {
  cache.index("orphan", (object) => controllerOf(object) ? [] : [object.metadata.namespace ?? ""]);
}

function release(api: ClusterApi, type: GroupResource, owner: KubeObject, object: KubeObject): void {
  api.patch(type, object.metadata.namespace, object.metadata.name, "merge", {
    metadata: {
      uid: object.metadata.uid,
      ownerReferences: (object.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== owner.metadata.uid),
    },
  });
}
