import type { SocketAddress } from "../../net/mod.ts";
import type { Fields } from "../fields.ts";
import type { ResponseHead } from "../message.ts";
import type { ClientStream, ClientStreamHandler, StreamError } from "../stream.ts";
import type { Cluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import type { HttpPool } from "./pool.ts";
import type { PooledConnection } from "./pooled_connection.ts";
import { type AttemptHandler, type UpstreamError, upstreamError, type UpstreamRequest } from "./types.ts";

/** Where an attempt stands. */
const enum AttemptState {
  Idle,
  /** Waiting for a connection. */
  Pending,
  /** The request has been sent, at least its head. */
  Sent,
  /** The response has begun. */
  Answered,
  Over,
}

/**
 * One try at sending a request to a host of a cluster. Made by `Cluster.attempt()`, started by {@linkcode begin}. It stands
 * between the exchange and the stream so that limits, host statistics and outlier detection see every outcome.
 */
export class Attempt implements ClientStreamHandler {
  readonly cluster: Cluster;
  readonly request: UpstreamRequest;
  readonly handler: AttemptHandler;
  #state: AttemptState = AttemptState.Idle;
  /** The chosen host; null when none could be chosen. */
  host: Host | null = null;
  connection: PooledConnection | null = null;
  /** The pool it waits in, or was sent from. */
  pool: HttpPool | null = null;
  stream: ClientStream | null = null;
  /** The connection had served a request before this one. */
  reusedConnection = false;
  /** In its pool's queue. */
  queued = false;
  /** Since when it has waited for a connection, on the reactor's clock; -1 before. */
  waitingSince = -1;
  /** Since when connections with room have not taken it, on the reactor's clock; -1 before. */
  refusedSince = -1;
  /** Links of the queue of those that wait for a connection. */
  next: Attempt | null = null;
  previous: Attempt | null = null;
  #answered = false;

  constructor(cluster: Cluster, request: UpstreamRequest, handler: AttemptHandler) {
    this.cluster = cluster;
    this.request = request;
    this.handler = handler;
  }

  /**
   * Chooses a host and sends the request, at once where a connection is warm. The handler may be called before this returns.
   * Call it once.
   */
  begin(): void {
    if (!this.over) this.cluster.dispatch(this);
  }

  get over(): boolean {
    return this.#state === AttemptState.Over;
  }

  /** Our own address on the connection to the host. */
  get localAddress(): SocketAddress | null {
    return this.connection === null ? null : this.connection.local;
  }

  /**
   * The connection was a kept one and ended before a byte of the response: most likely the host had closed it already, so that
   * trying again is right even where resets are not retried.
   */
  get staleConnection(): boolean {
    return this.reusedConnection && !this.#answered;
  }

  /**
   * Gives up; the handler hears nothing more.
   *
   * @param timedOut because the host took too long, which counts against it
   */
  cancel(timedOut = false): void {
    const state = this.#state;
    if (state === AttemptState.Over) return;
    this.#state = AttemptState.Over;
    if (state === AttemptState.Idle) return;
    if (state === AttemptState.Pending) {
      this.cluster.forgetPending(this);
      return;
    }
    const stream = this.stream;
    this.#release();
    if (timedOut && this.host !== null) this.cluster.onLocalFailure(this.host, true);
    if (stream !== null && stream.open) {
      stream.handler = null;
      stream.reset();
    }
  }

  /** For pools: it waits. */
  await(): void {
    this.#state = AttemptState.Pending;
  }

  /** For pools: the attempt came to nothing before it had a stream. */
  fail(error: UpstreamError): void {
    if (this.#state === AttemptState.Over) return;
    this.#state = AttemptState.Over;
    this.handler.onFailed(this, error);
  }

  /** For pools: the request goes out on this connection. False when the connection cannot take it after all. */
  send(connection: PooledConnection): boolean {
    const { cluster, host } = this;
    this.connection = connection;
    this.reusedConnection = connection.connection.requests > 0;
    this.#state = AttemptState.Sent;
    cluster.breakers.requests++;
    cluster.counters.upstream_rq_total++;
    host!.active++;
    let stream: ClientStream | null = null;
    try {
      stream = connection.connection.request(this.request.head, this.request.bodyEnded, this);
    } catch (thrown) {
      return this.#broken(connection, thrown);
    }
    // It may have failed, and been told so, already.
    if (this.over) return true;
    if (stream === null) {
      this.#release();
      this.#state = AttemptState.Pending;
      this.connection = null;
      return false;
    }
    this.stream = stream;
    cluster.onSent(host!);
    this.handler.onSent(this);
    return true;
  }

  /** The codec has failed us: the connection is lost, and nothing else. */
  #broken(connection: PooledConnection, thrown: unknown): true {
    this.cluster.reactor.report("a request could not be sent", thrown);
    if (!this.over) {
      this.#release();
      this.fail(upstreamError("protocol_error", "the request could not be sent", thrown));
    }
    connection.connection.abort();
    return true;
  }

  #release(): void {
    this.cluster.breakers.requests--;
    this.host!.active--;
  }

  // --- told by the stream

  onInformational(_stream: ClientStream, status: number, fields: Fields): void {
    if (!this.over) this.handler.onInformational(this, status, fields);
  }

  onResponse(_stream: ClientStream, head: ResponseHead, ended: boolean): void {
    if (this.over) return;
    this.#state = AttemptState.Answered;
    this.#answered = true;
    this.cluster.onResponse(this.host!, head);
    this.handler.onResponse(this, head, ended);
  }

  onTrailers(_stream: ClientStream, trailers: Fields): void {
    if (this.over) return;
    this.cluster.onTrailers(this.host!, trailers);
    this.handler.onTrailers(this, trailers);
  }

  onFailed(_stream: ClientStream, error: StreamError): void {
    if (this.over) return;
    this.#state = AttemptState.Over;
    this.#release();
    // What we gave up ourselves says nothing about the host, nor does an ending after its answer has begun.
    if (error.code !== "aborted" && error.code !== "overflow" && !this.#answered) {
      this.cluster.onLocalFailure(this.host!, false);
    }
    this.handler.onFailed(this, error);
  }

  onFinished(_stream: ClientStream): void {
    if (this.over) return;
    this.#state = AttemptState.Over;
    this.#release();
    this.handler.onFinished(this);
  }
}
