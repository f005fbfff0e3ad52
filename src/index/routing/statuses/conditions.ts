import type { Fault } from "../gateway_api/gateway.ts";
import type { RoutingCondition } from "../status.ts";

/** A condition: True for `good`, False for a fault. */
export function condition(
  type: string,
  observedGeneration: number,
  good: { readonly reason: string; readonly message: string },
  fault?: Fault,
): RoutingCondition {
  const { reason, message } = fault ?? good;
  // The API takes messages of 32768 characters at most.
  return { type, status: fault ? "False" : "True", reason, message: message.slice(0, 4096), observedGeneration };
}
