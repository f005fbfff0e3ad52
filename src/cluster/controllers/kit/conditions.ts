import { timestamp } from "./time.ts";

/** One entry of `status.conditions`. */
export interface Condition {
  type: string;
  status: "True" | "False" | "Unknown";
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  lastUpdateTime?: string;
  lastProbeTime?: string | null;
  [field: string]: unknown;
}

export function findCondition(conditions: Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

export function isTrue(conditions: Condition[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === "True";
}

/**
 * The conditions with one set. `lastTransitionTime` moves when the status changes; `extra` fields are set as given.
 * The array that was passed is left as it is.
 */
export function withCondition(
  conditions: Condition[] | undefined,
  condition: Pick<Condition, "type" | "status" | "reason" | "message"> & { observedGeneration?: number },
  nowMs: number,
): Condition[] {
  const previous = findCondition(conditions, condition.type);
  const lastTransitionTime = previous?.status === condition.status && previous.lastTransitionTime
    ? previous.lastTransitionTime
    : timestamp(nowMs);
  const next: Condition = { ...condition, lastTransitionTime };
  return previous
    ? conditions!.map((other) => other.type === condition.type ? next : other)
    : [...conditions ?? [], next];
}

export function withoutCondition(conditions: Condition[] | undefined, type: string): Condition[] {
  return (conditions ?? []).filter((condition) => condition.type !== type);
}
