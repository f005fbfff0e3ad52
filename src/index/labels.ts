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
  podTemplateHash: "pod-template-hash",
  sliceService: "kubernetes.io/service-name",
} as const;

/** Annotations, by what they say. */
export const ANNOTATION = {
  /** `enabled` once the CNI agent has put the pod into the mesh. */
  redirection: "ambient.istio.io/redirection",
  trafficDistribution: "networking.istio.io/traffic-distribution",
  dryRun: "istio.io/dry-run",
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
