// What informers keep of an object: the parts that the builders read. Ten thousand pods are some 100 MB whole, a tenth of it so.

import type { EndpointSlice, KubeObject, KubeService, Pod } from "../kube/types.ts";
import { ANNOTATION } from "./labels.ts";

const POD_ANNOTATIONS: readonly string[] = [ANNOTATION.redirection];

/** A pod as the index and the CA's node authorization need it. */
export function leanPod({ metadata, spec, status }: Pod): Pod {
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, labels, ownerReferences } =
    metadata;
  const annotations: Record<string, string> = {};
  for (const key of POD_ANNOTATIONS) {
    const value = metadata.annotations?.[key];
    if (value !== undefined) annotations[key] = value;
  }
  const container = ({ name, ports, restartPolicy }: Pod["spec"]["containers"][number]) => ({
    name,
    ports: ports?.map(({ name, containerPort, protocol }) => ({ name, containerPort, protocol })),
    restartPolicy,
  });
  return {
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion,
      creationTimestamp,
      deletionTimestamp,
      labels,
      annotations,
      ownerReferences: ownerReferences?.filter(({ controller }) => controller),
    },
    spec: {
      nodeName: spec.nodeName,
      serviceAccountName: spec.serviceAccountName,
      hostNetwork: spec.hostNetwork,
      containers: spec.containers.map(container),
      initContainers: spec.initContainers?.filter(({ restartPolicy }) => restartPolicy === "Always").map(container),
    },
    status: {
      phase: status?.phase,
      podIP: status?.podIP,
      podIPs: status?.podIPs,
      conditions: status?.conditions?.filter(({ type }) => type === "Ready").map(({ type, status }) => ({
        type,
        status,
      })),
    },
  };
}

/** A node's labels. */
export function leanNode({ metadata }: KubeObject): KubeObject {
  const { name, uid, resourceVersion, labels } = metadata;
  return { metadata: { name, uid, resourceVersion, labels } };
}

/** Anything else, without the record of who set which field. */
export function withoutManagedFields<T extends KubeObject | KubeService | EndpointSlice>(object: T): T {
  if (!("managedFields" in object.metadata)) return object;
  const { managedFields: _, ...metadata } = object.metadata as KubeObject["metadata"] & { managedFields?: unknown };
  return { ...object, metadata };
}
