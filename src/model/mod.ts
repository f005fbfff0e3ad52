/** The mesh's own picture of the world: plain data and pure functions, free of protobuf, Kubernetes and the network. */
export * from "./identity.ts";
export * from "./policy.ts";
export * from "./workload.ts";
export * from "./l7.ts";
export * from "./l7_names.ts";
