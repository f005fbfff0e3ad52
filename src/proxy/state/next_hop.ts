// Where an outbound connection goes next: the rows of shared/reference/ztunnel-behaviour.md §1, top down, as a pure
// function of the mesh's state that returns its reason. The proxy calls it, and so may a what-if.

import { hostPort } from "../../core/ip.ts";
import type { GatewayAddress, Service, SpiffeId, Workload } from "../../model/mod.ts";
import { weightedPick } from "./balance.ts";
import type { MeshView } from "./mesh_state.ts";
import {
  acceptableIds,
  chooseEndpoint,
  chooseGateway,
  type HopAddress,
  hopAddress,
  type NoUpstream,
  resolveGateway,
  type Upstream,
} from "./upstream.ts";

/** The HBONE port of every ztunnel. */
export const HBONE_PORT = 15008;

export interface OutboundRequest {
  readonly source: Workload;
  /** The address (canonical) and port that the application connected to. */
  readonly ip: string;
  readonly port: number;
  /** ztunnel's own network, under which the address is looked up. */
  readonly network: string;
  readonly random: () => number;
}

export type DropCode = "no_healthy_upstream" | "unknown_waypoint" | "other_network";

/** The decision, with what telemetry needs to know about the destination and why it was taken. */
export type NextHop =
  | {
    readonly kind: "hbone";
    readonly waypoint: boolean;
    readonly address: HopAddress;
    /** The port of the tunnel, not of the application. */
    readonly port: number;
    /** `:authority`; undefined until `address` is resolved, then `ip:targetPort`. */
    readonly authority: string | undefined;
    readonly targetPort: number;
    readonly expectedIds: readonly SpiffeId[];
    readonly workload: Workload;
    readonly service: Service | undefined;
    readonly because: string;
  }
  | {
    readonly kind: "plaintext";
    readonly address: HopAddress;
    readonly port: number;
    readonly workload: Workload | undefined;
    readonly service: Service | undefined;
    readonly because: string;
  }
  | { readonly kind: "drop"; readonly code: DropCode; readonly because: string; readonly service: Service | undefined };

export function nextHop(view: MeshView, request: OutboundRequest): NextHop {
  const { source, ip, port, network, random } = request;
  const service = view.serviceByVip(network, ip, source.namespace);
  const workload = view.workloadByAddress(network, ip);
  const target = hostPort(ip, port);

  if (service && !workload) {
    const waypoint = pickWaypoint(service, random);
    if (waypoint) return viaWaypoint(view, request, waypoint, service, `service "${service.hostname}" has a waypoint`);
  }
  if (service) {
    if (service.loadBalancing?.mode === "PASSTHROUGH") {
      return {
        kind: "plaintext",
        address: { ip },
        port,
        workload,
        service,
        because: `service "${service.hostname}" asks for passthrough`,
      };
    }
    const upstream = chooseEndpoint(view, service, port, source, ip, random);
    if (typeof upstream === "string") {
      return drop("no_healthy_upstream", explain(upstream, service.hostname, port), service);
    }
    return direct(upstream, source, `endpoint of service "${service.hostname}"`);
  }
  if (!workload) {
    return {
      kind: "plaintext",
      address: { ip },
      port,
      workload: undefined,
      service: undefined,
      because: `nothing is known about ${target}`,
    };
  }
  if (workload.waypoint && !comesFrom(view, workload.waypoint, source)) {
    return viaWaypoint(view, request, workload.waypoint, undefined, `workload "${workload.uid}" has a waypoint`);
  }
  const address = hopAddress(workload, undefined, ip) ?? { ip };
  return direct({ workload, service: undefined, address, port }, source, `workload "${workload.uid}" by its address`);
}

function direct(upstream: Upstream, source: Workload, because: string): NextHop {
  const { workload, service, address, port } = upstream;
  if (workload.network !== source.network) return otherNetwork(workload, service);
  if (workload.tunnelProtocol === "NONE") {
    return { kind: "plaintext", address, port, workload, service, because: `${because}, which is not in the mesh` };
  }
  return {
    kind: "hbone",
    waypoint: false,
    address,
    port: HBONE_PORT,
    authority: "ip" in address ? hostPort(address.ip, port) : undefined,
    targetPort: port,
    expectedIds: acceptableIds(workload, service),
    workload,
    service,
    because,
  };
}

function viaWaypoint(
  view: MeshView,
  request: OutboundRequest,
  gateway: GatewayAddress,
  service: Service | undefined,
  because: string,
): NextHop {
  const { source, ip, port, random } = request;
  const upstream = chooseGateway(view, gateway, source, random);
  // A waypoint that cannot be resolved is an error and never a way around its policies.
  if (upstream === "unknown_gateway") {
    return drop("unknown_waypoint", `unknown waypoint: ${gatewayName(gateway)}`, service);
  }
  if (typeof upstream === "string") {
    return drop("no_healthy_upstream", explain(upstream, gatewayName(gateway), gateway.hboneMtlsPort), service);
  }
  if (upstream.workload.network !== source.network) return otherNetwork(upstream.workload, service);
  return {
    kind: "hbone",
    waypoint: true,
    address: upstream.address,
    port: upstream.port,
    authority: hostPort(ip, port),
    targetPort: port,
    expectedIds: acceptableIds(upstream.workload, upstream.service),
    workload: upstream.workload,
    service,
    because,
  };
}

/** Weighted waypoints, one sampled per connection, override the plain one unless none of them carries weight. */
function pickWaypoint(service: Service, random: () => number): GatewayAddress | undefined {
  return weightedPick(service.weightedWaypoints, (one) => one.weight, random)?.destination ?? service.waypoint;
}

/** Whether `source` is an instance of the waypoint itself, which then reaches the workload without a further round. */
function comesFrom(view: MeshView, gateway: GatewayAddress, source: Workload): boolean {
  const found = resolveGateway(view, gateway, source.namespace);
  if (!found) return false;
  if ("workload" in found) return found.workload.uid === source.uid;
  return view.endpoint(`${found.service.namespace}/${found.service.hostname}`, source.uid) !== undefined;
}

function otherNetwork(workload: Workload, service: Service | undefined): NextHop {
  const way = workload.networkGateway ? "by double HBONE, which this proxy does not offer" : "and no gateway is known";
  return drop("other_network", `endpoint "${workload.uid}" is on network "${workload.network}" ${way}`, service);
}

function drop(code: DropCode, because: string, service: Service | undefined): NextHop {
  return { kind: "drop", code, because, service };
}

function explain(problem: NoUpstream, name: string, port: number): string {
  switch (problem) {
    case "no_endpoints":
      return `no healthy upstream: "${name}" has no usable endpoint`;
    case "unknown_port":
      return `no healthy upstream: no endpoint of "${name}" serves port ${port}`;
    case "no_address":
      return `no healthy upstream: the chosen endpoint of "${name}" has no address`;
  }
}

function gatewayName(gateway: GatewayAddress): string {
  const { destination } = gateway;
  return "hostname" in destination
    ? `${destination.hostname.namespace}/${destination.hostname.hostname}`
    : `${destination.address.network}/${destination.address.address}`;
}
