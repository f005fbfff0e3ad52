import { tryAllocate } from "../sys/memory.ts";
import { BATCH } from "./buffers.ts";
import type { Reactor, Runnable } from "./reactor.ts";
import type { Transport } from "./transport.ts";

/**
 * Output of a connection is gathered in a block that it holds only while something is in it, so a thousand quiet connections
 * hold none. The last block given back is the next one taken: it is still in the cache.
 */
export const STAGE_BYTES = BATCH + 48 * 1024;
/**
 * Once this much is gathered it goes out without waiting for the end of the batch of events. Twice as much saves HTTP/2 answers of 16 KiB some 4 %
 * of CPU; bulk in tunnels was slower with it in every run that we made.
 */
export const STAGE_FULL = 32 * 1024;

const free: number[] = [];

/**
 * What an HTTP connection says, frames, heads and payload alike: it gathers in a block of the arena and goes out in one write, at the end of
 * the batch of events or when there is enough.
 */
export class OutputStage {
  #at = 0;
  #used = 0;
  #scheduled = false;
  #closed = false;
  /** The transport is being written to: what it says meanwhile (that there is room) must wait, or bytes would overtake each other. */
  writing = false;

  /** `owner.run()` is called at the end of a batch in which something was said; it must call {@linkcode flush}. */
  constructor(readonly reactor: Reactor, readonly transport: Transport, readonly owner: Runnable) {}

  /** Bytes that have gathered. */
  get used(): number {
    return this.#used;
  }

  /**
   * Arena offset of `bytes` free bytes behind what has gathered; 0 when there is no such place, or the connection is lost. Say with
   * {@linkcode grew} or {@linkcode filled} how many were used.
   */
  reserve(bytes: number): number {
    if (this.#closed || bytes > STAGE_BYTES) return 0;
    if (this.#used + bytes > STAGE_BYTES) this.flush();
    if (this.#at === 0) {
      this.#used = 0;
      this.#at = free.pop() ?? tryAllocate(STAGE_BYTES);
      if (this.#at === 0) {
        this.transport.abort();
        return 0;
      }
    }
    return this.#at + this.#used;
  }

  /** Makes place for more payload; false when the transport takes none after that, and its consumer hears `onWritable()` later. */
  ready(): boolean {
    if (this.#used < STAGE_FULL) return true;
    this.flush();
    return this.transport.writable;
  }

  /** A head, or frames that are short. */
  grew(bytes: number): void {
    this.#used += bytes;
    this.schedule();
  }

  /** Payload: it goes out at once when there is enough. */
  filled(bytes: number): void {
    this.#used += bytes;
    if (this.#used >= STAGE_FULL) this.flush();
    else this.schedule();
  }

  /** Asks for the owner's `run()` at the end of the batch. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.reactor.afterBatch(this.owner);
  }

  /** The owner's `run()` has come. */
  unschedule(): void {
    this.#scheduled = false;
  }

  /** Sends what has gathered. */
  flush(): void {
    const at = this.#at, used = this.#used;
    if (at === 0) return;
    this.#at = this.#used = 0;
    if (used > 0) this.send(at, used);
    free.push(at);
  }

  /** Sends `bytes` bytes from where they lie; nothing may have gathered. */
  send(at: number, bytes: number): void {
    this.writing = true;
    this.transport.write(at, bytes);
    this.writing = false;
  }

  /** Nothing more will be said. */
  close(): void {
    this.#closed = true;
    if (this.#at !== 0) free.push(this.#at);
    this.#at = this.#used = 0;
  }
}
