/** Who called whom: the labels that every metric of Istio's standard family has, in the order that metrics show them. */
export const TRAFFIC_LABELS = [
  "reporter",
  "source_workload",
  "source_canonical_service",
  "source_canonical_revision",
  "source_workload_namespace",
  "source_principal",
  "source_app",
  "source_version",
  "source_cluster",
  "destination_service",
  "destination_service_namespace",
  "destination_service_name",
  "destination_workload",
  "destination_canonical_service",
  "destination_canonical_revision",
  "destination_workload_namespace",
  "destination_principal",
  "destination_app",
  "destination_version",
  "destination_cluster",
] as const;

/** A label's value: never absent, `unknown` in its place. */
export const orUnknown = (value: string | undefined): string => value === undefined || value === "" ? "unknown" : value;
