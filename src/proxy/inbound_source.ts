// Whose address the application sees behind a waypoint, as pure functions of the mesh.

import { canonicalIp, type IpBits, parseIp } from "../core/ip.ts";
import { type GatewayAddress, serviceKey, type SpiffeId, type Workload } from "../model/mod.ts";
import type { SocketAddress } from "../sys/socket_address.ts";
import { PROBE_ADDRESS_V6 } from "../redirect/options.ts";
import { forwardedClient } from "./headers.ts";
import { type MeshView, resolveGateway, workloadSpiffeId } from "./state/mod.ts";

/** What is known of a tunnel that may come from a waypoint. */
export interface TunnelFacts {
  /** The pod's workload, and the address of it that the application listens on. */
  readonly local: Workload;
  readonly ip: string;
  /** Who the peer has proved to be. */
  readonly peerIdentity: SpiffeId | undefined;
  /** The peer's address. */
  readonly peer: SocketAddress;
  readonly forwarded: string | undefined;
}

/**
 * The client that the application sees. It is the tunnel's peer, unless that is a waypoint which the workload, or a service that it
 * belongs to, really has: then it is the client that the waypoint names in `Forwarded`, if an application may be shown such an address.
 */
export function clientToShow(view: MeshView, facts: TunnelFacts): SocketAddress {
  const { local, ip, peer, peerIdentity, forwarded } = facts;
  if (forwarded === undefined || peerIdentity === undefined || !isWaypointOf(view, local, peerIdentity)) return peer;
  const client = forwardedClient(forwarded);
  return client !== undefined && mayBeShown(client.address, local, ip) ? client : peer;
}

/** Whether an instance of a waypoint that traffic to this workload goes through has this identity. */
export function isWaypointOf(view: MeshView, local: Workload, identity: SpiffeId): boolean {
  const { waypoint, namespace } = local;
  if (waypoint !== undefined && hasIdentity(view, waypoint, namespace, identity)) return true;
  for (const key of local.services.keys()) {
    const service = view.service(key);
    if (service === undefined) continue;
    // As clients choose: weighted ones replace the plain one as long as any of them has weight.
    let weighted = false;
    for (const { destination, weight } of service.weightedWaypoints) {
      if (weight <= 0) continue;
      weighted = true;
      if (hasIdentity(view, destination, service.namespace, identity)) return true;
    }
    if (weighted || service.waypoint === undefined) continue;
    if (hasIdentity(view, service.waypoint, service.namespace, identity)) return true;
  }
  return false;
}

function hasIdentity(view: MeshView, gateway: GatewayAddress, namespace: string, identity: SpiffeId): boolean {
  const found = resolveGateway(view, gateway, namespace);
  if (found === undefined) return false;
  if ("workload" in found) return workloadSpiffeId(found.workload) === identity;
  for (const { workload } of view.endpoints(serviceKey(found.service))) {
    if (workloadSpiffeId(workload) === identity) return true;
  }
  return false;
}

/**
 * Whether a connection to the application at `ip` may come from `address`. A waypoint that somebody has taken over must not become
 * somebody whom applications trust for where they sit, nor a kubelet's probe: not the pod itself or its loopback, nothing link-local
 * (there are the probes' address and the cloud's metadata), nothing that is no single host's address; and nothing of another family,
 * which no socket could bind.
 */
export function mayBeShown(address: string, local: Workload, ip: string): boolean {
  const shown = parseIp(address), own = parseIp(ip);
  if (shown === undefined || own === undefined || shown.family !== own.family) return false;
  const text = canonicalIp(address)!;
  if (text === ip || local.addresses.includes(text)) return false;
  return shown.family === 4 ? isPlainV4(shown) : isPlainV6(shown) && text !== PROBE_ADDRESS_V6;
}

/** Not this-network (0/8), loopback (127/8), link-local (169.254/16), multicast (224/4), reserved or broadcast (240/4). */
function isPlainV4({ words: [bits] }: IpBits): boolean {
  const first = bits >>> 24;
  return first !== 0 && first !== 127 && first < 224 && bits >>> 16 !== 0xa9fe;
}

/** Not unspecified, loopback or IPv4-compatible (::/96), link-local (fe80::/10), multicast (ff00::/8). */
function isPlainV6({ words }: IpBits): boolean {
  if (words[0] === 0 && words[1] === 0 && words[2] === 0) return false;
  const first = words[0] >>> 16;
  return (first & 0xffc0) !== 0xfe80 && (first & 0xff00) !== 0xff00;
}
