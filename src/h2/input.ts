import { describeError, MeshError } from "../core/errors.ts";
import { U8 } from "../sys/memory.ts";
import * as h2 from "./constants.ts";
import type { HeaderFields } from "./headers.ts";
import { HpackDecoder } from "./hpack.ts";
import type { H2Options } from "./options.ts";

/** What a {@linkcode H2Input} finds, frame by frame; forms are checked, meanings are the sink's. */
export interface FrameSink {
  /** A DATA frame begins: `length` bytes of the windows, `payload` of them content, which follow in parts. */
  onDataFrame(id: number, length: number, payload: number, endStream: boolean): void;
  /** A part of the content. */
  onDataPayload(at: number, bytes: number): void;
  /** All of the frame, padding included, has come. */
  onDataEnd(): void;
  /** A whole header block. `tooLarge`: longer than we take; the fields are then incomplete. */
  onHeaderBlock(
    id: number,
    fields: HeaderFields,
    endStream: boolean,
    tooLarge: boolean,
    /** Its priority names itself (RFC 7540, 5.3.1). */
    selfDependent: boolean,
  ): void;
  /** `dependency` is the stream it is said to depend on, -1 when the length is wrong. */
  onPriority(id: number, length: number, dependency: number): void;
  onResetFrame(id: number, code: number): void;
  /** `length` bytes of settings, a multiple of six, at `at`. */
  onSettings(at: number, length: number): void;
  /** Eight bytes at `at`. */
  onPing(at: number, ack: boolean): void;
  onGoawayFrame(last: number, code: number): void;
  onWindowUpdate(id: number, increment: number): void;
  /** A frame of a type that we do not know; it is skipped. */
  onUnknownFrame(): void;
  /** A connection error: nothing more will be read. */
  onFrameError(code: number, reason: string): void;
}

/** Frames other than DATA are taken whole; longer ones are refused. */
const MAX_CONTROL_FRAME = 80 * 1024;
const MAX_CONTINUATIONS = 64;
/** What a header block may take on the wire beyond the list it stands for. */
const BLOCK_SLACK = 16 * 1024;

/**
 * The frames of one connection (RFC 9113, 4 and 6): a state machine over the input buffer. Content of DATA is passed on as
 * it comes, without waiting for its frame; other frames are taken whole.
 */
export class H2Input {
  readonly #sink: FrameSink;
  readonly #options: H2Options;
  readonly #decoder: HpackDecoder;
  #stopped = false;
  #prefaceLeft: number;
  #settled = false;

  // The DATA frame, or unknown frame, that is under way.
  #dataLeft = 0;
  #padLeft = 0;
  #skipLeft = 0;

  // The header block that CONTINUATION is to complete.
  #block: Uint8Array | null = null;
  #blockStream = 0;
  #blockLength = 0;
  #blockEnd = false;
  #selfDependent = false;
  #continuations = 0;
  #fields: [string, string][] = [];
  #regular = 0;
  readonly #maxFields: number;
  readonly #collect = (name: string, value: string): void => {
    if (name.charCodeAt(0) !== 0x3a) this.#regular++;
    if (this.#regular <= this.#maxFields) this.#fields.push([name, value]);
  };

  constructor(sink: FrameSink, role: "client" | "server", options: H2Options) {
    this.#sink = sink;
    this.#options = options;
    this.#maxFields = options.maxFields ?? 1 << 20;
    this.#decoder = new HpackDecoder(4096, options.maxHeaderListSize);
    this.#prefaceLeft = role === "server" ? h2.PREFACE.length : 0;
  }

  /** Takes nothing more. */
  stop(): void {
    this.#stopped = true;
    this.#block = null;
  }

  /** Reads what lies at arena offset `at`; returns how many bytes were taken (all, once stopped). */
  take(at: number, bytes: number): number {
    const end = at + bytes;
    let next = at;
    while (next < end && !this.#stopped) {
      if (this.#dataLeft > 0) {
        const part = Math.min(this.#dataLeft, end - next);
        this.#dataLeft -= part;
        this.#sink.onDataPayload(next, part);
        if (this.#dataLeft === 0 && this.#padLeft === 0) this.#sink.onDataEnd();
        next += part;
      } else if (this.#padLeft > 0) {
        const part = Math.min(this.#padLeft, end - next);
        this.#padLeft -= part;
        if (this.#padLeft === 0) this.#sink.onDataEnd();
        next += part;
      } else if (this.#skipLeft > 0) {
        const part = Math.min(this.#skipLeft, end - next);
        this.#skipLeft -= part;
        next += part;
      } else {
        const taken = this.#prefaceLeft > 0 ? this.#preface(next, end) : this.#frame(next, end);
        if (taken === 0) break;
        next += taken;
      }
    }
    return this.#stopped ? bytes : next - at;
  }

  #fail(code: number, reason: string): 0 {
    this.#sink.onFrameError(code, reason);
    return 0;
  }

  #preface(at: number, end: number): number {
    const have = Math.min(end - at, h2.PREFACE.length);
    for (let i = 0; i < have; i++) {
      if (U8[at + i] !== h2.PREFACE.charCodeAt(i)) {
        return this.#fail(h2.PROTOCOL_ERROR, "the client does not begin with the HTTP/2 preface");
      }
    }
    if (have < h2.PREFACE.length) return 0;
    this.#prefaceLeft = 0;
    return have;
  }

  /** Takes one frame (of DATA, only its head) and returns its bytes, or 0 when more must come first. */
  #frame(at: number, end: number): number {
    if (end - at < h2.FRAME_HEADER) return 0;
    const length = (U8[at] << 16) | (U8[at + 1] << 8) | U8[at + 2];
    const type = U8[at + 3], flags = U8[at + 4];
    const id = word(at + 5) & 0x7fffffff;
    if (length > this.#options.maxFrameSize) {
      return this.#fail(h2.FRAME_SIZE_ERROR, `a frame of ${length} bytes is too long`);
    }
    if (!this.#settled && (type !== h2.FRAME_SETTINGS || (flags & h2.FLAG_ACK) !== 0)) {
      return this.#fail(h2.PROTOCOL_ERROR, "the peer does not begin with SETTINGS");
    }
    if (this.#block !== null && (type !== h2.FRAME_CONTINUATION || id !== this.#blockStream)) {
      return this.#fail(h2.PROTOCOL_ERROR, "another frame stands within a header block");
    }
    if (type === h2.FRAME_DATA) return this.#data(at, end, length, flags, id);
    if (type > h2.FRAME_CONTINUATION) {
      this.#skipLeft = length;
      this.#sink.onUnknownFrame();
      return h2.FRAME_HEADER;
    }
    if (length > MAX_CONTROL_FRAME) {
      return this.#fail(h2.ENHANCE_YOUR_CALM, `a control frame of ${length} bytes is too long`);
    }
    if (end - at < h2.FRAME_HEADER + length) return 0;
    this.#control(at + h2.FRAME_HEADER, length, type, flags, id);
    return h2.FRAME_HEADER + length;
  }

  #data(at: number, end: number, length: number, flags: number, id: number): number {
    let head = h2.FRAME_HEADER, pad = 0;
    if (id === 0) return this.#fail(h2.PROTOCOL_ERROR, "DATA on stream 0");
    if ((flags & h2.FLAG_PADDED) !== 0) {
      if (length === 0) return this.#fail(h2.FRAME_SIZE_ERROR, "a padded DATA frame without its padding length");
      if (end - at < h2.FRAME_HEADER + 1) return 0;
      pad = U8[at + h2.FRAME_HEADER];
      head++;
      if (pad >= length) return this.#fail(h2.PROTOCOL_ERROR, "padding is longer than its frame");
    }
    this.#dataLeft = length - (head - h2.FRAME_HEADER) - pad;
    this.#padLeft = pad;
    this.#sink.onDataFrame(id, length, this.#dataLeft, (flags & h2.FLAG_END_STREAM) !== 0);
    if (this.#dataLeft === 0 && pad === 0 && !this.#stopped) this.#sink.onDataEnd();
    return head;
  }

  /** A whole frame whose body is `length` bytes at `at`. */
  #control(at: number, length: number, type: number, flags: number, id: number): void {
    switch (type) {
      case h2.FRAME_HEADERS:
        return this.#headers(at, length, flags, id);
      case h2.FRAME_CONTINUATION:
        return this.#continuation(at, length, flags, id);
      case h2.FRAME_PRIORITY:
        if (id === 0) return void this.#fail(h2.PROTOCOL_ERROR, "PRIORITY on stream 0");
        return this.#sink.onPriority(id, length, length === 5 ? word(at) & 0x7fffffff : -1);
      case h2.FRAME_RST_STREAM:
        if (length !== 4) return this.#wrongLength("RST_STREAM");
        if (id === 0) return void this.#fail(h2.PROTOCOL_ERROR, "RST_STREAM on stream 0");
        return this.#sink.onResetFrame(id, word(at));
      case h2.FRAME_SETTINGS:
        return this.#settings(at, length, flags, id);
      case h2.FRAME_PUSH_PROMISE:
        return void this.#fail(h2.PROTOCOL_ERROR, "PUSH_PROMISE is not enabled");
      case h2.FRAME_PING:
        if (length !== 8) return this.#wrongLength("PING");
        if (id !== 0) return void this.#fail(h2.PROTOCOL_ERROR, "PING on a stream");
        return this.#sink.onPing(at, (flags & h2.FLAG_ACK) !== 0);
      case h2.FRAME_GOAWAY:
        if (length < 8) return this.#wrongLength("GOAWAY");
        if (id !== 0) return void this.#fail(h2.PROTOCOL_ERROR, "GOAWAY on a stream");
        return this.#sink.onGoawayFrame(word(at) & 0x7fffffff, word(at + 4));
      case h2.FRAME_WINDOW_UPDATE:
        if (length !== 4) return this.#wrongLength("WINDOW_UPDATE");
        return this.#sink.onWindowUpdate(id, word(at) & 0x7fffffff);
    }
  }

  #wrongLength(name: string): void {
    this.#fail(h2.FRAME_SIZE_ERROR, `a ${name} frame of the wrong length`);
  }

  #settings(at: number, length: number, flags: number, id: number): void {
    if (id !== 0) return void this.#fail(h2.PROTOCOL_ERROR, "SETTINGS on a stream");
    if ((flags & h2.FLAG_ACK) !== 0) {
      if (length !== 0) this.#fail(h2.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS with content");
      return;
    }
    if (length % 6 !== 0) return this.#wrongLength("SETTINGS");
    this.#settled = true;
    this.#sink.onSettings(at, length);
  }

  #headers(at: number, length: number, flags: number, id: number): void {
    let start = at, end = at + length;
    if (id === 0) return void this.#fail(h2.PROTOCOL_ERROR, "HEADERS on stream 0");
    if ((flags & h2.FLAG_PADDED) !== 0) {
      if (length < 1) return void this.#fail(h2.FRAME_SIZE_ERROR, "padded HEADERS without their padding length");
      end -= U8[start++];
    }
    const priority = start;
    if ((flags & h2.FLAG_PRIORITY) !== 0) start += 5;
    if (start > end) return void this.#fail(h2.PROTOCOL_ERROR, "padding is longer than its frame");
    this.#selfDependent = (flags & h2.FLAG_PRIORITY) !== 0 && (word(priority) & 0x7fffffff) === id;
    this.#blockEnd = (flags & h2.FLAG_END_STREAM) !== 0;
    if ((flags & h2.FLAG_END_HEADERS) !== 0) return this.#decode(U8, start, end, id);
    this.#block = new Uint8Array(Math.max(4096, end - start));
    this.#block.set(U8.subarray(start, end));
    this.#blockLength = end - start;
    this.#blockStream = id;
    this.#continuations = 0;
  }

  #continuation(at: number, length: number, flags: number, id: number): void {
    if (this.#block === null) return void this.#fail(h2.PROTOCOL_ERROR, `CONTINUATION without HEADERS on stream ${id}`);
    const total = this.#blockLength + length;
    if (total > this.#options.maxHeaderListSize + BLOCK_SLACK || ++this.#continuations > MAX_CONTINUATIONS) {
      return void this.#fail(h2.ENHANCE_YOUR_CALM, "a header block is too long");
    }
    if (total > this.#block.length) {
      const larger = new Uint8Array(total * 2);
      larger.set(this.#block.subarray(0, this.#blockLength));
      this.#block = larger;
    }
    this.#block.set(U8.subarray(at, at + length), this.#blockLength);
    this.#blockLength = total;
    if ((flags & h2.FLAG_END_HEADERS) === 0) return;
    const block = this.#block;
    this.#block = null;
    this.#decode(block, 0, total, id);
  }

  #decode(source: Uint8Array, start: number, end: number, id: number): void {
    this.#fields = [];
    this.#regular = 0;
    let tooLarge = false;
    try {
      this.#decoder.decode(source, start, end, this.#collect);
    } catch (thrown) {
      if (!(thrown instanceof MeshError) || thrown.code !== "hpack_list_too_large") {
        return void this.#fail(h2.COMPRESSION_ERROR, describeError(thrown));
      }
      tooLarge = true;
    }
    const fields = this.#fields;
    this.#fields = [];
    if (this.#regular > this.#maxFields) tooLarge = true;
    this.#sink.onHeaderBlock(id, fields, this.#blockEnd, tooLarge, this.#selfDependent);
  }
}

/** Unsigned 32-bit number in network order. */
export function word(at: number): number {
  return ((U8[at] << 24) | (U8[at + 1] << 16) | (U8[at + 2] << 8) | U8[at + 3]) >>> 0;
}
