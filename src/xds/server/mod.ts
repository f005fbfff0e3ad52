/** The delta xDS server, for istiod. */
export * from "../proxy_source.ts";
export * from "../resource.ts";
export * from "../resource_store.ts";
export * from "../types.ts";
export * from "./connection.ts";
export * from "./debounce.ts";
export * from "./debug.ts";
export * from "./grpc_binding.ts";
export * from "./metrics.ts";
export * from "./server.ts";
