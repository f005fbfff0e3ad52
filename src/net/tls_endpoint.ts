import type { MeshError } from "../core/errors.ts";
import { BATCH, PLAIN } from "./buffers.ts";
import { Endpoint, flowError, type FlowErrorCode } from "./endpoint.ts";
import type { TlsTransport } from "./tls_transport.ts";
import type { TransportConsumer } from "./transport.ts";
import { UnsentBytes } from "./waiting_bytes.ts";

/** Plaintext that the partner may have under way before the peer's records stay unread. */
const HIGH_WATER = 256 * 1024, LOW_WATER = 64 * 1024;

/** The plaintext of a TLS connection as one end of a byte stream: TLS originated or terminated for protocols other than HTTP. */
export class TlsEndpoint extends Endpoint implements TransportConsumer {
  readonly transport: TlsTransport;
  /** Pushed to the partner and not yet gone. */
  #underWay = 0;
  #paused = true;
  /** What the transport has no room for. */
  #queue: UnsentBytes | null = null;
  #readEnded = false;
  #finishing = false;
  #writeEnded = false;

  /** The handshake is done. Nothing is read before there is a partner. */
  constructor(transport: TlsTransport) {
    super();
    this.transport = transport;
    transport.pauseInput();
    transport.consumer = this;
  }

  // --- the transport's consumer

  onInput(at: number, bytes: number): number {
    const partner = this.partner;
    if (partner === null) return 0;
    this.bytesIn += bytes;
    this.#underWay += bytes;
    partner.push(at, bytes);
    if (this.#underWay > HIGH_WATER && !this.#paused) {
      this.#paused = true;
      this.transport.pauseInput();
    }
    return bytes;
  }

  onInputEnd(): void {
    if (this.#readEnded) return;
    this.#readEnded = true;
    this.partner?.finish();
    this.#settle();
  }

  onWritable(): void {
    const queue = this.#queue;
    while (queue !== null && queue.size > 0) {
      if (!this.transport.writable) return;
      const length = queue.firstLength;
      this.transport.write(queue.first, length);
      if (!this.open) return;
      queue.consume(length);
      queue.settle(length, this.partner);
    }
    if (!this.open) return;
    if (this.#finishing) this.#endWriting();
    else this.partner?.resume();
  }

  onTransportClosed(error: MeshError<FlowErrorCode> | null): void {
    // An orderly end of the transport is one of the stream only when both sides had finished.
    const whole = this.#readEnded && this.#writeEnded;
    this.#release(error ?? (whole ? null : flowError("closed", "the connection underneath went away")));
  }

  // --- sink

  override prepare(): number {
    if (!this.open || this.#finishing || this.queued > 0 || !this.transport.writable) return 0;
    this.roomAt = PLAIN;
    return BATCH;
  }

  override commit(bytes: number): void {
    this.bytesOut += bytes;
    this.transport.write(PLAIN, bytes);
  }

  override push(at: number, bytes: number): void {
    if (!this.open || this.#finishing) return;
    this.bytesOut += bytes;
    if (this.queued === 0 && this.transport.writable) {
      this.transport.write(at, bytes);
      if (this.open) this.partner?.consumed(bytes);
      return;
    }
    const queue = this.#queue ??= new UnsentBytes();
    if (queue.push(at, bytes)) queue.owe(bytes);
    else this.#fail();
  }

  override write(bytes: Uint8Array): void {
    if (!this.open || this.#finishing) return;
    this.bytesOut += bytes.length;
    const queue = this.#queue ??= new UnsentBytes();
    if (!queue.pushFrom(bytes, 0, bytes.length)) return this.#fail();
    this.onWritable();
  }

  #fail(): void {
    this.transport.abort();
    this.#release(flowError("out_of_memory", "the data plane's arena is full"));
  }

  override get queued(): number {
    return this.#queue === null ? 0 : this.#queue.size;
  }

  override finish(): void {
    if (this.#finishing || !this.open) return;
    this.#finishing = true;
    if (this.queued === 0) this.#endWriting();
  }

  override finishAll(): void {
    this.#readEnded = true;
    if (this.#writeEnded) this.#settle();
    else this.finish();
  }

  #endWriting(): void {
    if (this.#writeEnded) return;
    this.#writeEnded = true;
    if (!this.#readEnded) this.transport.endOutput();
    this.#settle();
  }

  #settle(): void {
    if (!this.#readEnded || !this.#writeEnded || !this.open) return;
    this.transport.consumer = null;
    this.transport.finish();
    this.#release(null);
  }

  // --- source

  override resume(): void {
    if (this.open && this.#paused && this.#underWay <= LOW_WATER && this.partner !== null) {
      this.#paused = false;
      this.transport.resumeInput();
    }
  }

  override consumed(bytes: number): void {
    this.#underWay -= bytes;
    if (this.#paused) this.resume();
  }

  // --- endings

  override abort(): void {
    if (!this.open) return;
    this.transport.consumer = null;
    this.transport.abort();
    this.#release(flowError("aborted", "the connection was given up"));
  }

  override close(): void {
    if (!this.open) return;
    this.transport.consumer = null;
    this.transport.finish();
    this.#release(null);
  }

  #release(error: MeshError<FlowErrorCode> | null): void {
    if (!this.open) return;
    this.#queue?.clear();
    this.#queue = null;
    this.done(error);
  }
}
