// A request's body on its way when it may be needed again: for another attempt, or for a mirror.
//
// The relay stands between the client's body and the attempt's, and keeps a copy up to a bound. Bytes of the response pass through
// untouched. When the copy is complete or given up and nothing is under way in the relay, the exchange joins the two bodies directly.

import { view } from "../../sys/memory.ts";
import { BATCH, PLAIN } from "../../net/buffers.ts";
import { Endpoint } from "../../net/endpoint.ts";
import type { ClientStream } from "../stream.ts";
import type { Fields } from "../fields.ts";

/** How much of a request's body is kept for other attempts. */
export const REPLAY_BYTES = 64 * 1024;

/** Told when the request's body has come to its end. */
export interface RelayOwner {
  onRequestBodyEnd(): void;
}

export class RequestRelay {
  /** The partner of the client's body. */
  readonly down: DownSide;
  /** The partner of the attempt's body. */
  readonly up: UpSide;
  readonly client: Endpoint;
  readonly owner: RelayOwner;
  /** The attempt that is being sent to; null between attempts. */
  target: ClientStream | null = null;
  /** The copy so far; dropped when it would grow beyond the bound. */
  chunks: Uint8Array[] = [];
  bytes = 0;
  /** More has passed than was kept: no other attempt can be made. */
  overflowed = false;
  /** The request's body is complete. */
  ended = false;
  /** Set before the end is told. */
  trailers: Fields | null = null;
  /** The response may flow. */
  answering = false;
  /** Bytes taken from the source by `commit` and pushed on, which the source does not want to hear of again. */
  silent = 0;
  /** Bytes pushed to the attempt that it has not got rid of yet. */
  outstanding = 0;

  constructor(client: Endpoint, owner: RelayOwner) {
    this.client = client;
    this.owner = owner;
    this.down = new DownSide(this);
    this.up = new UpSide(this);
    this.down.partner = client;
    client.partner = this.down;
  }

  /** Begins to send to an attempt: first what was kept, then what still comes. */
  attach(target: ClientStream): void {
    this.target = target;
    const body = target.body;
    body.partner = this.up;
    this.up.partner = body;
    for (const chunk of this.chunks) if (target.open) body.write(chunk);
    if (!target.open || this.target !== target) return;
    if (this.ended) this.#end(target);
    else this.client.resume();
  }

  #end(target: ClientStream): void {
    if (this.trailers !== null) target.sendTrailers(this.trailers);
    else target.body.finish();
  }

  /** Lets go of an attempt; the client's bytes wait for the next. */
  detach(): void {
    const body = this.target?.body;
    if (body && body.partner === this.up) body.partner = null;
    // What the attempt will not get rid of any more, nobody else reports.
    const owed = this.outstanding - this.silent;
    this.outstanding = this.silent = 0;
    if (owed > 0 && this.client.open) this.client.consumed(owed);
    this.target = null;
    this.up.partner = null;
    this.answering = false;
  }

  /** Lets go of the client: nothing more is wanted of it, or given to it. */
  release(): void {
    this.detach();
    if (this.client.partner === this.down) this.client.partner = null;
    this.chunks = [];
  }

  /** Whether the two bodies can be joined without the relay now. */
  get idle(): boolean {
    return this.outstanding === 0 && this.target !== null;
  }

  keep(at: number, bytes: number): void {
    if (this.overflowed) return;
    if (this.bytes + bytes > REPLAY_BYTES) {
      this.overflowed = true;
      this.chunks = [];
      return;
    }
    this.chunks.push(view(at, bytes).slice());
    this.bytes += bytes;
  }
}

/** What the client's body talks to: sink of the request, source of the response. */
class DownSide extends Endpoint {
  constructor(readonly relay: RequestRelay) {
    super();
  }

  override prepare(): number {
    const target = this.relay.target;
    if (target === null || !target.open || target.body.queued >= BATCH) return 0;
    this.roomAt = PLAIN;
    return BATCH;
  }

  override commit(bytes: number): void {
    const { relay } = this;
    relay.silent += bytes;
    this.#forward(PLAIN, bytes);
  }

  override push(at: number, bytes: number): void {
    this.#forward(at, bytes);
  }

  #forward(at: number, bytes: number): void {
    const { relay } = this;
    relay.keep(at, bytes);
    const target = relay.target;
    if (target === null || !target.open) {
      // Kept, or lost with everything else of this request.
      if (relay.silent >= bytes) relay.silent -= bytes;
      else relay.client.consumed(bytes);
      return;
    }
    relay.outstanding += bytes;
    target.body.push(at, bytes);
  }

  override write(bytes: Uint8Array): void {
    this.relay.target?.body.write(bytes);
  }

  override get queued(): number {
    return this.relay.target?.body.queued ?? 0;
  }

  override finish(): void {
    const { relay } = this;
    if (relay.ended) return;
    relay.ended = true;
    const target = relay.target;
    if (target !== null && target.open) {
      if (relay.trailers !== null) target.sendTrailers(relay.trailers);
      else target.body.finish();
    }
    relay.owner.onRequestBodyEnd();
  }

  override finishAll(): void {
    this.finish();
  }

  override abort(): void {
    this.relay.target?.body.abort();
  }

  override resume(): void {
    if (this.relay.answering) this.relay.target?.body.resume();
  }

  override consumed(bytes: number): void {
    this.relay.target?.body.consumed(bytes);
  }

  override close(): void {}
}

/** What the attempt's body talks to: sink of the response, source of the request. */
class UpSide extends Endpoint {
  constructor(readonly relay: RequestRelay) {
    super();
  }

  override prepare(): number {
    const { relay } = this;
    if (!relay.answering) return 0;
    const { client } = relay;
    const room = client.prepare();
    this.roomAt = client.roomAt;
    this.roomIovecs = client.roomIovecs;
    this.roomIovecCount = client.roomIovecCount;
    return room;
  }

  override commit(bytes: number): void {
    this.relay.client.commit(bytes);
  }

  override push(at: number, bytes: number): void {
    this.relay.client.push(at, bytes);
  }

  override write(bytes: Uint8Array): void {
    this.relay.client.write(bytes);
  }

  override get queued(): number {
    return this.relay.client.queued;
  }

  override finish(): void {
    if (this.relay.answering) this.relay.client.finish();
  }

  override finishAll(): void {
    if (this.relay.answering) this.relay.client.finishAll();
  }

  // What becomes of the client when an attempt breaks is the exchange's decision.
  override abort(): void {}

  override resume(): void {
    this.relay.client.resume();
  }

  override consumed(bytes: number): void {
    const { relay } = this;
    relay.outstanding -= bytes;
    const silent = Math.min(bytes, relay.silent);
    relay.silent -= silent;
    if (bytes > silent) relay.client.consumed(bytes - silent);
  }

  override close(): void {}
}
