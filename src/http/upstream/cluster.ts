import { systemClock } from "../../core/clock.ts";
import type { CertificateChoice, HbonePool } from "../../hbone/mod.ts";
import type { Destination } from "../../model/mod.ts";
import type { Reactor } from "../../net/mod.ts";
import type { TlsContext } from "../../net/tls_context.ts";
import type { Fields } from "../fields.ts";
import type { ResponseHead } from "../message.ts";
import { Attempt } from "./attempt.ts";
import type { ClientCodecs } from "./codecs.ts";
import { hashOf } from "./hash_source.ts";
import { Host } from "./host.ts";
import { HostTable, type PlacedHost } from "./host_table.ts";
import { CircuitBreakers } from "./limits.ts";
import { place } from "./locality.ts";
import type { Names } from "./names.ts";
import { OriginalHosts } from "./original.ts";
import { OutlierDetector } from "./outlier.ts";
import { HttpPool } from "./pool.ts";
import { grpcStatusOf, isGrpc, statusOfGrpc } from "./grpc_status.ts";
import { ANY_CHANGE, hostsOf, type SourceContext } from "./sources.ts";
import { UpstreamTlsContexts } from "./tls_material.ts";
import { Tunnels } from "./tunnel.ts";
import {
  type AttemptHandler,
  type ClustersOptions,
  type HostView,
  type PendingTunnel,
  type PickContext,
  type TunnelResult,
  upstreamError,
  type UpstreamRequest,
} from "./types.ts";
import { WaitingRoom } from "./waiting_room.ts";

/** What clusters of one proxy share. */
export interface ClusterParts {
  readonly options: ClustersOptions;
  readonly codecs: ClientCodecs;
  readonly tunnels: HbonePool;
  readonly names: Names;
  /** The hosts now come from other services than before. */
  readonly onServices: (cluster: Cluster) => void;
}

/** Envoy's `host_selection_retry_max_attempts` as Istio sets it. */
const MAX_RESELECTIONS = 5;

/**
 * A live destination: its hosts, who of them may be chosen, connections to them, and the limits on all that.
 *
 * Host tables are made again when something they depend on has changed, at the next choice and not before, so that a burst
 * of changes costs one.
 */
export class Cluster {
  readonly name: string;
  readonly breakers: CircuitBreakers;
  readonly options: ClustersOptions;
  readonly reactor: Reactor;
  readonly codecs: ClientCodecs;
  readonly tunnels: HbonePool;
  /** What the hosts came from; `*` for any change of the mesh. */
  services: ReadonlySet<string> = new Set();
  maxRequestsPerConnection: number;
  /** Connections are not kept without requests. */
  retired = false;
  /** Pools with connections, those of hosts that are gone included. */
  readonly pools = new Set<HttpPool>();
  #destination: Destination;
  readonly #parts: ClusterParts;
  readonly #random: () => number;
  #tls: UpstreamTlsContexts | null = null;
  readonly #source: SourceContext;
  readonly #hosts = new Map<string, Host>();
  // Most of thousands of clusters never need these.
  #original: OriginalHosts | null = null;
  #waiting: WaitingRoom | null = null;
  #blocked: Set<HttpPool> | null = null;
  #raw: Tunnels | null = null;
  #names: ReadonlySet<string> = new Set();
  #unresolved = false;
  #placed: PlacedHost[] = [];
  /** Hosts that have just gone, with connections or requests that wait for one. */
  #evicted: Host[] = [];
  #localityWeights: readonly number[] | undefined;
  #table!: HostTable;
  /** The hosts must be looked up again. */
  #stale = true;
  /** Who may be chosen must be worked out again. */
  #changed = true;
  #outlier: OutlierDetector | null = null;
  #warm: (() => void) | null = null;
  #closed = false;

  constructor(destination: Destination, parts: ClusterParts) {
    this.name = destination.name;
    this.#destination = destination;
    this.#parts = parts;
    this.options = parts.options;
    this.reactor = parts.options.reactor;
    this.codecs = parts.codecs;
    this.tunnels = parts.tunnels;
    this.#random = parts.options.random ?? Math.random;
    this.breakers = new CircuitBreakers(destination.limits);
    this.maxRequestsPerConnection = destination.limits.maxRequestsPerConnection ?? 0;
    this.#source = {
      mesh: parts.options.mesh,
      network: parts.options.network ?? "",
      addresses: (hostname) => parts.names.addresses(hostname),
    };
    this.#configureOutlier();
  }

  get destination(): Destination {
    return this.#destination;
  }

  /** Hosts as of the last look. */
  get hosts(): Iterable<Host> {
    return this.#isOriginal ? this.#originals.hosts : this.#hosts.values();
  }

  get #originals(): OriginalHosts {
    return this.#original ??= new OriginalHosts(this.#source, this.reactor);
  }

  get #isOriginal(): boolean {
    return this.#destination.endpoints.kind === "original" || this.#destination.loadBalancer.policy === "PASSTHROUGH";
  }

  /** Hosts that outlier detection has ejected. */
  get ejected(): number {
    return this.#outlier?.ejected ?? 0;
  }

  // --- requests

  /** An attempt to send `request`; nothing happens before its `begin()`. */
  attempt(request: UpstreamRequest, handler: AttemptHandler): Attempt {
    return new Attempt(this, request, handler);
  }

  /** For {@linkcode Attempt.begin}. */
  dispatch(attempt: Attempt): void {
    const host = this.pick(attempt.request);
    if (host !== null) {
      attempt.host = host;
      const pool = attempt.pool = this.#poolOf(host, attempt.request);
      pool.dispatch(attempt);
      return;
    }
    if (this.unresolved) return (this.#waiting ??= new WaitingRoom(this)).admit(attempt);
    attempt.fail(upstreamError("no_healthy_upstream", `no healthy upstream for "${this.name}"`));
  }

  /** For attempts that are cancelled while they wait. */
  forgetPending(attempt: Attempt): void {
    if (attempt.pool === null) this.#waiting?.forget(attempt);
    else attempt.pool.forget(attempt);
  }

  #poolOf(host: Host, request: UpstreamRequest): HttpPool {
    const { protocol } = this.#destination;
    // An upgrade is understood by more servers in HTTP/1.1.
    const http2 = protocol === "HTTP2" ||
      (protocol !== "HTTP1" && request.downstreamVersion === "HTTP/2" && request.head.upgrade === "");
    if (http2) return host.http2 ??= new HttpPool(this, host, true);
    return host.http1 ??= new HttpPool(this, host, false);
  }

  /** A connection of its own to a host, for bytes: calls back once, never before this returns, unless cancelled. */
  openTunnel(context: PickContext, callback: (result: TunnelResult) => void): PendingTunnel {
    return (this.#raw ??= new Tunnels(this)).open(context, callback);
  }

  /** Whether names are being resolved for the first time. */
  get unresolved(): boolean {
    return this.#unresolved && !this.#closed;
  }

  /** Tunnels may wait for names, too. */
  whenResolved(resume: () => void): void {
    (this.#waiting ??= new WaitingRoom(this)).whenResolved(resume);
  }

  /** Counts a retry; false when as many as allowed are under way (the request's last outcome then stands). */
  acquireRetry(): boolean {
    if (this.breakers.retries >= this.breakers.maxRetries) {
      this.breakers.overflows++;
      return false;
    }
    this.breakers.retries++;
    return true;
  }

  /** The retry that {@linkcode acquireRetry} counted is over. */
  releaseRetry(): void {
    this.breakers.retries--;
  }

  // --- choosing

  /** The host for a request, null when none may be chosen. */
  pick(context: PickContext): Host | null {
    if (this.#stale || this.#changed) this.#refresh();
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

  /** Something that the hosts come from has changed. */
  invalidate(): void {
    this.#stale = true;
  }

  /** Brings hosts and tables up to date. */
  refresh(): void {
    if (this.#stale || this.#changed) this.#refresh();
  }

  /** For {@linkcode Names}. */
  onNameChanged(): void {
    this.#stale = true;
    this.#refresh();
    this.#waiting?.onResolved();
  }

  #refresh(): void {
    if (this.#stale) {
      this.#stale = false;
      this.#lookUp();
    }
    this.#changed = false;
    const { loadBalancer, outlierDetection } = this.#destination;
    const panic = outlierDetection?.minHealthPercent ?? 0;
    for (const { host } of this.#placed) if (host.since < 0) host.since = this.reactor.now;
    this.#table = new HostTable(
      this.#placed,
      loadBalancer,
      this.#localityWeights,
      panic,
      this.reactor,
      this.#random,
    );
    this.#watchWarmup();
    if (this.#evicted.length > 0) this.#rehouse();
  }

  /** Whoever waits for a connection to a host that is gone is sent to another, if there is one: nothing of it has been sent. */
  #rehouse(): void {
    const evicted = this.#evicted;
    this.#evicted = [];
    if (this.#table.size === 0) return;
    for (const host of evicted) {
      host.http1?.evict();
      host.http2?.evict();
    }
  }

  #lookUp(): void {
    if (this.#isOriginal) {
      this.#comesFrom(new Set([ANY_CHANGE]));
      this.#originals.refresh();
      this.#placed = [];
      this.#watchNames(new Set());
      this.#unresolved = false;
      for (const host of this.#hosts.values()) this.#remove(host);
      this.#hosts.clear();
      return;
    }
    this.#original?.clear();
    const found = hostsOf(this.#destination, this.#source);
    this.#comesFrom(found.services);
    if (!this.#closed) this.#watchNames(found.names);
    this.#unresolved = found.unresolved;
    const now = this.reactor.now;
    const kept = new Set<string>();
    const specs = found.specs.filter(({ weight }) => weight > 0);
    const locality = this.#destination.loadBalancer.locality;
    const { of, weights } = place(specs, locality, found.balancing, this.options.self?.());
    this.#localityWeights = weights;
    this.#placed = [];
    specs.forEach((spec, i) => {
      kept.add(spec.key);
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
    for (const [key, host] of [...this.#hosts]) {
      if (kept.has(key)) continue;
      this.#hosts.delete(key);
      this.#remove(host);
    }
  }

  #comesFrom(services: ReadonlySet<string>): void {
    const before = this.services;
    if (before.size === services.size && [...services].every((key) => before.has(key))) return;
    this.services = services;
    this.#parts.onServices(this);
  }

  #remove(host: Host): void {
    host.removed = true;
    this.#outlier?.forget(host);
    host.drain();
    if (host.http1 !== null || host.http2 !== null) this.#evicted.push(host);
  }

  #watchNames(names: ReadonlySet<string>): void {
    const before = this.#names;
    this.#names = names;
    for (const name of names) if (!before.has(name)) this.#parts.names.watch(name, this);
    for (const name of before) if (!names.has(name)) this.#parts.names.unwatch(name, this);
  }

  /** Weights settle when the last host has warmed up. */
  #watchWarmup(): void {
    const warmupMs = this.#destination.loadBalancer.warmupMs ?? 0;
    this.#warm?.();
    this.#warm = null;
    if (warmupMs <= 0 || this.#closed) return;
    const now = this.reactor.now;
    let left = 0;
    for (const { host } of this.#placed) left = Math.max(left, host.since + warmupMs - now);
    if (left <= 0) return;
    this.#warm = (this.options.clock ?? systemClock).timer(left + 20, () => {
      this.#warm = null;
      this.#changed = true;
    });
  }

  // --- outcomes, told by attempts and pools

  onSent(host: Host): void {
    this.#outlier?.onLocalSuccess(host);
  }

  onConnected(host: Host): void {
    this.#outlier?.onLocalSuccess(host);
  }

  onResponse(host: Host, head: ResponseHead): void {
    if (this.#outlier === null) return;
    const grpc = head.status === 200 ? grpcStatusOf(head.fields) : -1;
    if (grpc < 0 && head.status === 200 && isGrpc(head.fields)) return;
    this.#outlier.onStatus(host, grpc >= 0 ? statusOfGrpc(grpc) : head.status);
  }

  onTrailers(host: Host, trailers: Fields): void {
    if (this.#outlier === null) return;
    const grpc = grpcStatusOf(trailers);
    if (grpc >= 0) this.#outlier.onStatus(host, statusOfGrpc(grpc));
  }

  onLocalFailure(host: Host, timedOut: boolean): void {
    this.#outlier?.onLocalFailure(host, timedOut);
  }

  /** A pool may not connect now; it is told when there is room. */
  waitForRoom(pool: HttpPool): void {
    (this.#blocked ??= new Set()).add(pool);
  }

  /** A connection has ended. */
  onRoom(): void {
    const blocked = this.#blocked;
    if (blocked === null) return;
    this.#blocked = null;
    for (const pool of blocked) pool.onRoom();
  }

  certificate(): CertificateChoice {
    return this.options.certificate();
  }

  /** @throws MeshError `tls_material` */
  tlsContext(application: "h2" | "http/1.1" | "raw"): TlsContext {
    this.#tls ??= new UpstreamTlsContexts((name) => this.options.secret?.(name));
    return this.#tls.get(this.#destination, application);
  }

  // --- configuration

  /** Takes another configuration of the same name; hosts and connections stay where they still fit. */
  configure(destination: Destination): void {
    const old = this.#destination;
    this.#destination = destination;
    this.breakers.configure(destination.limits);
    this.maxRequestsPerConnection = destination.limits.maxRequestsPerConnection ?? 0;
    this.#stale = true;
    if (JSON.stringify([old.tls, old.protocol]) !== JSON.stringify([destination.tls, destination.protocol])) {
      this.#tls?.clear();
      for (const host of this.hosts) {
        host.drain();
        host.http1 = host.http2 = null;
      }
    }
    this.#configureOutlier();
  }

  #configureOutlier(): void {
    const config = this.#destination.outlierDetection;
    if (config && this.#outlier) this.#outlier.configure(config);
    else if (config) {
      const clock = this.options.clock ?? systemClock;
      this.#outlier = new OutlierDetector(config, clock, () => this.hosts, () => this.#changed = true);
    } else {
      this.#outlier?.close();
      this.#outlier = null;
    }
    this.#changed = true;
  }

  /** The proxy is leaving: connections are not kept any more, and idle ones end. Requests still go through. */
  retire(): void {
    this.retired = true;
    for (const host of this.hosts) host.drain();
  }

  /** No longer configured: as {@linkcode retire}, and hosts are not watched any more. */
  drain(): void {
    this.#release();
    this.retire();
  }

  /** Ends everything at once. */
  close(): void {
    this.#release();
    this.#raw?.close();
    for (const pool of [...this.pools]) pool.close();
  }

  #release(): void {
    this.#closed = true;
    this.#waiting?.onResolved();
    this.#watchNames(new Set());
    this.#warm?.();
    this.#outlier?.close();
    this.#outlier = null;
  }

  /** Hosts for dumps. */
  view(): HostView[] {
    if (!this.#isOriginal) this.refresh();
    return [...this.hosts].map((host) => {
      const { locality } = host.spec;
      return {
        endpoint: host.name,
        status: host.spec.healthy ? "HEALTHY" : "UNHEALTHY",
        outlierCheck: host.ejected ? "FAILED" : "OK",
        cluster: this.name,
        hbone: host.hbone,
        weight: host.weight,
        priority: host.priority,
        locality: locality ? [locality.region, locality.zone, locality.subzone].filter((part) => part).join("/") : "",
        workload: host.workload?.uid ?? "",
        activeRequests: host.active,
        connections: host.connections,
      };
    });
  }
}
