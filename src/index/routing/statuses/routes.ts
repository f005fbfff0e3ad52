import type { ParentOutcome, RouteOutcome } from "../gateway_api/attachment.ts";
import { resolveBackend } from "../gateway_api/backends.ts";
import type { Fault } from "../gateway_api/gateway.ts";
import type { ParsedRoute } from "../gateway_api/route.ts";
import type { RouteParentStatus, RoutingCondition, RoutingStatus } from "../status.ts";
import type { World } from "../world.ts";
import { condition } from "./conditions.ts";
import { GATEWAY_MANAGER } from "./gateways.ts";

export function routeStatuses(world: World): RoutingStatus[] {
  return world.gatewayRoutes.outcomes.flatMap((outcome) =>
    outcome.parents.length > 0 || outcome.told ? [routeStatus(world, outcome)] : []
  );
}

function routeStatus(world: World, { route, parents }: RouteOutcome): RoutingStatus {
  const { kind, namespace, name, generation } = route, unresolved = unresolvedRefs(world, route);
  return {
    kind,
    namespace,
    name,
    generation,
    fieldManager: GATEWAY_MANAGER,
    parents: parents.map((parent) => parentStatus(world, route, parent, unresolved)),
  };
}

/** The first reference that leads nowhere; kinds before namespaces before names, as the author would mend them. */
function unresolvedRefs(world: World, route: ParsedRoute): Fault | undefined {
  const ORDER = ["InvalidKind", "RefNotPermitted", "BackendNotFound"];
  let worst: Fault | undefined;
  for (const rule of route.rules) {
    for (const { ref } of [...rule.backends, ...rule.mirrors]) {
      const found = ref.api === "gateway" ? resolveBackend(world, route, ref) : undefined;
      if (!found || "service" in found) continue;
      if (!worst || ORDER.indexOf(found.reason) < ORDER.indexOf(worst.reason)) worst = found;
    }
  }
  return worst;
}

function parentStatus(
  world: World,
  route: ParsedRoute,
  { parent, refused, service }: ParentOutcome,
  unresolved: Fault | undefined,
): RouteParentStatus {
  const { generation, notes, rules } = route, conditions: RoutingCondition[] = [];
  const broken = rules.filter((rule) => rule.broken || rule.matches.length === 0).length;
  const unsupported = notes.size > 0 && broken > 0 && broken === rules.length
    ? { reason: "UnsupportedValue", message: `${notes}` }
    : undefined;
  // Why it is not attached may be what it holds.
  const fault = refused && notes.size > 0 ? { ...refused, message: `${refused.message}; ${notes}` } : refused;
  conditions.push(
    condition("Accepted", generation, { reason: "Accepted", message: "Route was valid" }, fault ?? unsupported),
    condition("ResolvedRefs", generation, { reason: "ResolvedRefs", message: "All references resolved" }, unresolved),
  );
  if (notes.size > 0 && !refused && !unsupported) {
    // Of rules with something that is not supported: they answer 500, the others serve.
    conditions.push(condition("PartiallyInvalid", generation, { reason: "UnsupportedValue", message: `${notes}` }));
  }
  if (service && !refused) {
    const bound = world.ambient.waypointsOf(service.key).length > 0;
    conditions.push(
      condition(
        "ResolvedWaypoints",
        generation,
        { reason: "ResolvedWaypoints", message: "All waypoints resolved" },
        bound ? undefined : {
          reason: "MissingUseWaypointLabel",
          message:
            "istio.io/use-waypoint label missing from parent and parent namespace; in ambient mode, route will not be respected",
        },
      ),
    );
  }
  return { parentRef: parent.ref, controllerName: GATEWAY_MANAGER, conditions };
}
