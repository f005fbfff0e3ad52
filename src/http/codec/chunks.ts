import { U8 } from "../../sys/memory.ts";
import { HEX, TOKEN_LOWER, VALUE } from "./chars.ts";

const CR = 0x0d, LF = 0x0a, SEMICOLON = 0x3b, EQUALS = 0x3d, QUOTE = 0x22, BACKSLASH = 0x5c;

/** Bytes of extensions (and of sizes with leading zeros) that a body may have beyond one for each byte of content. */
const EXTENSION_SLACK = 16 * 1024;
const MAX_DIGITS = 16;

const enum State {
  Size,
  ExtensionStart,
  ExtensionName,
  ExtensionValue,
  Quoted,
  QuotedPair,
  QuotedEnd,
  SizeEnd,
  Data,
  DataEnd,
  DataEndLine,
  Trailers,
}

/** What {@linkcode ChunkReader.next} has found. */
export const CHUNK_MORE = 0, CHUNK_DATA = 1, CHUNK_TRAILERS = 2, CHUNK_BAD = 3;

/** The chunked coding (RFC 9112, 7.1), as a state machine over whatever part of it has come. */
export class ChunkReader {
  #state: State = State.Size;
  #size = 0;
  #digits = 0;
  #overhead = 0;
  /** What has been read: everything before it may be dropped. */
  at = 0;
  /** With {@linkcode CHUNK_DATA}: bytes of content at {@linkcode dataAt}. */
  dataAt = 0;
  dataBytes = 0;

  reset(): void {
    this.#state = State.Size;
    this.#size = this.#digits = this.#overhead = 0;
  }

  /** Goes on at `at`; call until it is {@linkcode CHUNK_MORE}. {@linkcode CHUNK_TRAILERS}: the last chunk is over, field lines follow. */
  next(at: number, end: number): number {
    for (; at < end; at++) {
      const byte = U8[at];
      switch (this.#state) {
        case State.Size: {
          const digit = HEX[byte];
          if (digit !== 255) {
            if (++this.#digits > MAX_DIGITS || this.#size > 0x0fff_ffff_ffff) return CHUNK_BAD;
            this.#size = this.#size * 16 + digit;
            this.#overhead++;
          } else if (this.#digits === 0) return CHUNK_BAD;
          else if (byte === CR) this.#state = State.SizeEnd;
          else if (byte === SEMICOLON) this.#state = State.ExtensionStart;
          else return CHUNK_BAD;
          break;
        }
        // Extensions mean nothing to us, but where a line ends must be beyond doubt.
        case State.ExtensionStart:
          if (TOKEN_LOWER[byte] === 0) return CHUNK_BAD;
          this.#state = State.ExtensionName;
          break;
        case State.ExtensionName:
        case State.ExtensionValue:
          if (++this.#overhead > EXTENSION_SLACK) return CHUNK_BAD;
          if (byte === CR) this.#state = State.SizeEnd;
          else if (byte === SEMICOLON) this.#state = State.ExtensionStart;
          else if (byte === EQUALS && this.#state === State.ExtensionName) this.#state = State.ExtensionValue;
          else if (byte === QUOTE && this.#state === State.ExtensionValue) this.#state = State.Quoted;
          else if (TOKEN_LOWER[byte] === 0) return CHUNK_BAD;
          break;
        case State.Quoted:
        case State.QuotedPair:
          if (VALUE[byte] === 0 || ++this.#overhead > EXTENSION_SLACK) return CHUNK_BAD;
          if (this.#state === State.QuotedPair) this.#state = State.Quoted;
          else if (byte === QUOTE) this.#state = State.QuotedEnd;
          else if (byte === BACKSLASH) this.#state = State.QuotedPair;
          break;
        case State.QuotedEnd:
          if (byte === CR) this.#state = State.SizeEnd;
          else if (byte === SEMICOLON) this.#state = State.ExtensionStart;
          else return CHUNK_BAD;
          break;
        case State.SizeEnd:
          if (byte !== LF) return CHUNK_BAD;
          this.#digits = 0;
          this.#overhead = Math.max(0, this.#overhead - this.#size - 8);
          if (this.#overhead > EXTENSION_SLACK) return CHUNK_BAD;
          if (this.#size === 0) {
            this.#state = State.Trailers;
            this.at = at + 1;
            return CHUNK_TRAILERS;
          }
          this.#state = State.Data;
          break;
        case State.Data: {
          const part = Math.min(this.#size, end - at);
          this.#size -= part;
          if (this.#size === 0) this.#state = State.DataEnd;
          this.dataAt = at;
          this.dataBytes = part;
          this.at = at + part;
          return CHUNK_DATA;
        }
        case State.DataEnd:
          if (byte !== CR) return CHUNK_BAD;
          this.#state = State.DataEndLine;
          break;
        case State.DataEndLine:
          if (byte !== LF) return CHUNK_BAD;
          this.#state = State.Size;
          break;
        case State.Trailers:
          this.at = at;
          return CHUNK_TRAILERS;
      }
    }
    this.at = at;
    return this.#state === State.Trailers ? CHUNK_TRAILERS : CHUNK_MORE;
  }
}
