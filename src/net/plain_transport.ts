import type { MeshError } from "../core/errors.ts";
import { U8 } from "../sys/memory.ts";
import type { SocketAddress } from "../sys/socket_address.ts";
import { INPUT } from "./buffers.ts";
import { type Carried, CarrierEnd } from "./carried.ts";
import { ABORTED, type Endpoint, flowError, type FlowErrorCode } from "./endpoint.ts";
import type { Reactor } from "./reactor.ts";
import type { Timer } from "./timers.ts";
import { MAX_CARRY, Transport } from "./transport.ts";

const MAX_QUEUED = 2 * 1024 * 1024;
const LINGER_MS = 1000;

/** A transport without TLS: HTTP/2 with prior knowledge, HTTP/1.1, and tests. */
export class PlainTransport extends Transport implements Carried {
  readonly #reactor: Reactor;
  readonly #end: CarrierEnd;
  readonly #carrier: Endpoint;
  #carry: Uint8Array = new Uint8Array(0);
  #finishing = false;
  #open = true;
  #linger: Timer | null = null;

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
    return INPUT + this.#carry.length;
  }

  onBytes(at: number, bytes: number): void {
    const consumer = this.consumer;
    if (this.#finishing || consumer === null) return;
    const carry = this.#carry.length;
    if (carry > 0) {
      // Read to their place behind the carry, unless they were pushed from elsewhere.
      if (at !== INPUT + carry) U8.copyWithin(INPUT + carry, at, at + bytes);
      U8.set(this.#carry, INPUT);
      at = INPUT;
      bytes += carry;
    }
    const consumed = consumer.onInput(at, bytes);
    if (!this.#open) return;
    if (bytes - consumed > MAX_CARRY) return this.#conclude(flowError("io", "the peer sent an endless message"), true);
    this.#carry = U8.slice(at + consumed, at + bytes);
  }

  onBytesEnd(): void {
    if (this.#finishing) this.#conclude(null, false);
    else this.consumer?.onInputEnd();
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

  override finish(): void {
    if (!this.#open || this.#finishing) return;
    this.#finishing = true;
    this.#carrier.finish();
    this.#linger = this.#reactor.setTimer(LINGER_MS, () => this.#conclude(null, false));
  }

  override abort(): void {
    this.#conclude(ABORTED, true);
  }

  #conclude(error: MeshError<FlowErrorCode> | null, reset: boolean): void {
    if (!this.#open) return;
    this.#open = false;
    this.#linger?.cancel();
    if (reset) this.#carrier.abort();
    else this.#carrier.close();
    const consumer = this.consumer;
    this.consumer = null;
    consumer?.onTransportClosed(error);
  }
}
