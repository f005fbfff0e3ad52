/**
 * Upstreams: the destinations of an L7 proxy as live things. `Clusters.get(name)` gives a `Cluster`; `cluster.attempt(request,
 * handler).begin()` sends a request to one of its hosts, `cluster.openTunnel()` opens a connection for bytes.
 */
export { Attempt } from "./attempt.ts";
export { Cluster } from "./cluster.ts";
export { Clusters } from "./clusters.ts";
export type { Carrier, ClientCodecs } from "./codecs.ts";
export type { CircuitBreakers } from "./limits.ts";
export type { Host, HostSpec, HostTunnel } from "./host.ts";
export { ClusterCounters, clusterStats } from "./stats.ts";
export { dnsResolver, systemResolver } from "./system_resolver.ts";
export {
  type AttemptHandler,
  type ClustersOptions,
  type HostResolver,
  type HostView,
  type PendingTunnel,
  type PickContext,
  type TunnelResult,
  type UpstreamError,
  upstreamError,
  type UpstreamErrorCode,
  upstreamFlag,
  type UpstreamRequest,
} from "./types.ts";
