import { CLUSTER_NETWORK, type ClusterApi, type KubeObject } from "../contracts.ts";
import { slicesByService, usableEndpoints } from "./table.ts";

/** A record to answer with. */
export type Answer =
  | { type: "A"; name: string; data: string }
  | { type: "CNAME" | "PTR"; name: string; data: string }
  | { type: "TXT"; name: string; data: string[] }
  | { type: "SRV"; name: string; data: { priority: number; weight: number; port: number; target: string } };

/** What is known about a name. `exists` tells a name without records of the type (NODATA) from no such name. */
export interface Lookup {
  exists: boolean;
  answers: Answer[];
  /** Addresses of SRV targets. */
  additionals: Answer[];
}

const NOTHING: Lookup = { exists: false, answers: [], additionals: [] };
const DOMAIN = CLUSTER_NETWORK.clusterDomain;

interface EndpointName {
  host: string;
  ip: string;
  ports: { name: string; port: number; protocol: string }[];
}

/** The names of the cluster, by the Kubernetes DNS specification, version 1.1.0. */
export class ClusterNames {
  readonly #services = new Map<string, KubeObject>();
  readonly #slices = new Map<string, KubeObject>();
  readonly #namespaces = new Set<string>();
  readonly #unwatch: (() => void)[];
  #groups: Map<string, KubeObject[]> | undefined;
  #byIp: Map<string, string> | undefined;

  constructor(api: ClusterApi) {
    const keep = (store: Map<string, KubeObject>) => (type: string, object: KubeObject) => {
      const key = `${object.metadata.namespace}/${object.metadata.name}`;
      if (type === "DELETED") store.delete(key);
      else store.set(key, object);
      this.#groups = this.#byIp = undefined;
    };
    this.#unwatch = [
      api.watch({ group: "", resource: "services" }, keep(this.#services)),
      api.watch({ group: "discovery.k8s.io", resource: "endpointslices" }, keep(this.#slices)),
      api.watch({ group: "", resource: "namespaces" }, (type, { metadata }) => {
        if (type === "DELETED") this.#namespaces.delete(metadata.name);
        else this.#namespaces.add(metadata.name);
      }),
    ];
  }

  stop(): void {
    for (const stop of this.#unwatch) stop();
  }

  /** Whether this server is the authority for a name. */
  owns(name: string): boolean {
    return name === DOMAIN || name.endsWith("." + DOMAIN) || /(^|\.)(in-addr|ip6)\.arpa$/.test(name);
  }

  /** @param name lower case, without the final dot */
  lookup(name: string, type: string): Lookup {
    if (name.endsWith(".in-addr.arpa")) return this.#reverse(name, type);
    if (name === DOMAIN) return { exists: true, answers: [], additionals: [] };
    if (!name.endsWith("." + DOMAIN)) return NOTHING;
    const labels = name.slice(0, -DOMAIN.length - 1).split(".");
    if (labels.length === 1 && labels[0] === "dns-version") {
      return only(type === "TXT" || type === "ANY" ? [{ type: "TXT", name, data: ["1.1.0"] }] : []);
    }
    const kind = labels.pop();
    if (kind === "pod") return this.#pod(name, labels, type);
    if (kind !== "svc") return NOTHING;
    if (labels.length === 0) return only([]);
    const namespace = labels.pop()!;
    if (labels.length === 0) return this.#namespaces.has(namespace) ? only([]) : NOTHING;
    const service = this.#services.get(`${namespace}/${labels.pop()}`);
    return service ? this.#service(name, service, labels, type) : NOTHING;
  }

  #service(name: string, service: KubeObject, labels: string[], type: string): Lookup {
    const { spec = {} } = service;
    if (spec.type === "ExternalName") {
      return labels.length > 0 ? NOTHING : only([{ type: "CNAME", name, data: spec.externalName }]);
    }
    const headless = spec.clusterIP === "None";
    const endpoints = headless ? this.#endpoints(service) : [];
    if (labels.length === 0) {
      // A headless Service without endpoints is no name at all, as CoreDNS has it.
      if (headless && endpoints.length === 0) return NOTHING;
      if (type === "SRV") return this.#serviceRecords(name, service, endpoints);
      const ips = headless ? endpoints.map((one) => one.ip) : [spec.clusterIP];
      return addresses(name, [...new Set<string>(ips.filter(Boolean))], type);
    }
    if (labels.length === 1 && headless) {
      return addresses(name, endpoints.filter((one) => one.host === labels[0]).map((one) => one.ip), type);
    }
    if (labels.length !== 2 || !labels[0].startsWith("_") || !labels[1].startsWith("_")) return NOTHING;
    const [port, protocol] = labels.map((label) => label.slice(1));
    const records = this.#serviceRecords(name, service, endpoints, port, protocol);
    return records.exists && type !== "SRV" && type !== "ANY" ? only([]) : records;
  }

  #serviceRecords(
    name: string,
    service: KubeObject,
    endpoints: EndpointName[],
    portName?: string,
    protocol?: string,
  ): Lookup {
    const base = `${service.metadata.name}.${service.metadata.namespace}.svc.${DOMAIN}`;
    const wanted = (one: { name?: string; protocol?: string }) =>
      portName === undefined ||
      ((one.name ?? "").toLowerCase() === portName && (one.protocol ?? "TCP").toLowerCase() === protocol);
    const targets: { target: string; ip: string; port: number }[] = service.spec?.clusterIP === "None"
      ? endpoints.flatMap(({ host, ip, ports }) =>
        ports.filter(wanted).map(({ port }) => ({ target: `${host}.${base}`, ip, port }))
      )
      : (service.spec?.ports ?? []).filter(wanted).map(({ port }: any) => ({
        target: base,
        ip: service.spec.clusterIP,
        port,
      }));
    if (targets.length === 0) return portName === undefined ? only([]) : NOTHING;
    const weight = Math.max(1, Math.floor(100 / targets.length));
    const answers: Answer[] = targets.map(({ target, port }) => ({
      type: "SRV",
      name,
      data: { priority: 0, weight, port, target },
    }));
    const hosts = new Map(targets.map(({ target, ip }) => [target, ip]));
    return {
      exists: true,
      answers,
      additionals: [...hosts].map(([target, data]) => ({ type: "A" as const, name: target, data })),
    };
  }

  #endpoints(service: KubeObject): EndpointName[] {
    this.#groups ??= slicesByService(this.#slices.values());
    const slices = this.#groups.get(`${service.metadata.namespace}/${service.metadata.name}`) ?? [];
    return usableEndpoints(slices).flatMap(({ slice, endpoint }) =>
      (endpoint.addresses ?? []).map((ip: string) => ({
        host: (endpoint.hostname || ip.replaceAll(".", "-")).toLowerCase(),
        ip,
        ports: (slice.ports ?? []).map((one: any) => ({
          name: one.name ?? "",
          port: one.port,
          protocol: one.protocol ?? "TCP",
        })),
      }))
    );
  }

  /** `10-244-0-5.default.pod`: the address is in the name, so only the namespace is checked. */
  #pod(name: string, labels: string[], type: string): Lookup {
    const namespace = labels.pop();
    if (namespace === undefined) return only([]);
    if (!this.#namespaces.has(namespace)) return NOTHING;
    if (labels.length === 0) return only([]);
    const ip = labels[0].replaceAll("-", ".");
    const valid = labels.length === 1 && /^(\d{1,3}\.){3}\d{1,3}$/.test(ip) &&
      ip.split(".").every((part) => Number(part) < 256);
    return valid ? addresses(name, [ip], type) : NOTHING;
  }

  #reverse(name: string, type: string): Lookup {
    const parts = name.slice(0, -".in-addr.arpa".length).split(".");
    if (parts.length !== 4) return NOTHING;
    const target = this.#reverseNames().get(parts.reverse().join("."));
    if (!target) return NOTHING;
    return only(type === "PTR" || type === "ANY" ? [{ type: "PTR", name, data: target }] : []);
  }

  #reverseNames(): Map<string, string> {
    if (this.#byIp) return this.#byIp;
    const names = this.#byIp = new Map<string, string>();
    for (const service of this.#services.values()) {
      const base = `${service.metadata.name}.${service.metadata.namespace}.svc.${DOMAIN}`;
      if (service.spec?.clusterIP === "None") {
        for (const { host, ip } of this.#endpoints(service)) if (!names.has(ip)) names.set(ip, `${host}.${base}`);
      } else if (service.spec?.clusterIP) names.set(service.spec.clusterIP, base);
    }
    return names;
  }
}

function only(answers: Answer[]): Lookup {
  return { exists: true, answers, additionals: [] };
}

/** Addresses of an existing name: there are only IPv4 ones, so AAAA gets an empty answer. */
function addresses(name: string, ips: string[], type: string): Lookup {
  if (ips.length === 0) return NOTHING;
  return only(type === "A" || type === "ANY" ? ips.map((data) => ({ type: "A", name, data })) : []);
}
