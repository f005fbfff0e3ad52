import type { CertificateChoice, HbonePool } from "../../hbone/mod.ts";
import type { Destination } from "../../model/mod.ts";
import type { Reactor } from "../../net/mod.ts";
import type { TlsContext } from "../../net/tls_context.ts";
import type { Fields } from "../fields.ts";
import type { ResponseHead } from "../message.ts";
import { Attempt } from "./attempt.ts";
import type { ClientCodecs } from "./codecs.ts";
import type { Host } from "./host.ts";
import { HostSet, type HostSetOwner } from "./host_set.ts";
import type { IdleBudget } from "./idle.ts";
import { CircuitBreakers } from "./limits.ts";
import type { Names } from "./names.ts";
import { HttpPool } from "./pool.ts";
import { ClusterCounters } from "./stats.ts";
import { grpcStatusOf, isGrpc, statusOfGrpc } from "./grpc_status.ts";
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
  readonly idleBudget: IdleBudget;
  /** The hosts now come from other services than before. */
  readonly onServices: (cluster: Cluster) => void;
}

/** A live destination: its hosts, connections to them, and the limits on all that. */
export class Cluster implements HostSetOwner {
  readonly name: string;
  readonly breakers: CircuitBreakers;
  readonly counters = new ClusterCounters();
  readonly options: ClustersOptions;
  readonly reactor: Reactor;
  readonly codecs: ClientCodecs;
  readonly tunnels: HbonePool;
  readonly idleBudget: IdleBudget;
  maxRequestsPerConnection: number;
  /** Connections are not kept without requests. */
  retired = false;
  /** Pools with connections, those of hosts that are gone included. */
  readonly pools = new Set<HttpPool>();
  #destination: Destination;
  readonly #set: HostSet;
  readonly #parts: ClusterParts;
  // Most of thousands of clusters never need these.
  #tls: UpstreamTlsContexts | null = null;
  #waiting: WaitingRoom | null = null;
  #blocked: Set<HttpPool> | null = null;
  #raw: Tunnels | null = null;

  constructor(destination: Destination, parts: ClusterParts) {
    this.name = destination.name;
    this.#destination = destination;
    this.#parts = parts;
    this.options = parts.options;
    this.reactor = parts.options.reactor;
    this.codecs = parts.codecs;
    this.tunnels = parts.tunnels;
    this.idleBudget = parts.idleBudget;
    this.breakers = new CircuitBreakers(destination.limits);
    this.maxRequestsPerConnection = destination.limits.maxRequestsPerConnection ?? 0;
    this.#set = new HostSet(destination, parts.options, parts.names, this);
  }

  get destination(): Destination {
    return this.#destination;
  }

  /** Hosts as of the last look. */
  get hosts(): Iterable<Host> {
    return this.#set.all;
  }

  /** Keys of the services that the hosts come from; `*` for any change of the mesh. */
  get services(): ReadonlySet<string> {
    return this.#set.services;
  }

  /** Ejections so far. */
  get ejections(): number {
    return this.#set.ejections;
  }

  /** Hosts that outlier detection has ejected. */
  get ejected(): number {
    return this.#set.outlier?.ejected ?? 0;
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
      this.dispatchTo(host, attempt);
      return;
    }
    if (this.unresolved) return (this.#waiting ??= new WaitingRoom(this)).admit(attempt);
    attempt.fail(upstreamError("no_healthy_upstream", `no healthy upstream for "${this.name}"`));
  }

  /** Sends the attempt's request to this host, now or when there is a connection for it. */
  dispatchTo(host: Host, attempt: Attempt): void {
    const pool = attempt.pool = this.#poolOf(host, attempt.request);
    pool.dispatch(attempt);
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
    const client = host.perClient ? request.onBehalfOf : null;
    const { pools } = host;
    if (client !== null) {
      return pools.ofClient(client.address, http2) ?? pools.add(new HttpPool(this, host, http2, client));
    }
    return (http2 ? pools.http2 : pools.http1) ?? pools.add(new HttpPool(this, host, http2, null));
  }

  /** A connection of its own to a host, for bytes: calls back once, never before this returns, unless cancelled. */
  openTunnel(context: PickContext, callback: (result: TunnelResult) => void): PendingTunnel {
    return (this.#raw ??= new Tunnels(this)).open(context, callback);
  }

  /** Whether names are being resolved for the first time. */
  get unresolved(): boolean {
    return this.#set.unresolved;
  }

  /** Tunnels may wait for names, too. */
  whenResolved(resume: () => void): void {
    (this.#waiting ??= new WaitingRoom(this)).whenResolved(resume);
  }

  /** Counts a retry; false when as many as allowed are under way (the request's last outcome then stands). */
  acquireRetry(): boolean {
    if (this.breakers.retries >= this.breakers.maxRetries) {
      this.counters.upstream_rq_retry_overflow++;
      return false;
    }
    this.breakers.retries++;
    this.counters.upstream_rq_retry++;
    return true;
  }

  /** The retry that {@linkcode acquireRetry} counted is over. */
  releaseRetry(): void {
    this.breakers.retries--;
  }

  // --- hosts

  /** The host for a request, null when none may be chosen. */
  pick(context: PickContext): Host | null {
    return this.#set.pick(context);
  }

  /** Something that the hosts come from has changed. */
  invalidate(): void {
    this.#set.invalidate();
  }

  /** Brings hosts up to date. */
  refresh(): void {
    this.#set.refresh();
  }

  onServices(): void {
    this.#parts.onServices(this);
  }

  onResolved(): void {
    this.#waiting?.onResolved();
  }

  // --- outcomes, told by attempts and pools

  onSent(host: Host): void {
    this.#set.outlier?.onLocalSuccess(host);
  }

  onConnected(host: Host): void {
    this.#set.outlier?.onLocalSuccess(host);
  }

  onResponse(host: Host, head: ResponseHead): void {
    const { outlier } = this.#set;
    if (outlier === null) return;
    const grpc = head.status === 200 ? grpcStatusOf(head.fields) : -1;
    if (grpc < 0 && head.status === 200 && isGrpc(head.fields)) return;
    outlier.onStatus(host, grpc >= 0 ? statusOfGrpc(grpc) : head.status);
  }

  onTrailers(host: Host, trailers: Fields): void {
    const { outlier } = this.#set;
    if (outlier === null) return;
    const grpc = grpcStatusOf(trailers);
    if (grpc >= 0) outlier.onStatus(host, statusOfGrpc(grpc));
  }

  onLocalFailure(host: Host, timedOut: boolean): void {
    this.#set.outlier?.onLocalFailure(host, timedOut);
  }

  /** A pool may not connect now; it is told when there is room. An idle connection that another client left makes room. */
  waitForRoom(pool: HttpPool): void {
    (this.#blocked ??= new Set()).add(pool);
    if (pool.client === null) return;
    if (pool.host.pools.idle?.endOldest()) return;
    for (const host of this.hosts) if (host.pools.idle?.endOldest()) return;
  }

  /** Nobody waits for a connection in this pool any more. */
  stopWaiting(pool: HttpPool): void {
    this.#blocked?.delete(pool);
  }

  /** Whether somebody in another pool has waited for room longer than anybody in this one. */
  longerWaiting(pool: HttpPool): boolean {
    if (this.#blocked === null || this.#blocked.size === 0) return false;
    for (const first of this.#blocked) return first !== pool && first.waitingSince < pool.waitingSince;
    return false;
  }

  /** A connection has ended, or more of them are allowed: those who wait are served in the order in which they came. */
  onRoom(): void {
    const blocked = this.#blocked;
    if (blocked === null || blocked.size === 0) return;
    // One that wants more than there is room for waits again, and is found last, having no room.
    for (const pool of blocked) {
      if (!pool.mayConnect) continue;
      blocked.delete(pool);
      pool.onRoom();
    }
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
    if (JSON.stringify([old.tls, old.protocol]) !== JSON.stringify([destination.tls, destination.protocol])) {
      this.#tls?.clear();
      for (const host of this.hosts) {
        host.pools.drain();
        host.pools.clear();
      }
    }
    this.#set.configure(destination);
    // Limits may be wider, and time-outs shorter.
    this.onRoom();
    if (old.limits.idleTimeoutMs !== destination.limits.idleTimeoutMs) {
      for (const pool of this.pools) pool.onIdleTimeout();
    }
    if (old.limits.maxConnectionDurationMs !== destination.limits.maxConnectionDurationMs) {
      for (const pool of this.pools) pool.onMaxDuration();
    }
  }

  /** The proxy is leaving: connections are not kept any more, and idle ones end. Requests still go through. */
  retire(): void {
    this.retired = true;
    for (const host of this.hosts) host.pools.drain();
  }

  /** No longer configured: as {@linkcode retire}, and hosts are not watched any more. */
  drain(): void {
    this.#set.release();
    this.#waiting?.onResolved();
    this.retire();
  }

  /** Ends everything at once. */
  close(): void {
    this.#set.release();
    this.#waiting?.onResolved();
    this.#raw?.close();
    for (const pool of new Set([...this.pools, ...this.#blocked ?? []])) pool.close();
  }

  /** Hosts for dumps. */
  view(): HostView[] {
    this.refresh();
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
