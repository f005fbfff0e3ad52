import type { MeshError } from "../../core/errors.ts";
import { describeError } from "../../core/errors.ts";
import { H2Connection } from "../../h2/connection.ts";
import type { H2ErrorCode, H2Handler } from "../../h2/handler.ts";
import { INTERNAL_ERROR, PROTOCOL_ERROR } from "../../h2/constants.ts";
import type { HeaderFields } from "../../h2/headers.ts";
import type { H2Stream, H2StreamHandler } from "../../h2/stream.ts";
import { ABORTED, type FlowErrorCode } from "../../net/endpoint.ts";
import type { Reactor } from "../../net/reactor.ts";
import type { Timer } from "../../net/timers.ts";
import type { Transport } from "../../net/transport.ts";
import type { SocketAddress } from "../../sys/socket_address.ts";
import { Fields } from "../fields.ts";
import type { RequestHead, ResponseHead } from "../message.ts";
import type {
  ConnectionContext,
  RequestHandler,
  ServerConnection,
  ServerStream,
  ServerStreamHandler,
  StreamError,
} from "../stream.ts";
import { streamError } from "./errors.ts";
import { fieldsToList, problem, requestFromList, responseToList, trailersFromList } from "./h2_head.ts";
import type { HttpServerOptions } from "./options.ts";
import { replyHead } from "./reply.ts";

const encoder = new TextEncoder();
const NO_FIELDS = new Fields();

/** An HTTP/2 connection from a client. */
export class H2ServerConnection implements ServerConnection, H2Handler {
  readonly version = "HTTP/2";
  readonly h2: H2Connection;
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  readonly #handler: RequestHandler;
  readonly #streams = new Set<H2ServerStream>();
  readonly #timer: Timer;
  #idleSince: number;

  constructor(
    readonly reactor: Reactor,
    transport: Transport,
    readonly context: ConnectionContext,
    handler: RequestHandler,
    readonly options: HttpServerOptions,
  ) {
    this.#handler = handler;
    this.remote = transport.remote;
    this.local = transport.local;
    this.#idleSince = reactor.now;
    this.h2 = new H2Connection(reactor, transport, "server", { ...options.h2, maxFields: options.maxFields }, this);
    this.#timer = reactor.setTimer(this.#sweepMs(), () => this.#sweep());
  }

  get streams(): number {
    return this.h2.streams;
  }

  get open(): boolean {
    return !this.h2.closed;
  }

  drain(): void {
    this.h2.drain();
  }

  abort(): void {
    this.h2.abort();
  }

  // --- H2Handler

  onRequest(h2: H2Stream, headers: HeaderFields, ended: boolean): void {
    h2.exchange = true;
    const head = requestFromList(headers, ended, this.options.allowConnect);
    if (head === null) {
      this.#handler.onRefused?.(this, problem === "CONNECT" ? 405 : 400, problem);
      if (!this.h2.countRefusal()) return;
      if (problem === "CONNECT") {
        h2.connection.respond(h2, [[":status", "405"], ["content-length", "0"]], true);
      }
      if (h2.open) h2.reset(PROTOCOL_ERROR);
      return;
    }
    h2.expected = head.contentLength;
    const stream = new H2ServerStream(this, h2, head, ended);
    this.#streams.add(stream);
    try {
      this.#handler.onRequest(stream);
    } catch (thrown) {
      this.reactor.report("a request could not be taken", thrown);
      stream.reset(streamError("aborted", describeError(thrown), "internal"));
    }
  }

  onRefused(status: number, reason: string): void {
    this.#handler.onRefused?.(this, status, reason);
  }

  onClosed(error: MeshError<H2ErrorCode> | null): void {
    this.#timer.cancel();
    // Floods and frames that may not be: no request of theirs says so.
    if (error?.code === "h2_protocol") this.#handler.onRefused?.(this, 0, connectionReason(error.message));
    this.#handler.onClosed?.(this);
  }

  /** Streams: this one is over. */
  gone(stream: H2ServerStream): void {
    this.#streams.delete(stream);
    if (this.#streams.size === 0) this.#idleSince = this.reactor.now;
  }

  // --- time

  #sweepMs(): number {
    const { idleTimeoutMs, stallTimeoutMs } = this.options;
    const idle = idleTimeoutMs || NEVER;
    return this.#streams.size === 0 ? idle : Math.min(idle, stallTimeoutMs || NEVER);
  }

  /** Ends what stands still: the connection without streams, streams whose client neither reads nor writes. */
  #sweep(): void {
    if (this.h2.closed) return;
    const { idleTimeoutMs, stallTimeoutMs } = this.options;
    if (this.#streams.size === 0) {
      const left = (idleTimeoutMs || NEVER) - (this.reactor.now - this.#idleSince);
      if (left <= 0) return this.drain();
      return this.reactor.resetTimer(this.#timer, Math.min(left, idleTimeoutMs || NEVER));
    }
    if (stallTimeoutMs > 0) { for (const stream of [...this.#streams]) stream.checkProgress(); }
    this.reactor.resetTimer(this.#timer, this.#sweepMs());
  }
}

/** `PING flood (ENHANCE_YOUR_CALM)` of `HTTP/2 with "10.0.0.1" failed: PING flood (ENHANCE_YOUR_CALM)`: the log has the peer anyway. */
function connectionReason(message: string): string {
  return message.slice(message.indexOf(" failed: ") + " failed: ".length);
}

/** A time-out of nothing. */
const NEVER = 24 * 3600 * 1000;

/** A request on an HTTP/2 connection, and its answer. */
export class H2ServerStream implements ServerStream, H2StreamHandler {
  handler: ServerStreamHandler | null = null;
  #responded = false;
  #progress = -1;

  constructor(
    readonly connection: H2ServerConnection,
    readonly body: H2Stream,
    readonly request: RequestHead,
    readonly requestEnded: boolean,
  ) {
    body.handler = this;
    if (request.expectContinue) this.inform(100, NO_FIELDS);
  }

  get open(): boolean {
    return this.body.open;
  }

  get bytesIn(): number {
    return this.body.bytesIn;
  }

  get bytesOut(): number {
    return this.body.bytesOut;
  }

  inform(status: number, fields: Fields): void {
    if (!this.open || this.#responded) return;
    this.connection.h2.respond(this.body, fieldsToList([[":status", String(status)]], fields), false);
  }

  respond(head: ResponseHead, end: boolean): void {
    if (!this.open || this.#responded) return;
    this.#responded = true;
    let { status } = head;
    if (status === 101) {
      // What 101 is to HTTP/1.1, 200 is to an extended CONNECT; from here on it is a tunnel.
      status = 200;
      this.body.exchange = false;
      this.body.expected = -1;
      this.body.monitor = this;
    }
    const none = end || this.request.method === "HEAD" || status === 204 || status === 304;
    this.connection.h2.respond(this.body, responseToList(head, status), none);
  }

  reply(status: number, fields: Fields, text: string): void {
    if (!this.open || this.#responded) return;
    const bytes = encoder.encode(text);
    const none = bytes.length === 0 || this.request.method === "HEAD";
    this.respond(replyHead("HTTP/2", status, fields, bytes.length), none);
    if (!this.open || this.body.localEnded) return;
    this.body.write(bytes);
    this.body.finish();
  }

  sendTrailers(trailers: Fields): void {
    if (!this.open || this.body.localEnded) return;
    const list = fieldsToList([], trailers);
    if (list.length > 0) this.body.trailers = list;
    this.body.finish();
  }

  reset(_error?: StreamError): void {
    this.handler = null;
    if (this.open) this.body.reset(INTERNAL_ERROR);
  }

  /** The connection, now and then: resets a stream on which the client has done nothing since the last time. */
  checkProgress(): void {
    const { body } = this, progress = body.bytesIn + body.bytesOut;
    const waitsForClient = body.queued > 0 || (body.exchange && !body.remoteEnded && body.held === 0);
    if (progress === this.#progress && waitsForClient) {
      body.malformed("the client stands still");
      return;
    }
    this.#progress = progress;
  }

  // --- H2StreamHandler

  onTrailers(_stream: H2Stream, trailers: HeaderFields): void {
    this.handler?.onRequestTrailers?.(this, trailersFromList(trailers));
  }

  onReset(_stream: H2Stream, code: number, error: MeshError<FlowErrorCode>): void {
    this.#over(
      error === ABORTED
        ? streamError("aborted", "the answer was given up", "internal")
        : streamError(code === PROTOCOL_ERROR ? "protocol_error" : "reset", error.message, "downstream"),
    );
  }

  onEnd(): void {
    this.#over(null);
  }

  /** As a tunnel. */
  onEndpointDone(_end: unknown, error: MeshError<FlowErrorCode> | null): void {
    const partner = this.body.partner;
    this.#over(error === null ? null : streamError("reset", error.message, "downstream"));
    if (error !== null && partner !== null && this.body.partner === partner) partner.abort();
  }

  #over(error: StreamError | null): void {
    const handler = this.handler;
    this.handler = null;
    this.connection.gone(this);
    if (error === null) handler?.onFinished?.(this);
    else handler?.onAborted?.(this, error);
  }
}
