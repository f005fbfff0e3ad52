import type { KubeObject } from "../../contracts.ts";
import { isReady, isTerminated } from "../kit/pods.ts";

/** The most endpoints that one slice holds, as kube's --max-endpoints-per-slice. */
export const SLICE_MAX = 100;

export type AddressType = "IPv4" | "IPv6";

export interface EndpointPort {
  name: string;
  port?: number;
  protocol: string;
  appProtocol?: string;
}

export interface Endpoint {
  addresses: string[];
  conditions: { ready: boolean; serving: boolean; terminating: boolean };
  hostname?: string;
  nodeName?: string;
  zone?: string;
  targetRef: { kind: "Pod"; name: string; namespace: string; uid: string };
}

/** Endpoints that share one list of ports: named target ports may differ from pod to pod. */
export interface PortGroup {
  ports: EndpointPort[];
  endpoints: Endpoint[];
}

/**
 * The endpoints of a Service for one address family, grouped by ports. `pods` are those its selector matches; ended
 * ones and ones without an address of the family have no place. A pod on its way out stays, marked terminating, until
 * it is gone.
 */
export function buildEndpoints(
  service: KubeObject,
  pods: KubeObject[],
  family: AddressType,
  zoneOf: (node: string) => string | undefined,
): PortGroup[] {
  const groups = new Map<string, PortGroup>();
  for (const pod of pods) {
    if (isTerminated(pod) || !pod.spec?.nodeName) continue;
    const addresses = podAddresses(pod).filter((ip) => familyOf(ip) === family);
    if (addresses.length === 0) continue;
    const ports = portsFor(service, pod);
    const key = JSON.stringify(ports);
    let group = groups.get(key);
    if (!group) groups.set(key, group = { ports, endpoints: [] });
    group.endpoints.push(endpointFor(service, pod, addresses.slice(0, 1), zoneOf));
  }
  for (const { endpoints } of groups.values()) {
    endpoints.sort((a, b) => a.targetRef.name < b.targetRef.name ? -1 : 1);
  }
  return [...groups.values()];
}

function endpointFor(
  service: KubeObject,
  pod: KubeObject,
  addresses: string[],
  zoneOf: (node: string) => string | undefined,
): Endpoint {
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const serving = isReady(pod);
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const zone = zoneOf(pod.spec.nodeName);
  const hostname = pod.spec.hostname && pod.spec.subdomain === service.metadata.name ? pod.spec.hostname : undefined;
  return {
    addresses,
    conditions: { ready, serving, terminating },
    ...(hostname ? { hostname } : {}),
    nodeName: pod.spec.nodeName,
    ...(zone ? { zone } : {}),
    targetRef: { kind: "Pod", name: pod.metadata.name, namespace: pod.metadata.namespace!, uid: pod.metadata.uid! },
  };
}

/** A Service port is left out for a pod that has no container port of the name it targets. */
function portsFor(service: KubeObject, pod: KubeObject): EndpointPort[] {
  const ports: EndpointPort[] = [];
  for (const port of service.spec.ports ?? []) {
    const number = targetPort(port, pod);
    if (number === undefined) continue;
    ports.push({
      name: port.name ?? "",
      port: number,
      protocol: port.protocol ?? "TCP",
      ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}),
    });
  }
  return ports;
}

function targetPort(port: any, pod: KubeObject): number | undefined {
  const target = port.targetPort;
  if (typeof target === "number" && target > 0) return target;
  if (typeof target !== "string" || target === "") return port.port;
  if (/^\d+$/.test(target)) return Number(target);
  const sidecars = (pod.spec.initContainers ?? []).filter((container: any) => container.restartPolicy === "Always");
  for (const container of [...pod.spec.containers ?? [], ...sidecars]) {
    for (const candidate of container.ports ?? []) {
      if (candidate.name === target && (candidate.protocol ?? "TCP") === (port.protocol ?? "TCP")) {
        return candidate.containerPort;
      }
    }
  }
  return undefined;
}

function podAddresses(pod: KubeObject): string[] {
  const ips = (pod.status?.podIPs ?? []).map(({ ip }: { ip: string }) => ip);
  return ips.length > 0 ? ips : pod.status?.podIP ? [pod.status.podIP] : [];
}

export function familyOf(ip: string): AddressType {
  return ip.includes(":") ? "IPv6" : "IPv4";
}

/** The subsets of the legacy Endpoints object: the same facts, grouped by ports, ready apart from not ready. */
export function buildSubsets(service: KubeObject, groups: PortGroup[]): unknown[] {
  const subsets: unknown[] = [];
  const portless = (service.spec.ports ?? []).length === 0;
  for (const { ports, endpoints } of groups) {
    if (ports.length === 0 && !portless) continue;
    const toAddress = (endpoint: Endpoint) => ({
      ip: endpoint.addresses[0],
      ...(endpoint.hostname ? { hostname: endpoint.hostname } : {}),
      nodeName: endpoint.nodeName,
      targetRef: endpoint.targetRef,
    });
    const addresses = endpoints.filter(({ conditions }) => conditions.ready).map(toAddress);
    const notReady = endpoints.filter(({ conditions }) => !conditions.ready && !conditions.terminating).map(toAddress);
    if (addresses.length + notReady.length === 0) continue;
    subsets.push({
      ...(addresses.length > 0 ? { addresses } : {}),
      ...(notReady.length > 0 ? { notReadyAddresses: notReady } : {}),
      ...(portless ? {} : { ports: ports.map(({ name, ...port }) => name === "" ? port : { name, ...port }) }),
    });
  }
  return subsets;
}
