// The mesh's picture of workloads and services: what istiod tells ztunnel (WDS), free of protobuf and of Kubernetes.
// Field meanings follow Istio's workload API; strings are "" and lists are empty where WDS leaves a field out.

/** An address on a named network (the default network is ""). `address` is an IP in canonical text form. */
export interface NetworkAddress {
  readonly network: string;
  readonly address: string;
  /** Prefix length when this is a range (ServiceEntry CIDRs); undefined for one host. */
  readonly length?: number;
}

export interface NamespacedHostname {
  readonly namespace: string;
  readonly hostname: string;
}

/** Where a waypoint or network gateway is reached. */
export interface GatewayAddress {
  readonly destination: { readonly hostname: NamespacedHostname } | { readonly address: NetworkAddress };
  readonly hboneMtlsPort: number;
}

export interface WeightedWaypoint {
  readonly destination: GatewayAddress;
  readonly weight: number;
}

export type TunnelProtocol = "NONE" | "HBONE";
export type AppProtocol = "UNKNOWN" | "HTTP11" | "HTTP2" | "GRPC" | "TCP" | "TLS";
export type WorkloadStatus = "HEALTHY" | "UNHEALTHY";
export type NetworkMode = "STANDARD" | "HOST_NETWORK";
export type WorkloadType = "DEPLOYMENT" | "CRONJOB" | "POD" | "JOB";

export interface Port {
  readonly servicePort: number;
  /** 0: named port, resolved per workload. */
  readonly targetPort: number;
  readonly appProtocol: AppProtocol;
}

export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

export interface Workload {
  /** Primary key, e.g. `Kubernetes//Pod/default/sleep-0`. */
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** IPs in canonical text form. */
  readonly addresses: readonly string[];
  /** Resolved by DNS when there are no addresses. */
  readonly hostname: string;
  readonly network: string;
  readonly networkGateway?: GatewayAddress;
  readonly tunnelProtocol: TunnelProtocol;
  readonly nativeTunnel: boolean;
  readonly trustDomain: string;
  readonly serviceAccount: string;
  readonly waypoint?: GatewayAddress;
  readonly node: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly workloadType: WorkloadType;
  readonly workloadName: string;
  readonly status: WorkloadStatus;
  readonly clusterId: string;
  /** Keys `namespace/name` of the workload-selector policies that apply. */
  readonly authorizationPolicies: readonly string[];
  /** `namespace/hostname` to the ports this workload serves of that service. */
  readonly services: ReadonlyMap<string, readonly Port[]>;
  readonly applicationTunnel?: { readonly protocol: "NONE" | "PROXY"; readonly port: number };
  readonly locality?: Locality;
  readonly networkMode: NetworkMode;
  /** Weight; 1 when not set. */
  readonly capacity: number;
}

export type RoutingScope = "REGION" | "ZONE" | "SUBZONE" | "NODE" | "CLUSTER" | "NETWORK";
export type LoadBalancingMode = "UNSPECIFIED" | "STRICT" | "FAILOVER" | "PASSTHROUGH";
export type HealthPolicy = "ONLY_HEALTHY" | "ALLOW_ALL";
export type IpFamilies = "AUTOMATIC" | "IPV4_ONLY" | "IPV6_ONLY" | "DUAL";
export type Visibility = "PUBLIC" | "NAMESPACE";

export interface LoadBalancing {
  readonly routingPreference: readonly RoutingScope[];
  readonly mode: LoadBalancingMode;
  readonly healthPolicy: HealthPolicy;
}

export interface Service {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  /** VIPs; empty for a headless service. */
  readonly addresses: readonly NetworkAddress[];
  readonly ports: readonly Port[];
  readonly subjectAltNames: readonly string[];
  readonly waypoint?: GatewayAddress;
  readonly weightedWaypoints: readonly WeightedWaypoint[];
  readonly loadBalancing?: LoadBalancing;
  readonly ipFamilies: IpFamilies;
  readonly canonical: boolean;
  readonly ingressUseWaypoint: boolean;
  readonly visibility: Visibility;
}

/** `namespace/hostname`, the key of a service in WDS and in {@linkcode Workload.services}. */
export function serviceKey(service: { namespace: string; hostname: string }): string {
  return `${service.namespace}/${service.hostname}`;
}
