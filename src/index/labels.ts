/** Labels, by what they say. */
export const LABEL = {
  canonicalName: "service.istio.io/canonical-name",
  canonicalRevision: "service.istio.io/canonical-revision",
  appName: "app.kubernetes.io/name",
  appVersion: "app.kubernetes.io/version",
  app: "app",
  version: "version",
  network: "topology.istio.io/network",
  region: "topology.kubernetes.io/region",
  zone: "topology.kubernetes.io/zone",
  subzone: "topology.istio.io/subzone",
  tunnel: "networking.istio.io/tunnel",
  ingressUseWaypoint: "istio.io/ingress-use-waypoint",
  useWaypoint: "istio.io/use-waypoint",
  useWaypointNamespace: "istio.io/use-waypoint-namespace",
  waypointCanary: "istio.io/use-waypoint-canary",
  waypointCanaryNamespace: "istio.io/use-waypoint-canary-namespace",
  waypointFor: "istio.io/waypoint-for",
  /** On what a Gateway's deployment consists of: the Gateway's name. */
  gatewayName: "gateway.networking.k8s.io/gateway-name",
  /** On what istiod deploys: the controller of the Gateway's class. */
  gatewayManaged: "gateway.istio.io/managed",
  autoallocate: "networking.istio.io/enable-autoallocate-ip",
  podTemplateHash: "pod-template-hash",
  sliceService: "kubernetes.io/service-name",
} as const;

/** Annotations, by what they say. */
export const ANNOTATION = {
  /** `enabled` once the CNI agent has put the pod into the mesh. */
  redirection: "ambient.istio.io/redirection",
  trafficDistribution: "networking.istio.io/traffic-distribution",
  dryRun: "istio.io/dry-run",
  waypointCanaryWeight: "istio.io/use-waypoint-canary-weight",
  serviceAccount: "gateway.istio.io/service-account",
  inboundBinding: "ambient.istio.io/waypoint-inbound-binding",
} as const;

export type Labels = Readonly<Record<string, string>>;

/** Whether `labels` has everything that `selector` asks for; an empty selector asks for nothing. */
export function selects(selector: Labels, labels: Labels | undefined): boolean {
  for (const key in selector) if (labels?.[key] !== selector[key]) return false;
  return true;
}

/** One pair of a selector, as `key=value`: what indexes find candidates by; undefined for an empty selector. */
export function selectorPair(selector: Labels): string | undefined {
  for (const key in selector) return `${key}=${selector[key]}`;
  return undefined;
}
