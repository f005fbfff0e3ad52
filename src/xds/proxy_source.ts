import { type ProxyResource, proxyResourceKey } from "../model/l7.ts";
import { encodeProxyResource } from "./proxy_codec.ts";
import type { ResourceChange, ResourceSource, XdsClientInfo, XdsResource } from "./resource.ts";
import { TYPE_URL } from "./types.ts";
import { resourceVersion } from "./version.ts";

export interface ProxyResourceOptions {
  /**
   * Whose configuration a client gets: replicas of one proxy share a group. Undefined for a client that is not known, or is not who it says:
   * it gets nothing, or keeps what it has when it was known before.
   */
  readonly groupOf: (client: XdsClientInfo) => string | undefined;
  /** The configuration of a group as of now. A resource that is the same object as before counts as unchanged. */
  readonly configOf: (group: string) => readonly ProxyResource[];
}

interface Entry {
  readonly model: ProxyResource;
  readonly xds: XdsResource;
}

interface Group {
  readonly config: readonly ProxyResource[];
  /** By name in xDS. */
  readonly entries: ReadonlyMap<string, Entry>;
}

const NONE: ReadonlyMap<string, Entry> = new Map();

/** Each L7 proxy's own configuration. Replicas share resources, and an unchanged resource is neither serialised nor sent again. */
export class ProxyResourceSource implements ResourceSource {
  readonly typeUrl = TYPE_URL.proxyResource;
  readonly versioned = true;
  readonly shared = false;
  readonly #options: ProxyResourceOptions;
  readonly #clients = new Map<XdsClientInfo, string | undefined>();
  readonly #groups = new Map<string, Group>();
  readonly #listeners = new Set<(change: ResourceChange) => void>();

  constructor(options: ProxyResourceOptions) {
    this.#options = options;
  }

  /** Connected clients of this type, with their group. */
  clients(): Iterable<readonly [XdsClientInfo, string | undefined]> {
    return this.#clients;
  }

  /** What a group's clients were given last. */
  held(group: string | undefined): readonly ProxyResource[] {
    return this.#groups.get(group ?? "")?.config ?? [];
  }

  opened(client: XdsClientInfo): void {
    const group = this.#options.groupOf(client);
    this.#clients.set(client, group);
    if (group !== undefined && !this.#groups.has(group)) this.#update(group, new Set());
  }

  closed(client: XdsClientInfo): void {
    const group = this.#clients.get(client);
    this.#clients.delete(client);
    if (group === undefined) return;
    for (const other of this.#clients.values()) if (other === group) return;
    this.#groups.delete(group);
  }

  snapshot(client: XdsClientInfo): Iterable<XdsResource> {
    return [...this.#entries(this.#clients.get(client)).values()].map(({ xds }) => xds);
  }

  get(name: string, client: XdsClientInfo): XdsResource | undefined {
    return this.#entries(this.#clients.get(client)).get(name)?.xds;
  }

  subscribe(listener: (change: ResourceChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Looks again at who the clients are and what they get. */
  refresh(): void {
    const changed = new Set<string>(), live = new Set<string>(), moved: (string | undefined)[] = [];
    for (const [client, before] of this.#clients) {
      const group = this.#options.groupOf(client);
      // A proxy on its way out keeps what it serves the last requests with.
      if (group === undefined) continue;
      live.add(group);
      if (group === before) continue;
      this.#clients.set(client, group);
      moved.push(before, group);
    }
    for (const group of live) this.#update(group, changed);
    for (const group of moved) for (const name of this.#entries(group).keys()) changed.add(name);
    const used = new Set(this.#clients.values());
    for (const group of this.#groups.keys()) if (!used.has(group)) this.#groups.delete(group);
    if (changed.size > 0) { for (const listener of this.#listeners) listener({ changed: [...changed], removed: [] }); }
  }

  /** Brings a group up to date; names of what differs go into `changed`. */
  #update(name: string, changed: Set<string>): void {
    const config = this.#options.configOf(name), old = this.#groups.get(name);
    if (old?.config === config) return;
    const entries = new Map<string, Entry>();
    for (const model of config) {
      const key = proxyResourceKey(model), before = old?.entries.get(key);
      if (before?.model === model) {
        entries.set(key, before);
        continue;
      }
      const bytes = encodeProxyResource(model), version = resourceVersion(bytes);
      // Versions are hashes of the bytes: what a client holds under the same one is the same.
      const xds = before?.xds.version === version ? before.xds : { name: key, aliases: [], version, bytes };
      if (xds !== before?.xds) changed.add(key);
      entries.set(key, { model, xds });
    }
    for (const key of old?.entries.keys() ?? []) if (!entries.has(key)) changed.add(key);
    this.#groups.set(name, { config, entries });
  }

  #entries(group: string | undefined): ReadonlyMap<string, Entry> {
    return this.#groups.get(group ?? "")?.entries ?? NONE;
  }
}
