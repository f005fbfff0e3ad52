import type { KubeObject } from "../../contracts.ts";
import { canonicalJson } from "../kit/hash.ts";
import { scaledValue } from "../kit/quantity.ts";

export const HASH_LABEL = "pod-template-hash";
export const REVISION = "deployment.kubernetes.io/revision";
export const REVISION_HISTORY = "deployment.kubernetes.io/revision-history";
export const DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas";
export const MAX_REPLICAS = "deployment.kubernetes.io/max-replicas";

/** Annotations of a Deployment that its ReplicaSets do not inherit. */
const OWN_ANNOTATIONS = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  "deprecated.deployment.rollback.to",
]);

export function replicasOf(object: KubeObject): number {
  return object.spec?.replicas ?? 1;
}

export function sum(sets: KubeObject[], of: (set: KubeObject) => number): number {
  return sets.reduce((total, set) => total + of(set), 0);
}

export const specReplicas = (sets: KubeObject[]) => sum(sets, replicasOf);
export const actualReplicas = (sets: KubeObject[]) => sum(sets, (set) => set.status?.replicas ?? 0);
export const readyReplicas = (sets: KubeObject[]) => sum(sets, (set) => set.status?.readyReplicas ?? 0);
export const availableReplicas = (sets: KubeObject[]) => sum(sets, (set) => set.status?.availableReplicas ?? 0);

export function isRollingUpdate(deployment: KubeObject): boolean {
  return (deployment.spec.strategy?.type ?? "RollingUpdate") === "RollingUpdate";
}

/** How many pods may be missing and how many may be too many while a rollout is under way; not both are 0. */
export function bounds(deployment: KubeObject): { maxSurge: number; maxUnavailable: number } {
  const desired = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return { maxSurge: 0, maxUnavailable: 0 };
  const rolling = deployment.spec.strategy?.rollingUpdate ?? {};
  const maxSurge = scaledValue(rolling.maxSurge ?? "25%", desired, "up");
  let maxUnavailable = scaledValue(rolling.maxUnavailable ?? "25%", desired, "down");
  if (maxSurge === 0 && maxUnavailable === 0) maxUnavailable = 1;
  return { maxSurge, maxUnavailable: Math.min(maxUnavailable, desired) };
}

export function revisionOf(object: KubeObject): number {
  const revision = Number(object.metadata.annotations?.[REVISION] ?? 0);
  return Number.isSafeInteger(revision) ? revision : 0;
}

/** The template without the label that the controller adds: what decides whether two are the same. */
function bareTemplate(template: any): string {
  const { [HASH_LABEL]: _, ...labels } = template?.metadata?.labels ?? {};
  return canonicalJson({ ...template, metadata: { ...template?.metadata, creationTimestamp: undefined, labels } });
}

export function sameTemplate(a: any, b: any): boolean {
  return bareTemplate(a) === bareTemplate(b);
}

/** Oldest first. */
export function byAge(sets: KubeObject[]): KubeObject[] {
  return [...sets].sort((a, b) => {
    const difference = Date.parse(a.metadata.creationTimestamp ?? "") - Date.parse(b.metadata.creationTimestamp ?? "");
    return difference || revisionOf(a) - revisionOf(b) || (a.metadata.name < b.metadata.name ? -1 : 1);
  });
}

/** The ReplicaSet that has the Deployment's template, the oldest where there are several. */
export function findNew(deployment: KubeObject, sets: KubeObject[]): KubeObject | undefined {
  return byAge(sets).find((set) => sameTemplate(set.spec.template, deployment.spec.template));
}

/** The Deployment's annotations as its new ReplicaSet carries them. */
export function inheritedAnnotations(deployment: KubeObject): Record<string, string> {
  return Object.fromEntries(
    Object.entries(deployment.metadata.annotations ?? {}).filter(([key]) => !OWN_ANNOTATIONS.has(key)),
  );
}

/** Whether the rollout is over: everything updated, available and nothing old left, for the generation seen. */
export function isComplete(deployment: KubeObject, status: any): boolean {
  const desired = replicasOf(deployment);
  return (status.updatedReplicas ?? 0) === desired && (status.replicas ?? 0) === desired &&
    (status.availableReplicas ?? 0) === desired && (status.observedGeneration ?? 0) >= deployment.metadata.generation!;
}
