import type { Backend, HostPort, ServicePort } from "./table.ts";

/** The table that holds everything of the service proxy. */
export const TABLE = "kube-proxy";

/** Marks packets that must come back through this node (node ports reached from outside). */
const MASQUERADE = "0x4000";

/**
 * One atomic script for `nft -f -` that replaces the service rules of a network namespace.
 *
 * @param gateway source address for connections of a pod to itself through a Service
 * @param node whose rules these are; none for the fabric, which has no backends of its own
 * @param hostPorts those of the node
 */
export function renderRules(
  table: readonly ServicePort[],
  gateway: string,
  hostPorts: readonly HostPort[] = [],
  node?: string,
): string {
  const local = (backends: readonly Backend[]) => backends.filter((backend) => backend.node === node);
  const services: string[] = [], unserved: string[] = [], nodePorts: string[] = [], chains: string[] = [];
  const seen = new Set<string>(), hairpins = new Set<string>();
  for (const [index, entry] of table.entries()) {
    const { protocol, port, nodePort } = entry;
    const backends = entry.internalLocal && node ? local(entry.backends) : entry.backends;
    const keys = entry.addresses.map((ip) => `${ip} . ${protocol} . ${port}`).filter((key) => !seen.has(key));
    for (const key of keys) seen.add(key);
    const chain = `svc-${index}`;
    if (backends.length === 0) unserved.push(...keys);
    else {
      services.push(...keys.map((key) => `${key} : goto ${chain}`));
      chains.push(`  chain ${chain} {\n    # ${comment(entry)}\n    ${balance(entry, backends)}\n  }`);
    }
    const outside = entry.externalLocal && node ? local(entry.backends) : entry.backends;
    if (nodePort && outside.length > 0 && !seen.has(`node ${protocol} ${nodePort}`)) {
      seen.add(`node ${protocol} ${nodePort}`);
      nodePorts.push(`${protocol} . ${nodePort} : goto node-${index}`);
      const masquerade = entry.externalLocal ? "" : `    meta mark set meta mark | ${MASQUERADE}\n`;
      chains.push(`  chain node-${index} {\n${masquerade}    ${balance(entry, outside)}\n  }`);
    }
    for (const { ip } of backends) hairpins.add(`${ip} . ${ip}`);
  }
  const hosts = new Map<string, string>();
  for (const { protocol, port, address, backend: { ip, port: target } } of hostPorts) {
    const where = address ? `ip daddr ${address}` : "fib daddr type local ip daddr != 127.0.0.0/8";
    const key = `${where} ${protocol} dport ${port}`;
    // The scheduler keeps two pods from one port; while one replaces the other, the first keeps it.
    if (!hosts.has(key)) hosts.set(key, `    ${key} dnat to ${ip}:${target}`);
    hairpins.add(`${ip} . ${ip}`);
  }
  const elements = (list: Iterable<string>) => {
    const all = [...list];
    return all.length > 0 ? ` elements = { ${all.join(", ")} };` : "";
  };
  return `add table ip ${TABLE}
delete table ip ${TABLE}
table ip ${TABLE} {
${chains.join("\n")}
  map services { type ipv4_addr . inet_proto . inet_service : verdict;${elements(services)} }
  map node-ports { type inet_proto . inet_service : verdict;${elements(nodePorts)} }
  set unserved { type ipv4_addr . inet_proto . inet_service;${elements(unserved)} }
  set hairpins { type ipv4_addr . ipv4_addr;${elements(hairpins)} }
  chain dispatch {
${[...hosts.values()].map((rule) => rule + "\n").join("")}    ip daddr . meta l4proto . th dport vmap @services
    fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @node-ports
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    jump dispatch
  }
  chain output {
    type nat hook output priority -100; policy accept;
    jump dispatch
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip saddr . ip daddr @hairpins snat to ${gateway}
    meta mark & ${MASQUERADE} == ${MASQUERADE} masquerade
  }
  chain refuse {
    ip daddr . meta l4proto . th dport @unserved reject
  }
  chain forward-refuse {
    type filter hook forward priority 0; policy accept;
    jump refuse
  }
  chain output-refuse {
    type filter hook output priority 0; policy accept;
    jump refuse
  }
}
`;
}

function balance({ protocol, affinity }: ServicePort, backends: readonly Backend[]): string {
  const match = `meta l4proto ${protocol}`;
  if (backends.length === 1) return `${match} dnat to ${backends[0].ip}:${backends[0].port}`;
  // Hashing the client's address keeps it with one backend for as long as the backends stay the same.
  const choice = affinity ? `jhash ip saddr mod ${backends.length}` : `numgen random mod ${backends.length}`;
  const map = backends.map(({ ip, port }, index) => `${index} : ${ip} . ${port}`).join(", ");
  return `${match} dnat ip to ${choice} map { ${map} }`;
}

/** Names come from the API, which has checked them; a comment must all the same never end its line. */
function comment({ namespace, name, port, protocol }: ServicePort): string {
  return `${namespace}/${name} ${port}/${protocol}`.replace(/[^\w./-]+/g, " ");
}
