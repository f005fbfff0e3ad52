/** Type URLs of the resources that the mesh's roles exchange. */
export const TYPE_URL = {
  address: "type.googleapis.com/istio.workload.Address",
  workload: "type.googleapis.com/istio.workload.Workload",
  authorization: "type.googleapis.com/istio.security.Authorization",
  /** Ours: configuration of waypoints and gateways (proto/ambientd/proxy/resource.proto). */
  proxyResource: "type.ambientd.io/ambientd.proxy.v1.ProxyResource",
  debug: "istio.io/debug",
} as const;

/** The name that subscribes to everything. */
export const WILDCARD = "*";
