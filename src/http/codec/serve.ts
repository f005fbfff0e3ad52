import type { MeshError } from "../../core/errors.ts";
import { PREFACE } from "../../h2/constants.ts";
import type { FlowErrorCode } from "../../net/endpoint.ts";
import type { Reactor } from "../../net/reactor.ts";
import type { Timer } from "../../net/timers.ts";
import type { Transport, TransportConsumer } from "../../net/transport.ts";
import { U8 } from "../../sys/memory.ts";
import type { SocketAddress } from "../../sys/socket_address.ts";
import type { HttpVersion } from "../message.ts";
import type { ConnectionContext, RequestHandler, ServerConnection } from "../stream.ts";
import { DRAIN_GRACE_MS, H1ServerConnection } from "./h1_server.ts";
import { H2ServerConnection } from "./h2_server.ts";
import { HTTP_SERVER_OPTIONS, type HttpServerOptions } from "./options.ts";

/**
 * Serves HTTP/1.1 (and HTTP/1.0) on a transport, whose consumer the codec becomes. `context` comes back as `stream.connection.context`.
 * A `PlainTransport` is begun by its owner afterwards.
 */
export function serveHttp1(
  reactor: Reactor,
  transport: Transport,
  context: ConnectionContext,
  handler: RequestHandler,
  options: HttpServerOptions = HTTP_SERVER_OPTIONS,
): ServerConnection {
  return new H1ServerConnection(reactor, transport, context, handler, options);
}

/** Serves HTTP/2. */
export function serveHttp2(
  reactor: Reactor,
  transport: Transport,
  context: ConnectionContext,
  handler: RequestHandler,
  options: HttpServerOptions = HTTP_SERVER_OPTIONS,
): ServerConnection {
  return new H2ServerConnection(reactor, transport, context, handler, options);
}

/**
 * Serves whichever version the client speaks: the one ALPN chose (`h2`, `http/1.1`), or with "" as `alpn` HTTP/2 when the first bytes are its
 * preface and HTTP/1.1 otherwise. What is returned stands for the connection before and after that is known; `stream.connection` is the real one,
 * and so is what the handler is told of at the end.
 */
export function serveHttp(
  reactor: Reactor,
  transport: Transport,
  context: ConnectionContext,
  handler: RequestHandler,
  options: HttpServerOptions = HTTP_SERVER_OPTIONS,
  alpn = "",
): ServerConnection {
  if (alpn === "h2") return serveHttp2(reactor, transport, context, handler, options);
  if (alpn !== "") return serveHttp1(reactor, transport, context, handler, options);
  return new UndecidedConnection(reactor, transport, context, handler, options);
}

/** False when there is a whole first line which no version of HTTP/1 ends: whoever says such a thing does not expect words from us. */
function mayBeHttp1(at: number, end: number): boolean {
  let line = at;
  while (line < end && U8[line] !== 0x0a) line++;
  if (line === end) return true;
  // "HTTP/"
  for (let i = at; i + 5 <= line; i++) {
    if (U8[i] === 0x48 && U8[i + 1] === 0x54 && U8[i + 2] === 0x54 && U8[i + 3] === 0x50 && U8[i + 4] === 0x2f) {
      return true;
    }
  }
  return false;
}

/** A connection whose client has not said yet which version it speaks. */
class UndecidedConnection implements ServerConnection, TransportConsumer {
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  #decided: ServerConnection | null = null;
  #closed = false;
  #draining = false;
  readonly #timer: Timer;

  constructor(
    readonly reactor: Reactor,
    readonly transport: Transport,
    readonly context: ConnectionContext,
    readonly handler: RequestHandler,
    readonly options: HttpServerOptions,
  ) {
    this.remote = transport.remote;
    this.local = transport.local;
    transport.consumer = this;
    this.#timer = reactor.setTimer(options.idleTimeoutMs || 24 * 3600 * 1000, () => this.transport.finish());
  }

  onInput(at: number, bytes: number): number {
    let same = 0;
    while (same < bytes && same < PREFACE.length && U8[at + same] === PREFACE.charCodeAt(same)) same++;
    if (same === bytes && same < PREFACE.length) {
      this.reactor.resetTimer(this.#timer, this.options.headTimeoutMs || 24 * 3600 * 1000);
      return 0;
    }
    this.#timer.cancel();
    const { reactor, transport, context, handler, options } = this;
    if (!mayBeHttp1(at, at + bytes)) {
      handler.onRefused?.(this, 400, "neither HTTP/1 nor HTTP/2");
      transport.finish();
      return bytes;
    }
    this.#decided = same === PREFACE.length
      ? serveHttp2(reactor, transport, context, handler, options)
      : serveHttp1(reactor, transport, context, handler, options);
    if (this.#draining) this.#decided.drain();
    return transport.consumer!.onInput(at, bytes);
  }

  onInputEnd(): void {
    this.transport.finish();
  }

  onWritable(): void {}

  onTransportClosed(_error: MeshError<FlowErrorCode> | null): void {
    this.#timer.cancel();
    this.#closed = true;
    this.handler.onClosed?.(this);
  }

  get version(): HttpVersion {
    return this.#decided?.version ?? "HTTP/1.1";
  }

  get streams(): number {
    return this.#decided?.streams ?? 0;
  }

  get open(): boolean {
    return this.#decided?.open ?? !this.#closed;
  }

  drain(): void {
    if (this.#decided !== null) this.#decided.drain();
    else {
      this.#draining = true;
      this.reactor.resetTimer(this.#timer, DRAIN_GRACE_MS);
    }
  }

  abort(): void {
    this.transport.abort();
  }
}
