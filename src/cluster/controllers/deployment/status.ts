import type { KubeObject } from "../../contracts.ts";
import { timestamp } from "../kit/time.ts";
import { type Condition, findCondition } from "../kit/conditions.ts";
import { actualReplicas, availableReplicas, bounds, isComplete, readyReplicas, replicasOf } from "./model.ts";

/** kube's default for progressDeadlineSeconds; this value itself means that there is none. */
const NO_DEADLINE = 2 ** 31 - 1;

/** Sets a condition as Deployments do: `lastUpdateTime` moves with the reason, `lastTransitionTime` with the status. */
export function setCondition(
  conditions: Condition[],
  condition: { type: string; status: "True" | "False" | "Unknown"; reason: string; message: string },
  nowMs: number,
): Condition[] {
  const previous = findCondition(conditions, condition.type);
  if (previous?.status === condition.status && previous.reason === condition.reason) return conditions;
  const now = timestamp(nowMs);
  const next: Condition = {
    ...condition,
    lastUpdateTime: now,
    lastTransitionTime: previous?.status === condition.status ? previous.lastTransitionTime : now,
  };
  return [...conditions.filter(({ type }) => type !== condition.type), next];
}

/**
 * The status that follows from the ReplicaSets, conditions Available and Progressing included.
 *
 * `recheckMs` says after how long to look again because the progress deadline may have passed by then.
 */
export function deploymentStatus(
  deployment: KubeObject,
  newSet: KubeObject | undefined,
  all: KubeObject[],
  nowMs: number,
): { status: any; recheckMs?: number } {
  const available = availableReplicas(all);
  const total = actualReplicas(all);
  const previous = deployment.status ?? {};
  const status: any = {
    observedGeneration: deployment.metadata.generation,
    replicas: total,
    updatedReplicas: newSet?.status?.replicas ?? 0,
    readyReplicas: readyReplicas(all),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, all.reduce((sum, set) => sum + replicasOf(set), 0) - available),
    collisionCount: previous.collisionCount,
  };
  let conditions: Condition[] = previous.conditions ?? [];
  conditions = available >= replicasOf(deployment) - bounds(deployment).maxUnavailable
    ? setCondition(conditions, {
      type: "Available",
      status: "True",
      reason: "MinimumReplicasAvailable",
      message: "Deployment has minimum availability.",
    }, nowMs)
    : setCondition(conditions, {
      type: "Available",
      status: "False",
      reason: "MinimumReplicasUnavailable",
      message: "Deployment does not have minimum availability.",
    }, nowMs);
  const progress = progressing(deployment, newSet, status, conditions, nowMs);
  conditions = replicaFailure(progress.conditions, newSet, all);
  status.conditions = conditions;
  for (const key of Object.keys(status)) {
    if (status[key] === undefined || (status[key] === 0 && key !== "observedGeneration")) delete status[key];
  }
  return { status, recheckMs: progress.recheckMs };
}

function progressing(
  deployment: KubeObject,
  newSet: KubeObject | undefined,
  status: any,
  conditions: Condition[],
  nowMs: number,
): { conditions: Condition[]; recheckMs?: number } {
  const deadlineSeconds: number = deployment.spec.progressDeadlineSeconds ?? 600;
  const current = findCondition(conditions, "Progressing");
  const complete = isComplete(deployment, status);
  const rolloutSeen = status.replicas === status.updatedReplicas && current?.reason === "NewReplicaSetAvailable";
  if (deadlineSeconds === NO_DEADLINE || (rolloutSeen && complete)) return { conditions };
  const what = newSet ? `ReplicaSet "${newSet.metadata.name}"` : `Deployment "${deployment.metadata.name}"`;
  if (complete) {
    return {
      conditions: setCondition(conditions, {
        type: "Progressing",
        status: "True",
        reason: "NewReplicaSetAvailable",
        message: `${what} has successfully progressed.`,
      }, nowMs),
    };
  }
  if (rolloutSeen) return { conditions };
  if (hasProgressed(deployment, status)) {
    // Progress restarts the deadline, which counts from lastUpdateTime.
    const next: Condition = {
      type: "Progressing",
      status: "True",
      reason: "ReplicaSetUpdated",
      message: `${what} is progressing.`,
      lastUpdateTime: timestamp(nowMs),
      lastTransitionTime: current?.status === "True" ? current.lastTransitionTime : timestamp(nowMs),
    };
    return {
      conditions: [...conditions.filter(({ type }) => type !== "Progressing"), next],
      recheckMs: (deadlineSeconds + 1) * 1000,
    };
  }
  if (!current || deployment.spec.paused || current.reason === "DeploymentPaused") return { conditions };
  if (current.reason === "ProgressDeadlineExceeded") return { conditions };
  const since = Date.parse(current.lastUpdateTime ?? "") || nowMs;
  const leftMs = since + deadlineSeconds * 1000 - nowMs;
  if (leftMs > 0) return { conditions, recheckMs: leftMs + 1000 };
  return {
    conditions: setCondition(conditions, {
      type: "Progressing",
      status: "False",
      reason: "ProgressDeadlineExceeded",
      message: `${what} has timed out progressing.`,
    }, nowMs),
  };
}

/** More updated, ready or available pods than the stored status tells, or fewer old ones. */
function hasProgressed(deployment: KubeObject, status: any): boolean {
  const old = deployment.status ?? {};
  const oldOld = (old.replicas ?? 0) - (old.updatedReplicas ?? 0);
  return status.updatedReplicas > (old.updatedReplicas ?? 0) ||
    status.replicas - status.updatedReplicas < oldOld ||
    status.readyReplicas > (old.readyReplicas ?? 0) ||
    status.availableReplicas > (old.availableReplicas ?? 0);
}

/** Carries a ReplicaSet's trouble with making pods up to the Deployment. */
function replicaFailure(
  conditions: Condition[],
  newSet: KubeObject | undefined,
  all: KubeObject[],
): Condition[] {
  const rest = conditions.filter(({ type }) => type !== "ReplicaFailure");
  const failing = [...(newSet ? [newSet] : []), ...all]
    .map((set) => findCondition(set.status?.conditions, "ReplicaFailure")).find((condition) => condition !== undefined);
  if (!failing) return rest;
  return [...rest, { ...failing, lastUpdateTime: failing.lastTransitionTime }];
}
