import type { Cluster } from "./cluster.ts";

/** What has happened in one cluster so far, by Envoy's names. */
export class ClusterCounters {
  /** Requests sent, mirrored ones and every attempt included. */
  upstream_rq_total = 0;
  upstream_rq_retry = 0;
  upstream_rq_retry_overflow = 0;
  /** Requests refused because too many were waiting or under way. */
  upstream_rq_pending_overflow = 0;
  upstream_cx_total = 0;
  upstream_cx_connect_fail = 0;
  upstream_cx_connect_timeout = 0;
  /** Connections not made, or refused to bytes, because there were too many. */
  upstream_cx_overflow = 0;
}

/** Counters and gauges of a cluster by Envoy's names. */
export function clusterStats(cluster: Cluster): [name: string, value: number][] {
  const { breakers, counters } = cluster;
  let total = 0, healthy = 0;
  for (const host of cluster.hosts) {
    total++;
    if (host.available) healthy++;
  }
  return [
    ["circuit_breakers.default.cx_open", Number(breakers.connections >= breakers.maxConnections)],
    ["circuit_breakers.default.rq_open", Number(breakers.requests >= breakers.maxRequests)],
    ["circuit_breakers.default.rq_pending_open", Number(breakers.pending >= breakers.maxPending)],
    ["circuit_breakers.default.rq_retry_open", Number(breakers.retries >= breakers.maxRetries)],
    ["membership_healthy", healthy],
    ["membership_total", total],
    ["outlier_detection.ejections_active", cluster.ejected],
    ["outlier_detection.ejections_enforced_total", cluster.ejections],
    ["upstream_cx_active", breakers.connections],
    ["upstream_rq_active", breakers.requests],
    ["upstream_rq_pending_active", breakers.pending],
    ...Object.entries(counters) as [string, number][],
  ];
}

/** Lines of `cluster.<name>.<stat>: <value>`, as Envoy's `/stats` has them. */
export function statsText(clusters: Iterable<Cluster>): string {
  const lines: string[] = [];
  for (const cluster of clusters) {
    for (const [name, value] of clusterStats(cluster)) lines.push(`cluster.${cluster.name}.${name}: ${value}`);
  }
  return lines.sort().map((line) => `${line}\n`).join("");
}
