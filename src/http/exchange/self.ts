// Who this proxy is: for metrics of gateways, spans and headers.

/** The proxy itself, as telemetry names it. */
export interface ProxySelf {
  readonly use: "waypoint" | "gateway";
  /** `waypoint~10.0.0.1~name.namespace~namespace.svc.cluster.local`. */
  readonly nodeId: string;
  readonly workloadName: string;
  readonly namespace: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly clusterId: string;
  readonly meshId: string;
  /** `spiffe://…` of its own identity; "" before the first certificate. */
  readonly principal: string;
  /** The network that addresses of clients belong to. */
  readonly network: string;
}
