// Header fields as codecs make them and filters see them.

import { allocate, U8 } from "../sys/memory.ts";
import { fieldById, FieldName, fieldName, fieldNames, knownField, LAST_CODEC_FIELD } from "./field_name.ts";

export { FieldName, fieldName };

/** Longest head that {@linkcode Fields.parsed} takes. */
export const MAX_PARSED_HEAD: number = 96 * 1024;

/** Where a head lies again when its bytes have gone from the input buffer and only its text is left. */
const REBUILT = allocate(MAX_PARSED_HEAD);
const encoder = new TextEncoder();

/** Grows whenever some input buffer may have changed: bytes that were parsed at another epoch may be gone. */
let epoch = 0;

/** A codec begins, or ends, reading a shared buffer. */
export function nextInputEpoch(): number {
  return ++epoch;
}

/**
 * Header fields in order; names compare without case, values are Latin-1 text without control characters.
 *
 * Fields that came as HTTP/1.1 stay bytes: a value becomes a string when somebody asks for it, and lines that nobody has changed go out as one copy,
 * from the input buffer while they are still there. Names that only a peer has used are never remembered beyond their request.
 */
export class Fields {
  /** Ids of interned names; 0 for others. */
  readonly #ids: number[] = [];
  /** Values as far as they are strings. */
  readonly #values: (string | null)[] = [];
  /** Names that are not interned, as far as they are strings; same places as values. Null while there are none. */
  #names: (string | null)[] | null = null;
  /** Per parsed field, within the head: where name and value begin and end. First is -1 when the value has been replaced. Covers a prefix of fields. */
  readonly #spans: number[] = [];
  /** The head that spans are in: its text, and where its bytes are as long as the epoch stays. */
  #head = "";
  #at = 0;
  #epoch = 0;
  /** Names interned when this was parsed: later ones are among the fields by their text. */
  #known = fieldNames();

  static of(...pairs: readonly (readonly [name: string, value: string])[]): Fields {
    const fields = new Fields();
    for (let i = 0; i < pairs.length; i++) fields.append(fieldName(pairs[i][0]), pairs[i][1]);
    return fields;
  }

  /** Codecs: the fields of a head whose bytes lie at arena offset `at` and read `head`; {@linkcode addParsed} them. */
  static parsed(head: string, at: number, inputEpoch: number): Fields {
    const fields = new Fields();
    fields.#head = head;
    fields.#at = at;
    fields.#epoch = inputEpoch;
    return fields;
  }

  /** Codecs: one line, by offsets within the head; the name is in lower case. */
  addParsed(id: number, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    this.#ids.push(id);
    this.#values.push(null);
    if (this.#names !== null) this.#names.push(null);
    this.#spans.push(nameStart, nameEnd, valueStart, valueEnd);
  }

  get size(): number {
    return this.#ids.length;
  }

  nameAt(index: number): string {
    const id = this.#ids[index];
    if (id !== 0) return fieldById(id).text;
    const name = this.#names === null ? null : this.#names[index];
    if (name !== null) return name;
    const span = index * 4;
    const text = this.#head.slice(this.#spans[span], this.#spans[span + 1]);
    this.#setName(index, text);
    return text;
  }

  /** The interned name's id, 0 for other names. */
  idAt(index: number): number {
    return this.#ids[index];
  }

  valueAt(index: number): string {
    const value = this.#values[index];
    if (value !== null) return value;
    const span = index * 4;
    return this.#values[index] = this.#head.slice(this.#spans[span + 2], this.#spans[span + 3]);
  }

  /** The first value. */
  get(name: FieldName): string | undefined {
    const at = this.#find(name, 0);
    return at < 0 ? undefined : this.valueAt(at);
  }

  /** All values joined by commas (RFC 9110, 5.3). */
  joined(name: FieldName): string | undefined {
    let at = this.#find(name, 0);
    if (at < 0) return undefined;
    let found = this.valueAt(at);
    while ((at = this.#find(name, at + 1)) >= 0) found += `,${this.valueAt(at)}`;
    return found;
  }

  has(name: FieldName): boolean {
    return this.#find(name, 0) >= 0;
  }

  /** Replaces all values, in the place of the first. */
  set(name: FieldName, value: string): void {
    const at = this.#find(name, 0);
    if (at < 0) return this.append(name, value);
    this.#values[at] = value;
    if (at * 4 < this.#spans.length) {
      if (this.#ids[at] === 0) this.nameAt(at);
      this.#spans[at * 4] = -1;
    }
    for (let next = this.#find(name, at + 1); next >= 0; next = this.#find(name, next)) this.removeAt(next);
  }

  append(name: FieldName, value: string): void {
    this.#ids.push(name.id);
    this.#values.push(value);
    if (this.#names !== null) this.#names.push(null);
  }

  /** As {@linkcode append}, for a name (in lower case) that is a peer's: it is not remembered. */
  appendText(name: string, value: string): void {
    const known = knownField(name);
    if (known !== undefined) return this.append(known, value);
    this.#ids.push(0);
    this.#values.push(value);
    if (this.#names !== null) this.#names.push(name);
    else this.#setName(this.#ids.length - 1, name);
  }

  remove(name: FieldName): void {
    for (let at = this.#find(name, 0); at >= 0; at = this.#find(name, at)) this.removeAt(at);
  }

  /** As {@linkcode remove}, by a name in lower case that need not be interned. */
  removeText(name: string): void {
    for (let i = this.size - 1; i >= 0; i--) if (this.nameAt(i) === name) this.removeAt(i);
  }

  removeAt(index: number): void {
    this.#ids.splice(index, 1);
    this.#values.splice(index, 1);
    if (this.#names !== null) this.#names.splice(index, 1);
    if (index * 4 < this.#spans.length) this.#spans.splice(index * 4, 4);
  }

  clone(): Fields {
    const copy = new Fields();
    copy.#head = this.#head;
    copy.#at = this.#at;
    copy.#epoch = this.#epoch;
    copy.#known = this.#known;
    for (let i = 0; i < this.#ids.length; i++) {
      copy.#ids.push(this.#ids[i]);
      copy.#values.push(this.#values[i]);
    }
    for (let i = 0; i < this.#spans.length; i++) copy.#spans.push(this.#spans[i]);
    if (this.#names !== null) copy.#names = this.#names.slice();
    return copy;
  }

  #find(name: FieldName, from: number): number {
    const ids = this.#ids, id = name.id;
    for (let i = from; i < ids.length; i++) if (ids[i] === id) return i;
    return id <= this.#known ? -1 : this.#findText(name, from);
  }

  /** Among names that were not interned when they came. */
  #findText(name: FieldName, from: number): number {
    for (let i = from; i < this.#ids.length; i++) if (this.#ids[i] === 0 && this.nameAt(i) === name.text) return i;
    return -1;
  }

  #setName(index: number, name: string): void {
    if (this.#names === null) {
      this.#names = [];
      for (let i = 0; i < this.#ids.length; i++) this.#names.push(null);
    }
    this.#names[index] = name;
  }

  // --- as HTTP/1.1

  /** Bytes that {@linkcode write} needs at most. */
  get bound(): number {
    let bound = this.#head.length + 4;
    for (let i = 0; i < this.#ids.length; i++) {
      const value = this.#values[i];
      if (value !== null) bound += value.length + this.nameAt(i).length + 4;
    }
    return bound;
  }

  /** Writes `name: value` lines at arena offset `to`, without those that frame a message; returns the offset behind them. */
  write(to: number): number {
    const ids = this.#ids, spans = this.#spans;
    let base = -1;
    for (let i = 0; i < ids.length;) {
      const id = ids[i];
      if (id !== 0 && id <= LAST_CODEC_FIELD) {
        i++;
        continue;
      }
      let span = i * 4;
      if (span >= spans.length || spans[span] < 0) {
        to = writeText(this.nameAt(i), to);
        U8[to++] = 0x3a;
        U8[to++] = 0x20;
        to = writeText(this.valueAt(i), to);
        U8[to++] = 0x0d;
        U8[to++] = 0x0a;
        i++;
        continue;
      }
      if (base < 0) base = this.#bytes();
      const start = spans[span], nameEnd = spans[span + 1], valueStart = spans[span + 2], valueEnd = spans[span + 3];
      i++;
      if (valueStart !== nameEnd + 2 || U8[base + valueEnd] !== 0x0d) {
        // Other white space than one space.
        U8.copyWithin(to, base + start, base + nameEnd);
        to += nameEnd - start;
        U8[to++] = 0x3a;
        U8[to++] = 0x20;
        U8.copyWithin(to, base + valueStart, base + valueEnd);
        to += valueEnd - valueStart;
        U8[to++] = 0x0d;
        U8[to++] = 0x0a;
        continue;
      }
      // As many lines as follow each other.
      let end = valueEnd + 2;
      while (i < ids.length && (ids[i] === 0 || ids[i] > LAST_CODEC_FIELD)) {
        span = i * 4;
        if (span >= spans.length || spans[span] !== end || spans[span + 2] !== spans[span + 1] + 2) break;
        const next = spans[span + 3];
        if (U8[base + next] !== 0x0d) break;
        end = next + 2;
        i++;
      }
      U8.copyWithin(to, base + start, base + end);
      to += end - start;
    }
    return to;
  }

  /** Arena offset of the head's bytes. */
  #bytes(): number {
    if (this.#epoch === epoch) return this.#at;
    const head = this.#head;
    const { read, written } = encoder.encodeInto(head, U8.subarray(REBUILT, REBUILT + MAX_PARSED_HEAD));
    // Anything but ASCII is one byte here and two in UTF-8.
    if (read !== written || read !== head.length) {
      for (let i = 0; i < head.length; i++) U8[REBUILT + i] = head.charCodeAt(i);
    }
    return REBUILT;
  }
}

/** Writes text that goes into a head; what would break the head's form, or is no byte, cannot get through. */
export function writeText(text: string, to: number): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    U8[to++] = code < 0x20 || code === 0x7f ? (code === 0x09 ? 0x09 : 0x20) : code > 0xff ? 0x3f : code;
  }
  return to;
}
