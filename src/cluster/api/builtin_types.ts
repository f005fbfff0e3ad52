import { builtinSchema } from "./schema/builtin.ts";
import { convertAutoscaler } from "./strategies/autoscaler_versions.ts";
import { STRATEGIES } from "./strategies/mod.ts";
import type { ResourceType, ScalePaths, TypeVersion } from "./types.ts";

interface Options {
  short?: string[];
  categories?: string[];
  cluster?: true;
  status?: true;
  scale?: ScalePaths;
  sub?: ResourceType["subresources"];
  virtual?: true;
  /** An older version that is served too. */
  older?: { version: string; schema: string; convert: ResourceType["convert"] };
  singular?: string;
}

const ALL = ["all"];
const WORKLOAD_SCALE: ScalePaths = {
  specReplicasPath: ".spec.replicas",
  statusReplicasPath: ".status.replicas",
  labelSelectorPath: ".spec.selector",
};

function type(group: string, version: string, plural: string, schema: string, options: Options = {}): ResourceType {
  const kind = schema.slice(schema.indexOf(".") + 1);
  const key = `${group}/${plural}`;
  // The schema is parsed when first used: a start of the server needs only some of them.
  const entry = (name: string, schema: string): TypeVersion => ({
    name,
    served: true,
    get schema() {
      return builtinSchema(schema);
    },
    hasStatus: options.status === true,
    scale: options.scale,
  });
  const { older } = options;
  return Object.freeze({
    group,
    plural,
    singular: options.singular ?? kind.toLowerCase(),
    kind,
    listKind: `${kind}List`,
    shortNames: options.short ?? [],
    categories: options.categories ?? [],
    namespaced: !options.cluster,
    versions: [entry(version, schema), ...older ? [entry(older.version, older.schema)] : []],
    convert: older?.convert,
    storageVersion: version,
    strategy: STRATEGIES[key] ?? {},
    virtual: options.virtual,
    subresources: options.sub ?? {},
    key,
  });
}

const APPS = "apps";
const BATCH = "batch";
const RBAC = "rbac.authorization.k8s.io";
const ADMISSION = "admissionregistration.k8s.io";
const STORAGE = "storage.k8s.io";
const NETWORKING = "networking.k8s.io";
const AUTHORIZATION = "authorization.k8s.io";
const AUTHENTICATION = "authentication.k8s.io";
const EXTENSIONS = ["api-extensions"];

/** The types that every cluster serves. */
export function builtinTypes(): ResourceType[] {
  return [
    type("", "v1", "bindings", "core.Binding", { virtual: true }),
    type("", "v1", "configmaps", "core.ConfigMap", { short: ["cm"] }),
    type("", "v1", "endpoints", "core.Endpoints", { short: ["ep"], singular: "endpoints" }),
    type("", "v1", "events", "core.Event", { short: ["ev"] }),
    type("", "v1", "limitranges", "core.LimitRange", { short: ["limits"] }),
    type("", "v1", "namespaces", "core.Namespace", {
      short: ["ns"],
      cluster: true,
      status: true,
      sub: { finalize: { kind: "Namespace", verbs: ["update"] } },
    }),
    type("", "v1", "nodes", "core.Node", { short: ["no"], cluster: true, status: true }),
    type("", "v1", "persistentvolumeclaims", "core.PersistentVolumeClaim", { short: ["pvc"], status: true }),
    type("", "v1", "persistentvolumes", "core.PersistentVolume", { short: ["pv"], cluster: true, status: true }),
    type("", "v1", "pods", "core.Pod", {
      short: ["po"],
      categories: ALL,
      status: true,
      sub: {
        attach: { kind: "PodAttachOptions", verbs: ["create", "get"] },
        binding: { kind: "Binding", verbs: ["create"] },
        ephemeralcontainers: { kind: "Pod", verbs: ["get", "patch", "update"] },
        eviction: { kind: "Eviction", verbs: ["create"], group: "policy", version: "v1" },
        exec: { kind: "PodExecOptions", verbs: ["create", "get"] },
        log: { kind: "Pod", verbs: ["get"] },
        portforward: { kind: "PodPortForwardOptions", verbs: ["create", "get"] },
      },
    }),
    type("", "v1", "podtemplates", "core.PodTemplate"),
    type("", "v1", "replicationcontrollers", "core.ReplicationController", {
      short: ["rc"],
      categories: ALL,
      status: true,
      scale: WORKLOAD_SCALE,
    }),
    type("", "v1", "resourcequotas", "core.ResourceQuota", { short: ["quota"], status: true }),
    type("", "v1", "secrets", "core.Secret"),
    type("", "v1", "serviceaccounts", "core.ServiceAccount", {
      short: ["sa"],
      sub: { token: { kind: "TokenRequest", verbs: ["create"], group: AUTHENTICATION, version: "v1" } },
    }),
    type("", "v1", "services", "core.Service", { short: ["svc"], categories: ALL, status: true }),

    type(APPS, "v1", "controllerrevisions", "apps.ControllerRevision"),
    type(APPS, "v1", "daemonsets", "apps.DaemonSet", { short: ["ds"], categories: ALL, status: true }),
    type(APPS, "v1", "deployments", "apps.Deployment", {
      short: ["deploy"],
      categories: ALL,
      status: true,
      scale: WORKLOAD_SCALE,
    }),
    type(APPS, "v1", "replicasets", "apps.ReplicaSet", {
      short: ["rs"],
      categories: ALL,
      status: true,
      scale: WORKLOAD_SCALE,
    }),
    type(APPS, "v1", "statefulsets", "apps.StatefulSet", {
      short: ["sts"],
      categories: ALL,
      status: true,
      scale: WORKLOAD_SCALE,
    }),

    type(BATCH, "v1", "cronjobs", "batch.CronJob", { short: ["cj"], categories: ALL, status: true }),
    type(BATCH, "v1", "jobs", "batch.Job", { categories: ALL, status: true }),

    type("autoscaling", "v2", "horizontalpodautoscalers", "autoscaling.HorizontalPodAutoscaler", {
      older: { version: "v1", schema: "autoscalingv1.HorizontalPodAutoscaler", convert: convertAutoscaler },
      short: ["hpa"],
      categories: ALL,
      status: true,
    }),
    type("policy", "v1", "poddisruptionbudgets", "policy.PodDisruptionBudget", { short: ["pdb"], status: true }),
    type("discovery.k8s.io", "v1", "endpointslices", "discovery.EndpointSlice"),
    type("coordination.k8s.io", "v1", "leases", "coordination.Lease"),
    type("events.k8s.io", "v1", "events", "events.Event", { short: ["ev"] }),
    type("scheduling.k8s.io", "v1", "priorityclasses", "scheduling.PriorityClass", { short: ["pc"], cluster: true }),
    type("node.k8s.io", "v1", "runtimeclasses", "node.RuntimeClass", { cluster: true }),
    type("certificates.k8s.io", "v1", "certificatesigningrequests", "certificates.CertificateSigningRequest", {
      short: ["csr"],
      cluster: true,
      status: true,
      sub: { approval: { kind: "CertificateSigningRequest", verbs: ["get", "patch", "update"] } },
    }),

    type(NETWORKING, "v1", "ingresses", "networking.Ingress", { short: ["ing"], status: true }),
    type(NETWORKING, "v1", "ingressclasses", "networking.IngressClass", { cluster: true }),
    type(NETWORKING, "v1", "networkpolicies", "networking.NetworkPolicy", { short: ["netpol"] }),

    type(RBAC, "v1", "clusterrolebindings", "rbac.ClusterRoleBinding", { cluster: true }),
    type(RBAC, "v1", "clusterroles", "rbac.ClusterRole", { cluster: true }),
    type(RBAC, "v1", "rolebindings", "rbac.RoleBinding"),
    type(RBAC, "v1", "roles", "rbac.Role"),

    type(STORAGE, "v1", "csidrivers", "storage.CSIDriver", { cluster: true }),
    type(STORAGE, "v1", "csinodes", "storage.CSINode", { cluster: true }),
    type(STORAGE, "v1", "storageclasses", "storage.StorageClass", { short: ["sc"], cluster: true }),
    type(STORAGE, "v1", "volumeattachments", "storage.VolumeAttachment", { cluster: true, status: true }),

    type(ADMISSION, "v1", "mutatingwebhookconfigurations", "admissionregistration.MutatingWebhookConfiguration", {
      categories: EXTENSIONS,
      cluster: true,
    }),
    type(ADMISSION, "v1", "validatingwebhookconfigurations", "admissionregistration.ValidatingWebhookConfiguration", {
      categories: EXTENSIONS,
      cluster: true,
    }),
    type(ADMISSION, "v1", "validatingadmissionpolicies", "admissionregistration.ValidatingAdmissionPolicy", {
      categories: EXTENSIONS,
      cluster: true,
      status: true,
    }),
    type(
      ADMISSION,
      "v1",
      "validatingadmissionpolicybindings",
      "admissionregistration.ValidatingAdmissionPolicyBinding",
      { categories: EXTENSIONS, cluster: true },
    ),
    type("apiextensions.k8s.io", "v1", "customresourcedefinitions", "apiextensions.CustomResourceDefinition", {
      short: ["crd", "crds"],
      categories: EXTENSIONS,
      cluster: true,
      status: true,
    }),

    type(AUTHENTICATION, "v1", "selfsubjectreviews", "authentication.SelfSubjectReview", {
      cluster: true,
      virtual: true,
    }),
    type(AUTHENTICATION, "v1", "tokenreviews", "authentication.TokenReview", { cluster: true, virtual: true }),
    type(AUTHORIZATION, "v1", "localsubjectaccessreviews", "authorization.LocalSubjectAccessReview", { virtual: true }),
    type(AUTHORIZATION, "v1", "selfsubjectaccessreviews", "authorization.SelfSubjectAccessReview", {
      cluster: true,
      virtual: true,
    }),
    type(AUTHORIZATION, "v1", "selfsubjectrulesreviews", "authorization.SelfSubjectRulesReview", {
      cluster: true,
      virtual: true,
    }),
    type(AUTHORIZATION, "v1", "subjectaccessreviews", "authorization.SubjectAccessReview", {
      cluster: true,
      virtual: true,
    }),
  ];
}
