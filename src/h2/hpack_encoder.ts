import { MeshError } from "../core/errors.ts";
import { huffmanEncode, huffmanEncodedLength } from "./hpack_huffman.ts";
import { STATIC_BY_NAME, STATIC_LENGTH } from "./hpack_static.ts";
import { DynamicTable, ENTRY_OVERHEAD } from "./hpack_table.ts";

/** Secrets are sent as never-indexed literals, so that no hop keeps them in a table (RFC 7541, 7.1.3). */
const NEVER_INDEXED = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/** Values that hardly ever repeat; indexing them would only push useful entries out. */
const NOT_INDEXED = [
  ":path",
  "age",
  "b3",
  "content-length",
  "etag",
  "forwarded",
  "if-modified-since",
  "if-none-match",
  "last-modified",
  "location",
  "traceparent",
  "x-b3-spanid",
  "x-b3-traceid",
  "x-request-id",
];

/** What becomes of a name's fields on every connection. */
interface NameRule {
  /** Place of the name in the static table, or 0. */
  readonly index: number;
  /** Places of its values there; null where there are none. */
  readonly values: ReadonlyMap<string, number> | null;
  readonly secret: boolean;
  readonly indexed: boolean;
}

const ANY_NAME: NameRule = { index: 0, values: null, secret: false, indexed: true };

const RULES: ReadonlyMap<string, NameRule> = new Map(
  [...new Set([...STATIC_BY_NAME.keys(), ...NEVER_INDEXED, ...NOT_INDEXED])].map((name): [string, NameRule] => {
    const fixed = STATIC_BY_NAME.get(name), secret = NEVER_INDEXED.includes(name);
    return [name, {
      index: fixed?.index ?? 0,
      values: secret ? null : fixed?.values ?? null,
      secret,
      indexed: !secret && !NOT_INDEXED.includes(name),
    }];
  }),
);

/** A name in the dynamic table: its known values, each with the id of its newest entry. */
interface KnownName {
  readonly rule: NameRule;
  newest: number;
  /** The value of {@linkcode newest}: most fields repeat it. */
  newestValue: string;
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
   * Writes `headers` as one header block to `out` at `at`. Names are lower case already; characters are bytes (0 to 255), and others become
   * question marks.
   *
   * @returns the offset after the last byte written
   * @throws MeshError `hpack_encode` when `out` has no room for {@linkcode hpackBound}; the table has not changed then
   */
  encode(headers: readonly (readonly [string, string])[], out: Uint8Array, at: number): number {
    if (hpackBound(headers) > out.length - at) {
      throw new MeshError("hpack_encode", `cannot encode ${headers.length} headers into ${out.length - at} bytes`);
    }
    if (this.#smallest >= 0) {
      if (this.#smallest < this.#table.capacity) at = writeInteger(this.#smallest, 0x1f, 0x20, out, at);
      at = writeInteger(this.#table.capacity, 0x1f, 0x20, out, at);
      this.#smallest = -1;
    }
    for (let i = 0; i < headers.length; i++) at = this.#header(headers[i][0], headers[i][1], out, at);
    return at;
  }

  #header(name: string, value: string, out: Uint8Array, at: number): number {
    const known = this.#known.get(name);
    let rule: NameRule;
    let nameIndex: number;
    if (known !== undefined) {
      const id = known.newestValue === value ? known.newest : known.values.get(value);
      if (id !== undefined) return writeInteger(this.#indexOf(id), 0x7f, 0x80, out, at);
      rule = known.rule;
      nameIndex = rule.index !== 0 ? rule.index : this.#indexOf(known.newest);
    } else {
      rule = RULES.get(name) ?? ANY_NAME;
      nameIndex = rule.index;
    }
    if (rule.values !== null) {
      const index = rule.values.get(value);
      if (index !== undefined) return writeInteger(index, 0x7f, 0x80, out, at);
    }
    if (rule.indexed && this.#isWorthIndexing(name, value)) {
      at = writeInteger(nameIndex, 0x3f, 0x40, out, at);
      this.#remember(rule, name, value);
    } else at = writeInteger(nameIndex, 0x0f, rule.secret ? 0x10 : 0x00, out, at);
    if (nameIndex === 0) at = writeString(name, out, at);
    return writeString(value, out, at);
  }

  /** An entry of more than three quarters of the table would push nearly all else out. */
  #isWorthIndexing(name: string, value: string): boolean {
    return (name.length + value.length + ENTRY_OVERHEAD) * 4 <= this.#table.capacity * 3;
  }

  #indexOf(id: number): number {
    return STATIC_LENGTH + 1 + this.#table.newestId - id;
  }

  #remember(rule: NameRule, name: string, value: string): void {
    this.#table.add(name, value);
    const newest = this.#table.newestId, known = this.#known.get(name);
    if (!known) this.#known.set(name, { rule, newest, newestValue: value, values: new Map([[value, newest]]) });
    else {
      known.newest = newest;
      known.newestValue = value;
      known.values.set(value, newest);
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

/** Longest text whose length, plain or not, takes one byte. */
const SHORT_TEXT = 126;

/** Huffman where that is shorter. */
function writeString(text: string, out: Uint8Array, at: number): number {
  const { length } = text;
  if (length <= SHORT_TEXT) {
    const end = length === 0 ? -1 : huffmanEncode(text, out, at + 1, at + length);
    if (end >= 0) {
      out[at] = 0x80 | (end - at - 1);
      return end;
    }
  } else {
    const encoded = huffmanEncodedLength(text);
    if (encoded < length) {
      at = writeInteger(encoded, 0x7f, 0x80, out, at);
      return huffmanEncode(text, out, at, at + encoded);
    }
  }
  at = writeInteger(length, 0x7f, 0x00, out, at);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    out[at++] = code > 0xff ? 0x3f : code;
  }
  return at;
}
