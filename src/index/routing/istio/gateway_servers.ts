// The servers of Istio Gateways that select one proxy -> listeners and virtual hosts. Gateways may share ports.

import type { L7Listener, ProxyResource, Route, VirtualHost } from "../../../model/l7.ts";
import { selects } from "../../labels.ts";
import type { DestinationSet } from "../destinations.ts";
import { intersection, specificity } from "../hostname.ts";
import type { SecretSet } from "../secret_set.ts";
import type { GatewayTarget } from "../target.ts";
import type { World } from "../world.ts";
import type { ParsedIstioGateway, ParsedServer } from "./gateway.ts";
import { httpRoutes, type Place, streamRoute, streamRules } from "./virtual_services.ts";
import type { ParsedVirtualService } from "./virtual_service.ts";

export interface Bound {
  readonly gateway: ParsedIstioGateway;
  readonly server: ParsedServer;
}

/** Istio Gateways that select a proxy, oldest first. An empty selector selects every gateway. */
export function selectedBy(world: World, { labels }: GatewayTarget): ParsedIstioGateway[] {
  return world.istioGateways.filter(({ selector }) => selects(selector, labels));
}

export interface ServerContext {
  readonly world: World;
  readonly target: GatewayTarget;
  readonly destinations: DestinationSet;
  readonly secrets: SecretSet;
  /** The port to bind for a port of a Gateway. */
  readonly portOf: (port: number) => number;
}

export function serverResources(context: ServerContext): ProxyResource[] {
  const ports = new Map<number, Bound[]>();
  for (const gateway of selectedBy(context.world, context.target)) {
    for (const server of gateway.servers) {
      if (server.broken || server.hosts.length === 0) continue;
      const list = ports.get(server.port);
      if (list) list.push({ gateway, server });
      else ports.set(server.port, [{ gateway, server }]);
    }
  }
  return [...ports].flatMap(([port, bound]) => {
    // The first one decides what a port speaks; plain text and TLS cannot share one.
    const plain = bound[0].server.protocol === "HTTP", tcp = bound[0].server.protocol === "TCP";
    const fitting = bound.filter(({ server: { protocol } }) =>
      (protocol === "HTTP") === plain && (protocol === "TCP") === tcp
    );
    if (plain) return plainResources(context, port, fitting);
    if (tcp) return tcpResources(context, port, fitting);
    return fitting.flatMap((one) =>
      one.server.protocol === "HTTPS" ? httpsResources(context, one, fitting) : passthroughResources(context, one)
    );
  });
}

function placeOf({ world, target, destinations }: ServerContext, port: number, gateways: readonly string[]): Place {
  return {
    world,
    destinations,
    proxyNamespace: target.namespace,
    gateways,
    port,
    source: { namespace: target.namespace, labels: target.labels },
  };
}

/** Host names that a server and a VirtualService have in common. */
function common({ hosts }: ParsedServer, virtual: ParsedVirtualService): string[] {
  const found = new Set<string>();
  for (const { namespace, hostname } of hosts) {
    if (namespace !== "*" && namespace !== virtual.namespace) continue;
    for (const host of virtual.hosts) {
      const both = intersection(hostname, host);
      if (both !== undefined) found.add(both);
    }
  }
  return [...found];
}

/** One virtual host for each name; VirtualServices with the same name follow each other, the oldest first. */
function virtualHosts(context: ServerContext, listener: string, port: number, bound: readonly Bound[]): VirtualHost[] {
  const byHost = new Map<string, Map<ParsedVirtualService, string[]>>();
  for (const { gateway, server } of bound) {
    for (const virtual of context.world.virtualServices.ofGateway(gateway.key, context.target.namespace)) {
      for (const host of common(server, virtual)) {
        const own = byHost.get(host) ?? new Map<ParsedVirtualService, string[]>();
        byHost.set(host, own.set(virtual, [...own.get(virtual) ?? [], gateway.key]));
      }
    }
  }
  return [...byHost].map(([host, virtuals]) => ({
    kind: "virtualHost" as const,
    name: `${listener}/${host}`,
    listener,
    hostnames: [host],
    routes: merged(
      [...virtuals].sort(([a], [b]) => a.age < b.age ? -1 : 1).map(([virtual, gateways]) =>
        httpRoutes(virtual, placeOf(context, port, gateways))
      ),
    ),
  }));
}

/** Routes of several VirtualServices for one host: what takes every request comes after the others' routes, the oldest's first. */
function merged(lists: readonly (readonly Route[])[]): readonly Route[] {
  if (lists.length === 1) return lists[0];
  const some: Route[] = [], any: Route[] = [];
  for (const routes of lists) {
    const last = routes.findIndex(takesAll);
    some.push(...last < 0 ? routes : routes.slice(0, last));
    if (last >= 0) any.push(routes[last]);
  }
  return [...some, ...any];
}

function takesAll({ match }: Route): boolean {
  const { path, headers, query, ...others } = match;
  return (path === undefined || (path.kind === "prefix" && path.value === "/")) && headers.length === 0 &&
    query.length === 0 && Object.values(others).every((value) => value === undefined);
}

/** A port in plain text: one listener for all Gateways, and one for names that are sent on to https. */
function plainResources(context: ServerContext, port: number, bound: readonly Bound[]): ProxyResource[] {
  const redirected = new Set(bound.filter(({ server }) => server.httpsRedirect).flatMap(hostsOf));
  const open = bound.filter(({ server }) => !server.httpsRedirect), number = context.portOf(port);
  const names = new Set(open.flatMap(hostsOf).filter((host) => !redirected.has(host)));
  const listener = (
    name: string,
    hostnames: ReadonlySet<string>,
    httpsRedirect: boolean,
    of: readonly Bound[],
  ): L7Listener => ({
    kind: "listener",
    name,
    binding: { kind: "port", port: number },
    protocol: "HTTP",
    hostnames: [...hostnames].sort(),
    httpsRedirect,
    origin: `Gateway/${of[0].gateway.key}`,
  });
  const result: ProxyResource[] = [], name = `http.${number}`;
  if (names.size > 0) result.push(listener(name, names, false, open), ...virtualHosts(context, name, port, open));
  if (redirected.size > 0) {
    result.push(listener(`${name}.redirect`, redirected, true, bound.filter(({ server }) => server.httpsRedirect)));
  }
  return result;
}

function hostsOf({ server }: Bound): string[] {
  return server.hosts.map(({ hostname }) => hostname);
}

/** Names that no older server of the port has. */
function ownNames(one: Bound, all: readonly Bound[]): string[] {
  const before = new Set(all.slice(0, all.indexOf(one)).flatMap(hostsOf));
  return [...new Set(hostsOf(one))].filter((host) => !before.has(host)).sort((a, b) =>
    specificity(b) - specificity(a) || (a < b ? -1 : 1)
  );
}

function httpsResources(context: ServerContext, one: Bound, all: readonly Bound[]): ProxyResource[] {
  const { server, gateway } = one, { tls } = server, { secrets } = context, hostnames = ownNames(one, all);
  if (!tls || hostnames.length === 0) return [];
  const certificates = tls.credentialNames.map((name) => secrets.server(name)).filter((secret) => secret !== undefined);
  const roots = tls.mode === "SIMPLE" ? undefined : secrets.roots(tls.credentialNames[0]);
  // Without its certificate, or the roots of its clients', it does not serve.
  if (certificates.length === 0 || (tls.mode !== "SIMPLE" && !roots)) return [];
  const name = `https.${server.port}.${server.portName || "https"}.${gateway.name}.${gateway.namespace}.${
    gateway.servers.indexOf(server)
  }`;
  const listener: L7Listener = {
    kind: "listener",
    name,
    binding: { kind: "port", port: context.portOf(server.port) },
    protocol: "HTTPS",
    hostnames,
    tls: {
      mode: tls.mode,
      secrets: certificates.map((secret) => secrets.add(secret)),
      ...(roots ? { caSecret: secrets.add(roots) } : {}),
      minVersion: tls.minVersion,
    },
    httpsRedirect: false,
    origin: `Gateway/${gateway.key}`,
  };
  return [listener, ...virtualHosts(context, name, server.port, [one])];
}

/** TLS that is not ended here: by its server name to where a VirtualService's `tls` says. */
function passthroughResources(context: ServerContext, { gateway, server }: Bound): ProxyResource[] {
  const place = placeOf(context, server.port, [gateway.key]);
  const taken = new Set<string>();
  return context.world.virtualServices.ofGateway(gateway.key, context.target.namespace).flatMap((virtual) => {
    const hosts = common(server, virtual);
    return streamRules(virtual.tls, place).flatMap(({ rule, match }, i): L7Listener[] => {
      const names = (match?.sniHosts ?? []).filter((sni) => hosts.some((host) => intersection(host, sni) === sni))
        .filter((sni) => !taken.has(sni));
      for (const sni of names) taken.add(sni);
      if (names.length === 0) return [];
      return [{
        kind: "listener",
        name: `tls.${server.port}.${gateway.namespace}.${gateway.name}.${virtual.namespace}.${virtual.name}.${i}`,
        binding: { kind: "port", port: context.portOf(server.port) },
        protocol: "TLS_PASSTHROUGH",
        hostnames: names,
        httpsRedirect: false,
        tcp: streamRoute(virtual, rule, place),
        origin: `Gateway/${gateway.key}`,
      }];
    });
  });
}

/** Bytes: a port has one route, the first that a VirtualService has for it. */
function tcpResources(context: ServerContext, port: number, bound: readonly Bound[]): ProxyResource[] {
  for (const { gateway, server } of bound) {
    const place = placeOf(context, port, [gateway.key]);
    for (const virtual of context.world.virtualServices.ofGateway(gateway.key, context.target.namespace)) {
      const [first] = common(server, virtual).length > 0 ? streamRules(virtual.tcp, place) : [];
      if (!first) continue;
      return [{
        kind: "listener",
        name: `tcp.${context.portOf(port)}`,
        binding: { kind: "port", port: context.portOf(port) },
        protocol: "TCP",
        hostnames: ["*"],
        httpsRedirect: false,
        tcp: streamRoute(virtual, first.rule, place),
        origin: `Gateway/${gateway.key}`,
      }];
    }
  }
  return [];
}
