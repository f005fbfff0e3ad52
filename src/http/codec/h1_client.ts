import type { MeshError } from "../../core/errors.ts";
import { flowError, type FlowErrorCode } from "../../net/endpoint.ts";
import type { Reactor } from "../../net/reactor.ts";
import type { Transport } from "../../net/transport.ts";
import { TE } from "../field_name.ts";
import { fieldName, type Fields, writeText } from "../fields.ts";
import type { RequestHead } from "../message.ts";
import type {
  ClientConnection,
  ClientConnectionOwner,
  ClientStream,
  ClientStreamHandler,
  StreamError,
} from "../stream.ts";
import { streamError } from "./errors.ts";
import { H1Connection } from "./h1_connection.ts";
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  BODY_RAW,
  type H1ResponseHead,
  MESSAGE,
  responseHead,
} from "./h1_head.ts";
import { H1Stream } from "./h1_stream.ts";
import { BAD, COMPLETE, HEAD, INCOMPLETE, parseResponseHead } from "./head_parser.ts";
import type { HttpClientOptions } from "./options.ts";
import { websocketKey } from "./websocket.ts";
import { lineEnd, writeAscii, writeNumber, writeTarget } from "./wire.ts";

/** Informational answers before the final one. */
const MAX_INFORMATIONAL = 32;
/** Room for what the codec adds to a head. */
const ADDED = 320;
const WEBSOCKET_KEY = fieldName("sec-websocket-key");

/** An HTTP/1.1 connection to an upstream: one request at a time. */
export class H1ClientConnection extends H1Connection implements ClientConnection {
  readonly version = "HTTP/1.1";
  owner: ClientConnectionOwner | null = null;
  requests = 0;
  #current: H1ClientStream | null = null;
  #draining = false;
  #keepAlive = true;
  #informational = 0;
  #reading = false;
  #completed = false;

  constructor(reactor: Reactor, transport: Transport, options: HttpClientOptions) {
    super(reactor, transport, options.maxHeadBytes, options.maxFields, options.bodyBuffer);
  }

  get capacity(): number {
    return this.#current === null && !this.#draining && !this.stopped ? 1 : 0;
  }

  get streams(): number {
    return this.#current === null ? 0 : 1;
  }

  get open(): boolean {
    return !this.closed;
  }

  request(head: RequestHead, ended: boolean, handler: ClientStreamHandler): ClientStream | null {
    if (this.capacity === 0) return null;
    const stream = new H1ClientStream(this, head.method, head.upgrade, handler);
    if (!stream.sendHead(head, ended)) return null;
    this.#current = stream;
    this.#informational = 0;
    this.requests++;
    stream.started();
    return stream;
  }

  drain(): void {
    this.#draining = true;
    if (this.#current === null) this.#end(null);
  }

  abort(): void {
    this.transport.abort();
  }

  // --- responses

  override onInput(at: number, bytes: number): number {
    this.#reading = true;
    const taken = super.onInput(at, bytes);
    this.#reading = false;
    return taken;
  }

  protected override readHead(at: number, end: number): number {
    const stream = this.#current;
    if (this.#completed) return 0;
    if (stream === null) {
      this.#protocolError("the upstream speaks without having been asked");
      return 0;
    }
    if (!this.headGrew(at, end)) return 0;
    const result = parseResponseHead(at, end, this.maxFields);
    if (result === INCOMPLETE && end - at <= this.maxHead) {
      this.headIncomplete(end - at);
      return 0;
    }
    if (result !== COMPLETE || HEAD.end - at > this.maxHead) {
      this.#protocolError(result === BAD ? "the upstream's head is malformed" : "the upstream's head is too long");
      return 0;
    }
    this.headRead();
    const taken = HEAD.end - at;
    const head = responseHead(stream.method, stream.upgrade !== "", this.inputEpoch);
    if (head === null) {
      this.#protocolError(`the upstream sent ${MESSAGE.problem}`);
      return 0;
    }
    this.reactor.wantContinuations();
    if (head.status < 200 && head.status !== 101) {
      if (++this.#informational > MAX_INFORMATIONAL) this.#protocolError("the upstream sent too many 1xx answers");
      else stream.handler?.onInformational?.(stream, head.status, head.fields);
      return taken;
    }
    this.#respond(stream, head);
    return taken;
  }

  #respond(stream: H1ClientStream, head: H1ResponseHead): void {
    const body = MESSAGE.body;
    this.#keepAlive = MESSAGE.keepAlive;
    stream.answered = true;
    if (head.status === 101) stream.beginUpgraded();
    else stream.upgradeRefused();
    if (body !== BODY_NONE) this.beginBody(stream, body, head.contentLength);
    stream.handler?.onResponse(stream, head, body === BODY_NONE);
    if (body === BODY_NONE && stream.open) stream.onRemoteEnd();
  }

  protected override onBadBody(_stream: H1Stream, reason: string): void {
    this.#protocolError(`the upstream sent ${reason}`);
  }

  #protocolError(reason: string): void {
    this.#lost(streamError("protocol_error", reason, "upstream"));
  }

  override onRemoteDone(_stream: H1Stream): void {
    // Not from within a read: what else has come would be taken for the next answer.
    if (this.#reading) this.#completed = true;
    else this.#complete(false);
  }

  protected override onInputRead(rest: number): void {
    if (!this.#completed) return;
    this.#completed = false;
    this.#complete(rest > 0);
  }

  /** The response has been passed on whole. */
  #complete(surplus: boolean): void {
    const stream = this.#current;
    if (stream === null || this.closed) return;
    // An upgraded stream has two sides; an answer is the end of the exchange even where the request has not been sent whole.
    if (stream.upgraded && !stream.localEnded) return;
    const reusable = stream.localEnded && this.#keepAlive && !this.#draining && !surplus;
    this.#current = null;
    if (!reusable) this.stopped = true;
    const handler = stream.handler;
    stream.handler = null;
    stream.settle();
    handler?.onFinished?.(stream);
    if (!reusable) this.#end(null);
    else this.owner?.onCapacity(this);
  }

  onInputEnd(): void {
    const stream = this.#current;
    if (stream === null) return this.#end(null);
    if (this.readingRaw) {
      this.#keepAlive = false;
      return this.endRawBody();
    }
    if (stream.remoteEnded) return; // what is left of it is still being passed on
    const message = stream.answered
      ? "the upstream ended the connection within its answer"
      : "the upstream ended the connection before its answer";
    this.#lost(streamError("connection_termination", message, "upstream"));
  }

  // --- requests

  override onLocalEnd(stream: H1Stream): void {
    this.output.stage.schedule();
    if ((stream as H1ClientStream).upgraded && !stream.remoteEnded) {
      this.output.stage.flush();
      this.transport.endOutput();
    }
    if (stream.passedOn) this.onRemoteDone(stream);
  }

  protected override get sending(): H1Stream | null {
    return this.#current;
  }

  protected override onBatchEnd(): void {}

  override onDiscarded(_bytes: number): void {}

  // --- endings

  #end(error: StreamError | null): void {
    if (this.closed) return;
    this.stopped = true;
    this.output.stage.flush();
    this.transport.finish();
    this.#conclude(error);
  }

  override giveUp(stream: H1Stream): void {
    if (this.#current === stream) this.#current = null;
    (stream as H1ClientStream).handler = null;
    stream.settle();
    this.#end(null);
  }

  override fail(error: MeshError<FlowErrorCode>): void {
    this.#lost(streamError("aborted", error.message, "internal"));
  }

  /** Streams: their owner has given up. */
  abandon(stream: H1ClientStream): void {
    if (this.#current === stream) this.#current = null;
    this.#lost(streamError("aborted", "the request was given up", "internal"));
  }

  #lost(error: StreamError): void {
    if (this.closed) return;
    this.stopped = true;
    const stream = this.#current;
    this.#current = null;
    stream?.failWith(error);
    this.transport.abort();
    this.#conclude(error);
  }

  onTransportClosed(error: MeshError<FlowErrorCode> | null): void {
    const reason = streamError(
      error === null || error.code === "closed" ? "connection_termination" : "reset",
      error === null ? "the upstream ended the connection" : error.message,
      "upstream",
    );
    this.#conclude(reason);
  }

  #conclude(error: StreamError | null): void {
    if (this.closed) return;
    this.closed = this.stopped = true;
    this.output.stage.close();
    const stream = this.#current;
    this.#current = null;
    if (stream !== null) {
      stream.failWith(error ?? streamError("connection_termination", "the connection ended", "upstream"));
    }
    this.reactor.wantMicrotasks();
    const owner = this.owner;
    this.owner = null;
    owner?.onClosed(this, error);
  }
}

/** A request on an HTTP/1.1 connection. */
export class H1ClientStream extends H1Stream implements ClientStream {
  /** The final response's head is there. */
  answered = false;
  upgraded = false;

  constructor(
    readonly connection: H1ClientConnection,
    readonly method: string,
    readonly upgrade: string,
    public handler: ClientStreamHandler | null,
  ) {
    super(connection);
  }

  get body(): this {
    return this;
  }

  #framing = BODY_NONE;
  #length = -1;

  /** Writes the head; false when it is too long. */
  sendHead(head: RequestHead, ended: boolean): boolean {
    const { fields, method, authority, path, upgrade } = head;
    const stage = this.connection.output.stage;
    const start = stage.reserve(fields.bound + method.length + authority.length + path.length * 3 + ADDED);
    if (start === 0) return false;
    let at = writeTarget(method, start);
    at = writeTarget(path, writeAscii(" ", at));
    at = writeAscii(" HTTP/1.1\r\nhost: ", at);
    at = lineEnd(writeText(authority, at));
    at = fields.write(at);
    if (fields.has(TE)) at = writeAscii("te: trailers\r\n", at);
    if (upgrade !== "") {
      at = lineEnd(writeText(upgrade, writeAscii("connection: upgrade\r\nupgrade: ", at)));
      // From HTTP/2, where WebSocket goes without it (RFC 8441, 5).
      if (upgrade === "websocket" && !fields.has(WEBSOCKET_KEY)) {
        at = writeAscii(`sec-websocket-key: ${websocketKey()}\r\n`, at);
      }
    } else if (!ended && head.contentLength !== 0) {
      if (head.contentLength > 0) {
        this.#framing = BODY_LENGTH;
        this.#length = head.contentLength;
        at = lineEnd(writeNumber(head.contentLength, writeAscii("content-length: ", at)));
      } else {
        this.#framing = BODY_CHUNKED;
        at = writeAscii("transfer-encoding: chunked\r\n", at);
      }
    } else if (method === "POST" || method === "PUT" || method === "PATCH") {
      at = writeAscii("content-length: 0\r\n", at);
    }
    at = lineEnd(at);
    stage.grew(at - start);
    return true;
  }

  /** The connection: this is its current stream. */
  started(): void {
    // Bytes of an upgraded protocol wait for 101.
    if (this.upgrade === "") this.begin(this.#framing, this.#length);
  }

  /** The connection: 101 has come. */
  beginUpgraded(): void {
    this.upgraded = true;
    this.begin(BODY_RAW, -1);
  }

  /** The connection: the answer is no 101, so no bytes follow the request. */
  upgradeRefused(): void {
    if (this.upgrade !== "") this.begin(BODY_NONE, -1);
  }

  protected override onTrailers(trailers: Fields): void {
    this.handler?.onTrailers?.(this, trailers);
  }

  /** The connection: over before its time. */
  failWith(error: StreamError): void {
    if (!this.open) return;
    this.open = false;
    const handler = this.handler;
    this.handler = null;
    handler?.onFailed(this, error);
    this.break(flowError(error.code === "aborted" ? "aborted" : "reset", error.message));
  }

  reset(): void {
    if (!this.open) return;
    this.handler = null;
    this.partner = null;
    this.open = false;
    this.break(flowError("aborted", "the request was given up"));
    this.connection.abandon(this);
  }
}
