// Pod -> workload (istiod-behaviour.md §1).

import { canonicalIp } from "../core/ip.ts";
import type { KubeObject, Pod } from "../kube/types.ts";
import type { GatewayAddress, Locality, Port, Workload } from "../model/workload.ts";
import { ANNOTATION, LABEL } from "./labels.ts";
import type { MeshSettings } from "./settings.ts";

/** What a pod's workload depends on beside the pod. */
export interface PodContext {
  readonly settings: MeshSettings;
  readonly network: string;
  readonly node: KubeObject | undefined;
  /** `namespace/hostname` to the ports of that service which the pod serves. */
  readonly services: ReadonlyMap<string, readonly Port[]>;
  /** Keys of the workload-selector policies that apply. */
  readonly policies: readonly string[];
  readonly waypoint?: GatewayAddress;
  /** Of a waypoint's own instances. */
  readonly applicationTunnel?: Workload["applicationTunnel"];
}

/** Whether the mesh knows a pod at all: it has not ended and has an address. */
export function isWorkload(pod: Pod): boolean {
  const phase = pod.status?.phase;
  return phase !== "Succeeded" && phase !== "Failed" && podIps(pod).length > 0;
}

export function podUid(pod: Pod, { clusterId }: MeshSettings): string {
  return `${clusterId}//Pod/${pod.metadata.namespace}/${pod.metadata.name}`;
}

export function buildPodWorkload(pod: Pod, context: PodContext): Workload {
  const { metadata, spec } = pod, { settings } = context;
  const labels = metadata.labels ?? {};
  const nativeTunnel = (labels[LABEL.tunnel] ?? "").split(",").some((protocol) => protocol.trim() === "http");
  const captured = metadata.annotations?.[ANNOTATION.redirection] === "enabled";
  const name = workloadName(pod);
  return {
    uid: podUid(pod, settings),
    name: metadata.name,
    namespace: metadata.namespace ?? "default",
    addresses: podIps(pod),
    hostname: "",
    network: context.network,
    tunnelProtocol: captured || nativeTunnel ? "HBONE" : "NONE",
    nativeTunnel,
    trustDomain: settings.trustDomain,
    waypoint: context.waypoint,
    serviceAccount: spec.serviceAccountName || "default",
    node: spec.nodeName ?? "",
    canonicalName: labels[LABEL.canonicalName] ?? labels[LABEL.appName] ?? labels[LABEL.app] ?? name,
    canonicalRevision: labels[LABEL.canonicalRevision] ?? labels[LABEL.appVersion] ?? labels[LABEL.version] ?? "latest",
    workloadType: "POD",
    workloadName: name,
    status: isReady(pod) ? "HEALTHY" : "UNHEALTHY",
    clusterId: settings.clusterId,
    authorizationPolicies: context.policies,
    services: context.services,
    applicationTunnel: context.applicationTunnel,
    locality: locality(context.node),
    networkMode: spec.hostNetwork ? "HOST_NETWORK" : "STANDARD",
    capacity: 1,
  };
}

/** The pod's addresses in canonical form. */
export function podIps({ status }: Pod): string[] {
  const listed = status?.podIPs?.length ? status.podIPs.map(({ ip }) => ip) : [status?.podIP ?? ""];
  return listed.map(canonicalIp).filter((ip) => ip !== undefined);
}

function isReady({ metadata, status }: Pod): boolean {
  if (metadata.deletionTimestamp) return false;
  return status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

/** The name of what made the pod: a Deployment behind its ReplicaSet, a CronJob behind its Job, else the owner, else the pod. */
export function workloadName(pod: Pod): string {
  const { metadata } = pod;
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  if (!owner) return metadata.name;
  const hash = metadata.labels?.[LABEL.podTemplateHash];
  if (owner.kind === "ReplicaSet" && hash && owner.name.endsWith(`-${hash}`)) {
    return owner.name.slice(0, -hash.length - 1);
  }
  // A CronJob's jobs end in the minute they were due at.
  if (owner.kind === "Job") return owner.name.replace(/(?<=.)-\d{8,}$/, "");
  return owner.name;
}

function locality(node: KubeObject | undefined): Locality | undefined {
  const labels = node?.metadata.labels;
  const region = labels?.[LABEL.region] ?? "",
    zone = labels?.[LABEL.zone] ?? "",
    subzone = labels?.[LABEL.subzone] ?? "";
  return region || zone || subzone ? { region, zone, subzone } : undefined;
}

/** The number of a container port by its name; undefined when no container has it. */
export function containerPort({ spec }: Pod, name: string): number | undefined {
  // A restartable init container is a sidecar: its ports are the pod's too.
  const sidecars = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  for (const { ports } of [...spec.containers, ...sidecars]) {
    const port = ports?.find((port) => port.name === name && (port.protocol ?? "TCP") === "TCP");
    if (port) return port.containerPort;
  }
  return undefined;
}
