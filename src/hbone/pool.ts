import { H2Connection } from "../h2/connection.ts";
import type { H2Options } from "../h2/options.ts";
import type { SpiffeId } from "../model/identity.ts";
import type { Netns } from "../net/netns.ts";
import type { Reactor } from "../net/reactor.ts";
import { connectTcp, type Keepalive, type PendingConnect } from "../net/tcp.ts";
import type { Timer } from "../net/timers.ts";
import { startTls, type TlsSocket } from "../net/tls_socket.ts";
import { beginClient, openTunnel, type PendingRequest } from "./client.ts";
import { hboneError } from "./errors.ts";
import { tlsContextOf } from "./identity.ts";
import type { HboneConnectCallback, HboneError, HbonePeer, HboneTarget } from "./types.ts";

/** HBONE's port. */
export const HBONE_PORT = 15008;

export interface HbonePoolOptions {
  reactor: Reactor;
  /** The pod's namespace, in which connections are made. */
  netns?: Netns;
  /** SO_MARK of the sockets. */
  mark?: number;
  keepalive?: Keepalive;
  /** Streams on one connection, if the peer allows as many (`POOL_MAX_STREAMS_PER_CONNECTION`). */
  maxStreamsPerConnection?: number;
  /** How long a connection without streams is kept (`POOL_UNUSED_RELEASE_TIMEOUT`). */
  unusedReleaseMs?: number;
  /** TCP, TLS and SETTINGS must be done by then. */
  connectTimeoutMs?: number;
  h2?: Partial<H2Options>;
}

const DEFAULTS = { maxStreamsPerConnection: 100, unusedReleaseMs: 300_000, connectTimeoutMs: 10_000 };

/** A request that has not got its stream yet. */
class Waiter implements PendingRequest {
  inner: PendingRequest | undefined;
  cancelled = false;
  constructor(readonly target: HboneTarget, readonly callback: HboneConnectCallback) {}
  cancel(): void {
    this.cancelled = true;
    this.inner?.cancel();
  }
}

/**
 * The HBONE connections of one pod, reused by (source identity, acceptable identities, destination, source address): see
 * hbone.md, 7. Connections for one key are made one at a time; requests that come meanwhile wait, in order.
 */
export class HbonePool {
  readonly #options: HbonePoolOptions & typeof DEFAULTS;
  /** By destination address. */
  readonly #groups = new Map<string, Set<Group>>();
  #draining = false;

  constructor(options: HbonePoolOptions) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Connections that are up. */
  get connections(): number {
    let count = 0;
    for (const group of this.#all()) count += group.connections.size;
    return count;
  }

  /** Who is at the other end of each connection that is up. */
  peers(): HbonePeer[] {
    return [...this.#all()].flatMap(({ connections }) => [...connections].map(({ peer }) => peer as HbonePeer));
  }

  /** Opens a tunnel; calls back once, never before this returns. */
  connect(target: HboneTarget, callback: HboneConnectCallback): PendingRequest {
    const waiter = new Waiter(target, callback);
    if (this.#draining) {
      queueMicrotask(() => {
        if (!waiter.cancelled) callback(hboneError("pool_closed", "the pool is closing"), null);
      });
      return waiter;
    }
    this.#groupOf(target).acquire(waiter);
    return waiter;
  }

  /** The group of a target's key. Found by the address, which is short, and then by comparison: a whole key is long to build. */
  #groupOf(target: HboneTarget): Group {
    let groups = this.#groups.get(target.address);
    if (!groups) this.#groups.set(target.address, groups = new Set());
    const key = keyOf(target);
    for (const group of groups) if (sameKey(group.key, key)) return group;
    const made = new Group(this.#options, key, () => {
      groups.delete(made);
      if (groups.size === 0 && this.#groups.get(target.address) === groups) this.#groups.delete(target.address);
    });
    groups.add(made);
    return made;
  }

  *#all(): Iterable<Group> {
    for (const groups of [...this.#groups.values()]) yield* [...groups];
  }

  /** Takes no more requests and lets connections end with their streams. */
  drain(): void {
    this.#draining = true;
    for (const group of this.#all()) group.drain();
  }

  /** Ends everything at once. */
  close(): void {
    this.#draining = true;
    for (const group of this.#all()) group.close();
    this.#groups.clear();
  }
}

/** What a connection must have in common with another to be shared, the address aside. */
interface Key {
  readonly source: SpiffeId;
  readonly expectedIds: readonly SpiffeId[];
  readonly port: number;
  readonly bindAddress: string | undefined;
}

function keyOf({ certificate, expectedIds, port, bindAddress }: HboneTarget): Key {
  return { source: certificate.id, expectedIds, port: port ?? HBONE_PORT, bindAddress };
}

function sameKey(a: Key, b: Key): boolean {
  return a.source === b.source && a.port === b.port && a.bindAddress === b.bindAddress &&
    sameIds(a.expectedIds, b.expectedIds);
}

/** Whether two lists name the same identities, in whatever order. */
function sameIds(a: readonly SpiffeId[], b: readonly SpiffeId[]): boolean {
  return a === b || (a.length === b.length && a.every((id) => b.includes(id)) && b.every((id) => a.includes(id)));
}

/** The connections and the queue of one key. */
class Group {
  readonly connections = new Set<H2Connection>();
  readonly #idle = new Map<H2Connection, Timer>();
  readonly #waiters: Waiter[] = [];
  #connecting: PendingConnect | TlsSocket | H2Connection | null = null;
  #timer: Timer | null = null;
  #closed = false;

  constructor(
    readonly options: HbonePoolOptions & typeof DEFAULTS,
    readonly key: Key,
    readonly onEmpty: () => void,
  ) {}

  acquire(waiter: Waiter): void {
    if (this.#waiters.length === 0) {
      const connection = this.#usable();
      if (connection) return this.#open(connection, waiter);
    }
    this.#waiters.push(waiter);
    if (this.#connecting === null) this.#connect(waiter.target);
  }

  /** The oldest connection with room: the others get a chance to fall idle. */
  #usable(): H2Connection | undefined {
    for (const connection of this.connections) {
      if (connection.capacity > 0 && connection.streams < this.options.maxStreamsPerConnection) return connection;
    }
    return undefined;
  }

  #open(connection: H2Connection, waiter: Waiter): void {
    if (waiter.cancelled) return;
    const inner = openTunnel(connection, waiter.target, waiter.callback);
    if (inner === undefined) return this.acquire(waiter);
    waiter.inner = inner;
    this.#idle.get(connection)?.cancel();
    this.#idle.delete(connection);
  }

  // --- making one

  #connect(target: HboneTarget): void {
    const { reactor, netns, mark, keepalive, connectTimeoutMs } = this.options;
    const address = target.address, port = target.port ?? HBONE_PORT;
    const started = reactor.now;
    // Callbacks may come before connectTcp() returns its handle to us, never before it returns.
    this.#connecting = connectTcp(
      reactor,
      { netns, mark, keepalive, address, port, bindAddress: target.bindAddress, timeoutMs: connectTimeoutMs },
      (error, socket) => {
        this.#connecting = null;
        if (this.#closed) return socket?.abort();
        if (error !== null) {
          const hint = error.code === "connect_timeout" ? "; a NetworkPolicy may block this port" : "";
          return this.#fail(hboneError(error.code, `${error.message}${hint}`, { cause: error }));
        }
        const left = Math.max(1000, connectTimeoutMs - (reactor.now - started));
        try {
          const context = tlsContextOf(target.certificate, "client");
          this.#connecting = startTls(socket!, context, left, (problem, transport) => {
            this.#connecting = null;
            if (this.#closed) return transport?.abort();
            if (problem !== null) return this.#fail(hboneError("tls_failure", problem.message, { cause: problem }));
            this.#begin(transport!, target, left);
          });
        } catch (cause) {
          socket!.abort();
          this.#fail(hboneError("tls_failure", `cannot begin TLS with "${address}:${port}"`, { cause }));
        }
      },
    ) ?? PENDING;
  }

  #begin(transport: TlsSocket, target: HboneTarget, timeoutMs: number): void {
    let ready = false;
    const result = beginClient(this.options.reactor, transport, target.expectedIds, {
      onReady: () => {
        ready = true;
        this.#timer?.cancel();
        this.#connecting = null;
        this.connections.add(connection!);
        this.#serveWaiters();
        this.#watchIdle(connection!);
      },
      onCapacity: () => {
        if (!ready) return;
        if (this.#waiters.length > 0) this.#serveWaiters();
        this.#watchIdle(connection!);
      },
      onGoaway: () => this.#forget(connection!),
      onClosed: (error) => {
        this.#forget(connection!);
        if (ready) return;
        this.#timer?.cancel();
        this.#connecting = null;
        if (!this.#closed) {
          this.#fail(
            hboneError("h2_handshake_failure", `HTTP/2 with "${target.address}" did not begin`, { cause: error }),
          );
        }
      },
    }, this.options.h2);
    if (!(result instanceof H2Connection)) return this.#fail(result);
    const connection: H2Connection | null = result;
    this.#connecting = connection;
    this.#timer = this.options.reactor.setTimer(timeoutMs, () => connection.abort());
  }

  #serveWaiters(): void {
    while (this.#waiters.length > 0) {
      const connection = this.#usable();
      if (!connection) break;
      const waiter = this.#waiters.shift()!;
      if (!waiter.cancelled) this.#open(connection, waiter);
    }
    if (this.#waiters.length > 0 && this.#connecting === null && !this.#closed) this.#connect(this.#waiters[0].target);
  }

  /** Everybody who waits fails with the attempt: the next request tries again. */
  #fail(error: HboneError): void {
    for (const waiter of this.#waiters.splice(0)) if (!waiter.cancelled) waiter.callback(error, null);
    this.#emptied();
  }

  // --- letting go

  #watchIdle(connection: H2Connection): void {
    if (connection.streams > 0 || connection.closed || this.#idle.has(connection)) return;
    const timer = this.options.reactor.setTimer(this.options.unusedReleaseMs, () => {
      this.#idle.delete(connection);
      if (connection.streams > 0) return;
      this.#forget(connection);
      connection.drain();
    });
    this.#idle.set(connection, timer);
  }

  #forget(connection: H2Connection): void {
    this.connections.delete(connection);
    this.#idle.get(connection)?.cancel();
    this.#idle.delete(connection);
    this.#emptied();
  }

  #emptied(): void {
    if (this.connections.size === 0 && this.#waiters.length === 0 && this.#connecting === null) this.onEmpty();
  }

  drain(): void {
    this.#closed = true;
    this.#failWaiters();
    for (const connection of [...this.connections]) connection.drain();
  }

  close(): void {
    this.#closed = true;
    this.#failWaiters();
    for (const connection of [...this.connections]) connection.close();
  }

  #failWaiters(): void {
    const connecting = this.#connecting;
    this.#connecting = null;
    this.#timer?.cancel();
    if (connecting !== null) {
      if ("cancel" in connecting) connecting.cancel();
      else connecting.abort();
    }
    this.#fail(hboneError("pool_closed", "the pool is closing"));
  }
}

/** Stands for an attempt that has failed already and is about to say so. */
const PENDING = { cancel(): void {} } as PendingConnect;
