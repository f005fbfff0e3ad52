import type { MeshError } from "../core/errors.ts";
import { U8 } from "../sys/memory.ts";
import type { SocketAddress } from "../sys/socket_address.ts";
import { giveJoined, INPUT, takeJoined } from "./buffers.ts";
import { ByteQueue } from "./byte_queue.ts";
import { type Carried, CarrierEnd } from "./carried.ts";
import { ABORTED, type Endpoint, flowError, type FlowErrorCode } from "./endpoint.ts";
import type { Reactor, Runnable } from "./reactor.ts";
import type { Timer } from "./timers.ts";
import { MAX_CARRY, Transport } from "./transport.ts";

const MAX_QUEUED = 2 * 1024 * 1024;
const LINGER_MS = 1000;

/**
 * A transport without TLS: HTTP/2 with prior knowledge, HTTP/1.1, and tests.
 *
 * A socket's bytes are read behind the carry of the last read. A stream's bytes (HTTP within HBONE) are pushed from the buffer of the connection
 * outside, which goes on reading it afterwards: they are parsed where they lie, or behind a carry in a buffer of their own.
 */
export class PlainTransport extends Transport implements Carried, Runnable {
  readonly #reactor: Reactor;
  readonly #end: CarrierEnd;
  readonly #carrier: Endpoint;
  #carry: Uint8Array | null = null;
  #carryLength = 0;
  #finishing = false;
  #open = true;
  #linger: Timer | null = null;
  #paused = false;
  /** Pushed while input was paused, and not yet credited. */
  #held: ByteQueue | null = null;
  #ended = false;
  #scheduled = false;

  constructor(reactor: Reactor, carrier: Endpoint, readonly remote: SocketAddress, readonly local: SocketAddress) {
    super();
    this.#reactor = reactor;
    this.#carrier = carrier;
    this.#end = new CarrierEnd(this, carrier);
  }

  /** Bytes flow once a consumer is in place. */
  begin(): void {
    this.#end.begin();
  }

  inputAt(): number {
    return this.#paused || this.#scheduled ? 0 : INPUT + this.#carryLength;
  }

  onBytes(at: number, bytes: number): void {
    if (this.#finishing || !this.#open) return;
    const carry = this.#carryLength;
    if (carry === 0) return this.#deliver(at, bytes, 0);
    this.#copyCarry(INPUT);
    this.#deliver(INPUT, carry + bytes, carry);
  }

  onPushed(at: number, bytes: number): void {
    if (this.#paused || this.#scheduled) {
      const held = this.#held ??= new ByteQueue();
      if (!held.push(at, bytes)) this.#conclude(flowError("out_of_memory", "the data plane's arena is full"), true);
      return;
    }
    try {
      this.#take(at, bytes);
    } catch (thrown) {
      // It must not reach the connection outside, which others share.
      this.#reactor.report("a connection within a stream failed", thrown);
      return this.#conclude(ABORTED, true);
    }
    this.#carrier.consumed(bytes);
  }

  #take(at: number, bytes: number): void {
    if (this.#finishing || !this.#open) return;
    const carry = this.#carryLength;
    if (carry === 0) return this.#deliver(at, bytes, 0);
    const joined = takeJoined();
    if (joined === 0) return this.#conclude(flowError("out_of_memory", "the data plane's arena is full"), true);
    this.#copyCarry(joined);
    U8.copyWithin(joined + carry, at, at + bytes);
    this.#deliver(joined, carry + bytes, carry);
    giveJoined(joined);
  }

  #copyCarry(to: number): void {
    const carry = this.#carry!, length = this.#carryLength;
    if (length > 32) U8.set(carry.length === length ? carry : carry.subarray(0, length), to);
    else for (let i = 0; i < length; i++) U8[to + i] = carry[i];
  }

  /** `carried` of the bytes are those of {@linkcode #carry}. */
  #deliver(at: number, bytes: number, carried: number): void {
    const consumer = this.consumer;
    if (consumer === null) return this.#keep(at, bytes, carried);
    const consumed = consumer.onInput(at, bytes);
    if (!this.#open) return;
    if (consumed === bytes) this.#carryLength = 0;
    else this.#keep(at + consumed, bytes - consumed, consumed === 0 ? carried : 0);
  }

  /** Keeps what was left; the first `have` bytes of it are in place already. */
  #keep(at: number, bytes: number, have: number): void {
    if (bytes > MAX_CARRY && !this.#paused) {
      return this.#conclude(flowError("io", "the peer sent an endless message"), true);
    }
    const old = this.#carry;
    if (old === null || old.length < bytes) {
      this.#carry = new Uint8Array(Math.max(64, 1 << (32 - Math.clz32(bytes - 1))));
      have = 0;
    }
    const carry = this.#carry!;
    if (bytes - have > 64) carry.set(U8.subarray(at + have, at + bytes), have);
    else for (let i = have; i < bytes; i++) carry[i] = U8[at + i];
    this.#carryLength = bytes;
  }

  onBytesEnd(): void {
    this.#ended = true;
    if (this.#finishing) this.#conclude(null, false);
    else if (!this.#paused && !this.#scheduled) this.consumer?.onInputEnd();
  }

  override pauseInput(): void {
    this.#paused = true;
  }

  override resumeInput(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#carryLength > 0 || this.#ended || (this.#held !== null && this.#held.size > 0)) {
      if (this.#scheduled) return;
      this.#scheduled = true;
      this.#reactor.again(this);
    } else this.#carrier.resume();
  }

  /** The reactor: input was resumed, and something had been left. */
  run(): void {
    this.#scheduled = false;
    if (this.#paused || !this.#open || this.#finishing) return;
    const held = this.#held;
    if (this.#carryLength > 0) {
      const joined = takeJoined();
      if (joined === 0) return this.#conclude(flowError("out_of_memory", "the data plane's arena is full"), true);
      this.#copyCarry(joined);
      this.#deliver(joined, this.#carryLength, this.#carryLength);
      giveJoined(joined);
    }
    while (held !== null && held.size > 0 && !this.#paused && this.#open) {
      const bytes = held.firstLength;
      this.#take(held.first, bytes);
      held.consume(Math.min(bytes, held.size));
      this.#carrier.consumed(bytes);
    }
    if (this.#paused || !this.#open || this.#finishing) return;
    if (this.#ended) this.onBytesEnd();
    else this.#carrier.resume();
  }

  onCarrierRoom(): void {
    if (!this.#finishing) this.consumer?.onWritable();
  }

  onCarrierDone(error: MeshError<FlowErrorCode> | null): void {
    this.#conclude(error, false);
  }

  override write(at: number, bytes: number): void {
    if (!this.#open || this.#finishing) return;
    this.#carrier.push(at, bytes);
    if (this.#carrier.queued > MAX_QUEUED) this.#conclude(flowError("io", "the peer does not read"), true);
  }

  override get writable(): boolean {
    return this.#open && !this.#finishing && this.#carrier.queued === 0;
  }

  override get open(): boolean {
    return this.#open;
  }

  override endOutput(): void {
    if (this.#open && !this.#finishing) this.#carrier.finish();
  }

  override finish(): void {
    if (!this.#open || this.#finishing) return;
    this.#finishing = true;
    this.#paused = false;
    this.#carrier.finish();
    if (!this.#open) return;
    this.#lingering(this.#carrier.queued);
    this.#carrier.resume();
  }

  /** Waits for the peer's end, which counts from when everything has gone out; a peer that reads nothing gets no more time. */
  #lingering(queued: number): void {
    this.#linger = this.#reactor.setTimer(LINGER_MS, () => {
      const left = this.#carrier.queued;
      if (queued > 0 && left < queued) this.#lingering(left);
      else this.#conclude(null, false);
    });
  }

  override abort(): void {
    this.#conclude(ABORTED, true);
  }

  #conclude(error: MeshError<FlowErrorCode> | null, reset: boolean): void {
    if (!this.#open) return;
    this.#open = false;
    this.#linger?.cancel();
    this.#held?.clear();
    if (reset) this.#carrier.abort();
    else this.#carrier.close();
    const consumer = this.consumer;
    this.consumer = null;
    consumer?.onTransportClosed(error);
  }
}
