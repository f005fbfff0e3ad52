/**
 * One request's life in an L7 proxy: policy, route, filters, retries, bodies, account.
 *
 * A role makes one {@linkcode RuntimeCompiler} and one {@linkcode HttpExchanges}. Configuration goes into the compiler
 * (`apply`), which keeps a {@linkcode ListenerSlot} per listener; its `current` is an immutable {@linkcode ListenerRuntime}. For
 * each client connection the role makes a {@linkcode Downstream} once, and for every request of it calls
 * `exchanges.handleRequest(stream, downstream, slot.current)`.
 */
export { type ClientCertificate, Downstream, type DownstreamInfo, type ProxyUse } from "./downstream.ts";
export { type ProxySelf } from "./self.ts";
export { explainRoute, type ListenerRuntime, ListenerSlot, type RouteExplanation, RuntimeCompiler } from "./runtime.ts";
export { type ClusterSource, type ExchangeObserver, HttpExchanges, type HttpExchangesOptions } from "./exchanges.ts";
export type { RequestRecord, TraceContext } from "./record.ts";
