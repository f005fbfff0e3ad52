import type { KubeObject } from "../../contracts.ts";

const RBAC = "rbac.authorization.k8s.io";
const READ = "get list watch";
const WRITE = "create delete deletecollection patch update";
const FULL = `${READ} ${WRITE}`;

/** Words of a list; `-` stands for the core group. */
function words(text: string): string[] {
  return text.split(" ").map((word) => word === "-" ? "" : word);
}

function rule(verbs: string, groups: string, resources: string): Record<string, string[]> {
  return { apiGroups: words(groups), resources: words(resources), verbs: words(verbs) };
}

function paths(verbs: string, urls: string): Record<string, string[]> {
  return { nonResourceURLs: words(urls), verbs: words(verbs) };
}

function named(name: string, labels: Record<string, string> = {}): KubeObject["metadata"] {
  return {
    name,
    labels: { "kubernetes.io/bootstrapping": "rbac-defaults", ...labels },
    annotations: { [`${RBAC}/autoupdate`]: "true" },
  };
}

function role(name: string, rules: unknown[], aggregateTo?: string): KubeObject {
  const labels: Record<string, string> = aggregateTo ? { [`${RBAC}/aggregate-to-${aggregateTo}`]: "true" } : {};
  return { apiVersion: `${RBAC}/v1`, kind: "ClusterRole", metadata: named(name, labels), rules };
}

/** A role whose rules are those of all roles that carry the label. */
function aggregated(name: string, alsoTo?: string): KubeObject {
  return {
    ...role(name, [], alsoTo),
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [`${RBAC}/aggregate-to-${name}`]: "true" } }] },
  };
}

function bind(name: string, subjects: [kind: string, name: string][]): KubeObject {
  return {
    apiVersion: `${RBAC}/v1`,
    kind: "ClusterRoleBinding",
    metadata: named(name),
    roleRef: { apiGroup: RBAC, kind: "ClusterRole", name },
    subjects: subjects.map(([kind, subject]) => ({ apiGroup: RBAC, kind, name: subject })),
  };
}

const CORE_WORK =
  "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods pods/log pods/status " +
  "replicationcontrollers replicationcontrollers/scale replicationcontrollers/status serviceaccounts services services/status";
const APPS_WORK = "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status " +
  "replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status";

/** The cluster roles that a new cluster has. */
export const DEFAULT_CLUSTER_ROLES: KubeObject[] = [
  role("cluster-admin", [rule("*", "*", "*"), paths("*", "*")]),
  aggregated("admin"),
  aggregated("edit", "admin"),
  aggregated("view", "edit"),
  role("system:aggregate-to-view", [
    rule(
      READ,
      "-",
      `${CORE_WORK} bindings events limitranges namespaces namespaces/status resourcequotas resourcequotas/status`,
    ),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule(READ, "apps", APPS_WORK),
    rule(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    rule(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    rule(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
  ], "view"),
  role("system:aggregate-to-edit", [
    rule(READ, "-", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    rule("impersonate", "-", "serviceaccounts"),
    rule(
      WRITE,
      "-",
      "pods pods/attach pods/exec pods/portforward pods/proxy configmaps events persistentvolumeclaims " +
        "replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
    ),
    rule("create", "-", "pods/eviction serviceaccounts/token"),
    rule(
      WRITE,
      "apps",
      "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
    ),
    rule(WRITE, "autoscaling", "horizontalpodautoscalers"),
    rule(WRITE, "batch", "cronjobs jobs"),
    rule(WRITE, "policy", "poddisruptionbudgets"),
    rule(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    rule(FULL, "coordination.k8s.io", "leases"),
  ], "edit"),
  role("system:aggregate-to-admin", [
    rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    rule(FULL, RBAC, "rolebindings roles"),
  ], "admin"),
  role("system:basic-user", [
    rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
    rule("create", "authentication.k8s.io", "selfsubjectreviews"),
  ]),
  role("system:discovery", [
    paths("get", "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"),
  ]),
  role("system:public-info-viewer", [paths("get", "/healthz /livez /readyz /version /version/")]),
  role("system:service-account-issuer-discovery", [paths("get", "/.well-known/openid-configuration /openid/v1/jwks")]),
  role("system:auth-delegator", [
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews"),
  ]),
  role("system:monitoring", [
    paths("get", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
  ]),
  role("system:node", [
    rule("create", "authentication.k8s.io", "tokenreviews"),
    rule("create", "authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews"),
    rule(READ, "-", "services configmaps secrets persistentvolumeclaims persistentvolumes"),
    rule("create get list watch patch update delete", "-", "nodes nodes/status pods pods/status"),
    rule("create", "-", "pods/eviction serviceaccounts/token"),
    rule("create patch update", "- events.k8s.io", "events"),
    rule("create delete get patch update", "coordination.k8s.io", "leases"),
    rule(READ, "node.k8s.io", "runtimeclasses"),
  ]),
  role("system:node-proxier", [
    rule(READ, "-", "endpoints services nodes"),
    rule(READ, "discovery.k8s.io", "endpointslices"),
    rule("create patch update", "- events.k8s.io", "events"),
  ]),
  role("system:kube-dns", [rule("list watch", "-", "endpoints services")]),
];

/** The bindings that a new cluster has. */
export const DEFAULT_CLUSTER_ROLE_BINDINGS: KubeObject[] = [
  bind("cluster-admin", [["Group", "system:masters"]]),
  bind("system:basic-user", [["Group", "system:authenticated"]]),
  bind("system:discovery", [["Group", "system:authenticated"]]),
  bind("system:public-info-viewer", [["Group", "system:authenticated"], ["Group", "system:unauthenticated"]]),
  bind("system:service-account-issuer-discovery", [["Group", "system:serviceaccounts"]]),
  bind("system:monitoring", [["Group", "system:monitoring"]]),
  bind("system:node-proxier", [["User", "system:kube-proxy"]]),
];
