/** A resource type of the API. `group` is "" for core; `resource` is the plural. */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

function resource(apiVersion: string, plural: string, kind: string, namespaced = true): Resource {
  const cut = apiVersion.indexOf("/");
  return Object.freeze({
    group: cut < 0 ? "" : apiVersion.slice(0, cut),
    version: apiVersion.slice(cut + 1),
    resource: plural,
    kind,
    namespaced,
  });
}

/** The types that the mesh's roles read and write. Others are found by {@linkcode Discovery}. */
export const RESOURCES = {
  pods: resource("v1", "pods", "Pod"),
  services: resource("v1", "services", "Service"),
  namespaces: resource("v1", "namespaces", "Namespace", false),
  nodes: resource("v1", "nodes", "Node", false),
  configMaps: resource("v1", "configmaps", "ConfigMap"),
  secrets: resource("v1", "secrets", "Secret"),
  serviceAccounts: resource("v1", "serviceaccounts", "ServiceAccount"),
  events: resource("v1", "events", "Event"),
  endpointSlices: resource("discovery.k8s.io/v1", "endpointslices", "EndpointSlice"),
  deployments: resource("apps/v1", "deployments", "Deployment"),
  daemonSets: resource("apps/v1", "daemonsets", "DaemonSet"),
  horizontalPodAutoscalers: resource("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
  podDisruptionBudgets: resource("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
  ingresses: resource("networking.k8s.io/v1", "ingresses", "Ingress"),
  leases: resource("coordination.k8s.io/v1", "leases", "Lease"),
  crds: resource("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", false),
  tokenReviews: resource("authentication.k8s.io/v1", "tokenreviews", "TokenReview", false),
  subjectAccessReviews: resource("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview", false),
  selfSubjectAccessReviews: resource(
    "authorization.k8s.io/v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    false,
  ),
  authorizationPolicies: resource("security.istio.io/v1", "authorizationpolicies", "AuthorizationPolicy"),
  peerAuthentications: resource("security.istio.io/v1", "peerauthentications", "PeerAuthentication"),
  serviceEntries: resource("networking.istio.io/v1", "serviceentries", "ServiceEntry"),
  workloadEntries: resource("networking.istio.io/v1", "workloadentries", "WorkloadEntry"),
} as const;

/** `v1` or `group/version`. */
export function apiVersionOf({ group, version }: Resource): string {
  return group === "" ? version : `${group}/${version}`;
}

/** `pods` or `authorizationpolicies.security.istio.io`, for messages. */
export function resourceName({ group, resource }: Resource): string {
  return group === "" ? resource : `${resource}.${group}`;
}

/** Where the API serves a type: all of it, one namespace, one object, or a subresource of one. */
export function resourcePath(type: Resource, namespace?: string, name?: string, subresource?: string): string {
  const parts = [type.group === "" ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`];
  if (type.namespaced && namespace) parts.push("namespaces", encodeURIComponent(namespace));
  parts.push(type.resource);
  if (name !== undefined) parts.push(encodeURIComponent(name));
  if (subresource !== undefined) parts.push(subresource);
  return parts.join("/");
}
