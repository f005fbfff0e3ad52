// Counts the messages of a gRPC call in both directions while its bytes pass.
//
// The exchange joins with the meter as if it were the client's body; nothing is copied, and nothing held back. A message is five bytes of
// prefix (a flag and a length) and its payload (grpc/doc/PROTOCOL-HTTP2.md).

import { Endpoint } from "../../net/endpoint.ts";
import { BASE, U8, VIEW } from "../../sys/memory.ts";

const PREFIX = 5;

/** Follows the prefixes in one direction. */
export class MessageCounter {
  count = 0;
  /** Payload still to pass by. */
  #payload = 0;
  /** Bytes of a prefix seen so far, and the length they say. */
  #prefix = 0;
  #length = 0;

  /** `bytes` bytes pass, from arena offset `at`. */
  pass(at: number, bytes: number): void {
    const end = at + bytes;
    while (at < end) {
      if (this.#payload > 0) {
        const taken = Math.min(this.#payload, end - at);
        this.#payload -= taken;
        at += taken;
        continue;
      }
      if (this.#prefix > 0) this.#length = this.#length * 256 + U8[at];
      at++;
      if (++this.#prefix < PREFIX) continue;
      this.count++;
      this.#payload = this.#length;
      this.#prefix = this.#length = 0;
    }
  }
}

/** Stands for `client`, the body of the client's stream. */
export class GrpcMeter extends Endpoint {
  readonly client: Endpoint;
  readonly requests: MessageCounter = new MessageCounter();
  readonly responses: MessageCounter = new MessageCounter();
  readonly #inner: Inner;

  constructor(client: Endpoint) {
    super();
    this.client = client;
    this.#inner = new Inner(this);
  }

  // --- sink of the response

  override prepare(): number {
    const { client } = this;
    const room = client.prepare();
    this.roomAt = client.roomAt;
    this.roomIovecs = client.roomIovecs;
    this.roomIovecCount = client.roomIovecCount;
    return room;
  }

  override commit(bytes: number): void {
    const { client } = this;
    passRoom(this.responses, client, bytes);
    client.commit(bytes);
  }

  override push(at: number, bytes: number): void {
    this.responses.pass(at, bytes);
    this.client.push(at, bytes);
  }

  override write(bytes: Uint8Array): void {
    this.client.write(bytes);
  }

  override get queued(): number {
    return this.client.queued;
  }

  override finish(): void {
    this.client.finish();
  }

  override finishAll(): void {
    this.client.finishAll();
  }

  override abort(): void {
    this.client.abort();
  }

  // --- source of the request

  override resume(): void {
    // Until somebody wants the request's bytes, the client's body holds them.
    this.client.partner = this.partner === null ? null : this.#inner;
    this.client.resume();
  }

  override consumed(bytes: number): void {
    this.client.consumed(bytes);
  }

  override close(): void {
    this.client.close();
  }

  /** Lets go of the client's body. */
  release(): void {
    if (this.client.partner === this.#inner) this.client.partner = null;
    this.partner = null;
  }
}

/** What the client's body talks to. */
class Inner extends Endpoint {
  constructor(readonly meter: GrpcMeter) {
    super();
  }

  override prepare(): number {
    const { partner } = this.meter;
    if (partner === null) return 0;
    const room = partner.prepare();
    this.roomAt = partner.roomAt;
    this.roomIovecs = partner.roomIovecs;
    this.roomIovecCount = partner.roomIovecCount;
    return room;
  }

  override commit(bytes: number): void {
    const { meter } = this;
    if (meter.partner === null) return;
    passRoom(meter.requests, meter.partner, bytes);
    meter.partner.commit(bytes);
  }

  override push(at: number, bytes: number): void {
    const { meter } = this;
    if (meter.partner === null) return meter.client.consumed(bytes);
    meter.requests.pass(at, bytes);
    meter.partner.push(at, bytes);
  }

  override write(bytes: Uint8Array): void {
    this.meter.partner?.write(bytes);
  }

  override get queued(): number {
    return this.meter.partner?.queued ?? 0;
  }

  override finish(): void {
    this.meter.partner?.finish();
  }

  override finishAll(): void {
    this.meter.partner?.finishAll();
  }

  override abort(): void {
    this.meter.partner?.abort();
  }

  override resume(): void {
    this.meter.partner?.resume();
  }

  override consumed(bytes: number): void {
    this.meter.partner?.consumed(bytes);
  }

  override close(): void {}
}

/** `bytes` bytes have come where `sink` had made room. */
function passRoom(counter: MessageCounter, sink: Endpoint, bytes: number): void {
  if (sink.roomIovecs === 0) return counter.pass(sink.roomAt, bytes);
  for (let i = 0, left = bytes; i < sink.roomIovecCount && left > 0; i++) {
    const at = sink.roomIovecs + i * 16;
    const part = Math.min(left, Number(VIEW.getBigUint64(at + 8, true)));
    counter.pass(Number(VIEW.getBigUint64(at, true)) - BASE, part);
    left -= part;
  }
}
