import { CLUSTER_NETWORK } from "../contracts.ts";
import { sysctl, tool } from "./host.ts";
import { IpBatch } from "./ip_batch.ts";

/**
 * Source address of probes, as Istio's host rules would make it: the redirection in a captured pod lets it through to the
 * application. It lies on the fabric, every node routes it there, and the kubelet binds its probes to it.
 */
export const PROBE_SOURCE = "169.254.7.127";

/** Addresses of node `index` (from 0). */
export function nodeAddresses(
  index: number,
): { fabricIp: string; podCidr: string; gateway: string; pod(n: number): string } {
  if (!Number.isInteger(index) || index < 0 || index > 250) throw new RangeError(`node index ${index} is out of range`);
  return {
    fabricIp: `172.18.0.${2 + index}`,
    podCidr: `10.244.${index}.0/24`,
    gateway: `10.244.${index}.1`,
    pod: (n) => `10.244.${index}.${n}`,
  };
}

/** Settings of a namespace that forwards packets, or that receives packets with foreign source addresses. */
export function forwardingSysctls(): [name: string, value: number][] {
  return [
    ["net/ipv4/ip_forward", 1],
    ["net/ipv4/conf/all/rp_filter", 0],
    ["net/ipv4/conf/default/rp_filter", 0],
    ["net/ipv4/conf/all/send_redirects", 0],
    ["net/ipv4/conf/default/send_redirects", 0],
    ["net/bridge/bridge-nf-call-iptables", 0],
    // Defaults of a router's neighbour table would drop entries of a few hundred pods.
    ["net/ipv4/neigh/default/gc_thresh1", 4096],
  ];
}

let fabric: Promise<IpBatch> | undefined;

/**
 * Makes the caller's network namespace the fabric that joins the nodes: a bridge with the engine's address. Once per
 * process; later calls return the first result.
 */
export async function createFabric(): Promise<void> {
  await fabricBatch();
}

/** Carries out `ip` commands in the fabric. */
export function fabricBatch(): Promise<IpBatch> {
  return fabric ??= build();
}

/** Takes the fabric down. */
export async function closeFabric(): Promise<void> {
  const current = await fabric;
  fabric = undefined;
  const commands = [
    "link del fabric0",
    `addr del ${PROBE_SOURCE}/32 dev lo`,
    "route del unreachable default metric 4096",
  ];
  await current?.run("remove the fabric", commands).catch(() => {});
  await current?.close();
}

async function build(): Promise<IpBatch> {
  for (const [name, value] of forwardingSysctls()) sysctl(name, value);
  const { batch } = IpBatch.spawn([tool("sh"), "-c", `exec "$0" -o -force -batch - 2>&1`, tool("ip")]);
  await batch.run("create the fabric", [
    "link set lo up",
    "link add fabric0 type bridge forward_delay 0",
    "link set fabric0 addrgenmode none",
    `addr add ${CLUSTER_NETWORK.fabricIp}/16 dev fabric0`,
    "link set fabric0 up",
    // The engine's own connections to Services need a route before the service proxy's rules see them.
    `route add ${CLUSTER_NETWORK.serviceCidr} dev fabric0`,
    `addr add ${PROBE_SOURCE}/32 dev lo`,
    // There is no way out: senders learn so at once.
    "route add unreachable default metric 4096",
  ]);
  return batch;
}
