import type { SocketAddress } from "../../net/mod.ts";
import type { Timer } from "../../net/timers.ts";
import type { ClientConnection, ClientConnectionOwner, StreamError } from "../stream.ts";
import type { Carrier } from "./codecs.ts";
import type { IdleLink } from "./idle.ts";
import type { HttpPool } from "./pool.ts";

/** A connection of a pool, and what the pool knows about it. */
export class PooledConnection implements ClientConnectionOwner, IdleLink {
  readonly pool: HttpPool;
  readonly connection: ClientConnection;
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  /** On the pool's stack of connections that take requests. */
  ready = false;
  // Links among the host's idle connections that belong to one client each.
  idle = false;
  nextIdle: IdleLink | null = null;
  previousIdle: IdleLink | null = null;
  /** Since when it has had no request; on the reactor's clock. */
  idleSince: number;
  readonly since: number;
  /** Ends its use when it has been used for so long as the destination allows. */
  #aging: Timer | null = null;

  constructor(pool: HttpPool, connection: ClientConnection, carrier: Carrier) {
    this.pool = pool;
    this.connection = connection;
    this.remote = carrier.remote;
    this.local = carrier.local;
    this.idleSince = this.since = pool.cluster.reactor.now;
    this.age();
  }

  /** Takes the destination's word for how old it may get. */
  age(): void {
    const { reactor, destination } = this.pool.cluster;
    const { maxConnectionDurationMs } = destination.limits;
    this.#aging?.cancel();
    this.#aging = null;
    if (maxConnectionDurationMs === undefined) return;
    const left = Math.max(0, this.since + maxConnectionDurationMs - reactor.now);
    this.#aging = reactor.setTimer(left, () => this.pool.retire(this));
  }

  /** Ends it, being idle, to make room. */
  endIdle(): void {
    this.pool.endIdle(this);
  }

  onCapacity(_connection: ClientConnection): void {
    this.pool.onCapacity(this);
  }

  /** It is over. */
  forget(): void {
    this.#aging?.cancel();
    this.#aging = null;
  }

  onClosed(_connection: ClientConnection, _error: StreamError | null): void {
    this.pool.onClosed(this);
  }
}
