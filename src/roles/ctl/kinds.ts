import type { Resource } from "../../kube/resources.ts";

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
  IstioOperator: ["istiooperators", true],
  MutatingWebhookConfiguration: ["mutatingwebhookconfigurations", false],
  Namespace: ["namespaces", false],
  NetworkAttachmentDefinition: ["network-attachment-definitions", true],
  Node: ["nodes", false],
  Pod: ["pods", true],
  PodDisruptionBudget: ["poddisruptionbudgets", true],
  ResourceQuota: ["resourcequotas", true],
  Role: ["roles", true],
  RoleBinding: ["rolebindings", true],
  ReplicaSet: ["replicasets", true],
  Secret: ["secrets", true],
  SelfSubjectAccessReview: ["selfsubjectaccessreviews", false],
  Service: ["services", true],
  ServiceAccount: ["serviceaccounts", true],
  StatefulSet: ["statefulsets", true],
  ValidatingWebhookConfiguration: ["validatingwebhookconfigurations", false],
};

/** The type that an object's `apiVersion` and `kind` name. */
export function resourceOf(apiVersion: string, kind: string): Resource {
  const [plural, namespaced] = KINDS[kind] ?? [`${kind.toLowerCase()}s`, true];
  const cut = apiVersion.indexOf("/");
  const group = cut < 0 ? "" : apiVersion.slice(0, cut);
  return { group, version: apiVersion.slice(cut + 1), resource: plural, kind, namespaced };
}
