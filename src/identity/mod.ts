/**
 * Identity as the data plane needs it: SPIFFE ids of peers, workload certificates and their cache. The CA's two sides speak
 * gRPC and are imported by name where they are used: `ca_client.ts`, `ca_service.ts`, `authority.ts`.
 */
export * from "./cache.ts";
export * from "./certificate.ts";
export * from "./pem.ts";
export * from "./types.ts";
