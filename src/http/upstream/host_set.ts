import { systemClock } from "../../core/clock.ts";
import type { Destination } from "../../model/mod.ts";
import { hashOf } from "./hash_source.ts";
import { Host } from "./host.ts";
import { HostTable, type PlacedHost } from "./host_table.ts";
import { place } from "./locality.ts";
import type { Names, NameWatcher } from "./names.ts";
import { OriginalHosts } from "./original.ts";
import { OutlierDetector } from "./outlier.ts";
import { ANY_CHANGE, hostsOf, type SourceContext } from "./sources.ts";
import type { ClustersOptions, PickContext } from "./types.ts";

/** Envoy's `host_selection_retry_max_attempts` as Istio sets it. */
const MAX_RESELECTIONS = 5;

/** What a host set tells its cluster. */
export interface HostSetOwner {
  /** The hosts now come from other services than before. */
  onServices(): void;
  /** Every name has been resolved that had not been. */
  onResolved(): void;
}

/**
 * The hosts of one cluster and who of them may be chosen. Both are worked out again when something they depend on has changed, at the
 * next choice and not before, so that a burst of changes costs one.
 */
export class HostSet implements NameWatcher {
  /** What the hosts come from; `*` for any change of the mesh. */
  services: ReadonlySet<string> = new Set();
  /** Null while outlier detection is off. */
  outlier: OutlierDetector | null = null;
  /** Names are being resolved for the first time: hosts may be on their way. */
  unresolved = false;
  readonly #options: ClustersOptions;
  readonly #watched: Names;
  readonly #source: SourceContext;
  readonly #owner: HostSetOwner;
  readonly #random: () => number;
  readonly #hosts = new Map<string, Host>();
  #destination: Destination;
  #original: OriginalHosts | null = null;
  #names: ReadonlySet<string> = new Set();
  #placed: PlacedHost[] = [];
  #localityWeights: readonly number[] | undefined;
  #table!: HostTable;
  /** Hosts that have just gone, with connections or requests that wait for one. */
  #evicted: Host[] = [];
  /** The hosts must be looked up again. */
  #stale = true;
  /** Who may be chosen must be worked out again. */
  #changed = true;
  #warm: (() => void) | null = null;
  /** Of detectors that were switched off. */
  #pastEjections = 0;
  #released = false;

  constructor(destination: Destination, options: ClustersOptions, names: Names, owner: HostSetOwner) {
    this.#destination = destination;
    this.#options = options;
    this.#watched = names;
    this.#owner = owner;
    this.#random = options.random ?? Math.random;
    this.#source = {
      mesh: options.mesh,
      network: options.network ?? "",
      addresses: (hostname) => names.addresses(hostname),
    };
    this.#configureOutlier();
  }

  /** Hosts as of the last look. */
  get all(): Iterable<Host> {
    return this.#isOriginal ? this.#originals.hosts : this.#hosts.values();
  }

  get #isOriginal(): boolean {
    return this.#destination.endpoints.kind === "original" || this.#destination.loadBalancer.policy === "PASSTHROUGH";
  }

  get #originals(): OriginalHosts {
    return this.#original ??= new OriginalHosts(this.#source, this.#options.reactor);
  }

  /** Ejections so far. */
  get ejections(): number {
    return this.#pastEjections + (this.outlier?.ejections ?? 0);
  }

  // --- choosing

  /** The host for a request, null when none may be chosen. */
  pick(context: PickContext): Host | null {
    this.refresh();
    if (this.#isOriginal) return this.#originals.at(context.originalDestination);
    const { policy, hash } = this.#destination.loadBalancer;
    if (policy === "CONSISTENT_HASH") {
      if (context.hash < 0) hashOf(hash, context, this.#random);
      return this.#table.choose(context.hash, 0);
    }
    const { tried } = context;
    if (tried.length === 0) return this.#table.choose(0, 0);
    let avoid = 0;
    if (context.avoidPriorities) { for (const host of tried) avoid |= 1 << host.priority; }
    let host = this.#table.choose(0, avoid);
    for (let i = 1; i < MAX_RESELECTIONS && host !== null && tried.includes(host); i++) {
      host = this.#table.choose(0, avoid);
    }
    return host;
  }

  // --- changes

  /** Something that the hosts come from has changed. */
  invalidate(): void {
    this.#stale = true;
  }

  configure(destination: Destination): void {
    this.#destination = destination;
    this.#stale = true;
    this.#configureOutlier();
  }

  #configureOutlier(): void {
    const config = this.#destination.outlierDetection;
    if (config && this.outlier) this.outlier.configure(config);
    else if (config) {
      const { clock = systemClock } = this.#options;
      this.outlier = new OutlierDetector(config, clock, () => this.all, () => this.#changed = true);
    } else {
      this.#endOutlier();
    }
    this.#changed = true;
  }

  #endOutlier(): void {
    this.#pastEjections = this.ejections;
    this.outlier?.close();
    this.outlier = null;
  }

  onNameChanged(): void {
    this.#stale = true;
    this.refresh();
    if (!this.unresolved) this.#owner.onResolved();
  }

  /** Brings hosts and table up to date. */
  refresh(): void {
    if (!this.#stale && !this.#changed) return;
    if (this.#stale) {
      this.#stale = false;
      this.#lookUp();
    }
    this.#changed = false;
    const { loadBalancer, outlierDetection } = this.#destination;
    const { reactor } = this.#options;
    // Those that outlier detection has let back in begin anew.
    for (const { host } of this.#placed) if (host.since < 0) host.since = reactor.now;
    const panicPercent = outlierDetection?.minHealthPercent ?? 0;
    this.#table = new HostTable(
      this.#placed,
      loadBalancer,
      this.#localityWeights,
      panicPercent,
      reactor,
      this.#random,
    );
    this.#watchWarmup();
    if (this.#evicted.length > 0) this.#rehouse();
  }

  #lookUp(): void {
    if (this.#isOriginal) {
      this.#comesFrom(new Set([ANY_CHANGE]));
      this.#originals.refresh();
      this.#placed = [];
      this.#watchNames(new Set());
      this.unresolved = false;
      this.#keepOnly(new Set());
      return;
    }
    this.#original?.clear();
    const found = hostsOf(this.#destination, this.#source);
    this.#comesFrom(found.services);
    if (!this.#released) this.#watchNames(found.names);
    this.unresolved = found.unresolved && !this.#released;
    const now = this.#options.reactor.now;
    const specs = found.specs.filter(({ weight }) => weight > 0);
    const { locality } = this.#destination.loadBalancer;
    const { of, weights } = place(specs, locality, found.balancing, this.#options.self?.());
    this.#localityWeights = weights;
    this.#placed = [];
    specs.forEach((spec, i) => {
      let host = this.#hosts.get(spec.key);
      if (host) {
        host.spec = spec;
        host.weight = spec.weight;
      } else this.#hosts.set(spec.key, host = new Host(spec, now));
      const placement = of[i];
      if (placement === undefined) return;
      host.priority = placement.priority;
      this.#placed.push({ host, priority: placement.priority, rule: placement.rule });
    });
    this.#keepOnly(new Set(specs.map(({ key }) => key)));
  }

  #keepOnly(kept: ReadonlySet<string>): void {
    for (const [key, host] of [...this.#hosts]) {
      if (kept.has(key)) continue;
      this.#hosts.delete(key);
      host.removed = true;
      this.outlier?.forget(host);
      host.pools.drain();
      if (!host.pools.empty) this.#evicted.push(host);
    }
  }

  /** Whoever waits for a connection to a host that is gone is sent to another, if there is one: nothing of it has been sent. */
  #rehouse(): void {
    const evicted = this.#evicted;
    this.#evicted = [];
    if (this.#table.size === 0) return;
    for (const host of evicted) host.pools.evict();
  }

  #comesFrom(services: ReadonlySet<string>): void {
    const before = this.services;
    if (before.size === services.size && [...services].every((key) => before.has(key))) return;
    this.services = services;
    this.#owner.onServices();
  }

  #watchNames(names: ReadonlySet<string>): void {
    const before = this.#names;
    this.#names = names;
    for (const name of names) if (!before.has(name)) this.#watched.watch(name, this);
    for (const name of before) if (!names.has(name)) this.#watched.unwatch(name, this);
  }

  /** Weights settle when the last host has warmed up. */
  #watchWarmup(): void {
    const { reactor, clock = systemClock } = this.#options;
    const warmupMs = this.#destination.loadBalancer.warmupMs ?? 0;
    this.#warm?.();
    this.#warm = null;
    if (warmupMs <= 0 || this.#released) return;
    let left = 0;
    for (const { host } of this.#placed) left = Math.max(left, host.since + warmupMs - reactor.now);
    if (left <= 0) return;
    this.#warm = clock.timer(left + 20, () => {
      this.#warm = null;
      this.#changed = true;
    });
  }

  /** Watches nothing any more; hosts may still be chosen, as they are. */
  release(): void {
    this.#released = true;
    this.unresolved = false;
    this.#watchNames(new Set());
    this.#warm?.();
    this.#endOutlier();
  }
}
