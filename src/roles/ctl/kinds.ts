/** Kinds that ctl reads and writes: plural, and whether they live in namespaces. Asking discovery would cost a round trip. */
const KINDS: Record<string, readonly [plural: string, namespaced: boolean]> = {
  AuthorizationPolicy: ["authorizationpolicies", true],
  ClusterRole: ["clusterroles", false],
  ClusterRoleBinding: ["clusterrolebindings", false],
  ConfigMap: ["configmaps", true],
  CustomResourceDefinition: ["customresourcedefinitions", false],
  DaemonSet: ["daemonsets", true],
  Deployment: ["deployments", true],
  EnvoyFilter: ["envoyfilters", true],
  Gateway: ["gateways", true],
  HorizontalPodAutoscaler: ["horizontalpodautoscalers", true],
  MutatingWebhookConfiguration: ["mutatingwebhookconfigurations", false],
  Namespace: ["namespaces", false],
  NetworkAttachmentDefinition: ["network-attachment-definitions", true],
  Node: ["nodes", false],
  Pod: ["pods", true],
  PodDisruptionBudget: ["poddisruptionbudgets", true],
  ResourceQuota: ["resourcequotas", true],
  Role: ["roles", true],
  RoleBinding: ["rolebindings", true],
  Secret: ["secrets", true],
  SelfSubjectAccessReview: ["selfsubjectaccessreviews", false],
  Service: ["services", true],
  ServiceAccount: ["serviceaccounts", true],
  ValidatingWebhookConfiguration: ["validatingwebhookconfigurations", false],
};

export function isNamespaced(kind: string): boolean {
  return KINDS[kind]?.[1] ?? true;
}

/** URL path of a kind's collection (in all namespaces when none is given), or of one object. */
export function resourcePath(type: { apiVersion: string; kind: string }, namespace?: string, name?: string): string {
  const [plural, namespaced] = KINDS[type.kind] ?? [`${type.kind.toLowerCase()}s`, true];
  const root = type.apiVersion.includes("/") ? `/apis/${type.apiVersion}` : `/api/${type.apiVersion}`;
  const scope = namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${root}${scope}/${plural}${name === undefined ? "" : `/${encodeURIComponent(name)}`}`;
}
