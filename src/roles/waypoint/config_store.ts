import { type Destination, type ProxyResource, proxyResourceKey, type TlsSecret } from "../../model/mod.ts";
import type { RuntimeCompiler } from "../../http/exchange/mod.ts";
import type { Clusters } from "../../http/upstream/mod.ts";
import type { ProxyUpdate, Reject } from "../../xds/client/mod.ts";
import { describeError } from "../../core/errors.ts";
import { secretProblem } from "./downstream_tls.ts";

export interface ConfigStoreOptions {
  readonly clusters: Clusters;
  readonly compiler: RuntimeCompiler;
  /** Listeners have changed, come or gone. */
  readonly onListeners: (names: ReadonlySet<string>) => void;
}

/**
 * The proxy's configuration as last received. An update is taken in as a whole and in an order in which nothing refers to what is not there:
 * secrets, destinations, then routes, policies and listeners; what is gone goes in the opposite order.
 */
export class ConfigStore {
  readonly #options: ConfigStoreOptions;
  readonly #resources = new Map<string, ProxyResource>();
  readonly #secrets: Map<string, TlsSecret>;
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
    const { clusters, compiler, onListeners } = this.#options;
    const rejects: Reject[] = [];
    const taken: ProxyResource[] = [], destinations: Destination[] = [];
    const replaced = new Set(added.map(proxyResourceKey));
    const gone = removed.filter((key) => this.#resources.has(key) && !replaced.has(key));
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
    for (const key of gone) this.#resources.delete(key);
    clusters.apply(destinations, []);
    let changed: ReadonlySet<string> = new Set();
    try {
      changed = compiler.apply(taken, gone);
    } catch (error) {
      // A resource that the compiler cannot read is not told apart from the others of its update.
      const reason = describeError(error);
      rejects.push(...taken.map((resource) => ({ name: proxyResourceKey(resource), reason })));
    }
    if (changed.size > 0) onListeners(changed);
    const names = (kind: string) =>
      gone.filter((key) => key.startsWith(`${kind}/`)).map((key) => key.slice(kind.length + 1));
    clusters.apply([], names("destination"));
    for (const name of names("secret")) this.#secrets.delete(name);
    this.updatedAt = Date.now();
    return rejects;
  }
}
