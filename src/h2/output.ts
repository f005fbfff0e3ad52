import { BATCH } from "../net/buffers.ts";
import { OutputStage } from "../net/output_stage.ts";
import type { Reactor, Runnable } from "../net/reactor.ts";
import type { Transport } from "../net/transport.ts";
import { allocate, U8, writePointer, writeSize } from "../sys/memory.ts";
import * as h2 from "./constants.ts";
import type { HeaderFields } from "./headers.ts";
import { hpackBound, HpackEncoder } from "./hpack.ts";
import type { H2Stream } from "./stream.ts";

const MAX_SCATTER = 16;
const scatter = allocate(MAX_SCATTER * 16);
/** Header blocks that may not fit one frame are put together here. */
const BLOCK_BYTES = 128 * 1024;
const block = new Uint8Array(BLOCK_BYTES);
const SHORT_BLOCK = 8192;
const ENCODER_TABLE = 4096;

/** What one connection says, as frames: they gather in its stage, and payload is read straight to its place behind a frame header. */
export class H2Output {
  readonly #encoder = new HpackEncoder(ENCODER_TABLE);
  readonly stage: OutputStage;
  /** Longest frame the peer takes. */
  maxFrame: number = h2.DEFAULT_FRAME_SIZE;

  /** `owner.run()` is called at the end of a batch in which something was said; it must flush the stage. */
  constructor(reactor: Reactor, transport: Transport, owner: Runnable) {
    this.stage = new OutputStage(reactor, transport, owner);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setHeaderTableSize(size: number): void {
    this.#encoder.setMaxTableSize(Math.min(size, ENCODER_TABLE));
  }

  // --- frames

  preface(): void {
    const at = this.stage.reserve(h2.PREFACE.length);
    if (at === 0) return;
    for (let i = 0; i < h2.PREFACE.length; i++) U8[at + i] = h2.PREFACE.charCodeAt(i);
    this.stage.grew(h2.PREFACE.length);
  }

  settings(pairs: readonly (readonly [setting: number, value: number])[]): void {
    const at = this.#frame(pairs.length * 6, h2.FRAME_SETTINGS, 0, 0);
    if (at === 0) return;
    pairs.forEach(([setting, value], i) => {
      U8[at + i * 6] = 0;
      U8[at + i * 6 + 1] = setting;
      writeWord(at + i * 6 + 2, value);
    });
  }

  settingsAck(): void {
    this.#frame(0, h2.FRAME_SETTINGS, h2.FLAG_ACK, 0);
  }

  /** A PING with eight bytes of ours, or the answer to the peer's, whose bytes lie at `echo`. */
  ping(echo = 0): void {
    const at = this.#frame(8, h2.FRAME_PING, echo === 0 ? 0 : h2.FLAG_ACK, 0);
    if (at === 0) return;
    if (echo !== 0) U8.copyWithin(at, echo, echo + 8);
    else {
      writeWord(at, 0x616d6269); // "ambi"
      writeWord(at + 4, 0x656e7464); // "entd"
    }
  }

  goaway(last: number, code: number): void {
    const at = this.#frame(8, h2.FRAME_GOAWAY, 0, 0);
    if (at === 0) return;
    writeWord(at, last);
    writeWord(at + 4, code);
  }

  reset(id: number, code: number): void {
    const at = this.#frame(4, h2.FRAME_RST_STREAM, 0, id);
    if (at !== 0) writeWord(at, code);
  }

  windowUpdate(id: number, bytes: number): void {
    const at = this.#frame(4, h2.FRAME_WINDOW_UPDATE, 0, id);
    if (at !== 0) writeWord(at, bytes);
  }

  /** END_STREAM on an empty DATA frame. */
  end(id: number): void {
    this.#frame(0, h2.FRAME_DATA, h2.FLAG_END_STREAM, id);
  }

  /** HEADERS, with CONTINUATION where one frame is too short; false when the list is longer than any peer would take. */
  headers(id: number, headers: HeaderFields, endStream: boolean): boolean {
    const flags = endStream ? h2.FLAG_END_STREAM : 0;
    const bound = hpackBound(headers);
    if (bound > BLOCK_BYTES) return false;
    if (bound <= SHORT_BLOCK) {
      const at = this.stage.reserve(h2.FRAME_HEADER + bound);
      if (at === 0) return true;
      const length = this.#encoder.encode(headers, U8, at + h2.FRAME_HEADER) - at - h2.FRAME_HEADER;
      writeHead(at, length, h2.FRAME_HEADERS, flags | h2.FLAG_END_HEADERS, id);
      this.stage.grew(h2.FRAME_HEADER + length);
      return true;
    }
    const total = this.#encoder.encode(headers, block, 0);
    for (let from = 0; from < total;) {
      const part = Math.min(total - from, h2.DEFAULT_FRAME_SIZE);
      const last = from + part === total ? h2.FLAG_END_HEADERS : 0;
      const at = from === 0
        ? this.#frame(part, h2.FRAME_HEADERS, flags | last, id)
        : this.#frame(part, h2.FRAME_CONTINUATION, last, id);
      if (at === 0) return true;
      U8.set(block.subarray(from, from + part), at);
      from += part;
    }
    return true;
  }

  /** Room for a frame whose head is written already; returns where its body goes, or 0. */
  #frame(length: number, type: number, flags: number, id: number): number {
    const at = this.stage.reserve(h2.FRAME_HEADER + length);
    if (at === 0) return 0;
    writeHead(at, length, type, flags, id);
    this.stage.grew(h2.FRAME_HEADER + length);
    return at + h2.FRAME_HEADER;
  }

  // --- payload

  /**
   * Makes room for at most `window` bytes of payload. Sets the stream's `roomAt`, or its iovecs when the peer's frames are shorter
   * than the room (not with `contiguous`). 0 means that the transport is full.
   */
  prepareData(stream: H2Stream, window: number, contiguous: boolean): number {
    if (!this.stage.ready()) return 0;
    const at = this.stage.reserve(0);
    if (at === 0) return 0;
    // Heads and payload together fill whole TLS records: a last record of a few bytes costs as much as a full one, and the
    // receiver's batch, which is as many records, then ends where the frame ends.
    let room = Math.min(window, BATCH - this.stage.used - h2.FRAME_HEADER);
    const frame = this.maxFrame;
    stream.roomIovecs = 0;
    if (room <= frame || contiguous) {
      stream.roomAt = at + h2.FRAME_HEADER;
      return Math.min(room, frame);
    }
    room = Math.min(room - (Math.ceil(room / frame) - 1) * h2.FRAME_HEADER, frame * MAX_SCATTER);
    let count = 0;
    for (let left = room; left > 0; left -= frame) {
      writePointer(scatter + count * 16, at + count * (frame + h2.FRAME_HEADER) + h2.FRAME_HEADER);
      writeSize(scatter + count * 16 + 8, Math.min(left, frame));
      count++;
    }
    stream.roomIovecs = scatter;
    stream.roomIovecCount = count;
    return room;
  }

  /** `bytes` bytes are where {@linkcode prepareData} said: writes their frame headers. */
  commitData(stream: H2Stream, bytes: number): void {
    const frame = stream.roomIovecs === 0 ? bytes : this.maxFrame;
    let at = this.stage.reserve(0);
    const from = at;
    for (let left = bytes; left > 0; left -= frame) {
      const part = Math.min(left, frame);
      writeHead(at, part, h2.FRAME_DATA, 0, stream.id);
      at += h2.FRAME_HEADER + part;
    }
    this.stage.filled(at - from);
  }
}

function writeHead(at: number, length: number, type: number, flags: number, id: number): void {
  U8[at] = length >>> 16;
  U8[at + 1] = length >>> 8;
  U8[at + 2] = length;
  U8[at + 3] = type;
  U8[at + 4] = flags;
  writeWord(at + 5, id);
}

function writeWord(at: number, value: number): void {
  U8[at] = value >>> 24;
  U8[at + 1] = value >>> 16;
  U8[at + 2] = value >>> 8;
  U8[at + 3] = value;
}
