// Problems of VirtualServices, DestinationRules and Istio Gateways. Istio's status has one condition of its own, Reconciled: it is written
// where something of an object is not done, and taken away when all of it is.

import type { KubeObject } from "../../../kube/types.ts";
import { readPeerAuthentication } from "../../peer_authentication.ts";
import { isObject, listOf } from "../../read.ts";
import { type ParsedDestinationRule, readDestinationRule, type TrafficPolicy } from "../istio/destination_rule.ts";
import { readIstioGateway } from "../istio/gateway.ts";
import type { ParsedVirtualService } from "../istio/virtual_service.ts";
import type { RoutingStatus, RoutingStatusKind } from "../status.ts";
import type { World } from "../world.ts";
import { condition } from "./conditions.ts";

const MANAGER = "istio-ambient-routing";
const TYPE = "Reconciled";

export function istioStatuses(world: World): RoutingStatus[] {
  const { inputs } = world, statuses: (RoutingStatus | undefined)[] = [];
  for (const virtual of world.virtualServices.all) {
    const object = inputs.virtualServices.get(`${virtual.namespace}/${virtual.name}`);
    if (object) statuses.push(problemStatus("VirtualService", object, `${virtual.notes}`, missing(world, virtual)));
  }
  const secrets = new Set([...inputs.secrets.keys()].map((key) => key.slice(key.indexOf("/") + 1)));
  for (const object of inputs.destinationRules.values()) {
    const rule = readDestinationRule(object);
    statuses.push(
      problemStatus("DestinationRule", object, `${rule.notes}`, absentSecrets(credentialsOf(rule), secrets)),
    );
  }
  const taken = portsTaken(world);
  for (const object of inputs.istioGateways.values()) {
    const gateway = readIstioGateway(object);
    const named = gateway.servers.flatMap(({ tls }) => tls?.credentialNames ?? []);
    const faults = [...absentSecrets(named, secrets), ...taken.get(gateway.key) ?? []];
    statuses.push(problemStatus("IstioGateway", object, `${gateway.notes}`, faults));
  }
  for (const object of inputs.peerAuthentications.values()) {
    const { selector, namespace, problems } = readPeerAuthentication(object);
    const idle = selector && namespace === world.ambient.settings.rootNamespace;
    const told = [
      ...problems,
      ...idle ? ["selector is not supported in the root namespace: the policy has no effect"] : [],
    ];
    statuses.push(problemStatus("PeerAuthentication", object, told.join("; "), []));
  }
  return statuses.filter((status) => status !== undefined);
}

/** Secrets that no namespace has: which one counts depends on the proxy. */
function absentSecrets(names: readonly string[], secrets: ReadonlySet<string>): string[] {
  return [...new Set(names)].filter((name) => !secrets.has(name) && !secrets.has(`${name}-cacert`)).map((name) =>
    `secret ${name} was not found`
  ).slice(
    0,
    8,
  );
}

function credentialsOf({ policy, subsets }: ParsedDestinationRule): string[] {
  const names = (one: TrafficPolicy | undefined): string[] =>
    one === undefined
      ? []
      : [...(one.tls?.credentialName ? [one.tls.credentialName] : []), ...[...one.ports.values()].flatMap(names)];
  return [policy, ...[...subsets.values()].map(({ policy }) => policy)].flatMap(names);
}

/** Servers whose port speaks something else already, for an older Gateway of the same proxies: by the Gateway's key. */
function portsTaken(world: World): Map<string, string[]> {
  const first = new Map<string, { readonly speaks: string; readonly gateway: string }>();
  const faults = new Map<string, string[]>();
  for (const { key, selector, servers } of world.istioGateways) {
    const proxies = JSON.stringify(Object.entries(selector).sort());
    servers.forEach(({ port, protocol, broken, hosts }, i) => {
      if (broken || hosts.length === 0) return;
      const speaks = protocol === "HTTP" || protocol === "TCP" ? protocol : "TLS";
      const owner = first.get(`${port} ${proxies}`);
      if (!owner) first.set(`${port} ${proxies}`, { speaks, gateway: key });
      else if (owner.speaks !== speaks) {
        const fault = `servers[${i}] is not served: port ${port} speaks ${owner.speaks} for Gateway ${owner.gateway}`;
        faults.set(key, [...faults.get(key) ?? [], fault]);
      }
    });
  }
  return faults;
}

/** What a VirtualService names and nobody has: gateways and hosts. */
function missing(world: World, virtual: ParsedVirtualService): string[] {
  const found = new Set<string>();
  for (const gateway of virtual.gateways) {
    if (gateway !== "mesh" && !world.inputs.istioGateways.has(gateway)) found.add(`gateway ${gateway} was not found`);
  }
  const backends = [
    ...virtual.http.flatMap(({ backends, mirrors }) => [...backends, ...mirrors]),
    ...[...virtual.tcp, ...virtual.tls].flatMap(({ backends }) => backends),
  ];
  for (const { ref } of backends) {
    if (ref.api !== "istio" || ref.hostname === "") continue;
    const service = world.services.byHost(ref.hostname, virtual.namespace, world.ambient);
    if (!service) found.add(`host ${ref.hostname} was not found`);
    else if (ref.subset && !world.destinationRules.hasSubset(service, ref.subset)) {
      found.add(`subset ${ref.subset} of host ${ref.hostname} was not found`);
    }
  }
  for (const told of notEnforced(world, virtual)) found.add(told);
  return [...found].slice(0, 8);
}

/** Hosts of the mesh whose waypoint does not read this VirtualService, or that have none: what it says of them is done by nobody. */
function notEnforced(world: World, virtual: ParsedVirtualService): string[] {
  if (virtual.delegated || !virtual.gateways.includes("mesh")) return [];
  return virtual.hosts.flatMap((host) => {
    if (host === "*") return [`host * is not for gateway mesh`];
    const service = host.startsWith("*") ? undefined : world.services.byHost(host, virtual.namespace, world.ambient);
    if (!service) return [];
    const waypoints = world.ambient.waypointsOf(service.key);
    if (waypoints.length === 0) {
      return [`host ${host} is not bound to a waypoint; in ambient mode, the route will not be respected`];
    }
    const applied = waypoints.some((waypoint) => {
      const namespace = waypoint.slice(0, waypoint.indexOf("/"));
      return world.virtualServices.forService(service, namespace) === virtual;
    });
    const routed = world.gatewayRoutes.ofService(service.key).length > 0;
    if (applied && !routed) return [];
    return [
      `host ${host} is routed by ${
        routed ? "routes of the Gateway API" : "another VirtualService, or this namespace has no say in it"
      }`,
    ];
  });
}

function problemStatus(
  kind: RoutingStatusKind,
  object: KubeObject,
  notes: string,
  absent: readonly string[],
): RoutingStatus | undefined {
  const { name, namespace = "default", generation = 0 } = object.metadata;
  const base = { kind, namespace, name, generation, fieldManager: MANAGER };
  if (notes === "" && absent.length === 0) {
    const said = listOf(object.status?.conditions).some((one) =>
      isObject(one) && one.type === TYPE && one.status === "False"
    );
    return said ? { ...base, conditions: [] } : undefined;
  }
  const fault = {
    reason: notes !== ""
      ? "UnsupportedValue"
      : absent.some((text) => text.endsWith("not found"))
      ? "ReferencedResourceNotFound"
      : "NotEnforced",
    message: [notes, ...absent].filter((text) => text !== "").join("; "),
  };
  return { ...base, conditions: [condition(TYPE, generation, { reason: TYPE, message: "" }, fault)] };
}
