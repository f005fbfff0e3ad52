import { MeshError } from "../core/errors.ts";
import { huffmanEncode, huffmanEncodedLength } from "./hpack_huffman.ts";
import { STATIC_BY_NAME, STATIC_LENGTH } from "./hpack_static.ts";
import { DynamicTable, ENTRY_OVERHEAD } from "./hpack_table.ts";

/** Secrets are sent as never-indexed literals, so that no hop keeps them in a table (RFC 7541, 7.1.3). */
const NEVER_INDEXED = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie"]);

/** Values that hardly ever repeat; indexing them would only push useful entries out. */
const NOT_INDEXED = new Set([
  ":path",
  "age",
  "content-length",
  "date",
  "etag",
  "forwarded",
  "if-modified-since",
  "if-none-match",
  "last-modified",
  "location",
  "traceparent",
  "x-request-id",
]);

/** Known values of one name in the dynamic table, each with the id of its newest entry. */
interface KnownName {
  newest: number;
  readonly values: Map<string, number>;
}

/** Room that {@linkcode HpackEncoder.encode} asks for: an upper bound of what these headers take. */
export function hpackBound(headers: readonly (readonly [string, string])[]): number {
  // Two table size updates of up to six bytes; per header one prefix byte, and two lengths of up to six.
  let bound = 12;
  for (const [name, value] of headers) bound += name.length + value.length + 13;
  return bound;
}

/** Encodes header blocks of one connection, in order (RFC 7541), with the dynamic table and Huffman where shorter. */
export class HpackEncoder {
  readonly #ownLimit: number;
  readonly #table: DynamicTable;
  readonly #known = new Map<string, KnownName>();
  /** The smallest capacity since the last block, when an update is due (4.2). */
  #smallest = -1;

  /** @param maxTableSize bytes this side spends on the table, whatever the peer allows */
  constructor(maxTableSize = 4096) {
    this.#ownLimit = maxTableSize;
    this.#table = new DynamicTable(4096, (name, value, id) => this.#forget(name, value, id));
    if (maxTableSize < 4096) this.#resize(maxTableSize);
  }

  /** Bytes held in the dynamic table, as RFC 7541, 4.1 counts them. */
  get tableSize(): number {
    return this.#table.size;
  }

  /** Follows the peer's SETTINGS_HEADER_TABLE_SIZE; the next block begins with the update. */
  setMaxTableSize(size: number): void {
    this.#resize(Math.min(size, this.#ownLimit));
  }

  /**
   * Writes `headers` as one header block to `out` at `at`. Names are lower case already; characters are bytes (0 to 255).
   *
   * @returns the offset after the last byte written
   * @throws MeshError `hpack_encode` when `out` has no room for {@linkcode hpackBound} or a character is above 255; the
   *   table has not changed then
   */
  encode(headers: readonly (readonly [string, string])[], out: Uint8Array, at: number): number {
    if (hpackBound(headers) > out.length - at) {
      throw new MeshError("hpack_encode", `cannot encode ${headers.length} headers into ${out.length - at} bytes`);
    }
    for (const [name, value] of headers) {
      if (!isBytes(name) || !isBytes(value)) {
        throw new MeshError("hpack_encode", `cannot encode the header "${name}": it holds a character above 255`);
      }
    }
    if (this.#smallest >= 0) {
      if (this.#smallest < this.#table.capacity) at = writeInteger(this.#smallest, 0x1f, 0x20, out, at);
      at = writeInteger(this.#table.capacity, 0x1f, 0x20, out, at);
      this.#smallest = -1;
    }
    for (const [name, value] of headers) at = this.#header(name, value, out, at);
    return at;
  }

  #header(name: string, value: string, out: Uint8Array, at: number): number {
    const fixed = STATIC_BY_NAME.get(name);
    const known = this.#known.get(name);
    const never = NEVER_INDEXED.has(name);
    if (!never) {
      const index = fixed?.values.get(value) ?? this.#indexOf(known?.values.get(value));
      if (index !== undefined) return writeInteger(index, 0x7f, 0x80, out, at);
    }
    const nameIndex = fixed?.index ?? this.#indexOf(known?.newest) ?? 0;
    if (never) at = writeInteger(nameIndex, 0x0f, 0x10, out, at);
    else if (this.#worthIndexing(name, value)) {
      at = writeInteger(nameIndex, 0x3f, 0x40, out, at);
      this.#remember(name, value);
    } else at = writeInteger(nameIndex, 0x0f, 0x00, out, at);
    if (nameIndex === 0) at = writeString(name, out, at);
    return writeString(value, out, at);
  }

  /** An entry of more than three quarters of the table would push nearly all else out. */
  #worthIndexing(name: string, value: string): boolean {
    return !NOT_INDEXED.has(name) && (name.length + value.length + ENTRY_OVERHEAD) * 4 <= this.#table.capacity * 3;
  }

  #indexOf(id: number | undefined): number | undefined {
    return id === undefined ? undefined : STATIC_LENGTH + 1 + this.#table.newestId - id;
  }

  #remember(name: string, value: string): void {
    this.#table.add(name, value);
    const id = this.#table.newestId;
    const known = this.#known.get(name);
    if (!known) this.#known.set(name, { newest: id, values: new Map([[value, id]]) });
    else {
      known.newest = id;
      known.values.set(value, id);
    }
  }

  #forget(name: string, value: string, id: number): void {
    const known = this.#known.get(name);
    if (!known) return;
    if (known.values.get(value) === id) known.values.delete(value);
    if (known.newest === id) this.#known.delete(name);
  }

  #resize(capacity: number): void {
    if (capacity === this.#table.capacity) return;
    this.#smallest = this.#smallest < 0 ? capacity : Math.min(this.#smallest, capacity);
    this.#table.setCapacity(capacity);
  }
}

function isBytes(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 255) return false;
  return true;
}

/** RFC 7541, 5.1: `mask` covers the prefix, `flags` are the bits above it. */
function writeInteger(value: number, mask: number, flags: number, out: Uint8Array, at: number): number {
  if (value < mask) {
    out[at] = flags | value;
    return at + 1;
  }
  out[at++] = flags | mask;
  value -= mask;
  while (value >= 0x80) {
    out[at++] = 0x80 | (value & 0x7f);
    value = Math.floor(value / 128);
  }
  out[at] = value;
  return at + 1;
}

function writeString(text: string, out: Uint8Array, at: number): number {
  const encoded = huffmanEncodedLength(text);
  if (encoded < text.length) {
    at = writeInteger(encoded, 0x7f, 0x80, out, at);
    return huffmanEncode(text, out, at);
  }
  at = writeInteger(text.length, 0x7f, 0x00, out, at);
  for (let i = 0; i < text.length; i++) out[at++] = text.charCodeAt(i);
  return at;
}
