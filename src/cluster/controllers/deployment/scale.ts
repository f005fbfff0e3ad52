import type { KubeObject } from "../../contracts.ts";
import type { ControllerContext } from "../kit/context.ts";
import { REPLICA_SETS } from "../kit/types.ts";
import { bounds, DESIRED_REPLICAS, isRollingUpdate, MAX_REPLICAS, replicasOf, specReplicas } from "./model.ts";

export const COMPONENT = "deployment-controller";

/** Sets a ReplicaSet's size, noting how large the Deployment wants to be, and says so in an Event. */
export function scale(
  { api, events }: Pick<ControllerContext, "api" | "events">,
  deployment: KubeObject,
  set: KubeObject,
  replicas: number,
): KubeObject {
  const from = replicasOf(set);
  const desired = String(replicasOf(deployment));
  const most = String(replicasOf(deployment) + bounds(deployment).maxSurge);
  const annotations = set.metadata.annotations ?? {};
  if (from === replicas && annotations[DESIRED_REPLICAS] === desired && annotations[MAX_REPLICAS] === most) return set;
  const next = structuredClone(set);
  next.spec.replicas = replicas;
  next.metadata.annotations = { ...annotations, [DESIRED_REPLICAS]: desired, [MAX_REPLICAS]: most };
  const written = api.update(REPLICA_SETS, next);
  if (from !== replicas) {
    const direction = replicas > from ? "up" : "down";
    events.normal(
      deployment,
      COMPONENT,
      "ScalingReplicaSet",
      `Scaled ${direction} replica set ${set.metadata.name} from ${from} to ${replicas}`,
    );
  }
  return written;
}

/** Whether somebody changed spec.replicas since the ReplicaSets were last sized. */
export function isScalingEvent(deployment: KubeObject, active: KubeObject[]): boolean {
  return active.some((set) => {
    const desired = set.metadata.annotations?.[DESIRED_REPLICAS];
    return desired !== undefined && Number(desired) !== replicasOf(deployment);
  });
}

/**
 * Sizes the ReplicaSets for a new spec.replicas while a rollout is paused or under way: the difference is spread over
 * them in proportion to their sizes, the largest taking what rounding leaves.
 */
export function scaleProportionally(
  context: Pick<ControllerContext, "api" | "events">,
  deployment: KubeObject,
  newSet: KubeObject | undefined,
  old: KubeObject[],
): void {
  const all = [...old, ...(newSet ? [newSet] : [])];
  const active = all.filter((set) => replicasOf(set) > 0);
  const only = active.length === 1 ? active[0] : active.length === 0 ? newSet ?? old.at(-1) : undefined;
  if (only) {
    scale(context, deployment, only, replicasOf(deployment));
    return;
  }
  if (newSet && isSaturated(deployment, newSet)) {
    for (const set of active) if (set !== newSet) scale(context, deployment, set, 0);
    return;
  }
  if (!isRollingUpdate(deployment) || active.length === 0) return;
  const total = specReplicas(active);
  const allowed = replicasOf(deployment) > 0 ? replicasOf(deployment) + bounds(deployment).maxSurge : 0;
  const toAdd = allowed - total;
  const largestFirst = [...active].sort((a, b) => replicasOf(b) - replicasOf(a));
  let added = 0;
  const sizes = largestFirst.map((set) => {
    const before = Number(set.metadata.annotations?.[MAX_REPLICAS] ?? 0) || total;
    let share = Math.round((replicasOf(set) * allowed) / before) - replicasOf(set);
    share = toAdd > 0 ? Math.max(0, Math.min(share, toAdd - added)) : Math.min(0, Math.max(share, toAdd - added));
    added += share;
    return replicasOf(set) + share;
  });
  sizes[0] = Math.max(0, sizes[0] + toAdd - added);
  for (const [i, set] of largestFirst.entries()) scale(context, deployment, set, sizes[i]);
}

/** Whether the ReplicaSet alone is what the Deployment asks for. */
function isSaturated(deployment: KubeObject, set: KubeObject): boolean {
  const desired = replicasOf(deployment);
  return replicasOf(set) === desired && set.status?.availableReplicas === desired &&
    Number(set.metadata.annotations?.[DESIRED_REPLICAS]) === desired;
}
