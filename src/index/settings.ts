/** What the builders need to know of the mesh. A change makes everything be built anew. */
export interface MeshSettings {
  /** Name of this cluster, in workload uids. */
  readonly clusterId: string;
  /** Suffix of Service host names: `cluster.local`. */
  readonly clusterDomain: string;
  readonly trustDomain: string;
  /** Where mesh-wide policies live: `istio-system`. */
  readonly rootNamespace: string;
  /** Whether AuthorizationPolicies under `istio.io/dry-run` are sent (`AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY`). */
  readonly dryRunPolicies: boolean;
}

export const DEFAULT_SETTINGS: MeshSettings = Object.freeze({
  clusterId: "Kubernetes",
  clusterDomain: "cluster.local",
  trustDomain: "cluster.local",
  rootNamespace: "istio-system",
  dryRunPolicies: false,
});
