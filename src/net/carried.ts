import type { MeshError } from "../core/errors.ts";
import { BATCH } from "./buffers.ts";
import { Endpoint, type EndpointMonitor, type FlowErrorCode } from "./endpoint.ts";

/** What a transport on top of an {@linkcode Endpoint} wants to know of it. */
export interface Carried {
  /** Where the next bytes may be read to, at most {@linkcode BATCH} of them; 0 while input is paused. */
  inputAt(): number;
  /** `bytes` bytes have arrived where {@linkcode inputAt} said. */
  onBytes(at: number, bytes: number): void;
  /** `bytes` bytes were pushed from arena offset `at`; `carrier.consumed()` follows when they have been dealt with. */
  onPushed(at: number, bytes: number): void;
  /** No more bytes will arrive. */
  onBytesEnd(): void;
  /** Everything written has left. */
  onCarrierRoom(): void;
  /** The carrier is gone. */
  onCarrierDone(error: MeshError<FlowErrorCode> | null): void;
}

/** The partner of an endpoint that carries a transport. */
export class CarrierEnd extends Endpoint implements EndpointMonitor {
  readonly #owner: Carried;

  constructor(owner: Carried, readonly carrier: Endpoint) {
    super();
    this.#owner = owner;
    this.partner = carrier;
    carrier.partner = this;
    carrier.monitor = this;
  }

  /** Lets bytes in. */
  begin(): void {
    this.carrier.resume();
    if (!this.carrier.open) this.onEndpointDone(this.carrier, this.carrier.error);
  }

  override prepare(): number {
    this.roomAt = this.#owner.inputAt();
    return this.roomAt === 0 ? 0 : BATCH;
  }

  override commit(bytes: number): void {
    this.#owner.onBytes(this.roomAt, bytes);
  }

  override push(at: number, bytes: number): void {
    this.#owner.onPushed(at, bytes);
  }

  override finish(): void {
    this.#owner.onBytesEnd();
  }

  override finishAll(): void {
    this.#owner.onBytesEnd();
  }

  override resume(): void {
    this.#owner.onCarrierRoom();
  }

  onEndpointDone(_end: Endpoint, error: MeshError<FlowErrorCode> | null): void {
    this.open = false;
    this.#owner.onCarrierDone(error);
  }

  override write(): void {}
  override get queued(): number {
    return 0;
  }
  override abort(): void {}
  override consumed(): void {}
  override close(): void {}
}
