// Which hosts a destination has now: from the mesh, from its configuration, or from DNS. Pure functions of what is known.

import { canonicalIp, hostPort, parseIp } from "../../core/ip.ts";
import type {
  Destination,
  GatewayAddress,
  LoadBalancing,
  Service,
  StaticEndpoint,
  TunnelProtocol,
  Workload,
} from "../../model/mod.ts";
import { serviceKey } from "../../model/mod.ts";
import {
  acceptableIds,
  HBONE_PORT,
  hopAddress,
  type MeshView,
  resolveGateway,
  targetPort,
} from "../../proxy/state/mod.ts";
import type { HostSpec, HostTunnel } from "./host.ts";

/** What a source needs to look things up. */
export interface SourceContext {
  readonly mesh: MeshView;
  /** Our own network. */
  readonly network: string;
  /** Addresses of a host name; undefined when it has not been resolved yet. */
  readonly addresses: (hostname: string) => readonly string[] | undefined;
}

/** The hosts, and what they depend on. */
export interface Hosts {
  readonly specs: HostSpec[];
  /** Keys of services whose change may change the hosts; `*` for any change of the mesh. */
  readonly services: Set<string>;
  /** Host names that must be resolved and refreshed. */
  readonly names: Set<string>;
  /** Some name has not been resolved yet: hosts may be on their way. */
  unresolved: boolean;
  /** Of the service: how it wants to be reached. */
  balancing: LoadBalancing | undefined;
}

/** Any change of the mesh. */
export const ANY_CHANGE = "*";

/** The hosts of a destination that is not `original`. */
export function hostsOf(destination: Destination, context: SourceContext): Hosts {
  const hosts: Hosts = {
    specs: [],
    services: new Set(),
    names: new Set(),
    unresolved: false,
    balancing: undefined,
  };
  const { endpoints } = destination;
  if (endpoints.kind === "service") fromService(destination, endpoints.service, endpoints.only, context, hosts);
  else if (endpoints.kind !== "original") {
    for (const endpoint of endpoints.endpoints) fromEndpoint(endpoint, context, hosts);
  }
  // Two endpoints that are the same place (a name listed twice) are one host.
  const seen = new Set<string>();
  return { ...hosts, specs: hosts.specs.filter(({ key }) => !seen.has(key) && seen.add(key)) };
}

function fromService(
  destination: Destination,
  key: string,
  only: readonly string[] | undefined,
  context: SourceContext,
  hosts: Hosts,
): void {
  hosts.services.add(key);
  const service = context.mesh.service(key);
  if (!service) return;
  if (destination.useWaypoint && (service.waypoint || service.weightedWaypoints.length > 0)) {
    return throughWaypoints(service, destination.port, context, hosts);
  }
  hosts.balancing = service.loadBalancing;
  const chosen = only && new Set(only);
  for (const endpoint of context.mesh.endpoints(key)) {
    const { workload } = endpoint;
    if (chosen && !chosen.has(workload.uid)) continue;
    if (!usable(workload, service, context.network)) continue;
    const port = targetPort(endpoint, service, destination.port);
    if (port === 0) continue;
    for (const address of addressesOf(workload, service, context, hosts)) {
      hosts.specs.push(meshHost(workload, service, address, port));
    }
  }
}

/** Ready (unless the service takes all), and within reach: endpoints of other networks are not. */
function usable(workload: Workload, service: Service | undefined, network: string): boolean {
  if (workload.network !== network) return false;
  return workload.status === "HEALTHY" || service?.loadBalancing?.healthPolicy === "ALLOW_ALL";
}

/** The workload's address, or every address of its host name. */
function addressesOf(
  workload: Workload,
  service: Service | undefined,
  context: SourceContext,
  hosts: Hosts,
): readonly string[] {
  const address = hopAddress(workload, service, undefined);
  if (!address) return [];
  if ("ip" in address) return [address.ip];
  const known = resolve(address.hostname, context, hosts);
  return address.family === undefined ? known : known.filter((ip) => parseIp(ip)?.family === address.family);
}

function resolve(hostname: string, context: SourceContext, hosts: Hosts): readonly string[] {
  hosts.names.add(hostname);
  const known = context.addresses(hostname);
  if (known === undefined) hosts.unresolved = true;
  return known ?? [];
}

function meshHost(workload: Workload, service: Service | undefined, address: string, port: number): HostSpec {
  const tunnel = workload.tunnelProtocol === "HBONE"
    ? tunnelTo(workload, service, address, HBONE_PORT, hostPort(address, port), false)
    : undefined;
  return {
    key: keyOf(address, port, workload.uid, tunnel),
    address,
    port,
    workload,
    service,
    locality: workload.locality,
    weight: workload.capacity,
    healthy: true,
    tunnel,
  };
}

function tunnelTo(
  workload: Workload,
  service: Service | undefined,
  address: string,
  port: number,
  authority: string,
  waypoint: boolean,
): HostTunnel {
  return { address, port, authority, expectedIds: acceptableIds(workload, service), waypoint };
}

/** Everything that, when it changes, makes another host. */
function keyOf(address: string, port: number, uid: string, tunnel: HostTunnel | undefined): string {
  const way = tunnel ? `${tunnel.address}:${tunnel.port}>${tunnel.authority}=${tunnel.expectedIds.join(",")}` : "";
  return `${address}:${port}|${uid}|${way}`;
}

/** The service's waypoint is the host: it chooses among the endpoints. It is asked for the service itself. */
function throughWaypoints(service: Service, port: number, context: SourceContext, hosts: Hosts): void {
  const vip = service.addresses.find((one) => one.length === undefined && one.network === context.network);
  const authority = hostPort(vip?.address ?? service.hostname, port);
  const weighted = service.weightedWaypoints.filter(({ weight }) => weight > 0);
  const ways = weighted.length > 0 ? weighted : service.waypoint ? [{ destination: service.waypoint, weight: 1 }] : [];
  for (const way of ways) {
    const specs = waypointHosts(way.destination, service, authority, port, context, hosts);
    for (const spec of specs) hosts.specs.push({ ...spec, weight: way.weight * spec.weight / specs.length });
  }
}

function waypointHosts(
  gateway: GatewayAddress,
  service: Service,
  authority: string,
  port: number,
  context: SourceContext,
  hosts: Hosts,
): HostSpec[] {
  const { mesh, network } = context;
  const found = resolveGateway(mesh, gateway, service.namespace);
  // A waypoint that is not known yet may come with any change; it is never a reason to go around it.
  if (!found || "workload" in found) hosts.services.add(ANY_CHANGE);
  if (!found) return [];
  const candidates: { workload: Workload; port: number }[] = [];
  let owner: Service | undefined;
  if ("service" in found) {
    owner = found.service;
    hosts.services.add(serviceKey(owner));
    hosts.balancing = owner.loadBalancing;
    for (const endpoint of mesh.endpoints(serviceKey(owner))) {
      const tunnelPort = targetPort(endpoint, owner, gateway.hboneMtlsPort);
      if (tunnelPort !== 0) candidates.push({ workload: endpoint.workload, port: tunnelPort });
    }
  } else candidates.push({ workload: found.workload, port: gateway.hboneMtlsPort });
  return candidates.filter(({ workload }) => usable(workload, owner, network)).flatMap(({ workload, port: via }) =>
    addressesOf(workload, owner, context, hosts).map((address): HostSpec => {
      const tunnel = tunnelTo(workload, owner, address, via, authority, true);
      return {
        key: keyOf(address, port, workload.uid, tunnel),
        address,
        port: via,
        workload,
        service,
        locality: workload.locality,
        weight: workload.capacity,
        healthy: true,
        tunnel,
      };
    })
  );
}

function fromEndpoint(endpoint: StaticEndpoint, context: SourceContext, hosts: Hosts): void {
  const ip = canonicalIp(endpoint.address);
  if (ip === undefined) {
    for (const address of resolve(endpoint.address, context, hosts)) {
      hosts.specs.push(plainHost(address, endpoint));
    }
    return;
  }
  hosts.services.add(ANY_CHANGE);
  const workload = context.mesh.workloadByAddress(context.network, ip);
  if (!workload || protocolOf(workload) === "NONE") {
    hosts.specs.push({ ...plainHost(ip, endpoint), workload });
    return;
  }
  if (!usable(workload, undefined, context.network)) return;
  const locality = endpoint.locality ?? workload.locality;
  hosts.specs.push({ ...meshHost(workload, undefined, ip, endpoint.port), weight: endpoint.weight, locality });
}

function protocolOf(workload: Workload): TunnelProtocol {
  return workload.tunnelProtocol;
}

function plainHost(address: string, endpoint: StaticEndpoint): HostSpec {
  return {
    key: keyOf(address, endpoint.port, "", undefined),
    address,
    port: endpoint.port,
    workload: undefined,
    service: undefined,
    locality: endpoint.locality,
    weight: endpoint.weight,
    healthy: true,
    tunnel: undefined,
  };
}

/** The host at the address that a client asked for: by HBONE when the mesh knows a workload there that takes it. */
export function hostAt(address: string, port: number, context: SourceContext): HostSpec {
  const ip = canonicalIp(address) ?? address;
  const workload = context.mesh.workloadByAddress(context.network, ip);
  if (workload) return meshHost(workload, undefined, ip, port);
  return plainHost(ip, { address: ip, port, weight: 1 });
}
