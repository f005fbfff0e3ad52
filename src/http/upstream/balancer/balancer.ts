import type { Host } from "../host.ts";

/** Chooses among hosts that may be chosen: all that it is given. A new one is made when those change. */
export interface Balancer {
  /**
   * @param hash of what consistent hashing hashes, an unsigned 32-bit number; others ignore it
   * @returns null when there is no host
   */
  choose(hash: number): Host | null;
}

/** The weight of a host now, between its own and a tenth of it while it warms up (Envoy's slow start, linear). */
export function warmWeight(host: Host, now: number, warmupMs: number): number {
  if (warmupMs <= 0) return host.weight;
  const share = (now - host.since) / warmupMs;
  return share >= 1 ? host.weight : host.weight * Math.max(0.1, share);
}

/** Whether weights make no difference: all equal, and nobody warms up. */
export function uniform(hosts: readonly Host[], now: number, warmupMs: number): boolean {
  for (const host of hosts) {
    if (host.weight !== hosts[0].weight || (warmupMs > 0 && now - host.since < warmupMs)) return false;
  }
  return true;
}
