import { type Fault, type GatewayState, isUsable, type ListenerState } from "../gateway_api/gateway.ts";
import type { ListenerStatus, RoutingCondition, RoutingStatus } from "../status.ts";
import type { GatewayFacts, GatewayFactsOf } from "../target.ts";
import type { World } from "../world.ts";
import { condition } from "./conditions.ts";

/** Who writes what the Gateway API asks for. */
export const GATEWAY_MANAGER = "istio.io/gateway-controller";

export function gatewayStatuses(world: World, facts: GatewayFactsOf): RoutingStatus[] {
  const classes = [...world.inputs.gatewayClasses.values()].flatMap((object): RoutingStatus[] => {
    const { name, generation = 0 } = object.metadata, controller = object.spec?.controllerName;
    if (typeof controller !== "string" || !controller.startsWith("istio.io/")) return [];
    return [{
      kind: "GatewayClass",
      namespace: "",
      name,
      generation,
      fieldManager: GATEWAY_MANAGER,
      conditions: [condition("Accepted", generation, { reason: "Accepted", message: "Handled by Istio controller" })],
    }];
  });
  const gateways = [...world.gatewayRoutes.gateways.values()].filter(({ controller }) =>
    controller !== "istio.io/unmanaged-gateway"
  );
  return [...classes, ...gateways.map((state) => gatewayStatus(world, state, facts(state.gateway.key)))];
}

function gatewayStatus(world: World, state: GatewayState, facts: GatewayFacts | undefined): RoutingStatus {
  const { gateway, listeners } = state, { generation } = gateway;
  const bad = listeners.filter((one) => one.refused ?? one.conflict ?? one.unresolved);
  const serving = listeners.filter(isUsable), accepted = listeners.filter((one) => !one.refused && !one.conflict);
  const conditions: RoutingCondition[] = [];
  const names = bad.map(({ listener }) => listener.name).join(", ");
  const notValid: Fault = { reason: "ListenersNotValid", message: `Invalid listeners: ${names}` };
  const refused = facts?.refused ??
    (gateway.unsupportedAddress
      ? {
        reason: "UnsupportedAddress",
        message: `only Hostname and IPAddress are supported, found ${gateway.unsupportedAddress}`,
      }
      : undefined) ??
    (gateway.broken ? { reason: "Invalid", message: `${gateway.notes}` } : undefined) ??
    (accepted.length === 0 ? notValid : undefined);
  const good = bad.length > 0 ? notValid : {
    reason: "Accepted",
    message: ["Resource accepted", ...gateway.without.texts].join("; "),
  };
  conditions.push(condition("Accepted", generation, good, refused));
  conditions.push(
    condition(
      "Programmed",
      generation,
      { reason: "Programmed", message: `Resource programmed, assigned to service(s) ${assigned(state, facts)}` },
      refused ? { reason: "Invalid", message: refused.message } : whyNotProgrammed(facts, serving.length > 0),
    ),
  );
  const unresolved = listeners.find((one) => one.unresolved)?.unresolved;
  if (state.controller === "istio.io/gateway-controller") {
    conditions.push(
      condition("ResolvedRefs", generation, { reason: "ResolvedRefs", message: "All references resolved" }, unresolved),
    );
  }
  return {
    kind: "Gateway",
    namespace: gateway.namespace,
    name: gateway.name,
    generation,
    fieldManager: GATEWAY_MANAGER,
    conditions,
    listeners: listeners.map((listener) => listenerStatus(world, gateway.key, generation, listener)),
    addresses: facts?.addresses ?? [],
  };
}

/** `a:80, b:443`. */
function assigned({ listeners }: GatewayState, facts: GatewayFacts | undefined): string {
  const ports = [...new Set(listeners.filter(isUsable).map(({ listener }) => listener.port))].sort((a, b) => a - b);
  const all = (facts?.services ?? []).flatMap((service) => ports.map((port) => `${service}:${port}`));
  return all.length > 1 ? `${all.slice(0, -1).join(", ")} and ${all.at(-1)}` : all.join("");
}

function whyNotProgrammed(facts: GatewayFacts | undefined, serving: boolean): Fault | undefined {
  if (facts?.problem) return facts.problem;
  if (!facts || facts.addresses.length === 0) {
    return {
      reason: "AddressNotAssigned",
      message: "Failed to assign to any requested addresses: waiting for the Service's address",
    };
  }
  return serving ? undefined : { reason: "Invalid", message: "no listener can serve" };
}

function listenerStatus(world: World, gateway: string, generation: number, state: ListenerState): ListenerStatus {
  const { listener, refused, conflict, unresolved } = state;
  const blocked = refused ?? conflict;
  return {
    name: listener.name,
    supportedKinds: state.kinds,
    attachedRoutes: world.gatewayRoutes.attachedRoutes(gateway, listener.name),
    conditions: [
      condition("Accepted", generation, { reason: "Accepted", message: state.without || "No errors found" }, blocked),
      // Here True is the bad one.
      conflict ? { ...condition("Conflicted", generation, conflict), status: "True" } : {
        ...condition("Conflicted", generation, { reason: "NoConflicts", message: "No errors found" }),
        status: "False",
      },
      condition(
        "Programmed",
        generation,
        { reason: "Programmed", message: "No errors found" },
        blocked || !isUsable(state) ? { reason: "Invalid", message: (blocked ?? unresolved)!.message } : undefined,
      ),
      condition("ResolvedRefs", generation, { reason: "ResolvedRefs", message: "No errors found" }, unresolved),
    ],
  };
}
