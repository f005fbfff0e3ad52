import type { KubeObject } from "../../contracts.ts";
import type { ControllerContext } from "../kit/context.ts";
import {
  actualReplicas,
  availableReplicas,
  bounds,
  byAge,
  isRollingUpdate,
  replicasOf,
  specReplicas,
} from "./model.ts";
import { scale } from "./scale.ts";

type Context = Pick<ControllerContext, "api" | "events">;

/** How large the new ReplicaSet may be now. */
export function newReplicas(deployment: KubeObject, all: KubeObject[], newSet: KubeObject | undefined): number {
  const desired = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return desired;
  const size = newSet ? replicasOf(newSet) : 0;
  const room = desired + bounds(deployment).maxSurge - specReplicas(all);
  if (room <= 0) return size;
  return size + Math.min(room, desired - size);
}

/**
 * One step of a rolling update: more of the new where there is room, else fewer of the old where enough is available.
 * Pods of the old ReplicaSets that are not available go first.
 */
export function rollingUpdate(context: Context, deployment: KubeObject, newSet: KubeObject, old: KubeObject[]): void {
  const all = [...old, newSet];
  const size = replicasOf(newSet) > replicasOf(deployment)
    ? replicasOf(deployment)
    : newReplicas(deployment, all, newSet);
  if (size !== replicasOf(newSet)) {
    scale(context, deployment, newSet, size);
    return;
  }
  let active = old.filter((set) => replicasOf(set) > 0);
  if (active.length === 0) return;
  const minAvailable = replicasOf(deployment) - bounds(deployment).maxUnavailable;
  const newUnavailable = replicasOf(newSet) - (newSet.status?.availableReplicas ?? 0);
  const removable = specReplicas(all) - minAvailable - newUnavailable;
  if (removable <= 0) return;
  let cleaned = 0;
  active = byAge(active).map((set) => {
    const unhealthy = replicasOf(set) - (set.status?.availableReplicas ?? 0);
    const fewer = Math.max(0, Math.min(removable - cleaned, unhealthy));
    cleaned += fewer;
    return fewer > 0 ? scale(context, deployment, set, replicasOf(set) - fewer) : set;
  });
  let surplus = availableReplicas([...active, newSet]) - minAvailable;
  for (const set of active) {
    if (surplus <= 0) return;
    const fewer = Math.min(replicasOf(set), surplus);
    if (fewer === 0) continue;
    scale(context, deployment, set, replicasOf(set) - fewer);
    surplus -= fewer;
  }
}

/** One step of a Recreate rollout. True when the old pods are gone and the new ReplicaSet may be made and sized. */
export function recreateMayProceed(
  context: Context,
  deployment: KubeObject,
  old: KubeObject[],
  oldPodsLeft: (set: KubeObject) => number,
): boolean {
  const active = old.filter((set) => replicasOf(set) > 0);
  for (const set of active) scale(context, deployment, set, 0);
  return active.length === 0 && actualReplicas(old) === 0 && old.every((set) => oldPodsLeft(set) === 0);
}
