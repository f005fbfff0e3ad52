/** The L4 proxy of a node: what ztunnel does with every pod's connections. */
export * from "./config.ts";
export * from "./connection_manager.ts";
export { DnsMetrics, type DnsOptions } from "./dns/server.ts";
export { resolvConfServers } from "./dns/upstream.ts";
export * from "./node_proxy.ts";
export type { Certificates, HboneDialer, Shared } from "./pod.ts";
export * from "./pod_proxy.ts";
export * from "./state/mod.ts";
export { TrafficMetrics } from "./telemetry.ts";
