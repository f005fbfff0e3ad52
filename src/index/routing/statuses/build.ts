import type { RoutingStatus } from "../status.ts";
import type { GatewayFactsOf } from "../target.ts";
import type { World } from "../world.ts";
import { gatewayStatuses } from "./gateways.ts";
import { istioStatuses } from "./istio.ts";
import { policyStatuses } from "./policies.ts";
import { routeStatuses } from "./routes.ts";
import { unsupportedStatuses } from "./unsupported.ts";

/** All statuses that routing says. */
export function buildStatuses(world: World, facts: GatewayFactsOf): RoutingStatus[] {
  return [
    ...gatewayStatuses(world, facts),
    ...routeStatuses(world),
    ...policyStatuses(world),
    ...istioStatuses(world),
    ...unsupportedStatuses(world),
  ];
}
