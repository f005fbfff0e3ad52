/** The delta xDS client, for ztunnel. Loads no server and no certificate code. */
export * from "../types.ts";
export * from "./client.ts";
export * from "./config.ts";
export * from "./metrics.ts";
export * from "./node.ts";
export * from "./proxy_type.ts";
export * from "./reconnect.ts";
export * from "./resource_type.ts";
export type { AddressResource } from "../workload_codec.ts";
