// WorkloadEntry, and the endpoints that a ServiceEntry holds -> workloads (istiod-behaviour.md §1).

import { canonicalIp } from "../core/ip.ts";
import type { KubeObject } from "../kube/types.ts";
import type { Locality, Port, Workload } from "../model/workload.ts";
import { ANNOTATION, LABEL, type Labels } from "./labels.ts";
import { labelsOf, objectOf, portOf, textOf } from "./read.ts";
import type { ServiceInfo } from "./service.ts";
import type { MeshSettings } from "./settings.ts";

/** Fields of a WorkloadEntry's spec, and of a ServiceEntry's endpoints. */
export const ENTRY_FIELDS: readonly string[] = [
  "address",
  "ports",
  "labels",
  "network",
  "locality",
  "weight",
  "serviceAccount",
];

export interface EntryWorkload {
  /** The WorkloadEntry, or the ServiceEntry that holds the endpoint. */
  readonly object: KubeObject;
  readonly uid: string;
  /** IP address or host name. */
  readonly address: string;
  /** `address`, `labels`, `ports`, `weight`, … */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly services: ReadonlyMap<string, readonly Port[]>;
  readonly network: string;
  readonly settings: MeshSettings;
}

/** Labels of an entry: its own and those of `spec.labels`. */
export function entryLabels(object: KubeObject, fields: Readonly<Record<string, unknown>>): Labels {
  return { ...object.metadata.labels, ...labelsOf(fields.labels) };
}

/** Labels of a WorkloadEntry. */
export function workloadEntryLabels(object: KubeObject): Labels {
  return entryLabels(object, objectOf(object.spec));
}

export function workloadEntryUid({ metadata }: KubeObject, { clusterId }: MeshSettings): string {
  return `${clusterId}/networking.istio.io/WorkloadEntry/${metadata.namespace}/${metadata.name}`;
}

export function buildEntryWorkload(entry: EntryWorkload): Workload {
  const { object, uid, address, fields, settings } = entry;
  const { name, namespace = "default", annotations } = object.metadata;
  const ip = canonicalIp(address), labels = entryLabels(object, fields);
  const nativeTunnel = (labels[LABEL.tunnel] ?? "").split(",").some((protocol) => protocol.trim() === "http");
  const captured = annotations?.[ANNOTATION.redirection] === "enabled";
  const { weight } = fields;
  return {
    uid,
    name,
    namespace,
    addresses: ip === undefined ? [] : [ip],
    hostname: ip === undefined ? address : "",
    network: textOf(fields.network) || entry.network,
    tunnelProtocol: captured || nativeTunnel ? "HBONE" : "NONE",
    nativeTunnel,
    trustDomain: settings.trustDomain,
    serviceAccount: textOf(fields.serviceAccount),
    node: "",
    canonicalName: labels[LABEL.canonicalName] ?? labels[LABEL.appName] ?? labels[LABEL.app] ?? name,
    canonicalRevision: labels[LABEL.canonicalRevision] ?? labels[LABEL.appVersion] ?? labels[LABEL.version] ?? "latest",
    workloadType: "POD",
    workloadName: name,
    status: "HEALTHY",
    clusterId: settings.clusterId,
    authorizationPolicies: [],
    services: entry.services,
    locality: locality(textOf(fields.locality)),
    networkMode: "STANDARD",
    capacity: typeof weight === "number" && Number.isInteger(weight) && weight > 0 ? weight : 1,
  };
}

/** The service's ports with the numbers that an entry gives them by name. */
export function entryPorts(service: ServiceInfo, fields: Readonly<Record<string, unknown>>): Port[] {
  const ports = objectOf(fields.ports);
  return service.ports.map(({ name, targetName, targetPort, servicePort, appProtocol }) => {
    const own = Object.hasOwn(ports, targetName || name) ? portOf(ports[targetName || name]) : undefined;
    return { servicePort, targetPort: own ?? (targetPort || servicePort), appProtocol };
  });
}

function locality(text: string): Locality | undefined {
  const [region = "", zone = "", subzone = ""] = text.split("/");
  return region ? { region, zone, subzone } : undefined;
}
