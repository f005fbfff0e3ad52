import { EAGAIN, MSG_DONTWAIT, MSG_NOSIGNAL } from "../sys/constants.ts";
import { errno, libc } from "../sys/libc.ts";
import { allocate, BASE, releasePages, tryAllocate, U8, writePointer, writeSize } from "../sys/memory.ts";

/** Bytes a chunk holds. */
export const CHUNK = 16 * 1024;
const SLAB_CHUNKS = 64;
const MAX_IOVECS = 16;
/** Free chunks kept warm; what is beyond goes back to the system when the reactor goes idle. */
const WARM_CHUNKS = 256;

const free: number[] = [];
/** The lowest entries of `free` whose pages were given back already. */
let trimmed = 0;
/** following[numberOf(chunk)] is the arena offset of the next chunk of a queue. */
const following = new Int32Array(U8.length / CHUNK);

/** Chunks do not overlap, so no two of them begin in the same 16 KiB of the arena. */
function numberOf(chunk: number): number {
  return chunk >>> 14;
}

function takeChunk(): number {
  const ready = free.pop();
  if (ready !== undefined) {
    if (trimmed > free.length) trimmed = free.length;
    return ready;
  }
  const slab = tryAllocate(SLAB_CHUNKS * CHUNK + 4096);
  if (slab === 0) return 0;
  const start = (slab + 4095) & ~4095;
  for (let i = SLAB_CHUNKS - 1; i > 0; i--) free.push(start + i * CHUNK);
  return start;
}

/** Gives the pages of chunks that a burst left free back to the system; the reactor calls it when it goes idle. */
export function trimChunks(): void {
  const end = free.length - WARM_CHUNKS;
  for (let i = trimmed; i < end; i++) releasePages(free[i], CHUNK);
  if (end > trimmed) trimmed = end;
}

/** Chunks that lie free, for tests. */
export function freeChunks(): number {
  return free.length;
}

const iovecs = allocate(MAX_IOVECS * 16), message = allocate(64);

/**
 * Bytes that could not go on yet, in 16 KiB chunks of the arena. It exists for slow peers only: the fast path never
 * copies. Bounded by whoever pushes.
 */
export class ByteQueue {
  #head = 0;
  #tail = 0;
  #headOffset = 0;
  #tailLength = 0;
  #size = 0;

  /** Bytes queued. */
  get size(): number {
    return this.#size;
  }

  /** Copies `bytes` bytes in from arena offset `at`; false when the arena is full (what fitted stays queued). */
  push(at: number, bytes: number): boolean {
    return this.pushFrom(U8, at, bytes);
  }

  /** As {@linkcode push}, from any array. */
  pushFrom(source: Uint8Array, from: number, bytes: number): boolean {
    while (bytes > 0) {
      if (this.#tail === 0 || this.#tailLength === CHUNK) {
        const chunk = takeChunk();
        if (chunk === 0) return false;
        following[numberOf(chunk)] = 0;
        if (this.#tail === 0) {
          this.#head = chunk;
          this.#headOffset = 0;
        } else following[numberOf(this.#tail)] = chunk;
        this.#tail = chunk;
        this.#tailLength = 0;
      }
      const part = Math.min(bytes, CHUNK - this.#tailLength);
      const to = this.#tail + this.#tailLength;
      if (source === U8) U8.copyWithin(to, from, from + part);
      else U8.set(source.subarray(from, from + part), to);
      this.#tailLength += part;
      this.#size += part;
      from += part;
      bytes -= part;
    }
    return true;
  }

  /** Arena offset of the first bytes; their number is {@linkcode firstLength}. */
  get first(): number {
    return this.#head + this.#headOffset;
  }

  get firstLength(): number {
    if (this.#head === 0) return 0;
    return (this.#head === this.#tail ? this.#tailLength : CHUNK) - this.#headOffset;
  }

  /** Drops `bytes` bytes from the front. */
  consume(bytes: number): void {
    this.#size -= bytes;
    while (bytes > 0) {
      const part = Math.min(bytes, this.firstLength);
      bytes -= part;
      this.#headOffset += part;
      if (this.#head === this.#tail) {
        if (this.#headOffset === this.#tailLength) {
          free.push(this.#head);
          this.#head = this.#tail = 0;
        }
      } else if (this.#headOffset === CHUNK) {
        const after = following[numberOf(this.#head)];
        free.push(this.#head);
        this.#head = after;
        this.#headOffset = 0;
      }
    }
  }

  clear(): void {
    this.consume(this.#size);
  }

  /** Sends to a socket as much as it takes: bytes sent, or a negative errno. Leaves the rest queued. */
  sendTo(fd: number): number {
    let total = 0;
    while (this.#size > 0) {
      let count = 0, offered = 0;
      let chunk = this.#head, offset = this.#headOffset;
      while (chunk !== 0 && count < MAX_IOVECS) {
        const end = chunk === this.#tail ? this.#tailLength : CHUNK;
        writePointer(iovecs + count * 16, chunk + offset);
        writeSize(iovecs + count * 16 + 8, end - offset);
        offered += end - offset;
        count++;
        offset = 0;
        chunk = chunk === this.#tail ? 0 : following[numberOf(chunk)];
      }
      writePointer(message + 16, iovecs);
      writeSize(message + 24, count);
      let sent = libc.sendmsg(fd, BASE + message, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) {
        const first = errno();
        if (first === EAGAIN) return total;
        sent = libc.sendmsg(fd, BASE + message, MSG_NOSIGNAL | MSG_DONTWAIT); // once more: see sendSome()
        if (sent < 0) return errno() === EAGAIN ? total : -first;
      }
      total += sent;
      this.consume(sent);
      if (sent < offered) return total;
    }
    return total;
  }
}
