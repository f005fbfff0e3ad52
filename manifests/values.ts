// What the templates of an installation read, already merged from profile, files and --set.

/** A Kubernetes object as a template makes it. */
export type Manifest = Record<string, any> & { apiVersion: string; kind: string; metadata: Record<string, any> };

/** Settings of one component's workload, as `components.<name>.k8s` has them. Absent fields keep the template's. */
export interface WorkloadSettings {
  replicaCount?: number;
  resources?: Record<string, any>;
  env?: Record<string, any>[];
  nodeSelector?: Record<string, string>;
  tolerations?: Record<string, any>[];
  affinity?: Record<string, any>;
  podAnnotations?: Record<string, string>;
  podLabels?: Record<string, string>;
  priorityClassName?: string;
  strategy?: Record<string, any>;
  imagePullPolicy?: string;
  imagePullSecrets?: { name: string }[];
}

/** One classic gateway. */
export interface GatewaySettings extends WorkloadSettings {
  name: string;
  namespace: string;
  /** Added to those that select its pods, or in place of them (`label`). */
  labels?: Record<string, string>;
  /** Fields of the Service's spec, over the template's. */
  service?: Record<string, any>;
  serviceAnnotations?: Record<string, string>;
  /** Fields of the autoscaler's spec, over the template's. */
  hpaSpec?: Record<string, any>;
  /** Of the pod. */
  securityContext?: Record<string, any>;
  volumes?: Record<string, any>[];
  volumeMounts?: Record<string, any>[];
}

/** Everything that shapes an installation. */
export interface InstallValues {
  profile: string;
  /** Registry and path before `/ambientd`; empty for an image that is on the nodes already. */
  hub: string;
  tag: string;
  version: string;
  /** Empty for the default revision. */
  revision: string;
  namespace: string;
  clusterDomain: string;
  /** Cluster name in the mesh. */
  clusterId: string;
  network: string;
  trustDomain: string;
  logLevel: string;
  logAsJson: boolean;
  nativeNftables: boolean;
  platform: string;
  ambient: boolean;
  /** Extra mesh configuration, merged over the defaults of the ConfigMap `istio`. */
  meshConfig: Record<string, any>;
  pilot: WorkloadSettings & {
    extraEnv: Record<string, string>;
    traceSampling: number;
    autoscaleMin: number;
    autoscaleMax: number;
  };
  cni: WorkloadSettings & {
    binDir: string;
    confDir: string;
    confFileName: string;
    netnsDir: string;
    chained: boolean;
    excludeNamespaces: string[];
    dnsCapture: boolean;
    ipv6: boolean;
    reconcileOnStartup: boolean;
    shareHostNetworkNamespace: boolean;
    extraEnv: Record<string, string>;
  };
  ztunnel: WorkloadSettings & {
    terminationGracePeriodSeconds: number;
    caAddress: string;
    xdsAddress: string;
    extraEnv: Record<string, string>;
  };
  ingressGateways: readonly GatewaySettings[];
  egressGateways: readonly GatewaySettings[];
}

/** The value of the label istio.io/rev. */
export function revisionLabel(values: InstallValues): string {
  return values.revision === "" ? "default" : values.revision;
}

/** `name` of the default revision, `name-<revision>` of another. */
export function revisioned(name: string, values: InstallValues): string {
  return values.revision === "" ? name : `${name}-${values.revision}`;
}

/** The one image of all roles. */
export function image(values: InstallValues): string {
  return `${values.hub === "" ? "" : values.hub.replace(/\/+$/, "") + "/"}ambientd:${values.tag}`;
}

/** Components by the value of the label operator.istio.io/component, on which `uninstall` relies. */
export type Component = "Base" | "Pilot" | "Cni" | "Ztunnel" | "IngressGateways" | "EgressGateways";

/** Labels by which a later run of the same installation knows what an earlier one made. */
export function ownerLabels(values: InstallValues): Record<string, string> {
  return {
    "install.operator.istio.io/owning-resource": "unknown",
    "install.operator.istio.io/owning-resource-namespace": values.namespace,
    "istio.io/rev": revisionLabel(values),
  };
}

/** Labels that every object of an installation carries. */
export function commonLabels(component: Component, name: string, values: InstallValues): Record<string, string> {
  return {
    "app.kubernetes.io/name": name,
    "app.kubernetes.io/instance": "istio",
    "app.kubernetes.io/part-of": "istio",
    "app.kubernetes.io/version": values.version,
    "app.kubernetes.io/managed-by": "ambientd",
    ...ownerLabels(values),
    "operator.istio.io/component": component,
    release: "istio",
  };
}

/** Environment entries of a plain map, in its order. */
export function env(entries: Record<string, string>): Record<string, any>[] {
  return Object.entries(entries).map(([name, value]) => ({ name, value }));
}

/** An environment entry that reads a field of the pod. */
export function fieldEnv(name: string, fieldPath: string): Record<string, any> {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

/** `base` with entries of the same name replaced by those of `over`, new ones at the end. */
export function mergeEnv(base: Record<string, any>[], ...over: Record<string, any>[][]): Record<string, any>[] {
  const byName = new Map(base.map((entry) => [entry.name, entry]));
  for (const entry of over.flat()) byName.set(entry.name, entry);
  return [...byName.values()];
}

/**
 * GKE admits pods of the critical priority classes outside of kube-system only where a quota says so.
 * See https://cloud.google.com/kubernetes-engine/docs/concepts/pod-priority
 */
export function criticalPodsQuota(component: Component, name: string, values: InstallValues): Manifest[] {
  if (values.platform !== "gke") return [];
  return [{
    apiVersion: "v1",
    kind: "ResourceQuota",
    metadata: {
      name: `${name}-resource-quota`,
      namespace: values.namespace,
      labels: commonLabels(component, name, values),
    },
    spec: {
      hard: { pods: "5000" },
      scopeSelector: {
        matchExpressions: [{ operator: "In", scopeName: "PriorityClass", values: ["system-node-critical"] }],
      },
    },
  }];
}
