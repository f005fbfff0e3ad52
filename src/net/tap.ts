import { view } from "../sys/memory.ts";
import { BATCH, PLAIN } from "./buffers.ts";
import { Endpoint, join } from "./endpoint.ts";

/** What code that reads a byte stream itself is told. */
export interface TapHandler {
  /** `bytes` is a view of a shared buffer: copy what must outlive the call. */
  onData(bytes: Uint8Array): void;
  /** The peer will send no more. */
  onEnd?(): void;
  /** The stream was reset. */
  onAbort?(): void;
}

/**
 * Code as one end of a byte stream: protocols that ambientd itself speaks (PROXY headers, SOCKS5, DNS over TCP), and tests.
 * `detach()` it to hand the socket to a pump later.
 */
export class Tap extends Endpoint {
  readonly #handler: TapHandler;
  #paused = false;

  constructor(handler: TapHandler) {
    super();
    this.#handler = handler;
  }

  override prepare(): number {
    if (this.#paused) return 0;
    this.roomAt = PLAIN;
    return BATCH;
  }

  override commit(bytes: number): void {
    this.bytesOut += bytes;
    this.#handler.onData(view(PLAIN, bytes));
  }

  override push(at: number, bytes: number): void {
    this.bytesOut += bytes;
    this.#handler.onData(view(at, bytes));
    this.partner?.consumed(bytes);
  }

  /** Sends bytes to the other end. */
  override write(bytes: Uint8Array): void {
    this.bytesIn += bytes.length;
    this.partner?.write(bytes);
  }

  /** Half-closes towards the other end. */
  end(): void {
    this.partner?.finish();
  }

  /** Stops reading (bytes stay in the kernel, or within the stream's window) until {@linkcode unpause}. */
  pause(): void {
    this.#paused = true;
  }

  unpause(): void {
    this.#paused = false;
    this.partner?.resume();
  }

  /** Lets go of the other end, which then waits for another partner. */
  detach(): void {
    if (this.partner) this.partner.partner = null;
    this.partner = null;
  }

  override get queued(): number {
    return 0;
  }

  override finish(): void {
    this.#handler.onEnd?.();
  }

  override finishAll(): void {
    this.#handler.onEnd?.();
  }

  override abort(): void {
    if (!this.open) return;
    this.open = false;
    this.#handler.onAbort?.();
  }

  override resume(): void {}
  override consumed(): void {}
  override close(): void {
    this.open = false;
  }
}

/** Reads `end` with code. */
export function tap(end: Endpoint, handler: TapHandler): Tap {
  const side = new Tap(handler);
  join(end, side);
  return side;
}
