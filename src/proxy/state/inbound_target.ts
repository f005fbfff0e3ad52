// What an inbound CONNECT asks for, checked: the rows of shared/reference/hbone.md §3-4 as a pure function.

import { canonicalIp, splitHostPort } from "../../core/ip.ts";
import { type Service, serviceKey, type Workload } from "../../model/mod.ts";
import type { MeshView } from "./mesh_state.ts";
import { resolveGateway, targetPort } from "./upstream.ts";

/** PROXY protocol is asked for: the connection goes to the application's tunnel with a header in front. */
export interface ProxyHeaderTarget {
  readonly ip: string;
  readonly port: number;
}

export type InboundTarget =
  | {
    readonly kind: "forward";
    readonly ip: string;
    /** The application's port. */
    readonly port: number;
    /** The service meant, when the authority named one. */
    readonly service: Service | undefined;
    readonly proxyHeader: ProxyHeaderTarget | undefined;
  }
  | { readonly kind: "reject"; readonly status: 400 | 503; readonly because: string };

export function inboundTarget(
  view: MeshView,
  local: Workload,
  localIp: string,
  authority: string,
  network: string,
): InboundTarget {
  const parsed = splitHostPort(authority);
  if (!parsed) return reject(400, `cannot read authority "${authority}" as host:port`);
  const ip = canonicalIp(parsed.host);
  return ip !== undefined
    ? byAddress(view, local, localIp, ip, parsed.port, network)
    : byHostname(view, local, localIp, parsed.host, parsed.port, network);
}

function byAddress(
  view: MeshView,
  local: Workload,
  localIp: string,
  ip: string,
  port: number,
  network: string,
): InboundTarget {
  const tunnel = local.applicationTunnel;
  if (ip !== localIp && !tunnel && !servesAsWaypointFor(view, local, ip, network)) {
    return reject(400, `authority "${ip}" is not this workload's address "${localIp}"`);
  }
  const service = view.serviceByVip(network, ip, local.namespace);
  return forward(localIp, port, service, tunnel, { ip, port });
}

function byHostname(
  view: MeshView,
  local: Workload,
  localIp: string,
  hostname: string,
  port: number,
  network: string,
): InboundTarget {
  const service = view.serviceByHostname(hostname, local.namespace);
  if (!service) return reject(503, `no service or workload for hostname "${hostname}"`);
  const endpoint = view.endpoint(serviceKey(service), local.uid);
  const target = targetPort(endpoint ?? { workload: local, ports: [] }, service, port);
  if (target === 0) return reject(503, `service "${hostname}" has no port ${port}`);
  const vips = service.addresses.filter((vip) => vip.length === undefined);
  const vip = vips.find((one) => one.network === network && !one.address.includes(":")) ??
    vips.find((one) => one.network === network) ?? vips[0];
  const tunnel = local.applicationTunnel;
  if (tunnel?.protocol === "PROXY" && !vip) return reject(503, `service "${hostname}" has no address`);
  return forward(localIp, target, service, tunnel, vip && { ip: vip.address, port });
}

function forward(
  ip: string,
  port: number,
  service: Service | undefined,
  tunnel: Workload["applicationTunnel"],
  asked: ProxyHeaderTarget | undefined,
): InboundTarget {
  return {
    kind: "forward",
    ip,
    port: tunnel?.port || port,
    service,
    proxyHeader: tunnel?.protocol === "PROXY" ? asked : undefined,
  };
}

/** Whether `ip` is an address whose traffic goes through this workload as its waypoint (the "sandwiched" waypoint). */
function servesAsWaypointFor(view: MeshView, local: Workload, ip: string, network: string): boolean {
  const gateway = view.serviceByVip(network, ip, local.namespace)?.waypoint ??
    view.workloadByAddress(network, ip)?.waypoint;
  const found = gateway && resolveGateway(view, gateway, local.namespace);
  if (!found) return false;
  return "workload" in found
    ? found.workload.uid === local.uid
    : view.endpoint(serviceKey(found.service), local.uid) !== undefined;
}

function reject(status: 400 | 503, because: string): InboundTarget {
  return { kind: "reject", status, because };
}

/**
 * The service an inbound connection was for, for telemetry: the one the client names, if this workload is part of it
 * (the claim is not trusted further), else the first of the workload's services that has this port.
 */
export function guessService(
  view: MeshView,
  local: Workload,
  port: number,
  claimedHost: string | undefined,
): Service | undefined {
  let byPort: Service | undefined;
  for (const key of local.services.keys()) {
    const service = view.service(key);
    if (!service) continue;
    if (claimedHost !== undefined && service.hostname === claimedHost) return service;
    const endpoint = view.endpoint(key, local.uid);
    if (byPort || !endpoint) continue;
    const serves = endpoint.ports.some((own) => own.targetPort === port) ||
      service.ports.some((declared) => declared.targetPort === port);
    if (serves) byPort = service;
  }
  return byPort;
}
