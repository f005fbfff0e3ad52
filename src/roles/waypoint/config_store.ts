import { type Destination, type ProxyResource, proxyResourceKey, type TlsSecret } from "../../model/mod.ts";
import type { RuntimeCompiler } from "../../http/exchange/mod.ts";
import type { Clusters } from "../../http/upstream/mod.ts";
import type { ProxyUpdate, Reject } from "../../xds/client/mod.ts";
import { describeError } from "../../core/errors.ts";
import { secretProblem } from "./downstream_tls.ts";

export interface ConfigStoreOptions {
  readonly clusters: Clusters;
  readonly compiler: RuntimeCompiler;
  /** Listeners have come, gone, or are bound to something else; routes and policies change inside of them without a word. */
  readonly onListeners: () => void;
  /** The listeners of tunnels that are to go, whenever that changes: their connections end with their next answer. */
  readonly onRetiring?: (names: ReadonlySet<string>) => void;
}

/**
 * How long a waypoint goes on serving what no longer goes through it, on connections that are there already: a service that
 * leaves its waypoint loses no request.
 */
const RETIREMENT_MS = 10_000;

/**
 * The proxy's configuration as last received. An update is taken in as a whole and in an order in which nothing refers to what is not there:
 * secrets, destinations, then routes, policies and listeners; what is gone goes in the opposite order.
 */
export class ConfigStore {
  readonly #options: ConfigStoreOptions;
  readonly #resources = new Map<string, ProxyResource>();
  readonly #secrets: Map<string, TlsSecret>;
  /** Resources that are gone for the control plane and still serve old connections, until the timer. */
  readonly #retiring = new Map<
    string,
    { readonly resource: ProxyResource; readonly timer: ReturnType<typeof setTimeout> }
  >();
  /** When the configuration last changed. */
  updatedAt = 0;

  /** @param secrets filled here; clusters and listeners read it */
  constructor(options: ConfigStoreOptions, secrets: Map<string, TlsSecret>) {
    this.#options = options;
    this.#secrets = secrets;
  }

  get resources(): Iterable<ProxyResource> {
    return this.#resources.values();
  }

  /** How many resources there are. */
  get size(): number {
    return this.#resources.size;
  }

  apply({ added, removed }: ProxyUpdate): Reject[] {
    const { clusters, compiler } = this.#options;
    const rejects: Reject[] = [];
    const taken: ProxyResource[] = [], destinations: Destination[] = [];
    const replaced = new Set(added.map(proxyResourceKey));
    for (const resource of added) {
      const problem = resource.kind === "secret" ? secretProblem(resource) : undefined;
      if (problem !== undefined) {
        rejects.push({ name: proxyResourceKey(resource), reason: problem });
        continue;
      }
      taken.push(resource);
      this.#resources.set(proxyResourceKey(resource), resource);
      if (resource.kind === "secret") this.#secrets.set(resource.name, resource);
      if (resource.kind === "destination") destinations.push(resource);
    }
    const gone = this.#retire(removed.filter((key) => this.#resources.has(key) && !replaced.has(key)));
    const left = [...gone, ...this.#keep(replaced)];
    clusters.apply(destinations, []);
    try {
      compiler.apply(taken, left);
    } catch (error) {
      // A resource that the compiler cannot read is not told apart from the others of its update.
      const reason = describeError(error);
      rejects.push(...taken.map((resource) => ({ name: proxyResourceKey(resource), reason })));
    }
    this.#settle(taken, left);
    this.updatedAt = Date.now();
    return rejects;
  }

  /** Takes resources out of what is known; returns those that can go at once. */
  #retire(keys: readonly string[]): readonly string[] {
    const gone = keys.map((key) => [key, this.#resources.get(key)!] as const);
    for (const key of keys) this.#resources.delete(key);
    const listeners = new Set<string>();
    for (const [, resource] of gone) {
      if (resource.kind === "listener" && resource.binding.kind !== "port") listeners.add(resource.name);
    }
    if (listeners.size === 0) return keys;
    const retiring = new Set(gone.filter(([, resource]) => servesOnly(resource, listeners)).map(([key]) => key));
    const timer = setTimeout(() => {
      const left = [...retiring].filter((key) => this.#retiring.get(key)?.timer === timer);
      for (const key of left) this.#retiring.delete(key);
      this.#options.compiler.apply([], left);
      this.#settle([], left);
      this.#tellRetiring();
    }, RETIREMENT_MS);
    for (const [key, resource] of gone) if (retiring.has(key)) this.#retiring.set(key, { resource, timer });
    this.#tellRetiring();
    return keys.filter((key) => !retiring.has(key));
  }

  /**
   * What is wanted again stays; what belonged to a listener that is wanted again, and is not itself, goes at once.
   *
   * @returns keys of the latter
   */
  #keep(keys: ReadonlySet<string>): string[] {
    if (this.#retiring.size === 0) return [];
    const listeners = new Set<string>(), timers = new Set<ReturnType<typeof setTimeout>>();
    for (const key of keys) {
      const found = this.#retiring.get(key);
      if (!found) continue;
      this.#retiring.delete(key);
      timers.add(found.timer);
      if (found.resource.kind === "listener") listeners.add(found.resource.name);
    }
    if (timers.size === 0) return [];
    const gone: string[] = [];
    for (const [key, { resource }] of this.#retiring) {
      const concerned = resource.kind === "virtualHost"
        ? listeners.has(resource.listener)
        : resource.kind === "policy" && resource.listeners.some((name) => listeners.has(name));
      if (concerned) gone.push(key);
    }
    for (const key of gone) this.#retiring.delete(key);
    for (const { timer } of this.#retiring.values()) timers.delete(timer);
    for (const timer of timers) clearTimeout(timer);
    this.#tellRetiring();
    return gone;
  }

  #tellRetiring(): void {
    const listeners = [...this.#retiring.keys()].filter((key) => key.startsWith("listener/"));
    this.#options.onRetiring?.(new Set(listeners.map((key) => key.slice("listener/".length))));
  }

  /** Listeners are as they should be: tells of them, and lets go of what nothing refers to any more. */
  #settle(taken: readonly ProxyResource[], gone: readonly string[]): void {
    const bound = taken.some(({ kind }) => kind === "listener") || gone.some((key) => key.startsWith("listener/"));
    if (bound) this.#options.onListeners();
    const names = (kind: string) =>
      gone.filter((key) => key.startsWith(`${kind}/`)).map((key) => key.slice(kind.length + 1));
    this.#options.clusters.apply([], names("destination"));
    for (const name of names("secret")) this.#secrets.delete(name);
  }

  close(): void {
    for (const { timer } of this.#retiring.values()) clearTimeout(timer);
    this.#retiring.clear();
  }
}

/** Whether connections of these listeners, and nobody else, may still need a resource that is gone. */
function servesOnly(resource: ProxyResource, listeners: ReadonlySet<string>): boolean {
  switch (resource.kind) {
    case "listener":
      return listeners.has(resource.name);
    case "virtualHost":
      return listeners.has(resource.listener);
    case "policy":
      return resource.listeners.every((name) => listeners.has(name));
    // Nobody is sent there any more unless by one of their routes.
    case "destination":
      return true;
    default:
      return false;
  }
}
