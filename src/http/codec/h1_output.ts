import { BATCH } from "../../net/buffers.ts";
import { OutputStage, STAGE_BYTES, STAGE_FULL } from "../../net/output_stage.ts";
import type { Reactor, Runnable } from "../../net/reactor.ts";
import type { Transport } from "../../net/transport.ts";
import { U8 } from "../../sys/memory.ts";

/** Payload of at least this size, with nothing waiting to go before it, is sent from where it lies. */
const DIRECT = 32 * 1024;
/** Longest `size CR LF` before a chunk, and room left for the line end behind it. */
const CHUNK_HEAD = 10, CHUNK_TAIL = 2;
/** Hexadecimal digits of a chunk whose size is not known when its place is chosen. */
const FIXED_DIGITS = 5;

const HEX_DIGITS = new Uint8Array(16);
for (let i = 0; i < 16; i++) HEX_DIGITS[i] = i.toString(16).charCodeAt(0);

/** What one HTTP/1.1 connection says: heads are written to the stage by whoever makes them, payload and its framing here. */
export class H1Output {
  readonly stage: OutputStage;

  /** `owner.run()` is called at the end of a batch in which something was said; it must flush the stage. */
  constructor(reactor: Reactor, readonly transport: Transport, owner: Runnable) {
    this.stage = new OutputStage(reactor, transport, owner);
  }

  /** Whether payload may be said now; the transport's owner hears `onWritable()` otherwise. */
  get writable(): boolean {
    return this.transport.writable;
  }

  /** Where payload goes, set by {@linkcode prepare}. */
  roomAt = 0;

  /** Room for payload, 0 when the transport is full. */
  prepare(chunked: boolean): number {
    const stage = this.stage;
    if (!stage.ready()) return 0;
    const at = stage.reserve(STAGE_FULL + CHUNK_HEAD + CHUNK_TAIL);
    if (at === 0) return 0;
    const head = chunked ? FIXED_DIGITS + 2 : 0;
    this.roomAt = at + head;
    return Math.min(BATCH, STAGE_BYTES - stage.used - head - CHUNK_TAIL);
  }

  /** `bytes` bytes are where {@linkcode prepare} said. */
  commit(bytes: number, chunked: boolean): void {
    if (!chunked) return this.stage.filled(bytes);
    const at = this.roomAt - FIXED_DIGITS - 2;
    for (let i = FIXED_DIGITS - 1, left = bytes; i >= 0; i--, left >>>= 4) U8[at + i] = HEX_DIGITS[left & 15];
    lineEnd(at + FIXED_DIGITS);
    lineEnd(at + FIXED_DIGITS + 2 + bytes);
    this.stage.filled(FIXED_DIGITS + 2 + bytes + CHUNK_TAIL);
  }

  /** Payload at arena offset `at`, all of it. */
  payload(at: number, bytes: number, chunked: boolean): void {
    const stage = this.stage;
    if (!chunked && stage.used === 0 && bytes >= DIRECT) return stage.send(at, bytes);
    while (bytes > 0) {
      const part = Math.min(bytes, BATCH);
      const to = stage.reserve(part + CHUNK_HEAD + CHUNK_TAIL);
      if (to === 0) return;
      const head = chunked ? chunkHead(to, part) : 0;
      U8.copyWithin(to + head, at, at + part);
      if (chunked) lineEnd(to + head + part);
      stage.filled(head + part + (chunked ? CHUNK_TAIL : 0));
      at += part;
      bytes -= part;
    }
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
