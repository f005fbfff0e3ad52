// Configuration, compiled: what a listener does with a request, as an immutable snapshot that is swapped when something changes.

import {
  type L7Listener,
  type L7Policy,
  type L7Settings,
  type ProxyResource,
  proxyResourceKey,
  type VirtualHost,
} from "../../model/mod.ts";
import { type CompiledL7Policy, compileL7Policy, L7PolicySet } from "../../policy/http.ts";
import { HostTable, type MatchFacts, RouteTable, type RouteVerdict } from "../match/mod.ts";
import { CompiledRoute } from "./compiled_route.ts";

/** Until istiod says otherwise. */
export const DEFAULT_SETTINGS: L7Settings = Object.freeze({
  kind: "settings",
  name: "mesh",
  trustDomain: "cluster.local",
  pathNormalization: "BASE",
  trustedProxies: 0,
});

/** A {@linkcode VirtualHost} with its routes compiled. */
export class CompiledVirtualHost {
  readonly config: VirtualHost;
  readonly table: RouteTable;
  readonly routes: readonly CompiledRoute[];

  constructor(config: VirtualHost) {
    this.config = config;
    this.table = new RouteTable(config.routes);
    this.routes = config.routes.map((route) => new CompiledRoute(route));
  }
}

/** What one listener does; immutable. */
export interface ListenerRuntime {
  readonly config: L7Listener;
  readonly settings: L7Settings;
  readonly policies: L7PolicySet;
  readonly virtualHosts: readonly CompiledVirtualHost[];
  /** The virtual host for a host (lower case, without port). */
  readonly hosts: HostTable<CompiledVirtualHost>;
  /** What of the configuration cannot be done as written. */
  readonly problems: readonly string[];
}

/** Which route a request would take, with the reasons; for `ctl why`. */
export interface RouteExplanation {
  readonly virtualHost: string | undefined;
  readonly route: string | undefined;
  readonly considered: readonly RouteVerdict[];
}

export function explainRoute(runtime: ListenerRuntime, facts: MatchFacts): RouteExplanation {
  const virtualHost = runtime.hosts.find(facts.hostname);
  if (!virtualHost) return { virtualHost: undefined, route: undefined, considered: [] };
  const considered = virtualHost.table.explain(facts);
  const last = considered.at(-1);
  const route = last && last.unmatched === undefined ? last.route : undefined;
  return { virtualHost: virtualHost.config.name, route, considered };
}

/** A listener's place: connections keep it and read `current` for each request, so that a change takes effect at once. */
export class ListenerSlot {
  constructor(readonly name: string, /** null once the listener is gone. */ public current: ListenerRuntime | null) {}
}

const byName = (a: { readonly name: string }, b: { readonly name: string }) => a.name < b.name ? -1 : 1;

/**
 * Keeps the compiled form of every resource it was given. A change compiles what changed alone, and makes new snapshots of the
 * listeners that it concerns.
 */
export class RuntimeCompiler {
  #settings: L7Settings = DEFAULT_SETTINGS;
  readonly #listeners = new Map<string, L7Listener>();
  readonly #slots = new Map<string, ListenerSlot>();
  readonly #virtualHosts = new Map<string, Map<string, CompiledVirtualHost>>();
  readonly #listenerOf = new Map<string, string>();
  readonly #policies = new Map<string, CompiledL7Policy>();

  get settings(): L7Settings {
    return this.#settings;
  }

  /** Places of all listeners there are. */
  get slots(): Iterable<ListenerSlot> {
    return this.#slots.values();
  }

  slot(name: string): ListenerSlot | undefined {
    return this.#slots.get(name);
  }

  /**
   * Takes a change of configuration. Destinations and secrets are none of the compiler's business and passed over.
   *
   * @param removed keys as of `proxyResourceKey`
   * @returns names of the listeners that changed, came or went
   */
  apply(changed: Iterable<ProxyResource>, removed: Iterable<string> = []): Set<string> {
    const stale = new Set<string>();
    for (const key of removed) this.#remove(key, stale);
    for (const resource of changed) this.#upsert(resource, stale);
    for (const name of stale) this.#rebuild(name);
    return stale;
  }

  #upsert(resource: ProxyResource, stale: Set<string>): void {
    switch (resource.kind) {
      case "settings":
        this.#settings = resource;
        for (const name of this.#listeners.keys()) stale.add(name);
        break;
      case "listener":
        this.#listeners.set(resource.name, resource);
        stale.add(resource.name);
        break;
      case "virtualHost": {
        const before = this.#listenerOf.get(resource.name);
        if (before !== undefined && before !== resource.listener) this.#remove(proxyResourceKey(resource), stale);
        this.#listenerOf.set(resource.name, resource.listener);
        let hosts = this.#virtualHosts.get(resource.listener);
        if (!hosts) this.#virtualHosts.set(resource.listener, hosts = new Map());
        hosts.set(resource.name, new CompiledVirtualHost(resource));
        stale.add(resource.listener);
        break;
      }
      case "policy":
        this.#staleByPolicy(this.#policies.get(resource.name)?.policy, stale);
        this.#policies.set(resource.name, compileL7Policy(resource));
        this.#staleByPolicy(resource, stale);
        break;
    }
  }

  #remove(key: string, stale: Set<string>): void {
    const slash = key.indexOf("/");
    const kind = key.slice(0, slash), name = key.slice(slash + 1);
    if (kind === "settings") {
      this.#settings = DEFAULT_SETTINGS;
      for (const listener of this.#listeners.keys()) stale.add(listener);
    } else if (kind === "listener") {
      if (this.#listeners.delete(name)) stale.add(name);
    } else if (kind === "virtualHost") {
      const listener = this.#listenerOf.get(name);
      if (listener === undefined) return;
      this.#listenerOf.delete(name);
      const hosts = this.#virtualHosts.get(listener)!;
      hosts.delete(name);
      if (hosts.size === 0) this.#virtualHosts.delete(listener);
      stale.add(listener);
    } else if (kind === "policy") {
      this.#staleByPolicy(this.#policies.get(name)?.policy, stale);
      this.#policies.delete(name);
    }
  }

  #staleByPolicy(policy: L7Policy | undefined, stale: Set<string>): void {
    if (!policy) return;
    const all = policy.listeners.includes("*");
    for (const name of all ? this.#listeners.keys() : policy.listeners) stale.add(name);
  }

  #rebuild(name: string): void {
    const config = this.#listeners.get(name);
    const slot = this.#slots.get(name);
    if (!config) {
      if (slot) slot.current = null;
      this.#slots.delete(name);
      return;
    }
    const virtualHosts = [...this.#virtualHosts.get(name)?.values() ?? []].sort((a, b) => byName(a.config, b.config));
    const hosts = new HostTable<CompiledVirtualHost>();
    const problems: string[] = [];
    for (const virtualHost of virtualHosts) {
      for (const pattern of virtualHost.config.hostnames) {
        if (!hosts.add(pattern, virtualHost)) {
          problems.push(`${virtualHost.config.name}: "${pattern}" is taken by another virtual host`);
        }
      }
      for (const route of virtualHost.routes) {
        for (const problem of route.problems) problems.push(`${route.route.origin} ${route.name}: ${problem}`);
      }
    }
    const policies = [...this.#policies.values()].filter(({ policy }) =>
      policy.listeners.includes("*") || policy.listeners.includes(name)
    );
    const current: ListenerRuntime = {
      config,
      settings: this.#settings,
      policies: new L7PolicySet(policies),
      virtualHosts,
      hosts,
      problems,
    };
    if (slot) slot.current = current;
    else this.#slots.set(name, new ListenerSlot(name, current));
  }
}
