import type { MeshError } from "../core/errors.ts";
import { ABORTED, Endpoint, flowError, type FlowErrorCode } from "../net/endpoint.ts";
import { EarlyBytes, UnsentBytes } from "../net/waiting_bytes.ts";
import { U8 } from "../sys/memory.ts";
import { CANCEL, errorName, NO_ERROR, PROTOCOL_ERROR } from "./constants.ts";
import type { H2Connection } from "./connection.ts";
import type { HeaderFields } from "./headers.ts";

/** What the owner of a stream is told beside its bytes. */
export interface H2StreamHandler {
  /** Client: the response (1xx included). */
  onHeaders?(stream: H2Stream, headers: HeaderFields, endStream: boolean): void;
  /** Fields after the body. */
  onTrailers?(stream: H2Stream, trailers: HeaderFields): void;
  /** The stream is over before its time: reset by the peer, or its connection ended. Bytes are told to the partner. */
  onReset?(stream: H2Stream, code: number, error: MeshError<FlowErrorCode>): void;
  /** Streams that are exchanges: both sides are complete. */
  onEnd?(stream: H2Stream): void;
}

/**
 * One stream of an HTTP/2 connection. As an {@linkcode Endpoint} its bytes are the payload of DATA frames: bytes from a
 * partner are read straight into the connection's output block behind the place of a frame header, and arriving
 * payload is pushed to the partner from the buffer it was decrypted into.
 */
export class H2Stream extends Endpoint {
  readonly connection: H2Connection;
  readonly id: number;
  handler: H2StreamHandler | null;
  /** Client: the final response; empty until it is there. */
  responseHeaders: HeaderFields = [];

  /** Bytes we may still send, and the peer may still send; kept with the connection. */
  sendWindow: number;
  receiveWindow: number;
  /** Received, and not yet passed on by the partner. */
  held = 0;
  /** Our HEADERS have gone out, so DATA may follow. */
  headersSent = false;
  /** The peer's first HEADERS have arrived. */
  headersReceived = false;
  localEnded = false;
  remoteEnded = false;
  /**
   * A request and its answer, not a tunnel: over when the answer is complete, whatever of the request is missing; the handler hears of a failure
   * before the partner does, and CANCEL is one.
   */
  exchange = false;
  /** Payload that the peer still owes by its Content-Length; -1 when it gave none. */
  expected = -1;
  /** Sent in place of an empty DATA frame when the last byte has gone out. */
  trailers: HeaderFields | null = null;
  /** Consumed and not yet credited to the peer. */
  #uncredited = 0;
  /** Bytes that came before there was a partner. */
  #early: EarlyBytes | null = null;
  #remoteTrailers: HeaderFields | null = null;
  /** The peer ended its side before there was a partner to be told. */
  #untold = false;
  /** Bytes that wait for window; only {@linkcode push} and {@linkcode write} put any there. */
  #queue: UnsentBytes | null = null;
  /** Bytes that somebody has looked at and given back; they go before all others. */
  #unread: Uint8Array | null = null;
  #finishing = false;
  /** After our end is sent, the stream goes, whatever the peer still says. */
  #closing = false;

  constructor(connection: H2Connection, id: number, handler: H2StreamHandler | null, send: number, receive: number) {
    super();
    this.connection = connection;
    this.id = id;
    this.handler = handler;
    this.sendWindow = send;
    this.receiveWindow = receive;
  }

  /** What the connection's owner knows about the peer; see {@linkcode H2Connection.peer}. */
  get peer(): unknown {
    return this.connection.peer;
  }

  // --- sink

  override prepare(): number {
    if (!this.open || this.#finishing || !this.headersSent || this.queued > 0) return 0;
    return this.connection.prepareData(this);
  }

  override commit(bytes: number): void {
    this.bytesOut += bytes;
    this.connection.commitData(this, bytes);
  }

  override push(at: number, bytes: number): void {
    if (!this.open || this.#finishing) return;
    if (this.queued === 0 && this.headersSent) {
      const moved = this.#copyOut(U8, at, bytes);
      if (moved > 0) this.partner?.consumed(moved);
      at += moved;
      bytes -= moved;
    }
    if (bytes > 0 && this.#enqueue(U8, at, bytes)) this.#queue!.owe(bytes);
  }

  override write(bytes: Uint8Array): void {
    if (!this.open || this.#finishing) return;
    let at = 0;
    if (this.queued === 0 && this.headersSent) at = this.#copyOut(bytes, 0, bytes.length);
    if (at < bytes.length) this.#enqueue(bytes, at, bytes.length - at);
  }

  /** Copies into DATA frames as much as windows allow. */
  #copyOut(source: Uint8Array, from: number, bytes: number): number {
    let moved = 0;
    while (moved < bytes && this.open) {
      const room = this.connection.prepareData(this, true);
      if (room === 0) break;
      const part = Math.min(room, bytes - moved);
      if (source === U8) U8.copyWithin(this.roomAt, from + moved, from + moved + part);
      else U8.set(source.subarray(from + moved, from + moved + part), this.roomAt);
      this.bytesOut += part;
      moved += part;
      this.connection.commitData(this, part);
    }
    return moved;
  }

  #enqueue(source: Uint8Array, from: number, bytes: number): boolean {
    const queue = this.#queue ??= new UnsentBytes();
    if (!queue.pushFrom(source, from, bytes)) {
      this.reset(CANCEL, flowError("out_of_memory", "the data plane's arena is full"));
      return false;
    }
    this.connection.waitForRoom(this);
    return true;
  }

  override get queued(): number {
    return this.#queue === null ? 0 : this.#queue.size;
  }

  /** The connection: windows or the transport have room. */
  onRoom(): void {
    const queue = this.#queue;
    while (queue !== null && queue.size > 0 && this.open) {
      const moved = this.#copyOut(U8, queue.first, queue.firstLength);
      if (moved === 0) return this.connection.waitForRoom(this);
      queue.consume(moved);
      queue.settle(moved, this.partner);
    }
    if (!this.open) return;
    if (this.#finishing) this.#endLocal();
    else this.partner?.resume();
  }

  override finish(): void {
    if (this.#finishing || !this.open) return;
    this.#finishing = true;
    if (this.queued === 0) this.#endLocal();
  }

  #endLocal(): void {
    if (this.localEnded) return;
    if (this.trailers !== null) this.connection.sendTrailers(this, this.trailers);
    else this.connection.sendEnd(this);
    if (!this.open) return;
    if (this.#closing) this.reset(NO_ERROR, null);
    else this.settle();
  }

  // --- source

  /** Gives bytes back that were pushed to a partner which is gone, for the next one; they were not said to be consumed. */
  unread(bytes: Uint8Array): void {
    this.#unread = bytes;
  }

  /** As {@linkcode unread}, for the end. */
  unreadEnd(): void {
    this.#unread ??= new Uint8Array(0);
  }

  #replay(unread: Uint8Array): void {
    const queue = new EarlyBytes(), early = this.#early;
    this.#unread = null;
    queue.pushFrom(unread, 0, unread.length);
    while (early !== null && early.size > 0) {
      queue.push(early.first, early.firstLength);
      early.consume(early.firstLength);
    }
    this.#early = queue;
  }

  override resume(): void {
    if (this.#unread !== null && this.partner !== null) this.#replay(this.#unread);
    const early = this.#early;
    if (this.partner === null) return;
    if (early === null) {
      if (this.#untold) this.#tellEnd(this.partner);
      return;
    }
    if (!early.passOn(this)) return;
    this.#early = null;
    if (!this.remoteEnded || !this.open) return;
    if (this.partner === null) this.#untold = true;
    else this.#tellEnd(this.partner);
    this.settle();
  }

  override consumed(bytes: number): void {
    this.held -= bytes;
    this.connection.onConsumed(bytes);
    if (this.remoteEnded || !this.open) return;
    this.#uncredited += bytes;
    if (this.#uncredited >= this.connection.options.streamWindow >> 2) {
      this.receiveWindow += this.#uncredited;
      this.connection.sendWindowUpdate(this.id, this.#uncredited);
      this.#uncredited = 0;
    }
  }

  /** The connection: payload of a DATA frame, or a part of it. */
  onData(at: number, bytes: number): void {
    this.bytesIn += bytes;
    this.held += bytes;
    const partner = this.partner;
    if (partner !== null && this.#early === null && this.#unread === null) partner.push(at, bytes);
    else {
      const early = this.#early ??= new EarlyBytes();
      if (!early.push(at, bytes)) this.reset(CANCEL, flowError("out_of_memory", "the data plane's arena is full"));
    }
  }

  /** The connection: the peer's headers were all it has to say. */
  endsAtOnce(): void {
    this.remoteEnded = true;
    this.#untold = true;
  }

  /** The connection: the peer will send no more. */
  onRemoteEnd(trailers: HeaderFields | null = null): void {
    this.remoteEnded = true;
    this.#remoteTrailers = trailers;
    if (this.#early === null) {
      if (this.partner === null) this.#untold = true;
      else this.#tellEnd(this.partner);
    }
    this.settle();
  }

  /** After everything before it has been passed on. */
  #tellEnd(partner: Endpoint): void {
    this.#untold = false;
    const trailers = this.#remoteTrailers;
    this.#remoteTrailers = null;
    if (trailers !== null) this.handler?.onTrailers?.(this, trailers);
    partner.finish();
  }

  /** The connection: RST_STREAM from the peer. */
  onRemoteReset(code: number): void {
    const error = flowError("reset", `the peer reset the stream with ${errorName(code)}`);
    const handler = this.handler, partner = this.partner;
    if (this.exchange) {
      const over = code === NO_ERROR && this.remoteEnded && this.#early === null;
      return this.#over(code, over ? null : error);
    }
    if ((code === NO_ERROR || code === CANCEL) && partner !== null) {
      // ztunnel reads these as the end of the stream: what has arrived still goes to the application.
      this.#release();
      partner.finishAll();
      this.done(null);
    } else {
      this.#release();
      this.done(error);
    }
    handler?.onReset?.(this, code, error);
  }

  /** The connection: it is gone. */
  onConnectionClosed(reason: MeshError<FlowErrorCode>, code = NO_ERROR): void {
    if (this.exchange) return this.#over(code, reason);
    const handler = this.handler;
    this.#release();
    this.done(reason);
    handler?.onReset?.(this, code, reason);
  }

  /** The connection: what the peer says breaks the rules; only this stream is lost. */
  malformed(reason: string, code = PROTOCOL_ERROR): void {
    if (!this.open) return;
    this.connection.sendReset(this.id, code);
    const error = flowError("reset", `the peer broke the rules of HTTP/2: ${reason}`);
    if (this.exchange) return this.#over(PROTOCOL_ERROR, error);
    this.#release();
    this.done(ABORTED);
  }

  /** The end of an exchange. */
  #over(code: number, error: MeshError<FlowErrorCode> | null): void {
    const handler = this.handler;
    this.#release();
    if (error === null) handler?.onEnd?.(this);
    else handler?.onReset?.(this, code, error);
    this.done(error);
  }

  // --- endings

  /** Both sides have ended: nothing more can happen here. */
  settle(): void {
    if (!this.open) return;
    if (this.exchange) return this.#settleExchange();
    if (!this.localEnded || !this.remoteEnded || this.#early !== null || this.#unread !== null) return;
    this.#release();
    this.done(null);
  }

  #settleExchange(): void {
    const server = this.connection.role === "server";
    if (server ? !this.localEnded : !this.remoteEnded || this.#early !== null) return;
    if (server ? !this.remoteEnded : !this.localEnded) this.connection.sendReset(this.id, server ? NO_ERROR : CANCEL);
    this.#over(NO_ERROR, null);
  }

  #release(): void {
    this.open = false;
    this.#queue?.clear();
    this.#early?.clear();
    this.#early = null;
    this.handler = null;
    this.connection.removeStream(this);
  }

  /** Ends the stream at once with RST_STREAM. */
  reset(code: number, error: MeshError<FlowErrorCode> | null = ABORTED): void {
    if (!this.open) return;
    this.connection.sendReset(this.id, code);
    if (this.exchange) return this.#over(code, error);
    this.#release();
    this.done(error);
  }

  override abort(): void {
    this.reset(CANCEL);
  }

  override close(): void {
    this.reset(NO_ERROR, null);
  }

  override finishAll(): void {
    if (!this.open) return;
    this.#closing = true;
    if (this.localEnded) this.reset(NO_ERROR, null);
    else this.finish();
  }
}
