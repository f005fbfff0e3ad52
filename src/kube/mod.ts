/** The Kubernetes API as the mesh's roles use it: client, informers, leader election. */
export * from "./client.ts";
export * from "./discovery.ts";
export * from "./errors.ts";
export * from "./informer.ts";
export * from "./leader_election.ts";
export * from "./resources.ts";
export * from "./served_informer.ts";
export * from "./store.ts";
export * from "./types.ts";
export type { EnvironmentOptions } from "./kubeconfig.ts";
export type { KubeTarget } from "./target.ts";
