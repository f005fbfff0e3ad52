import type { ParentOutcome, RouteOutcome } from "../gateway_api/attachment.ts";
import { resolveBackend } from "../gateway_api/backends.ts";
import type { Fault } from "../gateway_api/gateway.ts";
import type { ParsedRoute } from "../gateway_api/route.ts";
import type { RouteParentStatus, RoutingCondition, RoutingStatus } from "../status.ts";
import type { RoutableService } from "../services.ts";
import type { World } from "../world.ts";
import { condition } from "./conditions.ts";
import { GATEWAY_MANAGER } from "./gateways.ts";

export function routeStatuses(world: World): RoutingStatus[] {
  return world.gatewayRoutes.outcomes.flatMap((outcome) =>
    outcome.parents.length > 0 || outcome.told ? [routeStatus(world, outcome)] : []
  );
}

function routeStatus(world: World, { route, parents }: RouteOutcome): RoutingStatus {
  const { kind, namespace, name, generation } = route, unresolved = unresolvedRefs(world, route, parents);
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
function unresolvedRefs(world: World, route: ParsedRoute, parents: readonly ParentOutcome[]): Fault | undefined {
  const homes = parents.flatMap(({ parent, service }) => service ? [{ service: service.key, port: parent.port }] : []);
  const ORDER = ["InvalidKind", "RefNotPermitted", "BackendNotFound"];
  let worst: Fault | undefined;
  for (const rule of route.rules) {
    for (const { ref } of [...rule.backends, ...rule.mirrors]) {
      const found = ref.api === "gateway" ? resolveBackend(world, route, ref, homes) : undefined;
      if (!found || "service" in found) continue;
      if (!worst || ORDER.indexOf(found.reason) < ORDER.indexOf(worst.reason)) worst = found;
    }
  }
  return worst;
}

/** What a route for all ports of a service of another namespace may do at one of them alone. */
function otherPorts(world: World, route: ParsedRoute, { key, ports }: RoutableService): Fault | undefined {
  const http = ports.filter(({ protocol }) => protocol !== "TCP" && protocol !== "TLS").map(({ number }) => number);
  for (const { ref } of route.rules.flatMap((rule) => [...rule.backends, ...rule.mirrors])) {
    if (ref.api !== "gateway" || "service" in resolveBackend(world, route, ref)) continue;
    const refused = http.filter((port) => !("service" in resolveBackend(world, route, ref, [{ service: key, port }])));
    if (refused.length === 0 || refused.length === http.length) continue;
    const backend = `${ref.name}/${ref.namespace}:${ref.port}`;
    const message = `requests to port ${
      refused.join(", ")
    } are answered 500: there backendRef ${backend} needs a ReferenceGrant`;
    return { reason: "RefNotPermitted", message };
  }
  return undefined;
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
  const elsewhere = service && !refused && parent.port === undefined ? otherPorts(world, route, service) : undefined;
  if (notes.size > 0 && !refused && !unsupported) {
    // Of rules with something that is not supported: they answer 500, the others serve.
    conditions.push(condition("PartiallyInvalid", generation, { reason: "UnsupportedValue", message: `${notes}` }));
  } else if (elsewhere) conditions.push(condition("PartiallyInvalid", generation, elsewhere));
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
