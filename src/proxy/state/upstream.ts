import { canonicalIp, parseIp } from "../../core/ip.ts";
import {
  type GatewayAddress,
  type Identity,
  parseSpiffeId,
  type Service,
  serviceKey,
  type SpiffeId,
  spiffeId,
  type Workload,
} from "../../model/mod.ts";
import { eligible, weightedPick } from "./balance.ts";
import type { Endpoint, MeshView } from "./mesh_state.ts";

/** An address to connect to, or a host name to be resolved first (a workload that has no address of its own). */
export type HopAddress = { readonly ip: string } | { readonly hostname: string; readonly family: 4 | 6 | undefined };

/** One endpoint of a service, with the port that the application (or gateway) listens on. */
export interface Upstream {
  readonly workload: Workload;
  readonly service: Service | undefined;
  readonly address: HopAddress;
  readonly port: number;
}

/** Why no upstream could be chosen. */
export type NoUpstream = "no_endpoints" | "unknown_port" | "no_address";

export function workloadIdentity(workload: Workload): Identity {
  return {
    trustDomain: workload.trustDomain,
    namespace: workload.namespace,
    serviceAccount: workload.serviceAccount,
  };
}

/** The identity of each workload that was asked for, alone in a list: every connection asks, and workloads never change. */
const ownIds = new WeakMap<Workload, readonly [SpiffeId]>();

function ownIdOf(workload: Workload): readonly [SpiffeId] {
  let own = ownIds.get(workload);
  if (!own) ownIds.set(workload, own = [spiffeId(workloadIdentity(workload))]);
  return own;
}

/** The SPIFFE id of a workload. */
export function workloadSpiffeId(workload: Workload): SpiffeId {
  return ownIdOf(workload)[0];
}

/** Identities a server for this hop may show: the service's declared names and the chosen workload's own. */
export function acceptableIds(workload: Workload, service: Service | undefined): readonly SpiffeId[] {
  const own = ownIdOf(workload);
  if (service === undefined || service.subjectAltNames.length === 0) return own;
  const ids: SpiffeId[] = [...own];
  for (const name of service.subjectAltNames) {
    const identity = parseSpiffeId(name);
    const id = identity && spiffeId(identity);
    if (id && !ids.includes(id)) ids.push(id);
  }
  return ids;
}

/** The workload's port behind `servicePort`: its own mapping, else the service's, else that of its tunnel; 0 for none. */
export function targetPort(endpoint: Endpoint, service: Service, servicePort: number): number {
  const own = endpoint.ports.find((port) => port.servicePort === servicePort)?.targetPort;
  if (own) return own;
  const declared = service.ports.find((port) => port.servicePort === servicePort);
  if (declared && declared.targetPort !== 0) return declared.targetPort;
  // A gateway that is reached by its application tunnel need not list the HBONE port on its service.
  return endpoint.workload.applicationTunnel?.port ? servicePort : 0;
}

/** Chooses an endpoint of `service` for `source`, as the service's load balancing asks. */
export function chooseEndpoint(
  view: MeshView,
  service: Service,
  servicePort: number,
  source: Workload,
  requestedIp: string | undefined,
  random: () => number,
): Upstream | NoUpstream {
  const anyHealth = service.loadBalancing?.healthPolicy === "ALLOW_ALL";
  const candidates: Endpoint[] = [];
  let seen = 0;
  for (const endpoint of view.endpoints(serviceKey(service))) {
    const { workload } = endpoint;
    if (!anyHealth && workload.status !== "HEALTHY") continue;
    seen++;
    if (targetPort(endpoint, service, servicePort) === 0) continue;
    const reachable = workload.addresses.length > 0 || workload.hostname !== "" ||
      (workload.network !== source.network && workload.networkGateway !== undefined);
    if (reachable) candidates.push(endpoint);
  }
  const usable = eligible(candidates, service.loadBalancing, source);
  const picked = weightedPick(usable, (endpoint) => endpoint.workload.capacity, random);
  if (!picked) return seen > 0 && candidates.length === 0 ? "unknown_port" : "no_endpoints";
  const address = hopAddress(picked.workload, service, requestedIp);
  if (!address) return "no_address";
  return { workload: picked.workload, service, address, port: targetPort(picked, service, servicePort) };
}

/** Exactly the requested address if it is the workload's own, else the first allowed one, else its host name. */
export function hopAddress(
  workload: Workload,
  service: Service | undefined,
  requestedIp: string | undefined,
): HopAddress | undefined {
  if (requestedIp !== undefined && workload.addresses.includes(requestedIp)) return { ip: requestedIp };
  const family = (ip: string) => parseIp(ip)?.family;
  const wanted = requestedIp === undefined ? undefined : family(requestedIp);
  const only = service?.ipFamilies === "IPV4_ONLY" ? 4 : service?.ipFamilies === "IPV6_ONLY" ? 6 : undefined;
  const allowed = workload.addresses.filter((ip) => only === undefined || family(ip) === only);
  const ip = allowed.find((candidate) => family(candidate) === wanted) ?? allowed[0];
  if (ip !== undefined) return { ip };
  return workload.hostname === "" ? undefined : { hostname: workload.hostname, family: only ?? wanted };
}

/** What a {@linkcode GatewayAddress} names: a service, or one workload. */
export function resolveGateway(
  view: MeshView,
  gateway: GatewayAddress,
  namespace: string,
): { service: Service } | { workload: Workload; ip: string | undefined } | undefined {
  const { destination } = gateway;
  if ("hostname" in destination) {
    const service = view.service(serviceKey(destination.hostname));
    if (service) return { service };
    const workload = view.workloadByHostname(destination.hostname.hostname);
    return workload && { workload, ip: undefined };
  }
  const { network } = destination.address;
  const ip = canonicalIp(destination.address.address) ?? destination.address.address;
  const service = view.serviceByVip(network, ip, namespace);
  if (service) return { service };
  const workload = view.workloadByAddress(network, ip);
  return workload && { workload, ip };
}

/** One endpoint of a gateway (a waypoint), with the HBONE port to connect to. */
export function chooseGateway(
  view: MeshView,
  gateway: GatewayAddress,
  source: Workload,
  random: () => number,
): Upstream | NoUpstream | "unknown_gateway" {
  const found = resolveGateway(view, gateway, source.namespace);
  if (!found) return "unknown_gateway";
  if ("service" in found) {
    return chooseEndpoint(view, found.service, gateway.hboneMtlsPort, source, undefined, random);
  }
  const address = hopAddress(found.workload, undefined, found.ip);
  if (!address) return "no_address";
  return { workload: found.workload, service: undefined, address, port: gateway.hboneMtlsPort };
}
