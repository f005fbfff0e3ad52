// ServiceEntry -> services, and workloads for its inline endpoints (istiod-behaviour.md §1 and §2).

import { canonicalIp } from "../core/ip.ts";
import type { KubeObject } from "../kube/types.ts";
import { type NetworkAddress, serviceKey, type Workload } from "../model/workload.ts";
import { ipRange } from "./authorization/values.ts";
import { LABEL, type Labels } from "./labels.ts";
import { labelsOf, listOf, objectOf, portOf, textOf } from "./read.ts";
import { appProtocol, type ServiceInfo, type ServiceInfoPort } from "./service.ts";
import { buildEntryWorkload, ENTRY_FIELDS, entryPorts } from "./workload_entry.ts";
import type { MeshSettings } from "./settings.ts";

export type Resolution = "NONE" | "STATIC" | "DNS" | "DNS_ROUND_ROBIN" | "DYNAMIC_DNS";

/** A ServiceEntry as far as it depends on nothing else. */
export interface ServiceEntryInfo {
  readonly namespace: string;
  readonly name: string;
  readonly resolution: Resolution;
  readonly external: boolean;
  readonly hosts: readonly string[];
  readonly ports: readonly ServiceInfoPort[];
  readonly selector?: Labels;
  readonly endpoints: readonly Record<string, unknown>[];
  /** What was left out, with its place. */
  readonly problems: readonly string[];
}

const RESOLUTIONS: readonly Resolution[] = ["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"];
const HOST = /^(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/;

const read = new WeakMap<KubeObject, ServiceEntryInfo>();

/** What can be used of a ServiceEntry; the rest of it is left out. */
export function readServiceEntry(object: KubeObject): ServiceEntryInfo {
  let info = read.get(object);
  if (!info) read.set(object, info = readFields(object));
  return info;
}

function readFields(object: KubeObject): ServiceEntryInfo {
  const spec = objectOf(object.spec), { namespace = "default", name } = object.metadata;
  const selector = labelsOf(objectOf(spec.workloadSelector).labels);
  const dns = textOf(spec.resolution).includes("DNS"), problems: string[] = [];
  const check = (place: string, values: unknown, good: (value: unknown) => boolean) => {
    if (values !== undefined && values !== null && !Array.isArray(values)) problems.push(`cannot use ${place}`);
    for (const [i, value] of listOf(values).entries()) {
      if (problems.length < 8 && !good(value)) {
        problems.push(`cannot use ${place}[${i}]=${JSON.stringify(value)?.slice(0, 80)}`);
      }
    }
  };
  check("hosts", spec.hosts, (host) => HOST.test(hostText(host)));
  check("addresses", spec.addresses, (address) => ipRange(textOf(address)) !== undefined);
  check("ports", spec.ports, (port) => readPort(objectOf(port)).length > 0);
  check("endpoints", spec.endpoints, (endpoint) => isAddress(textOf(objectOf(endpoint).address), dns));
  if (spec.resolution !== undefined && !RESOLUTIONS.some((one) => one === spec.resolution)) {
    problems.push(`cannot use resolution=${JSON.stringify(spec.resolution)?.slice(0, 80)}`);
  }
  if (dns && listOf(spec.hosts).some((host) => hostText(host).startsWith("*."))) {
    problems.push(
      `resolution ${spec.resolution} of hosts with wildcards is not supported: waypoints do not know where to send`,
    );
  }
  // Routes at proxies heed it; addresses that ztunnels know, they know for all.
  if (listOf(spec.exportTo).some((namespace) => namespace !== "*")) {
    problems.push("exportTo is not supported by ztunnels: workloads of every namespace reach the hosts");
  }
  problems.push(...unknownFields(spec).slice(0, 8).map((field) => `${field} is not supported`));
  const hosts = listOf(spec.hosts).map(hostText);
  return {
    namespace,
    name,
    resolution: RESOLUTIONS.find((one) => one === spec.resolution) ?? "NONE",
    external: spec.location !== "MESH_INTERNAL" && spec.location !== 1,
    hosts: [...new Set(hosts)].filter((host) => host.length <= 253 && HOST.test(host)).slice(0, 256),
    ports: listOf(spec.ports).flatMap((port) => readPort(objectOf(port))),
    selector: Object.keys(selector).length > 0 ? selector : undefined,
    endpoints: listOf(spec.endpoints).map(objectOf),
    problems,
  };
}

const FIELDS = {
  spec: [
    "hosts",
    "addresses",
    "ports",
    "location",
    "resolution",
    "endpoints",
    "workloadSelector",
    "exportTo",
    "subjectAltNames",
  ],
  port: ["number", "name", "protocol", "targetPort"],
};

/** Fields that nobody knows, with their places. */
function unknownFields(spec: Record<string, unknown>): string[] {
  const of = (value: unknown, known: readonly string[], place: string) =>
    Object.keys(objectOf(value)).filter((field) => !known.includes(field)).map((field) => place + field);
  return [
    ...of(spec, FIELDS.spec, ""),
    ...of(spec.workloadSelector, ["labels"], "workloadSelector."),
    ...listOf(spec.ports).flatMap((port, i) => of(port, FIELDS.port, `ports[${i}].`)),
    ...listOf(spec.endpoints).flatMap((endpoint, i) => of(endpoint, ENTRY_FIELDS, `endpoints[${i}].`)),
  ];
}

function hostText(host: unknown): string {
  return textOf(host).toLowerCase().replace(/\.$/, "");
}

/** Whether an endpoint can have the address: names are resolved for resolutions by DNS alone. */
function isAddress(text: string, dns: boolean): boolean {
  return canonicalIp(text) !== undefined || (dns && HOST.test(text.toLowerCase()));
}

function readPort(port: Record<string, unknown>): ServiceInfoPort[] {
  const number = portOf(port.number), protocol = textOf(port.protocol);
  if (number === undefined || protocol.toUpperCase() === "UDP") return [];
  return [{
    name: textOf(port.name),
    servicePort: number,
    targetPort: portOf(port.targetPort) ?? number,
    targetName: "",
    appProtocol: appProtocol({ name: (protocol || textOf(port.name)).toLowerCase(), port: number }),
  }];
}

/** `namespace/name/host`, what an automatic address belongs to. */
export function allocationKey({ namespace, name }: { namespace: string; name: string }, host: string): string {
  return `${namespace}/${name}/${host}`;
}

/** The services of an entry, one for each host. `canonical`: whether this one answers for the host wherever it is asked for. */
export function buildEntryServices(
  object: KubeObject,
  network: string,
  allocated: ReadonlyMap<string, string>,
  canonical: (host: string) => boolean,
): ServiceInfo[] {
  const info = readServiceEntry(object), spec = objectOf(object.spec), { namespace, name, ports } = info;
  const said = listOf(spec.addresses).flatMap((text) => addressOf(textOf(text), network));
  return info.hosts.map((hostname) => {
    const automatic = said.length > 0 ? undefined : allocated.get(allocationKey(info, hostname));
    return {
      key: serviceKey({ namespace, hostname }),
      service: {
        name,
        namespace,
        hostname,
        addresses: automatic === undefined ? said : [{ network, address: automatic }],
        ports: ports.map(({ servicePort, targetPort, appProtocol }) => ({ servicePort, targetPort, appProtocol })),
        subjectAltNames: listOf(spec.subjectAltNames).map(textOf).filter((text) => text !== "" && text.length <= 4096),
        weightedWaypoints: [],
        loadBalancing: info.resolution === "NONE"
          ? { routingPreference: [], mode: "PASSTHROUGH", healthPolicy: "ALLOW_ALL" }
          : undefined,
        ipFamilies: "AUTOMATIC",
        canonical: canonical(hostname),
        ingressUseWaypoint: object.metadata.labels?.[LABEL.ingressUseWaypoint] === "true",
        visibility: "PUBLIC",
      },
      selector: info.selector,
      ports,
    };
  });
}

function addressOf(text: string, network: string): NetworkAddress[] {
  const range = text === "" ? undefined : ipRange(text);
  if (!range) return [];
  const whole = range.address.includes(":") ? 128 : 32;
  return [{ network, address: range.address, ...(range.length < whole ? { length: range.length } : {}) }];
}

/** The workloads of an entry's inline endpoints; one for each host where the host's name itself is resolved. */
export function buildEntryEndpoints(
  object: KubeObject,
  services: readonly ServiceInfo[],
  network: string,
  settings: MeshSettings,
): Workload[] {
  const info = readServiceEntry(object);
  // An entry whose hosts all belong to others has no endpoints of its own either.
  if (info.selector || services.length === 0) return [];
  const uid = (of: string) =>
    `${settings.clusterId}/networking.istio.io/ServiceEntry/${info.namespace}/${info.name}/${of}`;
  const dns = info.resolution !== "NONE" && info.resolution !== "STATIC";
  const found = new Map<string, Workload>();
  if (info.endpoints.length === 0) {
    if (!dns) return [];
    for (const service of services) {
      const { hostname } = service.service;
      if (hostname.startsWith("*")) continue;
      const ports = new Map([[service.key, service.service.ports]]);
      found.set(
        uid(hostname),
        buildEntryWorkload({
          object,
          uid: uid(hostname),
          address: hostname,
          services: ports,
          network,
          settings,
          fields: {},
        }),
      );
    }
    return [...found.values()];
  }
  for (const fields of info.endpoints) {
    const address = textOf(fields.address);
    if (!isAddress(address, dns) || found.has(uid(address))) continue;
    const ports = new Map(services.map((service) => [service.key, entryPorts(service, fields)]));
    found.set(
      uid(address),
      buildEntryWorkload({ object, uid: uid(address), address, services: ports, network, settings, fields }),
    );
  }
  return [...found.values()];
}

const FIRST = 1, LAST = 0xfffe;

/**
 * Addresses of 240.240.0.0/16 for hosts without one, as Istio gives them: what the entry's status says, else by a hash of the name, so that
 * every istiod comes to the same without asking anybody; where two meet, the older entry keeps its address.
 */
export function allocateAddresses(entries: Iterable<KubeObject>): Map<string, string> {
  const result = new Map<string, string>(), taken = new Set<string>(), open: string[] = [];
  const oldestFirst = [...entries].sort((a, b) => age(a) < age(b) ? -1 : 1);
  for (const object of oldestFirst) {
    if (!wantsAddresses(object)) continue;
    const info = readServiceEntry(object);
    for (const host of info.hosts) {
      if (host.startsWith("*") && info.resolution !== "DYNAMIC_DNS") continue;
      const key = allocationKey(info, host);
      const said = listOf(object.status?.addresses).map(objectOf).find((one) => one.host === host);
      const address = said && canonicalIp(textOf(said.value));
      if (address !== undefined && address.startsWith("240.240.") && !taken.has(address)) {
        taken.add(address);
        result.set(key, address);
      } else open.push(key);
    }
  }
  for (const key of open) {
    let number = FIRST + hash(key) % (LAST - FIRST + 1), address = dotted(number);
    if (taken.size >= LAST) break;
    while (taken.has(address)) address = dotted(number = number === LAST ? FIRST : number + 1);
    taken.add(address);
    result.set(key, address);
  }
  return result;
}

function wantsAddresses({ metadata, spec }: KubeObject): boolean {
  const resolution = spec?.resolution;
  return metadata.labels?.[LABEL.autoallocate] !== "false" && listOf(spec?.addresses).length === 0 &&
    typeof resolution === "string" && resolution !== "NONE";
}

/** What orders entries: the oldest first. */
export function age({ metadata }: KubeObject): string {
  return `${metadata.creationTimestamp ?? ""} ${metadata.namespace}/${metadata.name}`;
}

function dotted(number: number): string {
  return `240.240.${number >> 8}.${number & 255}`;
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}
