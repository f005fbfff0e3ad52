/** Type URLs of the resources that the mesh's roles exchange. */
export const TYPE_URL = {
  address: "type.googleapis.com/istio.workload.Address",
  workload: "type.googleapis.com/istio.workload.Workload",
  authorization: "type.googleapis.com/istio.security.Authorization",
  debug: "istio.io/debug",
} as const;

/** The name that subscribes to everything. */
export const WILDCARD = "*";
