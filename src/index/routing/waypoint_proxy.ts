// What a waypoint is told (istiod-behaviour.md §8): a listener for each port of each service it serves, and one for its workloads.

import type { L7Listener, ProxyResource, Route, TcpRoute } from "../../model/l7.ts";
import { LABEL } from "../labels.ts";
import { DestinationSet } from "./destinations.ts";
import { sortedRoutes } from "./gateway_api/virtual_hosts.ts";
import { covers } from "./hostname.ts";
import { httpRoutes as virtualRoutes, type Place, streamRoute, streamRules } from "./istio/virtual_services.ts";
import { defaultRoute } from "./lower.ts";
import { waypointPolicies } from "./policies/attach.ts";
import { SecretSet } from "./secret_set.ts";
import { addressesOf, type RoutablePort, type RoutableService } from "./services.ts";
import type { WaypointTarget } from "./target.ts";
import type { World } from "./world.ts";

export function waypointConfig(world: World, target: WaypointTarget): ProxyResource[] {
  const gateway = `${target.namespace}/${target.gateway}`, served = new Set(world.ambient.attachedServices(gateway));
  const secrets = new SecretSet(world, target.namespace);
  const destinations = new DestinationSet(world, {
    kind: "waypoint",
    namespace: target.namespace,
    labels: { [LABEL.gatewayName]: target.gateway },
    serves: (key) => served.has(key),
    secret: (name) => secrets.credential(name),
  });
  const resources: ProxyResource[] = [], listeners = new Map<string, string[]>();
  for (const key of [...served].sort()) {
    const service = world.services.get(key);
    if (!service) continue;
    const names = service.ports.flatMap((port) => {
      const own = portResources(world, target, destinations, service, port);
      resources.push(...own);
      return own.filter(({ kind }) => kind === "listener").map(({ name }) => name);
    });
    listeners.set(key, names);
  }
  resources.push(...workloadResources(world, gateway, destinations), ...waypointPolicies(world, target, listeners));
  return [...resources, ...destinations.values(), ...secrets.values()];
}

function portResources(
  world: World,
  target: WaypointTarget,
  destinations: DestinationSet,
  service: RoutableService,
  port: RoutablePort,
): ProxyResource[] {
  const { key, hostname, kind, namespace, name } = service, { number, protocol } = port;
  const origin = `${kind}/${namespace}/${name}`, http = protocol !== "TCP" && protocol !== "TLS";
  const routes = http ? httpRoutes(world, target, destinations, service, port, origin) : [];
  const usual = `inbound-vip|${number}|${http ? "http" : "tcp"}|${hostname}`;
  const listenerName = world.uniqueName(usual, service);
  const listener: L7Listener = {
    kind: "listener",
    name: listenerName,
    binding: { kind: "service", service: key, hostname, addresses: addressesOf(service, world.ambient), port: number },
    protocol: protocol === "HTTP" || protocol === "HTTP2" ? "HTTP" : protocol === "AUTO" ? "AUTO" : "TCP",
    hostnames: ["*"],
    httpsRedirect: false,
    ...(protocol === "HTTP" || protocol === "HTTP2"
      ? {}
      : { tcp: tcpRoute(world, target, destinations, service, port) }),
    origin,
  };
  if (!http) return [listener];
  return [listener, {
    kind: "virtualHost",
    name: `${listenerName}/*`,
    listener: listenerName,
    hostnames: ["*"],
    routes,
  }];
}

/** Routes of the Gateway API, else of a VirtualService, else straight on. */
function httpRoutes(
  world: World,
  target: WaypointTarget,
  destinations: DestinationSet,
  service: RoutableService,
  port: RoutablePort,
  origin: string,
): readonly Route[] {
  const attached = world.gatewayRoutes.ofService(service.key).filter((one) =>
    one.port === undefined || one.port === port.number
  );
  const virtual = attached.length > 0 ? undefined : world.virtualServices.forService(service, target.namespace);
  if (virtual && virtual.http.length > 0) return virtualRoutes(virtual, placeOf(world, target, destinations, port));
  const straight = () => {
    const destination = destinations.name(service, port.number);
    return destination === undefined ? [] : [defaultRoute(destination, origin)];
  };
  const producers = attached.filter(({ route }) => route.namespace === service.namespace).map(({ route }) => route);
  const own = producers.length > 0 ? sortedRoutes(producers, world, destinations) : straight();
  // Routes of another namespace are for what that namespace's workloads send, and replace the service's own for them.
  const consumers = [...new Set(attached.map(({ route }) => route.namespace))].filter((one) =>
    one !== service.namespace
  );
  return [
    ...consumers.sort().flatMap((sourceNamespace) => [
      ...sortedRoutes(
        attached.filter(({ route }) => route.namespace === sourceNamespace).map(({ route }) => route),
        world,
        destinations,
        { sourceNamespace, home: { service: service.key, port: port.number } },
      ),
      unmatched(sourceNamespace),
    ]),
    ...own,
  ];
}

function unmatched(sourceNamespace: string): Route {
  return {
    name: "unmatched",
    origin: "",
    match: { headers: [], query: [], sourceNamespace },
    action: { kind: "direct", status: 404, body: "" },
  };
}

function placeOf(world: World, target: WaypointTarget, destinations: DestinationSet, port: RoutablePort): Place {
  return { world, destinations, proxyNamespace: target.namespace, gateways: ["mesh"], port: port.number };
}

/**
 * Where bytes go: as a VirtualService's `tcp` says, on ports of TLS its `tls`, else straight on. Who asks for this service's address asks for
 * its name, so the rule for that server name is taken.
 */
function tcpRoute(
  world: World,
  target: WaypointTarget,
  destinations: DestinationSet,
  service: RoutableService,
  port: RoutablePort,
): TcpRoute {
  const virtual = world.virtualServices.forService(service, target.namespace);
  const place = placeOf(world, target, destinations, port);
  const named = virtual && port.protocol === "TLS"
    ? streamRules(virtual.tls, place).find(({ match }) => match?.sniHosts.some((sni) => covers(sni, service.hostname)))
    : undefined;
  const first = named ?? (virtual && streamRules(virtual.tcp, place)[0]);
  if (virtual && first) return streamRoute(virtual, first.rule, place);
  const destination = destinations.name(service, port.number, "", "tcp");
  return { destinations: destination === undefined ? [] : [{ destination, weight: 1 }] };
}

/** Any port of the workloads that the waypoint serves by their addresses. */
function workloadResources(world: World, gateway: string, destinations: DestinationSet): ProxyResource[] {
  const workloads: Record<string, readonly string[]> = {};
  for (const uid of [...world.ambient.attachedWorkloads(gateway)].sort()) {
    const addresses = world.ambient.workloads.get(uid)?.addresses ?? [];
    if (addresses.length > 0) workloads[uid] = addresses;
  }
  if (Object.keys(workloads).length === 0) return [];
  const destination = destinations.original(0), origin = `Gateway/${gateway}`;
  return [{
    kind: "listener",
    name: "direct",
    binding: { kind: "workload", workloads },
    protocol: "AUTO",
    hostnames: ["*"],
    httpsRedirect: false,
    tcp: { destinations: [{ destination, weight: 1 }] },
    origin,
  }, {
    kind: "virtualHost",
    name: "direct/*",
    listener: "direct",
    hostnames: ["*"],
    routes: [defaultRoute(destination, origin)],
  }];
}
