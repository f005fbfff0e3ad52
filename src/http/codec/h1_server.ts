import { describeError, type MeshError } from "../../core/errors.ts";
import { flowError, type FlowErrorCode } from "../../net/endpoint.ts";
import type { Reactor } from "../../net/reactor.ts";
import type { Timer } from "../../net/timers.ts";
import type { Transport } from "../../net/transport.ts";
import type { SocketAddress } from "../../sys/socket_address.ts";
import type { ConnectionContext, RequestHandler, ServerConnection, StreamError } from "../stream.ts";
import { streamError } from "./errors.ts";
import { H1Connection } from "./h1_connection.ts";
import { BODY_NONE, BODY_RAW, type H1RequestHead, headFailure, MESSAGE, requestHead } from "./h1_head.ts";
import { ADDED, H1ServerStream, MAX_DRAIN } from "./h1_server_stream.ts";
import { BODY_PENDING, type H1Stream } from "./h1_stream.ts";
import { COMPLETE, HEAD, INCOMPLETE, parseRequestHead } from "./head_parser.ts";
import type { HttpServerOptions } from "./options.ts";
import { reasonOf, writeStatusLine } from "./reasons.ts";
import { writeAscii } from "./wire.ts";

/** How long a draining connection without a request waits for one that may be under way. */
export const DRAIN_GRACE_MS = 1000;
/** A time-out of nothing: timers that are looked at now and then all the same. */
const NEVER = 24 * 3600 * 1000;

/** An HTTP/1.1 (or 1.0) connection from a client: requests one after another. */
export class H1ServerConnection extends H1Connection implements ServerConnection {
  readonly version = "HTTP/1.1";
  readonly context: ConnectionContext;
  readonly options: HttpServerOptions;
  readonly #handler: RequestHandler;
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  #current: H1ServerStream | null = null;
  #authority = "";
  #draining = false;
  #inputEnded = false;
  #drained = 0;
  /** The timer watches a client that has not read all there is. */
  #blocked = false;
  readonly #timer: Timer;
  /** When what the timer watches for began, and how far it was. */
  #since: number;
  #progress = 0;

  constructor(
    reactor: Reactor,
    transport: Transport,
    context: ConnectionContext,
    handler: RequestHandler,
    options: HttpServerOptions,
  ) {
    super(reactor, transport, options.maxHeadBytes, options.maxFields, options.bodyBuffer);
    this.context = context;
    this.options = options;
    this.#handler = handler;
    this.remote = transport.remote;
    this.local = transport.local;
    this.#since = reactor.now;
    this.#timer = reactor.setTimer(options.idleTimeoutMs || NEVER, () => this.#onTimer());
  }

  get streams(): number {
    return this.#current === null ? 0 : 1;
  }

  get open(): boolean {
    return !this.closed;
  }

  /** No request comes after the one that runs. */
  get lastRequest(): boolean {
    return this.#draining || this.#inputEnded;
  }

  /** Bytes of the request's body that have not come yet; Infinity when that is not known. */
  get restOfBody(): number {
    return this.bodyToCome;
  }

  drain(): void {
    if (this.#draining || this.closed) return;
    this.#draining = true;
    if (this.#current === null) this.#watch(DRAIN_GRACE_MS);
  }

  abort(): void {
    this.transport.abort();
  }

  // --- requests

  protected override readHead(at: number, end: number): number {
    if (this.#current !== null) {
      this.pausePipeline();
      return 0;
    }
    if (!this.headGrew(at, end)) return 0;
    const options = this.options;
    const result = parseRequestHead(at, end, options.maxFields, options.maxTargetBytes);
    if (result === INCOMPLETE) {
      if (end - at > options.maxHeadBytes) {
        this.#refuse(431, "a head that is too long");
      } else {
        if (!this.partialHead) this.#watch(options.headTimeoutMs);
        this.headIncomplete(end - at);
      }
      return 0;
    }
    if (result !== COMPLETE) {
      this.#refuse(-result, "a malformed head");
      return 0;
    }
    if (HEAD.end - at > options.maxHeadBytes) {
      this.#refuse(431, "a head that is too long");
      return 0;
    }
    const taken = HEAD.end - at;
    if (this.partialHead) {
      this.headRead();
      this.#watch(options.idleTimeoutMs);
    }
    const head = requestHead(this.context.scheme, this.inputEpoch, this.#authority, options.allowConnect);
    if (head === null) {
      this.#refuse(headFailure(), MESSAGE.problem);
      return 0;
    }
    this.#authority = head.authority;
    this.#request(head);
    return taken;
  }

  #request(head: H1RequestHead): void {
    const body = head.upgrade === "" ? MESSAGE.body : BODY_NONE;
    const stream = new H1ServerStream(this, head, body === BODY_NONE, MESSAGE.keepAlive);
    this.#current = stream;
    if (head.upgrade !== "") stream.mayGoOn();
    else if (body === BODY_NONE) stream.endsAtOnce();
    else {
      this.beginBody(stream, body, head.contentLength);
      this.#watch(this.options.stallTimeoutMs);
    }
    this.#since = this.reactor.now;
    this.reactor.wantContinuations();
    try {
      this.#handler.onRequest(stream);
    } catch (thrown) {
      this.reactor.report("a request could not be taken", thrown);
      this.fail(flowError("aborted", describeError(thrown)));
    }
  }

  /** Streams: 101 is out, so that bytes are raw in both directions. */
  beginRaw(stream: H1ServerStream): void {
    stream.remoteEnded = false;
    this.beginBody(stream, BODY_RAW, -1);
    this.resumePipeline();
  }

  /** Streams: more of what nobody wants has come. */
  override onDiscarded(bytes: number): void {
    this.#drained += bytes;
    if (this.#drained > MAX_DRAIN && this.#current !== null) this.#finished(this.#current, false);
  }

  protected override onInputRead(_rest: number): void {}

  protected override onBadBody(stream: H1Stream, reason: string): void {
    const server = stream as H1ServerStream;
    const unanswered = server.framing === BODY_PENDING;
    server.abortWith(streamError("protocol_error", `the client sent ${reason}`, "downstream"));
    this.#current = null;
    if (unanswered) this.#refuse(400, reason);
    else this.#end();
  }

  onInputEnd(): void {
    this.#inputEnded = true;
    const stream = this.#current;
    if (stream === null) return this.#end();
    if (this.readingRaw) return this.endRawBody();
    // What is answered already still goes out. A client that waits does not end its side: one that did is gone, as for Envoy and nginx.
    if (stream.localEnded && stream.remoteEnded) return;
    this.#lost(
      streamError(
        "connection_termination",
        "the client ended the connection before its answer was complete",
        "downstream",
      ),
    );
  }

  // --- answers

  override onLocalEnd(_stream: H1Stream): void {
    this.output.stage.schedule();
  }

  override onRemoteDone(stream: H1Stream): void {
    if (stream.localEnded) this.output.stage.schedule();
  }

  protected override get sending(): H1Stream | null {
    return this.#current;
  }

  protected override onBatchEnd(): void {
    if (!this.#blocked && !this.closed && !this.transport.writable && this.options.stallTimeoutMs > 0) {
      this.#blocked = true;
      this.#watch(this.options.stallTimeoutMs);
    }
    const stream = this.#current;
    if (stream !== null && stream.localEnded && !this.closed) this.#answered(stream);
  }

  #answered(stream: H1ServerStream): void {
    if (!stream.remoteEnded) {
      if (stream.upgraded) return this.transport.endOutput();
      if (!stream.keepAlive || this.bodyToCome > MAX_DRAIN && this.bodyToCome !== Infinity) {
        return this.#finished(stream, false);
      }
      if (stream.discarding) return;
      // The rest of the request is nobody's any more, but the next one comes behind it.
      stream.discarding = true;
      stream.partner = null;
      this.#drained = 0;
      this.onConsumed(stream);
      this.#watch(this.options.headTimeoutMs);
      return;
    }
    // Draining, too: a client that was not told `close` may have its next request under way, and is told with that.
    this.#finished(stream, stream.keepAlive && !this.#inputEnded && !stream.upgraded);
  }

  #finished(stream: H1ServerStream, goOn: boolean): void {
    this.#current = null;
    stream.settle();
    stream.handler?.onFinished?.(stream);
    if (!goOn) return this.#end();
    this.#since = this.reactor.now;
    if (this.#draining) this.#watch(DRAIN_GRACE_MS);
    this.resumePipeline();
  }

  /** An answer that the codec gives itself, after which the connection ends. */
  #refuse(status: number, reason: string): void {
    this.#handler.onRefused?.(this, status, reason);
    if (this.closed) return;
    const text = reasonOf(status);
    const start = this.output.stage.reserve(ADDED);
    if (start !== 0) {
      let at = writeStatusLine(status, start);
      at = writeAscii(
        `content-length: ${text.length}\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n${text}`,
        at,
      );
      this.output.stage.grew(at - start);
    }
    this.#end();
  }

  // --- time

  /** The timer looks again after `ms`. */
  #watch(ms: number): void {
    this.#since = this.reactor.now;
    this.#progress = this.#measure();
    this.reactor.resetTimer(this.#timer, ms || NEVER);
  }

  #measure(): number {
    const stream = this.#current;
    return stream === null ? 0 : stream.bytesIn + stream.bytesOut;
  }

  #onTimer(): void {
    if (this.closed) return;
    const { options } = this, stream = this.#current, now = this.reactor.now;
    const blocked = this.#blocked;
    this.#blocked = false;
    if (stream === null) {
      if (blocked && !this.transport.writable) {
        return this.#lost(streamError("reset", "the client does not read", "downstream"));
      }
      if (this.#draining && !this.partialHead) return this.#end();
      const limit = this.partialHead ? options.headTimeoutMs : options.idleTimeoutMs;
      const left = (limit || NEVER) - (now - this.#since);
      if (left > 0) return this.reactor.resetTimer(this.#timer, left);
      if (this.partialHead) this.#refuse(408, "a head that does not come to its end");
      else this.#end();
      return;
    }
    if (stream.localEnded) {
      // Reading the rest of a request that has been answered.
      if (!stream.remoteEnded || !this.transport.writable) return this.#finished(stream, false);
    } else if (this.#measure() === this.#progress && now - this.#since >= options.stallTimeoutMs - 1) {
      const waitsForClient = !this.transport.writable || (this.reading === stream && !this.paused && !stream.upgraded);
      if (waitsForClient && options.stallTimeoutMs > 0) {
        return this.#lost(streamError("reset", "the client stands still", "downstream"));
      }
    }
    this.#watch(options.stallTimeoutMs);
  }

  // --- endings

  /** Says what is left to say, and ends in order. */
  #end(): void {
    if (this.closed) return;
    this.stopped = true;
    this.output.stage.flush();
    this.transport.finish();
    this.#conclude(null);
  }

  /** Streams: what is out stays out, but the client sees that it is not complete. */
  breakOff(stream: H1ServerStream): void {
    if (stream.framing === BODY_RAW || this.closed) return this.transport.abort();
    this.#current = null;
    this.#end();
  }

  override giveUp(stream: H1Stream): void {
    const server = stream as H1ServerStream;
    stream.settle();
    this.breakOff(server);
  }

  override fail(error: MeshError<FlowErrorCode>): void {
    this.#lost(streamError("aborted", error.message, "internal"));
  }

  #lost(error: StreamError): void {
    if (this.closed) return;
    this.stopped = true;
    this.#current?.abortWith(error);
    this.#current = null;
    this.transport.abort();
    this.#conclude(error);
  }

  onTransportClosed(error: MeshError<FlowErrorCode> | null): void {
    this.#conclude(error);
  }

  #conclude(error: MeshError | null): void {
    if (this.closed) return;
    this.closed = this.stopped = true;
    this.#timer.cancel();
    this.output.stage.close();
    const stream = this.#current;
    this.#current = null;
    stream?.abortWith(
      streamError("reset", error === null ? "the client ended the connection" : error.message, "downstream"),
    );
    this.reactor.wantMicrotasks();
    this.#handler.onClosed?.(this);
  }
}
