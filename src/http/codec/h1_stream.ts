import type { MeshError } from "../../core/errors.ts";
import { ABORTED, Endpoint, flowError, type FlowErrorCode } from "../../net/endpoint.ts";
import { EarlyBytes, UnsentBytes } from "../../net/waiting_bytes.ts";
import { U8 } from "../../sys/memory.ts";
import type { Fields } from "../fields.ts";
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE } from "./h1_head.ts";
import type { H1Connection } from "./h1_connection.ts";

/** The head of our message has not been written, so its body must wait. */
export const BODY_PENDING = -1;

/**
 * The bytes of one exchange on an HTTP/1.1 connection, either side. As an {@linkcode Endpoint} it is the source of the peer's body and the sink of
 * ours: framing is put on and taken off here, and what cannot go on waits, bounded, with the connection's input paused.
 */
export abstract class H1Stream extends Endpoint {
  /** How our body is framed; {@linkcode BODY_PENDING} until the head is out. */
  framing: number = BODY_PENDING;
  /** With {@linkcode BODY_LENGTH}: bytes still to come. */
  protected left = 0;
  #queue: UnsentBytes | null = null;
  #finishing = false;
  #trailers: Fields | null = null;
  localEnded = false;

  remoteEnded = false;
  /** Received, and not yet passed on by the partner. */
  held = 0;
  #early: EarlyBytes | null = null;
  #remoteTrailers: Fields | null = null;
  /** The peer's body ended before there was a partner to be told. */
  #untold = false;
  /** Nobody wants the rest of the peer's body. */
  discarding = false;

  constructor(readonly h1: H1Connection) {
    super();
  }

  // --- sink

  override prepare(): number {
    if (!this.open || this.#finishing || this.framing <= BODY_NONE || this.queued > 0 || !this.h1.output.writable) {
      return 0;
    }
    const room = this.h1.output.prepare(this.framing === BODY_CHUNKED);
    this.roomAt = this.h1.output.roomAt;
    this.roomIovecs = 0;
    return room;
  }

  override commit(bytes: number): void {
    if (!this.#counts(bytes)) return;
    this.h1.output.commit(bytes, this.framing === BODY_CHUNKED);
  }

  override push(at: number, bytes: number): void {
    if (!this.open) return;
    if (this.#finishing || this.framing === BODY_NONE) return void this.partner?.consumed(bytes);
    if (this.framing === BODY_PENDING || this.queued > 0 || !this.h1.output.writable) {
      if (this.#enqueue(U8, at, bytes)) this.#queue!.owe(bytes);
      return;
    }
    if (!this.#counts(bytes)) return;
    this.h1.output.payload(at, bytes, this.framing === BODY_CHUNKED);
    this.partner?.consumed(bytes);
  }

  override write(bytes: Uint8Array): void {
    if (!this.open || this.#finishing || this.framing === BODY_NONE || bytes.length === 0) return;
    if (this.#enqueue(bytes, 0, bytes.length) && this.framing !== BODY_PENDING) this.onRoom();
  }

  #enqueue(source: Uint8Array, from: number, bytes: number): boolean {
    const queue = this.#queue ??= new UnsentBytes();
    if (queue.pushFrom(source, from, bytes)) return true;
    this.h1.fail(flowError("out_of_memory", "the data plane's arena is full"));
    return false;
  }

  /** Counts payload; more than was declared ends the connection, or the peer would take it for the next message. */
  #counts(bytes: number): boolean {
    this.bytesOut += bytes;
    if (this.framing !== BODY_LENGTH) return true;
    this.left -= bytes;
    if (this.left >= 0) return true;
    this.h1.fail(flowError("aborted", "a body is longer than its Content-Length"));
    return false;
  }

  override get queued(): number {
    return this.#queue === null ? 0 : this.#queue.size;
  }

  /** The connection: the transport has room, or the head is out. */
  onRoom(): void {
    const queue = this.#queue;
    const chunked = this.framing === BODY_CHUNKED;
    while (queue !== null && queue.size > 0 && this.open) {
      if (!this.h1.output.writable) return;
      const bytes = queue.firstLength;
      if (this.framing !== BODY_NONE) {
        if (!this.#counts(bytes)) return;
        this.h1.output.payload(queue.first, bytes, chunked);
      }
      if (!this.open) return;
      queue.consume(bytes);
      queue.settle(bytes, this.partner);
    }
    if (!this.open) return;
    if (this.#finishing) this.#endLocal();
    else this.partner?.resume();
  }

  override finish(): void {
    if (this.#finishing || !this.open) return;
    this.#finishing = true;
    if (this.queued === 0 && this.framing !== BODY_PENDING) this.#endLocal();
  }

  /** Ends our body with trailers, where it is chunked. */
  sendTrailers(trailers: Fields): void {
    if (this.#finishing || !this.open) return;
    this.#trailers = trailers;
    this.finish();
  }

  #endLocal(): void {
    if (this.localEnded) return;
    if (this.framing === BODY_LENGTH && this.left > 0) {
      return this.h1.fail(flowError("aborted", "a body is shorter than its Content-Length"));
    }
    this.localEnded = true;
    if (this.framing === BODY_CHUNKED) this.#lastChunk();
    this.h1.onLocalEnd(this);
  }

  #lastChunk(): void {
    const stage = this.h1.output.stage, trailers = this.#trailers;
    const start = stage.reserve((trailers === null ? 0 : trailers.bound) + 8);
    if (start === 0) return;
    let at = start;
    U8[at++] = 0x30;
    U8[at++] = 0x0d;
    U8[at++] = 0x0a;
    if (trailers !== null) at = trailers.write(at);
    U8[at++] = 0x0d;
    U8[at++] = 0x0a;
    stage.grew(at - start);
  }

  /** Subclasses: the head is out with this framing. */
  protected begin(framing: number, length: number): void {
    this.framing = framing;
    this.left = length;
    if (framing === BODY_NONE || (framing === BODY_LENGTH && length === 0)) this.#finishing = true;
    this.onRoom();
  }

  // --- source

  override resume(): void {
    this.onWanted();
    const early = this.#early;
    if (this.partner === null) return;
    if (early === null) {
      if (this.#untold) this.#tellPartner(this.partner);
      return;
    }
    if (!early.passOn(this)) return;
    this.#early = null;
    if (this.remoteEnded && this.open) this.#tellEnd();
  }

  /** Subclasses: somebody waits for the peer's body. */
  protected onWanted(): void {}

  override consumed(bytes: number): void {
    this.held -= bytes;
    this.h1.onConsumed(this);
  }

  /** The connection: a part of the peer's body. */
  onData(at: number, bytes: number): void {
    if (this.discarding || !this.open) return this.h1.onDiscarded(bytes);
    this.bytesIn += bytes;
    this.held += bytes;
    const partner = this.partner;
    if (partner !== null && this.#early === null) partner.push(at, bytes);
    else {
      const early = this.#early ??= new EarlyBytes();
      if (!early.push(at, bytes)) this.h1.fail(flowError("out_of_memory", "the data plane's arena is full"));
    }
  }

  /** The connection: the peer's message has no body. */
  endsAtOnce(): void {
    this.remoteEnded = true;
    this.#untold = true;
  }

  /** The connection: the peer's message has no body, but raw bytes may follow when we agree to them. */
  mayGoOn(): void {
    this.remoteEnded = true;
  }

  /** The connection: the peer's body is complete. */
  onRemoteEnd(trailers: Fields | null = null): void {
    if (this.remoteEnded) return;
    this.remoteEnded = true;
    this.#remoteTrailers = trailers;
    if (this.#early === null) this.#tellEnd();
  }

  #tellEnd(): void {
    if (this.partner !== null && !this.discarding) this.#tellPartner(this.partner);
    else this.#untold = true;
    this.h1.onRemoteDone(this);
  }

  #tellPartner(partner: Endpoint): void {
    this.#untold = false;
    const trailers = this.#remoteTrailers;
    this.#remoteTrailers = null;
    if (trailers !== null) this.onTrailers(trailers);
    partner.finish();
  }

  /** Subclasses: fields behind the peer's body, all of which has been passed on. */
  protected abstract onTrailers(trailers: Fields): void;

  /** Whether the whole of the peer's body has been passed on. */
  get passedOn(): boolean {
    return this.remoteEnded && this.#early === null;
  }

  // --- endings

  /** The connection: both bodies are complete. */
  settle(): void {
    if (!this.open) return;
    this.#clear();
    this.done(null);
  }

  /** Subclasses: this is over before its time. */
  protected break(error: MeshError<FlowErrorCode>): void {
    this.#clear();
    this.done(error);
  }

  #clear(): void {
    this.open = false;
    this.#queue?.clear();
    this.#early?.clear();
    this.#early = null;
  }

  override abort(): void {
    if (this.open) this.h1.fail(ABORTED);
  }

  override close(): void {
    if (this.open) this.h1.giveUp(this);
  }

  override finishAll(): void {
    if (!this.open) return;
    this.discarding = true;
    this.#early?.clear();
    this.#early = null;
    this.h1.onConsumed(this);
    if (this.remoteEnded) this.h1.onRemoteDone(this);
    this.finish();
  }
}
