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
  /** Whether waypoints' identities are let through by policies of their own (`PILOT_AUTO_ALLOW_WAYPOINT_POLICY`). */
  readonly autoAllowWaypointPolicy?: boolean;
}

export const DEFAULT_SETTINGS: MeshSettings = Object.freeze({
  clusterId: "Kubernetes",
  clusterDomain: "cluster.local",
  trustDomain: "cluster.local",
  rootNamespace: "istio-system",
  dryRunPolicies: false,
});
