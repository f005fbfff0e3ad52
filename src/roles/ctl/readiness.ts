import type { KubeJson } from "./kube.ts";

/** Whether a workload or definition has reached what its spec asks for. Kinds that have no such state are ready. */
export function isReady(object: KubeJson): boolean {
  const { status, spec, metadata } = object;
  switch (object.kind) {
    case "Deployment":
      if (!status || (status.observedGeneration ?? 0) < (metadata.generation ?? 0)) return false;
      // Counters that are zero are left out of a status.
      return (status.updatedReplicas ?? 0) >= (spec.replicas ?? 1) &&
        (status.availableReplicas ?? 0) >= (spec.replicas ?? 1) &&
        (status.replicas ?? 0) <= (status.updatedReplicas ?? 0);
    case "DaemonSet":
      if (!status || (status.observedGeneration ?? 0) < (metadata.generation ?? 0)) return false;
      return status.desiredNumberScheduled > 0 &&
        (status.updatedNumberScheduled ?? 0) >= status.desiredNumberScheduled &&
        (status.numberAvailable ?? status.numberReady ?? 0) >= status.desiredNumberScheduled;
    case "CustomResourceDefinition":
      return (status?.conditions ?? []).some((c: KubeJson) => c.type === "Established" && c.status === "True");
    default:
      return true;
  }
}

/** `Kind/namespace/name`, as progress names objects. */
export function objectName(object: KubeJson): string {
  const { namespace, name } = object.metadata;
  return [object.kind, namespace, name].filter(Boolean).join("/");
}
