import { type Service, serviceKey, type Workload } from "../model/workload.ts";
import { type AuthorizationPolicy, policyKey } from "../model/policy.ts";
import { encodeAuthorization } from "./authorization_codec.ts";
import type { Resolved, ResourceChange, ResourceSource, XdsClientInfo, XdsResource } from "./resource.ts";
import { TYPE_URL } from "./types.ts";
import { resourceVersion } from "./version.ts";
import { encodeService, encodeWorkload } from "./workload_codec.ts";

/** A source that is a map: what istiod writes its index into. All clients see all of it. */
export class ResourceStore implements ResourceSource {
  readonly shared = true;
  protected readonly resources = new Map<string, XdsResource>();
  readonly #listeners = new Set<(change: ResourceChange) => void>();

  constructor(readonly typeUrl: string, readonly versioned: boolean) {}

  get size(): number {
    return this.resources.size;
  }

  snapshot(_client?: XdsClientInfo): Iterable<XdsResource> {
    return this.resources.values();
  }

  get(name: string, _client?: XdsClientInfo): XdsResource | undefined {
    return this.resources.get(name);
  }

  subscribe(listener: (change: ResourceChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Puts and removes resources in one step; listeners hear only of what differs. */
  apply(put: Iterable<XdsResource>, remove: Iterable<string> = []): ResourceChange {
    const changed: string[] = [], removed: string[] = [];
    for (const name of remove) {
      const old = this.resources.get(name);
      if (old === undefined) continue;
      this.resources.delete(name);
      this.unindex(old);
      removed.push(name);
    }
    for (const resource of put) {
      const old = this.resources.get(resource.name);
      if (old && sameBytes(old.bytes, resource.bytes) && old.aliases.join() === resource.aliases.join()) continue;
      if (old) this.unindex(old);
      this.resources.set(resource.name, resource);
      this.index(resource);
      changed.push(resource.name);
    }
    // A resource that was removed and put again in one step has changed, not gone.
    const change = { changed, removed: removed.filter((name) => !this.resources.has(name)) };
    if (change.changed.length + change.removed.length > 0) { for (const listener of this.#listeners) listener(change); }
    return change;
  }

  /** Makes `all` the whole content. */
  replace(all: Iterable<XdsResource>): ResourceChange {
    const wanted = [...all], names = new Set(wanted.map(({ name }) => name));
    return this.apply(wanted, [...this.resources.keys()].filter((name) => !names.has(name)));
  }

  protected index(_resource: XdsResource): void {}
  protected unindex(_resource: XdsResource): void {}
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** `network/ip`, or `network/ip/length` for a range: how addresses are asked for. */
function addressAlias(network: string, address: string, length?: number): string {
  return length === undefined ? `${network}/${address}` : `${network}/${address}/${length}`;
}

interface AddressEntry extends XdsResource {
  readonly of: { readonly workload: Workload } | { readonly service: Service };
}

/** The Address resource of a workload. */
export function workloadResource(workload: Workload): XdsResource {
  const bytes = encodeWorkload(workload);
  const aliases = workload.networkMode === "HOST_NETWORK"
    ? []
    : workload.addresses.map((address) => addressAlias(workload.network, address));
  const entry: AddressEntry = { name: workload.uid, aliases, version: resourceVersion(bytes), bytes, of: { workload } };
  return entry;
}

/** The Address resource of a service. */
export function serviceResource(service: Service): XdsResource {
  const bytes = encodeService(service);
  const aliases = service.addresses.map(({ network, address, length }) => addressAlias(network, address, length));
  const entry: AddressEntry = {
    name: serviceKey(service),
    aliases,
    version: resourceVersion(bytes),
    bytes,
    of: { service },
  };
  return entry;
}

/** The Authorization resource of a policy; the type carries no versions. */
export function authorizationResource(policy: AuthorizationPolicy): XdsResource {
  return { name: policyKey(policy), aliases: [], version: "", bytes: encodeAuthorization(policy) };
}

/**
 * Workloads and services as type Address, with the look-ups of on-demand clients: by uid, by `network/ip`, by
 * `namespace/hostname`; a service brings its workloads; the workloads of the client's node come unasked (workload-xds.md §6).
 */
export class AddressStore extends ResourceStore {
  readonly #byAlias = new Map<string, Set<AddressEntry>>();
  readonly #byService = new Map<string, Set<AddressEntry>>();
  readonly #byNode = new Map<string, Set<AddressEntry>>();

  constructor() {
    super(TYPE_URL.address, true);
  }

  resolve(names: ReadonlySet<string>): Resolved {
    const resources = new Set<XdsResource>(), found = new Set<string>();
    for (const name of names) {
      const named = this.resources.get(name) as AddressEntry | undefined;
      for (const entry of named ? [named] : this.#byAlias.get(name) ?? []) {
        found.add(name);
        resources.add(entry);
        if ("service" in entry.of) {
          for (const workload of this.#byService.get(entry.name) ?? []) resources.add(workload);
        }
      }
    }
    return { resources, found };
  }

  follows(resource: XdsResource): Iterable<string> {
    const { of } = resource as AddressEntry;
    return "workload" in of ? of.workload.services.keys() : [];
  }

  volunteer(client: XdsClientInfo): Iterable<XdsResource> {
    const node = client.metadata.NODE_NAME;
    return typeof node === "string" ? this.#byNode.get(node) ?? [] : [];
  }

  protected override index(resource: XdsResource): void {
    for (const [map, key] of this.#keys(resource as AddressEntry)) {
      let entries = map.get(key);
      if (!entries) map.set(key, entries = new Set());
      entries.add(resource as AddressEntry);
    }
  }

  protected override unindex(resource: XdsResource): void {
    for (const [map, key] of this.#keys(resource as AddressEntry)) {
      const entries = map.get(key);
      entries?.delete(resource as AddressEntry);
      if (entries?.size === 0) map.delete(key);
    }
  }

  *#keys(entry: AddressEntry): Iterable<[Map<string, Set<AddressEntry>>, string]> {
    for (const alias of entry.aliases) yield [this.#byAlias, alias];
    if (!("workload" in entry.of)) return;
    for (const service of entry.of.workload.services.keys()) yield [this.#byService, service];
    if (entry.of.workload.node !== "") yield [this.#byNode, entry.of.workload.node];
  }
}

/** Policies as type Authorization. */
export function authorizationStore(): ResourceStore {
  return new ResourceStore(TYPE_URL.authorization, false);
}
