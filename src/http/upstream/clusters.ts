import { systemClock } from "../../core/clock.ts";
import { HbonePool } from "../../hbone/mod.ts";
import type { Destination, Workload } from "../../model/mod.ts";
import { Cluster, type ClusterParts } from "./cluster.ts";
import { defaultCodecs } from "./default_codecs.ts";
import { IdleBudget } from "./idle.ts";
import { Names } from "./names.ts";
import { statsText } from "./stats.ts";
import { systemResolver } from "./system_resolver.ts";
import { ANY_CHANGE } from "./sources.ts";
import type { ClustersOptions, HostView } from "./types.ts";

/** How long changes gather before hosts that are gone are let go of, when no request has looked before. */
const SETTLE_MS = 20;
/** How long thousands of destinations may hold up traffic at a time when they look for their hosts again. */
const SLICE_MS = 4;

/** The live destinations of one proxy. */
export class Clusters {
  readonly #options: ClustersOptions;
  readonly #parts: ClusterParts;
  readonly #clusters = new Map<string, Cluster>();
  /** Removed ones that may still have requests. */
  readonly #leaving = new Set<Cluster>();
  /** By service: those whose hosts come from it. */
  readonly #byService = new Map<string, Set<Cluster>>();
  /** What a cluster is listed under. */
  readonly #listed = new Map<Cluster, ReadonlySet<string>>();
  readonly #stale = new Set<Cluster>();
  readonly #off: (() => void) | undefined;
  #self: Workload | undefined;
  #settling = false;
  #closed = false;

  constructor(options: ClustersOptions) {
    this.#options = options;
    const { reactor, netns, mark, keepalive, clock = systemClock, resolver = systemResolver, logger } = options;
    this.#parts = {
      options,
      codecs: options.codecs ?? defaultCodecs,
      tunnels: new HbonePool({ reactor, netns, mark, keepalive }),
      names: new Names(resolver, clock, reactor, logger),
      idleBudget: new IdleBudget(),
      onServices: (cluster) => this.#list(cluster),
    };
    this.#self = options.self?.();
    this.#off = options.mesh.onChange?.((services) => this.#meshChanged(services));
  }

  get(name: string): Cluster | undefined {
    return this.#clusters.get(name);
  }

  get size(): number {
    return this.#clusters.size;
  }

  all(): Iterable<Cluster> {
    return this.#clusters.values();
  }

  /**
   * Takes destinations that are new or have changed, and lets go of those that are gone. Whoever still holds a removed cluster may use
   * it to the end.
   */
  apply(destinations: readonly Destination[], removed: readonly string[]): void {
    for (const name of removed) {
      const cluster = this.#clusters.get(name);
      if (!cluster) continue;
      this.#clusters.delete(name);
      this.#unlist(cluster);
      this.#stale.delete(cluster);
      this.#leaving.add(cluster);
      cluster.drain();
    }
    for (const destination of destinations) {
      let cluster = this.#clusters.get(destination.name);
      if (cluster) cluster.configure(destination);
      else this.#clusters.set(destination.name, cluster = new Cluster(destination, this.#parts));
      this.#markStale(cluster);
    }
    this.#prune();
  }

  /** Hosts of all destinations, for dumps. */
  view(): HostView[] {
    return [...this.#clusters.values()].flatMap((cluster) => cluster.view());
  }

  /** Counters of all destinations, as Envoy's `/stats`. */
  stats(): string {
    return statsText(this.#clusters.values());
  }

  /** Where we are is another than before, by other means than a change of the mesh. */
  selfChanged(): void {
    this.#meshChanged(undefined);
  }

  #meshChanged(services: ReadonlySet<string> | undefined): void {
    // What is near depends on where we are, which the mesh may tell us late.
    const self = this.#options.self?.();
    if (services === undefined || !samePlace(self, this.#self)) {
      this.#self = self;
      for (const cluster of this.#clusters.values()) this.#markStale(cluster);
      return;
    }
    for (const key of services) {
      for (const cluster of this.#byService.get(key) ?? []) this.#markStale(cluster);
    }
    for (const cluster of this.#byService.get(ANY_CHANGE) ?? []) this.#markStale(cluster);
  }

  /** A request that comes first sees the change at once; otherwise it is taken in when changes have settled. */
  #markStale(cluster: Cluster): void {
    cluster.invalidate();
    this.#stale.add(cluster);
    this.#settleSoon();
  }

  #settleSoon(): void {
    if (this.#settling || this.#closed) return;
    this.#settling = true;
    this.#options.reactor.setTimer(SETTLE_MS, () => {
      this.#settling = false;
      if (!this.#closed) this.#settle();
    });
  }

  #settle(): void {
    const start = performance.now();
    for (const cluster of this.#stale) {
      this.#stale.delete(cluster);
      cluster.refresh();
      if (performance.now() - start > SLICE_MS) break;
    }
    if (this.#stale.size > 0) this.#settleSoon();
  }

  #list(cluster: Cluster): void {
    this.#unlist(cluster);
    if (this.#clusters.get(cluster.name) !== cluster) return;
    for (const key of cluster.services) {
      let known = this.#byService.get(key);
      if (!known) this.#byService.set(key, known = new Set());
      known.add(cluster);
    }
    this.#listed.set(cluster, cluster.services);
  }

  #unlist(cluster: Cluster): void {
    for (const key of this.#listed.get(cluster) ?? []) {
      const known = this.#byService.get(key);
      if (known?.delete(cluster) && known.size === 0) this.#byService.delete(key);
    }
    this.#listed.delete(cluster);
  }

  #prune(): void {
    for (const cluster of this.#leaving) {
      if (cluster.breakers.connections === 0 && cluster.breakers.pending === 0) this.#leaving.delete(cluster);
    }
  }

  /**
   * Ends idle connections and lets active ones end by themselves: connections that are needed still can be made, but are not kept.
   * Call {@linkcode close} when nothing is left, or time is up.
   */
  shutdown(): void {
    for (const cluster of this.#clusters.values()) cluster.retire();
  }

  /** Ends everything at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#off?.();
    for (const cluster of [...this.#clusters.values(), ...this.#leaving]) cluster.close();
    this.#parts.names.close();
    this.#parts.tunnels.close();
  }
}

function samePlace(a: Workload | undefined, b: Workload | undefined): boolean {
  if (a === b || a === undefined || b === undefined) return a === b;
  const here = a.locality, there = b.locality;
  return a.node === b.node && a.network === b.network && a.clusterId === b.clusterId &&
    here?.region === there?.region && here?.zone === there?.zone && here?.subzone === there?.subzone;
}
