import type { Reactor, Runnable } from "../../net/reactor.ts";
import type { Transport } from "../../net/transport.ts";
import { BATCH } from "../../net/buffers.ts";
import { giveStage, STAGE_BYTES, STAGE_FULL, takeStage } from "../../h2/stage.ts";
import { U8 } from "../../sys/memory.ts";

/** Payload of at least this size, with nothing waiting to go before it, is sent from where it lies. */
const DIRECT = 32 * 1024;
/** Longest `size CR LF` before a chunk, and room left for the line end behind it. */
const CHUNK_HEAD = 10, CHUNK_TAIL = 2;
/** Hexadecimal digits of a chunk whose size is not known when its place is chosen. */
const FIXED_DIGITS = 5;

const HEX_DIGITS = new Uint8Array(16);
for (let i = 0; i < 16; i++) HEX_DIGITS[i] = i.toString(16).charCodeAt(0);

/**
 * What one HTTP/1.1 connection says: heads and payload gather in a block of the arena (shared with HTTP/2's) and go out in one write, at the
 * end of the batch of events or when there is enough.
 */
export class H1Output {
  #stage = 0;
  #used = 0;
  #scheduled = false;
  #closed = false;
  /** The transport is being written to: what it says meanwhile (that there is room) must wait, or bytes would overtake each other. */
  writing = false;

  /** `owner.run()` is called at the end of a batch in which something was said; it must call {@linkcode flush}. */
  constructor(readonly reactor: Reactor, readonly transport: Transport, readonly owner: Runnable) {}

  /** Whether payload may be said now; the transport's owner hears `onWritable()` otherwise. */
  get writable(): boolean {
    return this.transport.writable;
  }

  /** Arena offset of `bytes` free bytes, 0 when there is no such place. Say how many were used with {@linkcode grew}. */
  reserve(bytes: number): number {
    if (this.#closed || bytes > STAGE_BYTES) return 0;
    if (this.#used + bytes > STAGE_BYTES) this.flush();
    if (this.#stage === 0) {
      this.#used = 0;
      this.#stage = takeStage();
      if (this.#stage === 0) {
        this.transport.abort();
        return 0;
      }
    }
    return this.#stage + this.#used;
  }

  grew(bytes: number): void {
    this.#used += bytes;
    this.schedule();
  }

  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.reactor.afterBatch(this.owner);
  }

  unschedule(): void {
    this.#scheduled = false;
  }

  flush(): void {
    const stage = this.#stage, used = this.#used;
    if (stage === 0) return;
    this.#stage = this.#used = 0;
    if (used > 0) this.#write(stage, used);
    giveStage(stage);
  }

  #write(at: number, bytes: number): void {
    this.writing = true;
    this.transport.write(at, bytes);
    this.writing = false;
  }

  close(): void {
    this.#closed = true;
    if (this.#stage !== 0) giveStage(this.#stage);
    this.#stage = 0;
  }

  // --- payload

  /** Room for payload, whose place is `at` afterwards: -1 when the transport is full. */
  roomAt = 0;
  prepare(chunked: boolean): number {
    if (this.#used >= STAGE_FULL) {
      this.flush();
      if (!this.transport.writable) return 0;
    }
    const at = this.reserve(STAGE_FULL + CHUNK_HEAD + CHUNK_TAIL);
    if (at === 0) return 0;
    const head = chunked ? FIXED_DIGITS + 2 : 0;
    this.roomAt = at + head;
    return Math.min(BATCH, STAGE_BYTES - this.#used - head - CHUNK_TAIL);
  }

  /** `bytes` bytes are where {@linkcode prepare} said. */
  commit(bytes: number, chunked: boolean): void {
    if (chunked) {
      const at = this.#stage + this.#used;
      for (let i = FIXED_DIGITS - 1, left = bytes; i >= 0; i--, left >>>= 4) U8[at + i] = HEX_DIGITS[left & 15];
      lineEnd(at + FIXED_DIGITS);
      lineEnd(at + FIXED_DIGITS + 2 + bytes);
      this.#used += FIXED_DIGITS + 2 + bytes + 2;
    } else this.#used += bytes;
    if (this.#used >= STAGE_FULL) this.flush();
    else this.schedule();
  }

  /** Payload at arena offset `at`, all of it. */
  payload(at: number, bytes: number, chunked: boolean): void {
    if (!chunked && this.#used === 0 && bytes >= DIRECT) return this.#write(at, bytes);
    while (bytes > 0) {
      const to = this.reserve(Math.min(bytes, BATCH) + CHUNK_HEAD + CHUNK_TAIL);
      if (to === 0) return;
      const part = Math.min(bytes, BATCH);
      const head = chunked ? chunkHead(to, part) : 0;
      U8.copyWithin(to + head, at, at + part);
      if (chunked) lineEnd(to + head + part);
      this.#used += head + part + (chunked ? CHUNK_TAIL : 0);
      at += part;
      bytes -= part;
    }
    if (this.#used >= STAGE_FULL) this.flush();
    else this.schedule();
  }
}

function lineEnd(at: number): void {
  U8[at] = 0x0d;
  U8[at + 1] = 0x0a;
}

/** Writes the size of a chunk and its line end; returns their length. */
function chunkHead(at: number, bytes: number): number {
  let digits = 1;
  for (let left = bytes >>> 4; left > 0; left >>>= 4) digits++;
  for (let i = digits - 1, left = bytes; i >= 0; i--, left >>>= 4) U8[at + i] = HEX_DIGITS[left & 15];
  lineEnd(at + digits);
  return digits + 2;
}
