import { flowError } from "../../net/endpoint.ts";
import { type Fields, writeText } from "../fields.ts";
import type { ResponseHead } from "../message.ts";
import type { ServerStream, ServerStreamHandler, StreamError } from "../stream.ts";
import { streamError } from "./errors.ts";
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_RAW, type H1RequestHead } from "./h1_head.ts";
import type { H1ServerConnection } from "./h1_server.ts";
import { BODY_PENDING, H1Stream } from "./h1_stream.ts";
import { STATUS_LINE, writeStatusLine } from "./reasons.ts";
import { replyHead } from "./reply.ts";
import { acceptWebsocket } from "./websocket.ts";
import { lineEnd, writeAscii, writeNumber } from "./wire.ts";

/** What is still to come of a request whose answer is complete is read to its end up to here, so that the connection can go on. */
export const MAX_DRAIN: number = 256 * 1024;
/** Room for what the codec adds to a head. */
export const ADDED: number = STATUS_LINE + 256;
const encoder = new TextEncoder();

/** A request on an HTTP/1.1 connection, and its answer. */
export class H1ServerStream extends H1Stream implements ServerStream {
  handler: ServerStreamHandler | null = null;
  #continued = false;
  /** Bytes are raw: 101 went out. */
  upgraded = false;

  constructor(
    readonly connection: H1ServerConnection,
    readonly request: H1RequestHead,
    readonly requestEnded: boolean,
    /** The connection may go on after this exchange. */
    public keepAlive: boolean,
  ) {
    super(connection);
  }

  get body(): this {
    return this;
  }

  inform(status: number, fields: Fields): void {
    if (!this.open || this.framing !== BODY_PENDING || this.request.version === "HTTP/1.0") return;
    if (status === 100) this.#continued = true;
    const stage = this.connection.output.stage;
    const start = stage.reserve(fields.bound + ADDED);
    if (start === 0) return;
    const at = lineEnd(fields.write(writeStatusLine(status, start)));
    stage.grew(at - start);
  }

  /** Somebody wants the body that the client holds back. */
  protected override onWanted(): void {
    if (!this.request.expectContinue || this.#continued || this.framing !== BODY_PENDING || this.remoteEnded) return;
    if (this.partner === null || this.bytesIn > 0) return;
    this.#continued = true;
    const stage = this.connection.output.stage;
    const start = stage.reserve(ADDED);
    if (start !== 0) stage.grew(lineEnd(writeStatusLine(100, start)) - start);
  }

  protected override onTrailers(trailers: Fields): void {
    this.handler?.onRequestTrailers?.(this, trailers);
  }

  respond(head: ResponseHead, end: boolean): void {
    if (!this.open || this.framing !== BODY_PENDING) return;
    const { request, connection } = this, { status, fields } = head;
    const stage = connection.output.stage;
    const start = stage.reserve(fields.bound + ADDED);
    if (start === 0) return this.reset(streamError("overflow", "the head of an answer is too long", "internal"));
    if (status === 101 && request.upgrade === "websocket") acceptWebsocket(request, fields);
    let at = fields.write(writeStatusLine(status, start));
    if (status === 101) {
      at = lineEnd(writeText(request.upgrade, writeAscii("connection: upgrade\r\nupgrade: ", at)));
      stage.grew(lineEnd(at) - start);
      this.keepAlive = false;
      this.upgraded = true;
      connection.beginRaw(this);
      return this.begin(BODY_RAW, -1);
    }
    let framing = BODY_NONE, length = head.contentLength;
    const bodiless = status < 200 || status === 204 || status === 304;
    if (end && length < 0 && request.method !== "HEAD") length = 0;
    if (length >= 0 && !(status < 200 || status === 204 || (status === 304 && length === 0))) {
      at = writeAscii("content-length: ", at);
      at = lineEnd(writeNumber(length, at));
      if (!bodiless && request.method !== "HEAD") framing = BODY_LENGTH;
    } else if (!bodiless && !end) {
      if (request.method === "HEAD") at = writeAscii("transfer-encoding: chunked\r\n", at);
      else if (request.version === "HTTP/1.1") {
        framing = BODY_CHUNKED;
        at = writeAscii("transfer-encoding: chunked\r\n", at);
      } else {
        framing = BODY_RAW;
        this.keepAlive = false;
      }
    }
    // A client that still waits for 100 may, or may not, send its body now: where the next request begins is not known.
    if (connection.lastRequest || (request.expectContinue && !this.#continued && !this.remoteEnded)) {
      this.keepAlive = false;
    }
    if (!this.keepAlive) at = writeAscii("connection: close\r\n", at);
    else if (request.version === "HTTP/1.0") at = writeAscii("connection: keep-alive\r\n", at);
    at = lineEnd(at);
    stage.grew(at - start);
    if (end) framing = BODY_NONE;
    this.begin(framing, framing === BODY_LENGTH ? length : -1);
  }

  reply(status: number, fields: Fields, text: string): void {
    if (!this.open || this.framing !== BODY_PENDING) return;
    // Reading on for the sake of a request that is refused is worth a little, not more.
    if (!this.remoteEnded && this.connection.restOfBody > MAX_DRAIN) this.keepAlive = false;
    const bytes = encoder.encode(text);
    this.respond(
      replyHead(this.request.version, status, fields, bytes.length),
      bytes.length === 0 || this.request.method === "HEAD",
    );
    if (!this.open || bytes.length === 0 || this.localEnded) return;
    this.write(bytes);
    this.finish();
  }

  reset(error?: StreamError): void {
    if (!this.open) return;
    this.break(flowError("aborted", error?.message ?? "the answer was broken off"));
    this.connection.breakOff(this);
  }

  /** The connection: over before its time. */
  abortWith(error: StreamError): void {
    if (!this.open) return;
    this.open = false;
    const handler = this.handler;
    this.handler = null;
    handler?.onAborted?.(this, error);
    this.break(flowError(error.code === "aborted" ? "aborted" : "reset", error.message));
  }
}
