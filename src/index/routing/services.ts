// Services and the hosts of ServiceEntries, as routes name them.

import type { KubeObject, KubeService } from "../../kube/types.ts";
import { canonicalIp } from "../../core/ip.ts";
import { serviceKey } from "../../model/workload.ts";
import type { AmbientIndex } from "../ambient_index.ts";
import { labelsOf, listOf, objectOf, portOf, textOf } from "../read.ts";
import { readServiceEntry, type ServiceEntryInfo } from "../service_entry.ts";
import type { Labels } from "../labels.ts";
import type { RoutingInputs } from "./inputs.ts";

/** What is spoken on a port, as far as routing tells protocols apart. TLS: bytes that begin with a server name. */
export type PortProtocol = "HTTP" | "HTTP2" | "TLS" | "TCP" | "AUTO";

export interface RoutablePort {
  readonly number: number;
  readonly name: string;
  readonly protocol: PortProtocol;
}

/** A service that a route can lead to. */
export interface RoutableService {
  /** `namespace/hostname`. */
  readonly key: string;
  readonly kind: "Service" | "ServiceEntry";
  readonly namespace: string;
  /** Of the object. */
  readonly name: string;
  readonly hostname: string;
  readonly ports: readonly RoutablePort[];
  readonly labels: Labels;
  readonly exportTo: readonly string[] | undefined;
  /** Set for hosts of a ServiceEntry. */
  readonly entry?: ServiceEntryInfo;
}

const HTTP2 = new Set(["http2", "grpc", "kubernetes.io/h2c"]);
const HTTP = new Set(["http", "kubernetes.io/ws"]);
const TLS = new Set(["https", "tls", "kubernetes.io/wss"]);
/** Protocols that Istio knows and that are bytes to a waypoint. */
const TCP = new Set(["tcp", "mongo", "mysql", "redis", "thrift", "udp"]);
/** Where the server speaks first, so that waiting for the client's first bytes would wait for ever. */
const SERVER_FIRST = new Set([25, 53, 3306, 27017]);

/** By `appProtocol`, else the part of the port's name before the first dash; otherwise found out by the first bytes. */
export function portProtocol(appProtocol: string, name: string, port: number): PortProtocol {
  const said = (appProtocol || name).toLowerCase();
  const word = said.startsWith("kubernetes.io/") ? said : said.startsWith("grpc-web") ? "http" : said.split("-", 1)[0];
  if (HTTP2.has(word)) return "HTTP2";
  if (HTTP.has(word)) return "HTTP";
  if (TLS.has(word)) return "TLS";
  return TCP.has(word) || SERVER_FIRST.has(port) ? "TCP" : "AUTO";
}

const ofService = new WeakMap<KubeObject, RoutableService>();
const ofEntry = new WeakMap<KubeObject, readonly RoutableService[]>();

function routableService(object: KubeService, domain: string): RoutableService | undefined {
  if (object.spec?.type === "ExternalName") return undefined;
  const known = ofService.get(object);
  if (known) return known;
  const { name, namespace = "default", labels = {}, annotations } = object.metadata;
  const hostname = `${name}.${namespace}.svc.${domain}`;
  const service: RoutableService = {
    key: serviceKey({ namespace, hostname }),
    kind: "Service",
    namespace,
    name,
    hostname,
    ports: listOf(object.spec?.ports).map(objectOf).flatMap((port) => {
      const number = portOf(port.port), portName = textOf(port.name);
      if (number === undefined || (port.protocol ?? "TCP") !== "TCP") return [];
      return [{ number, name: portName, protocol: portProtocol(textOf(port.appProtocol), portName, number) }];
    }),
    labels,
    exportTo: annotations?.["networking.istio.io/exportTo"]?.split(",").map((text) => text.trim()),
  };
  ofService.set(object, service);
  return service;
}

function entryServices(object: KubeObject): readonly RoutableService[] {
  const known = ofEntry.get(object);
  if (known) return known;
  const entry = readServiceEntry(object), exportTo = listOf(object.spec?.exportTo).map(textOf);
  const ports = entry.ports.map(({ servicePort, name }, i) => {
    const protocol = textOf(objectOf(listOf(object.spec?.ports).filter(isTcp)[i]).protocol);
    return { number: servicePort, name, protocol: portProtocol(protocol, name, servicePort) };
  });
  const services = entry.hosts.map((hostname): RoutableService => ({
    key: serviceKey({ namespace: entry.namespace, hostname }),
    kind: "ServiceEntry",
    namespace: entry.namespace,
    name: entry.name,
    hostname,
    ports,
    labels: labelsOf(object.metadata.labels),
    exportTo: exportTo.length > 0 ? exportTo : undefined,
    entry,
  }));
  ofEntry.set(object, services);
  return services;
}

/** The same ports that `readServiceEntry` takes. */
function isTcp(port: unknown): boolean {
  const { number, protocol } = objectOf(port);
  return portOf(number) !== undefined && textOf(protocol).toUpperCase() !== "UDP";
}

/** All services, found by key and by host name. */
export class ServiceTable {
  readonly #byKey = new Map<string, RoutableService>();
  readonly #byHost = new Map<string, RoutableService[]>();
  readonly #byEntry = new Map<string, RoutableService[]>();

  constructor(inputs: RoutingInputs, ambient: AmbientIndex) {
    const { clusterDomain } = ambient.settings;
    for (const object of inputs.services.values()) {
      const service = routableService(object, clusterDomain);
      if (service) this.#add(service);
    }
    for (const object of inputs.serviceEntries.values()) {
      for (const service of entryServices(object)) {
        // Where several claim a host of one namespace, the ambient index knows which of them has it.
        if (ambient.services.get(service.key)?.name === service.name && !this.#byKey.has(service.key)) {
          this.#add(service);
        }
      }
    }
  }

  #add(service: RoutableService): void {
    const entry = `${service.namespace}/${service.name}`;
    if (service.kind === "ServiceEntry") this.#byEntry.set(entry, [...this.#byEntry.get(entry) ?? [], service]);
    this.#byKey.set(service.key, service);
    const same = this.#byHost.get(service.hostname);
    if (same) same.push(service);
    else this.#byHost.set(service.hostname, [service]);
  }

  get(key: string): RoutableService | undefined {
    return this.#byKey.get(key);
  }

  values(): Iterable<RoutableService> {
    return this.#byKey.values();
  }

  /** The first host of a ServiceEntry. */
  entry(namespace: string, name: string): RoutableService | undefined {
    return this.hostsOf(namespace, name)[0];
  }

  /** All hosts of a ServiceEntry. */
  hostsOf(namespace: string, name: string): readonly RoutableService[] {
    return this.#byEntry.get(`${namespace}/${name}`) ?? [];
  }

  /** The service of a host name as somebody in `namespace` sees it: their own, else a Service, else the canonical one. */
  byHost(hostname: string, namespace: string, ambient: AmbientIndex): RoutableService | undefined {
    const all = this.#byHost.get(hostname);
    if (!all || all.length === 1) return all?.[0];
    return all.find((one) => one.namespace === namespace) ?? all.find(({ kind }) => kind === "Service") ??
      all.find(({ key }) => ambient.services.get(key)?.canonical) ?? all[0];
  }
}

/** The addresses that clients use for a service, in canonical text; ranges are left out. */
export function addressesOf(service: RoutableService, ambient: AmbientIndex): string[] {
  return (ambient.services.get(service.key)?.addresses ?? []).flatMap(({ address, length }) => {
    const ip = length === undefined ? canonicalIp(address) : undefined;
    return ip === undefined ? [] : [ip];
  });
}
