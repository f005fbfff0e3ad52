import type { GroupResource, KubeObject, OwnerReference } from "../../contracts.ts";

/** A type that every cluster serves, as discovery describes it. */
export interface BuiltinType extends GroupResource {
  readonly version: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

function type(group: string, version: string, resource: string, kind: string, namespaced = true): BuiltinType {
  return Object.freeze({ group, version, resource, kind, namespaced });
}

export const NAMESPACES = type("", "v1", "namespaces", "Namespace", false);
export const NODES = type("", "v1", "nodes", "Node", false);
export const PODS = type("", "v1", "pods", "Pod");
export const SERVICES = type("", "v1", "services", "Service");
export const ENDPOINTS = type("", "v1", "endpoints", "Endpoints");
export const CONFIG_MAPS = type("", "v1", "configmaps", "ConfigMap");
export const SECRETS = type("", "v1", "secrets", "Secret");
export const SERVICE_ACCOUNTS = type("", "v1", "serviceaccounts", "ServiceAccount");
export const EVENTS = type("", "v1", "events", "Event");
export const VOLUME_CLAIMS = type("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim");
export const DEPLOYMENTS = type("apps", "v1", "deployments", "Deployment");
export const REPLICA_SETS = type("apps", "v1", "replicasets", "ReplicaSet");
export const DAEMON_SETS = type("apps", "v1", "daemonsets", "DaemonSet");
export const STATEFUL_SETS = type("apps", "v1", "statefulsets", "StatefulSet");
export const CONTROLLER_REVISIONS = type("apps", "v1", "controllerrevisions", "ControllerRevision");
export const JOBS = type("batch", "v1", "jobs", "Job");
export const CRON_JOBS = type("batch", "v1", "cronjobs", "CronJob");
export const ENDPOINT_SLICES = type("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice");
export const DISRUPTION_BUDGETS = type("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget");
export const AUTOSCALERS = type("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler");
export const LEASES = type("coordination.k8s.io", "v1", "leases", "Lease");
export const PRIORITY_CLASSES = type("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false);
export const CRDS = type(
  "apiextensions.k8s.io",
  "v1",
  "customresourcedefinitions",
  "CustomResourceDefinition",
  false,
);

/** `namespace/name`, with an empty namespace for cluster-scoped objects: the key of every queue and cache. */
export function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

/** Takes a key of {@linkcode keyOf} apart. */
export function splitKey(key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf("/");
  return { namespace: slash === 0 ? undefined : key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The group of an apiVersion, "" for core. */
export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? "" : apiVersion.slice(0, slash);
}

/** The reference to the object's managing controller, of which there is at most one. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((reference) => reference.controller === true);
}

/** A controller reference to `owner`, as every kube controller writes it. */
export function ownerReference(owner: KubeObject): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid!,
    controller: true,
    blockOwnerDeletion: true,
  };
}
