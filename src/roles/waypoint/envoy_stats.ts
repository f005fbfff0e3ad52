// The few of Envoy's own series that Istio exports by default and dashboards draw.

import type { Registry } from "../../telemetry/metrics.ts";

/** `envoy_server_*`. */
export function addServerStats(registry: Registry, live: () => boolean): void {
  const gauge = (name: string, help: string) => registry.gauge(`envoy_server_${name}`, help).with();
  const isLive = gauge("live", "1 while the proxy takes traffic.");
  const uptime = gauge("uptime", "Seconds since the start.");
  const allocated = gauge("memory_allocated", "Bytes of the JavaScript heap in use.");
  const heap = gauge("memory_heap_size", "Bytes of the JavaScript heap.");
  registry.onCollect(() => {
    const { heapUsed, heapTotal } = Deno.memoryUsage();
    isLive.set(live() ? 1 : 0);
    uptime.set(Math.floor(performance.now() / 1000));
    allocated.set(heapUsed);
    heap.set(heapTotal);
  });
}

/** The connection to istiod, which is a cluster of that name in Envoy. */
export function addXdsConnectionStats(registry: Registry, connected: () => boolean): void {
  const active = registry.gauge("envoy_cluster_upstream_cx_active", "Open connections.", ["cluster_name"])
    .with("xds-grpc");
  registry.onCollect(() => active.set(connected() ? 1 : 0));
}
