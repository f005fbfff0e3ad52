import { commonLabels, type Component, type InstallValues, type Manifest } from "./values.ts";

type RuleRow = readonly [groups: string, resources: string, verbs: string, names?: string];

const READ = "get watch list";
const WRITE = "get watch list create update patch delete";

function rules(rows: readonly RuleRow[]): Record<string, any>[] {
  return rows.map(([groups, resources, verbs, names]) => ({
    apiGroups: groups.split(" ").map((group) => group === "core" ? "" : group),
    resources: resources.split(" "),
    ...(names ? { resourceNames: names.split(" ") } : {}),
    verbs: verbs.split(" "),
  }));
}

const API = "rbac.authorization.k8s.io/v1";

/** A ClusterRole and its binding to one service account. */
function clusterRole(
  component: Component,
  app: string,
  name: string,
  serviceAccount: string,
  rows: readonly RuleRow[],
  values: InstallValues,
  binding = name,
): Manifest[] {
  const labels = { app, ...commonLabels(component, app, values) };
  return [
    { apiVersion: API, kind: "ClusterRole", metadata: { name, labels }, rules: rules(rows) },
    {
      apiVersion: API,
      kind: "ClusterRoleBinding",
      metadata: { name: binding, labels },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
      subjects: [{ kind: "ServiceAccount", name: serviceAccount, namespace: values.namespace }],
    },
  ];
}

const ISTIO_GROUPS =
  "config.istio.io security.istio.io networking.istio.io authentication.istio.io rbac.istio.io telemetry.istio.io extensions.istio.io";

/** What a remote control plane may read. */
const READER: readonly RuleRow[] = [
  [ISTIO_GROUPS, "*", READ],
  ["core", "endpoints pods services nodes replicationcontrollers namespaces secrets", READ],
  ["networking.istio.io", "workloadentries", READ],
  ["networking.x-k8s.io gateway.networking.k8s.io", "*", READ],
  ["apiextensions.k8s.io", "customresourcedefinitions", READ],
  ["discovery.k8s.io", "endpointslices", READ],
  ["multicluster.x-k8s.io", "serviceexports", WRITE],
  ["multicluster.x-k8s.io", "serviceimports", READ],
  ["apps", "replicasets", READ],
  ["authentication.k8s.io", "tokenreviews", "create"],
  ["authorization.k8s.io", "subjectaccessreviews", "create"],
];

const CONTROL_PLANE: readonly RuleRow[] = [
  ["admissionregistration.k8s.io", "mutatingwebhookconfigurations", "get list watch update patch"],
  ["admissionregistration.k8s.io", "validatingwebhookconfigurations", "get list watch update"],
  [ISTIO_GROUPS, "*", READ],
  [
    "networking.istio.io",
    "workloadentries workloadentries/status serviceentries/status",
    "get watch list update patch create delete",
  ],
  [
    "networking.istio.io",
    "gateways/status virtualservices/status destinationrules/status envoyfilters/status proxyconfigs/status sidecars/status workloadgroups/status",
    "update patch",
  ],
  ["security.istio.io", "requestauthentications/status peerauthentications/status", "update patch"],
  ["telemetry.istio.io", "telemetries/status", "update patch"],
  ["extensions.istio.io", "wasmplugins/status trafficextensions/status", "update patch"],
  ["security.istio.io", "authorizationpolicies/status", "get watch list update patch create delete"],
  ["core", "services/status", "get watch list update patch create delete"],
  ["apiextensions.k8s.io", "customresourcedefinitions", READ],
  ["core", "pods nodes services namespaces endpoints", READ],
  ["discovery.k8s.io", "endpointslices", READ],
  ["networking.k8s.io", "ingresses ingressclasses", READ],
  ["networking.k8s.io", "ingresses/status", "*"],
  ["core", "configmaps", "create get list watch update"],
  ["authentication.k8s.io", "tokenreviews", "create"],
  ["authorization.k8s.io", "subjectaccessreviews", "create"],
  ["gateway.networking.k8s.io gateway.networking.x-k8s.io", "*", "get watch list"],
  [
    "gateway.networking.x-k8s.io",
    "xbackendtrafficpolicies/status xlistenersets/status xbackends/status",
    "update patch",
  ],
  [
    "gateway.networking.k8s.io",
    "backendtlspolicies/status gatewayclasses/status gateways/status grpcroutes/status httproutes/status listenersets/status tcproutes/status tlsroutes/status udproutes/status referencegrants/status",
    "update patch",
  ],
  ["gateway.networking.k8s.io", "gatewayclasses", "create update patch delete"],
  ["inference.networking.k8s.io", "inferencepools", READ],
  ["inference.networking.k8s.io", "inferencepools/status", "update patch"],
  ["core", "secrets", READ],
  ["multicluster.x-k8s.io", "serviceexports", "get watch list create delete"],
  ["multicluster.x-k8s.io", "serviceimports", READ],
];

const GATEWAY_CONTROLLER: readonly RuleRow[] = [
  ["apps", "deployments", WRITE],
  ["autoscaling", "horizontalpodautoscalers", WRITE],
  ["policy", "poddisruptionbudgets", WRITE],
  ["core", "services", WRITE],
  ["core", "serviceaccounts", WRITE],
];

/** Within istio-system only. */
const CONTROL_PLANE_LOCAL: readonly RuleRow[] = [
  // Creating a Gateway as a dry run shows that the webhooks answer.
  ["networking.istio.io", "gateways", "create"],
  ["core", "secrets", "create get watch list update delete"],
  ["core", "configmaps", "delete"],
  ["coordination.k8s.io", "leases", "get update patch create"],
];

/** Roles of the service account istio-reader-service-account. */
export function readerRoles(values: InstallValues): Manifest[] {
  const name = `istio-reader-clusterrole-${values.namespace}`;
  return clusterRole("Base", "istio-reader", name, "istio-reader-service-account", READER, values);
}

/** Roles of istiod's service account. */
export function istiodRoles(values: InstallValues, serviceAccount: string): Manifest[] {
  const suffix = values.revision === "" ? values.namespace : `${values.revision}-${values.namespace}`;
  const labels = { app: "istiod", ...commonLabels("Pilot", "istiod", values) };
  return [
    ...clusterRole("Pilot", "istiod", `istiod-clusterrole-${suffix}`, serviceAccount, CONTROL_PLANE, values),
    ...clusterRole(
      "Pilot",
      "istiod",
      `istiod-gateway-controller-${suffix}`,
      serviceAccount,
      GATEWAY_CONTROLLER,
      values,
    ),
    {
      apiVersion: API,
      kind: "Role",
      metadata: { name: serviceAccount, namespace: values.namespace, labels },
      rules: rules(CONTROL_PLANE_LOCAL),
    },
    {
      apiVersion: API,
      kind: "RoleBinding",
      metadata: { name: serviceAccount, namespace: values.namespace, labels },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: serviceAccount },
      subjects: [{ kind: "ServiceAccount", name: serviceAccount, namespace: values.namespace }],
    },
  ];
}

/** Roles of the service account istio-cni. */
export function cniRoles(values: InstallValues): Manifest[] {
  const account = "istio-cni";
  return [
    ...clusterRole("Cni", account, account, account, [["core", "pods nodes namespaces", READ]], values),
    ...clusterRole(
      "Cni",
      account,
      "istio-cni-repair-role",
      account,
      [
        ["core", "events", "create patch"],
        ["core", "pods", "watch get list"],
        ["core", "pods", "delete"],
      ],
      values,
      "istio-cni-repair-rolebinding",
    ),
    ...clusterRole(
      "Cni",
      account,
      "istio-cni-ambient",
      account,
      [
        ["core", "pods/status", "patch update"],
        ["core", "pods nodes namespaces", READ],
        ["apps", "daemonsets", "get"],
      ],
      values,
    ),
  ];
}
