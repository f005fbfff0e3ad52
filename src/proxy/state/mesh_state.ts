import { type Cidr, inCidr, parseCidr, parseIp } from "../../core/ip.ts";
import { type Port, type Service, serviceKey, type Workload } from "../../model/mod.ts";
import { PolicyStore } from "../../policy/mod.ts";

/** One workload's part in a service. */
export interface Endpoint {
  readonly workload: Workload;
  /** The ports this workload serves of the service; empty when it has no mapping of its own. */
  readonly ports: readonly Port[];
}

/** Who a pod is according to the CNI agent (ZDS), to be found among the workloads of xDS. */
export interface WorkloadInfo {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** What the decisions of the proxy read. Nothing changes while a synchronous reader runs. */
export interface MeshView {
  readonly policies: Pick<PolicyStore, "applicable">;
  workload(uid: string): Workload | undefined;
  /** Pods first, then workloads that speak HBONE, when several claim one address. */
  workloadByAddress(network: string, address: string): Workload | undefined;
  workloadByHostname(hostname: string): Workload | undefined;
  workloadByInfo(info: WorkloadInfo): Workload | undefined;
  service(key: string): Service | undefined;
  /** The service behind a VIP as a client in `namespace` sees it: exact addresses first, then CIDRs. */
  serviceByVip(network: string, address: string, namespace: string): Service | undefined;
  serviceByHostname(hostname: string, namespace: string, preferredNamespace?: string): Service | undefined;
  endpoints(serviceKey: string): Iterable<Endpoint>;
  endpoint(serviceKey: string, workloadUid: string): Endpoint | undefined;
}

/** Told after an applied update; `services` are the keys of those whose definition or endpoints it touched. */
export type MeshListener = (services: ReadonlySet<string>) => void;

interface CidrVip {
  readonly network: string;
  readonly cidr: Cidr;
  readonly service: Service;
}

/**
 * Workloads, services, endpoints and policies as xDS sends them: one writer, synchronous readers. Endpoints are kept
 * under their service's key whether or not the service has arrived yet, so the order of xDS resources is free.
 */
export class MeshState implements MeshView {
  readonly policies: PolicyStore = new PolicyStore();
  readonly #workloads = new Map<string, Workload>();
  readonly #byAddress = new MultiMap<Workload>();
  readonly #byHostname = new MultiMap<Workload>();
  readonly #byName = new MultiMap<Workload>();
  readonly #services = new Map<string, Service>();
  readonly #byVip = new MultiMap<Service>();
  readonly #byServiceHostname = new MultiMap<Service>();
  #cidrs: CidrVip[] = [];
  readonly #endpoints = new Map<string, Map<string, Endpoint>>();
  readonly #listeners = new Set<MeshListener>();
  /** Services that the update under way has touched; kept only while somebody listens. */
  #touched = new Set<string>();

  upsertWorkload(workload: Workload): void {
    this.#forgetWorkload(workload.uid);
    this.#workloads.set(workload.uid, workload);
    // Pods in the host's network share the node's address: it says nothing about who they are.
    if (workload.networkMode !== "HOST_NETWORK") {
      for (const address of workload.addresses) this.#byAddress.add(`${workload.network}/${address}`, workload);
    }
    if (workload.hostname !== "") this.#byHostname.add(workload.hostname, workload);
    this.#byName.add(`${workload.namespace}/${workload.name}`, workload);
    for (const [key, ports] of workload.services) {
      this.#touch(key);
      let known = this.#endpoints.get(key);
      if (!known) this.#endpoints.set(key, known = new Map());
      known.set(workload.uid, { workload, ports });
    }
  }

  upsertService(service: Service): void {
    const key = serviceKey(service);
    this.#forgetService(key);
    this.#touch(key);
    this.#services.set(key, service);
    this.#byServiceHostname.add(service.hostname, service);
    for (const vip of service.addresses) {
      if (vip.length === undefined) {
        this.#byVip.add(`${vip.network}/${vip.address}`, service);
        continue;
      }
      const cidr = parseCidr(vip.address, vip.length);
      if (cidr) this.#cidrs.push({ network: vip.network, cidr, service });
    }
  }

  /** Removes an Address resource by name: a workload's uid, or else a service's `namespace/hostname`. */
  removeAddress(name: string): void {
    if (!this.#forgetWorkload(name)) this.#forgetService(name);
  }

  /** Tells those who wait for something to arrive that an update has been applied. */
  changed(): void {
    const touched = this.#touched;
    this.#touched = new Set();
    for (const listener of [...this.#listeners]) listener(touched);
  }

  /** Calls back after every applied update until the result is called. */
  onChange(listener: MeshListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #touch(key: string): void {
    if (this.#listeners.size > 0) this.#touched.add(key);
  }

  workload(uid: string): Workload | undefined {
    return this.#workloads.get(uid);
  }

  workloadByAddress(network: string, address: string): Workload | undefined {
    const found = this.#byAddress.get(`${network}/${address}`);
    if (found.length <= 1) return found[0];
    const rank = (workload: Workload) =>
      (workload.uid.includes("//Pod/") ? 2 : 0) + (workload.tunnelProtocol === "HBONE" ? 1 : 0);
    return found.reduce((best, next) => rank(next) > rank(best) ? next : best);
  }

  workloadByHostname(hostname: string): Workload | undefined {
    return this.#byHostname.get(hostname)[0];
  }

  workloadByInfo(info: WorkloadInfo): Workload | undefined {
    return this.#byName.get(`${info.namespace}/${info.name}`).find((workload) =>
      workload.serviceAccount === info.serviceAccount
    );
  }

  service(key: string): Service | undefined {
    return this.#services.get(key);
  }

  serviceByVip(network: string, address: string, namespace: string): Service | undefined {
    const exact = best(this.#byVip.get(`${network}/${address}`), namespace);
    if (exact || this.#cidrs.length === 0) return exact;
    const ip = parseIp(address);
    let chosen: CidrVip | undefined;
    for (const candidate of this.#cidrs) {
      if (!ip || candidate.network !== network || !visible(candidate.service, namespace)) continue;
      if (inCidr(ip, candidate.cidr) && (!chosen || cidrRank(candidate, namespace) > cidrRank(chosen, namespace))) {
        chosen = candidate;
      }
    }
    return chosen?.service;
  }

  serviceByHostname(hostname: string, namespace: string, preferredNamespace?: string): Service | undefined {
    return best(this.#byServiceHostname.get(hostname), namespace, preferredNamespace);
  }

  endpoints(key: string): Iterable<Endpoint> {
    return this.#endpoints.get(key)?.values() ?? [];
  }

  endpoint(key: string, workloadUid: string): Endpoint | undefined {
    return this.#endpoints.get(key)?.get(workloadUid);
  }

  workloads(): Iterable<Workload> {
    return this.#workloads.values();
  }

  services(): Iterable<Service> {
    return this.#services.values();
  }

  /** Keys of services that have endpoints and have not been sent themselves. */
  stagedServices(): string[] {
    return [...this.#endpoints.keys()].filter((key) => !this.#services.has(key));
  }

  #forgetWorkload(uid: string): boolean {
    const old = this.#workloads.get(uid);
    if (!old) return false;
    this.#workloads.delete(uid);
    for (const address of old.addresses) this.#byAddress.delete(`${old.network}/${address}`, old);
    if (old.hostname !== "") this.#byHostname.delete(old.hostname, old);
    this.#byName.delete(`${old.namespace}/${old.name}`, old);
    for (const key of old.services.keys()) {
      this.#touch(key);
      const known = this.#endpoints.get(key);
      if (known?.delete(uid) && known.size === 0) this.#endpoints.delete(key);
    }
    return true;
  }

  #forgetService(key: string): boolean {
    const old = this.#services.get(key);
    if (!old) return false;
    this.#services.delete(key);
    this.#touch(key);
    this.#byServiceHostname.delete(old.hostname, old);
    for (const vip of old.addresses) {
      if (vip.length === undefined) this.#byVip.delete(`${vip.network}/${vip.address}`, old);
    }
    if (old.addresses.some((vip) => vip.length !== undefined)) {
      this.#cidrs = this.#cidrs.filter((candidate) => candidate.service !== old);
    }
    return true;
  }
}

function visible(service: Service, namespace: string): boolean {
  return service.visibility === "PUBLIC" || service.namespace === namespace;
}

/** Among those the client may see: its own namespace's, then the canonical, then the preferred, then the first. */
function best(services: readonly Service[], namespace: string, preferredNamespace?: string): Service | undefined {
  const seen = services.filter((service) => visible(service, namespace));
  return seen.find((service) => service.namespace === namespace) ?? seen.find((service) => service.canonical) ??
    seen.find((service) => service.namespace === preferredNamespace) ?? seen[0];
}

function cidrRank(candidate: CidrVip, namespace: string): number {
  return (candidate.service.namespace === namespace ? 1000 : 0) + candidate.cidr.length * 2 +
    (candidate.service.canonical ? 1 : 0);
}

const NONE: readonly never[] = [];

/** Several values under one key, in the order they came. */
class MultiMap<V> {
  readonly #lists = new Map<string, V[]>();

  get(key: string): readonly V[] {
    return this.#lists.get(key) ?? NONE;
  }

  add(key: string, value: V): void {
    const list = this.#lists.get(key);
    if (list) list.push(value);
    else this.#lists.set(key, [value]);
  }

  delete(key: string, value: V): void {
    const list = this.#lists.get(key);
    const at = list?.indexOf(value) ?? -1;
    if (at < 0) return;
    if (list!.length === 1) this.#lists.delete(key);
    else list!.splice(at, 1);
  }
}
