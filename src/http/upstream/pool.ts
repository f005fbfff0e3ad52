import type { SocketAddress } from "../../net/mod.ts";
import type { Timer } from "../../net/timers.ts";
import type { ClientConnection } from "../stream.ts";
import type { Attempt } from "./attempt.ts";
import type { Cluster } from "./cluster.ts";
import type { Carrier } from "./codecs.ts";
import { connectHost, type Connecting } from "./connector.ts";
import type { Host } from "./host.ts";
import { PooledConnection } from "./pooled_connection.ts";
import { type UpstreamError, upstreamError } from "./types.ts";

/** Requests that one connection being made is counted on for, with HTTP/2, before another is begun. */
const H2_STREAMS_EXPECTED = 100;

/** How soon a refused request is offered to a young HTTP/2 connection again, and how long a connection counts as young. */
const OFFER_AGAIN_MS = 20, YOUNG_MS = 500;

/**
 * Connections of one HTTP version to one host. HTTP/1.1 connections that are free lie on a stack, so that the warmest is used and
 * the others grow old; HTTP/2 connections stay on it while the peer takes streams. Requests without a connection wait in order.
 *
 * A pool of one client ends with its last connection, and its idle connections count among those that its host keeps for all clients.
 */
export class HttpPool {
  readonly cluster: Cluster;
  readonly host: Host;
  readonly http2: boolean;
  /** Whose connections these are; the port is that of the connection that came first. Null: anybody's. */
  readonly client: SocketAddress | null;
  readonly #ready: PooledConnection[] = [];
  readonly #all = new Set<PooledConnection>();
  readonly #connecting = new Set<Connecting>();
  #first: Attempt | null = null;
  #last: Attempt | null = null;
  #pending = 0;
  #sweep: Timer | null = null;
  #draining: boolean;
  /** Waits for room among the cluster's connections. */
  #blocked = false;
  /** Its host has forgotten it: nobody is to wait here any more. */
  #gone = false;

  constructor(cluster: Cluster, host: Host, http2: boolean, client: SocketAddress | null) {
    this.cluster = cluster;
    this.host = host;
    this.http2 = http2;
    this.client = client;
    // Somebody was on the way to a host that has gone meanwhile.
    this.#draining = host.removed;
  }

  /** Connections that are up. */
  get size(): number {
    return this.#all.size;
  }

  get pending(): number {
    return this.#pending;
  }

  /** Since when its oldest request has waited for a connection, on the reactor's clock; Infinity when none does. */
  get waitingSince(): number {
    return this.#first === null ? Infinity : this.#first.waitingSince;
  }

  /**
   * Whether one more connection is within the limit, or is due whatever the limit: one for each pool. Pools of HTTP/1.1 that have one
   * client each share what is due to their host, or thousands of clients would have thousands of connections.
   */
  get mayConnect(): boolean {
    const shared = this.client !== null && !this.http2;
    const own = shared ? this.host.connections : this.#all.size + this.#connecting.size;
    return this.cluster.breakers.mayConnect(own);
  }

  /** Sends the attempt's request on a connection that is up, or queues it until there is one. */
  dispatch(attempt: Attempt): void {
    if (this.#first === null && this.#sendNow(attempt)) return;
    // The last connection has just turned out to be closed, and a client's pool ends with it.
    if (this.#gone) return this.cluster.dispatchTo(this.host, attempt);
    const { breakers, counters } = this.cluster;
    if (breakers.pending >= breakers.maxPending) {
      counters.upstream_rq_pending_overflow++;
      this.#endIfEmpty();
      return attempt.fail(upstreamError("overflow", `too many requests wait for "${this.cluster.name}"`));
    }
    this.#enqueue(attempt);
    this.#connectAsNeeded();
  }

  /** True when the attempt is dealt with, one way or the other. */
  #sendNow(attempt: Attempt): boolean {
    for (;;) {
      const pooled = this.#take();
      if (pooled === null) return false;
      const { breakers, counters } = this.cluster;
      if (breakers.requests >= breakers.maxRequests) {
        counters.upstream_rq_pending_overflow++;
        attempt.fail(upstreamError("overflow", `too many requests are under way to "${this.cluster.name}"`));
        return true;
      }
      const { connection } = pooled;
      const limit = this.cluster.maxRequestsPerConnection;
      if (pooled.idle) this.host.pools.idle!.remove(pooled);
      // One less to give, before anything that the request calls back can look for a connection.
      if (!this.http2) this.#unready(pooled);
      const last = limit > 0 && connection.requests + 1 >= limit;
      if (last && pooled.ready) this.#unready(pooled);
      const sent = attempt.send(pooled);
      if (last && connection.open) connection.drain();
      if (pooled.ready && connection.capacity <= 0) this.#unready(pooled);
      if (sent) return true;
      if (connection.open && connection.capacity > 0) {
        this.#refused(attempt, pooled);
        return true;
      }
      // It is full: it is not to be asked again before it reports capacity.
      if (pooled.ready) this.#unready(pooled);
    }
  }

  /**
   * The connection has room, and will not take this request: an upgrade over HTTP/2, which the peer does not offer, or has not
   * had time to offer yet (RFC 8441).
   */
  #refused(attempt: Attempt, pooled: PooledConnection): void {
    if (!pooled.ready) this.onCapacity(pooled);
    const { reactor, name } = this.cluster;
    if (attempt.over) return;
    if (attempt.refusedSince < 0) attempt.refusedSince = reactor.now;
    // Every connection of a destination that is gone is young: it ends as soon as nobody waits for it.
    if (!this.http2 || reactor.now - Math.min(pooled.since, attempt.refusedSince) > YOUNG_MS) {
      return attempt.fail(
        upstreamError("protocol_error", `"${name}" takes no upgrade to "${attempt.request.head.upgrade}"`),
      );
    }
    reactor.setTimer(OFFER_AGAIN_MS, () => {
      if (!attempt.over) this.cluster.dispatchTo(this.host, attempt);
    });
  }

  /** The connection to use next, still on the stack. */
  #take(): PooledConnection | null {
    const ready = this.#ready;
    while (ready.length > 0) {
      const top = ready[ready.length - 1];
      if (top.connection.open && top.connection.capacity > 0) return top;
      ready.pop();
      top.ready = false;
    }
    return null;
  }

  #unready(pooled: PooledConnection): void {
    const ready = this.#ready;
    pooled.ready = false;
    if (ready[ready.length - 1] === pooled) {
      ready.pop();
      return;
    }
    const at = ready.indexOf(pooled);
    if (at >= 0) ready.splice(at, 1);
  }

  // --- the queue

  #enqueue(attempt: Attempt): void {
    attempt.await();
    attempt.queued = true;
    if (attempt.waitingSince < 0) attempt.waitingSince = this.cluster.reactor.now;
    attempt.previous = this.#last;
    attempt.next = null;
    if (this.#last === null) this.#first = attempt;
    else this.#last.next = attempt;
    this.#last = attempt;
    this.#pending++;
    this.cluster.breakers.pending++;
  }

  /** Takes a waiting attempt out of the queue. */
  forget(attempt: Attempt): void {
    if (!attempt.queued) return;
    attempt.queued = false;
    const { previous, next } = attempt;
    if (previous === null) this.#first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    attempt.previous = attempt.next = null;
    this.#pending--;
    this.cluster.breakers.pending--;
    // A connection that nobody waits for any more is finished all the same: the next request will want it.
    if (this.#first === null && this.#blocked) {
      this.#blocked = false;
      this.cluster.stopWaiting(this);
    }
    this.#endIfEmpty();
  }

  #servePending(): void {
    while (this.#first !== null) {
      const attempt = this.#first;
      if (this.#take() === null) return this.#connectAsNeeded();
      this.forget(attempt);
      if (!this.#sendNow(attempt)) {
        if (this.#gone) return this.cluster.dispatchTo(this.host, attempt);
        this.#enqueue(attempt);
        return this.#connectAsNeeded();
      }
    }
  }

  #failPending(error: UpstreamError): void {
    // Those who come meanwhile (a retry at once) wait for the next connection.
    let left = this.#pending;
    while (left-- > 0 && this.#first !== null) {
      const attempt = this.#first;
      this.forget(attempt);
      this.cluster.onLocalFailure(this.host, error.code === "connection_timeout");
      attempt.fail(error);
    }
  }

  // --- connections

  #connectAsNeeded(): void {
    for (;;) {
      const promised = this.#connecting.size * (this.http2 ? H2_STREAMS_EXPECTED : 1);
      if (this.#pending <= promised) return;
      if (!this.mayConnect) {
        this.cluster.counters.upstream_cx_overflow++;
        this.#blocked = true;
        return this.cluster.waitForRoom(this);
      }
      this.#connect();
    }
  }

  #connect(): void {
    const { cluster, host } = this;
    cluster.breakers.connections++;
    host.connections++;
    cluster.pools.add(this);
    const connecting = connectHost(cluster, host, this.http2 ? "h2" : "http/1.1", (error, carrier) => {
      this.#connecting.delete(connecting);
      if (error !== null) {
        this.#lost();
        this.#failPending(error);
        return this.#connectAsNeeded();
      }
      this.#begin(carrier!);
    }, this.client);
    this.#connecting.add(connecting);
  }

  #begin(carrier: Carrier): void {
    const { codecs, reactor } = this.cluster;
    const downgraded = carrier.tls !== null && carrier.tls.peer.alpn === "http/1.1";
    const connection = this.http2 && !downgraded ? codecs.http2(reactor, carrier) : codecs.http1(reactor, carrier);
    const pooled = new PooledConnection(this, connection, carrier);
    connection.owner = pooled;
    this.#all.add(pooled);
    this.cluster.onConnected(this.host);
    if (!connection.open) return this.onClosed(pooled);
    this.onCapacity(pooled);
  }

  #lost(): void {
    this.cluster.breakers.connections--;
    this.host.connections--;
    if (this.#all.size === 0 && this.#connecting.size === 0) {
      this.cluster.pools.delete(this);
      this.#endIfEmpty();
    }
    this.cluster.onRoom();
  }

  /** A client's pool lasts as long as it has connections, or requests that wait for one. */
  #endIfEmpty(): void {
    if (this.client === null || this.#first !== null || this.#all.size > 0 || this.#connecting.size > 0) return;
    this.#sweep?.cancel();
    this.#sweep = null;
    this.#gone = true;
    this.host.pools.remove(this);
  }

  onCapacity(pooled: PooledConnection): void {
    const { connection } = pooled;
    if (!connection.open || !this.#all.has(pooled)) return;
    const idle = connection.streams === 0;
    if (idle) pooled.idleSince = this.cluster.reactor.now;
    if (this.#leaving) {
      // Nobody waits for it, and nobody will.
      if (!idle) return;
      if (pooled.ready) this.#unready(pooled);
      connection.drain();
      return;
    }
    if (idle && this.client !== null && this.#yields(connection)) return this.endIdle(pooled);
    if (!pooled.ready && connection.capacity > 0) {
      pooled.ready = true;
      this.#ready.push(pooled);
      if (this.#first !== null) {
        this.#servePending();
        // Those who waited may have been refused, or gone elsewhere: then it is idle after all.
        if (pooled.ready && this.#leaving) return this.onCapacity(pooled);
      }
      if (this.#sweep === null) this.#idleBegins();
    }
    if (this.client !== null && pooled.ready && connection.streams === 0) this.host.pools.idle!.add(pooled);
  }

  /**
   * Whether a connection that has become idle makes room for another client that has waited longer than anybody here. One that was made
   * for somebody serves somebody first, or clients could end each other's connections without end; and HTTP/2 would be given its one again.
   */
  #yields(connection: ClientConnection): boolean {
    if (this.#first !== null && (this.http2 || connection.requests === 0)) return false;
    return this.cluster.longerWaiting(this);
  }

  /** Gives a connection no more requests; it ends with those it has. */
  retire(pooled: PooledConnection): void {
    if (pooled.connection.streams === 0) return this.endIdle(pooled);
    if (pooled.ready) this.#unready(pooled);
    pooled.connection.drain();
  }

  /** Ends a connection that is idle. */
  endIdle(pooled: PooledConnection): void {
    if (pooled.ready) this.#unready(pooled);
    if (pooled.idle) this.host.pools.idle!.remove(pooled);
    pooled.connection.drain();
  }

  get #leaving(): boolean {
    return this.#first === null && (this.#draining || this.cluster.retired);
  }

  #idleBegins(): void {
    const { idleTimeoutMs } = this.cluster.destination.limits;
    if (idleTimeoutMs > 0 && !this.#draining) this.#watchIdle(idleTimeoutMs);
  }

  onClosed(pooled: PooledConnection): void {
    if (!this.#all.delete(pooled)) return;
    pooled.forget();
    if (pooled.ready) this.#unready(pooled);
    if (pooled.idle) this.host.pools.idle!.remove(pooled);
    this.#lost();
    if (this.#first !== null) this.#connectAsNeeded();
  }

  /** A connection elsewhere in the cluster has ended: those who wait here may have one now. */
  onRoom(): void {
    this.#blocked = false;
    if (this.#first !== null) this.#connectAsNeeded();
  }

  // --- letting go

  /** Looks for connections without requests when the one that is idle longest has been so for the time-out. */
  #watchIdle(ms: number): void {
    this.#sweep = this.cluster.reactor.setTimer(ms, () => {
      this.#sweep = null;
      this.#endIdle();
    });
  }

  /** Connections may get older, or less old, than before. */
  onMaxDuration(): void {
    for (const pooled of this.#all) pooled.age();
  }

  /** The idle time-out is another. */
  onIdleTimeout(): void {
    this.#sweep?.cancel();
    this.#sweep = null;
    if (this.cluster.destination.limits.idleTimeoutMs > 0) this.#endIdle();
  }

  #endIdle(): void {
    const { idleTimeoutMs } = this.cluster.destination.limits;
    const now = this.cluster.reactor.now;
    let oldest = Infinity;
    for (const pooled of [...this.#all]) {
      if (pooled.connection.streams > 0) continue;
      if (now - pooled.idleSince >= idleTimeoutMs) {
        this.endIdle(pooled);
      } else oldest = Math.min(oldest, pooled.idleSince);
    }
    if (oldest < Infinity && this.#sweep === null) this.#watchIdle(oldest + idleTimeoutMs - now);
  }

  /** Ends what is idle; what runs, and who waits, may finish. */
  drain(): void {
    this.#draining = true;
    this.#sweep?.cancel();
    this.#sweep = null;
    for (const pooled of [...this.#all]) {
      if (pooled.ready && this.#pending === 0) this.#unready(pooled);
      pooled.connection.drain();
    }
    if (this.#pending === 0) { for (const connecting of [...this.#connecting]) this.#giveUp(connecting); }
  }

  #giveUp(connecting: Connecting): void {
    this.#connecting.delete(connecting);
    connecting.cancel();
    this.#lost();
  }

  /** The host is gone: those who wait for a connection to it are sent to other hosts. */
  evict(): void {
    let left = this.#pending;
    while (left-- > 0 && this.#first !== null) {
      const attempt = this.#first;
      this.forget(attempt);
      attempt.host = null;
      attempt.pool = null;
      this.cluster.dispatch(attempt);
    }
    for (const connecting of [...this.#connecting]) this.#giveUp(connecting);
  }

  /** Ends everything at once. */
  close(): void {
    this.drain();
    for (const connecting of [...this.#connecting]) this.#giveUp(connecting);
    this.#failPending(upstreamError("aborted", `"${this.cluster.name}" is closed`));
    for (const pooled of [...this.#all]) pooled.connection.abort();
  }
}
