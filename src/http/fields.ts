// Header fields as codecs make them and filters see them.

import { allocate, U8 } from "../sys/memory.ts";
import { fieldById, FieldName, fieldName, fieldNames, knownField, LAST_CODEC_FIELD } from "./field_name.ts";

export { FieldName, fieldName };

/** Longest head that {@linkcode Fields.parsed} takes. */
export const MAX_PARSED_HEAD: number = 96 * 1024;

const LINE = 5;

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
  #size = 0;
  /** Five numbers a field: the id of its name (0 when that is not interned), then where name and value begin and end in the head; -1 when it has none there. */
  #lines: number[] = [];
  /** Values as far as they are strings; null while none is. */
  #values: (string | undefined)[] | null = null;
  /** Names that are not interned, as far as they are strings. */
  #names: (string | undefined)[] | null = null;
  /** The head: its text, and where its bytes are as long as the epoch stays. */
  #head = "";
  #at = 0;
  #epoch = 0;
  /** Names interned when this was made: later ones are among the fields by their text. */
  #known: number = fieldNames();

  static of(...pairs: readonly (readonly [name: string, value: string])[]): Fields {
    const fields = new Fields();
    for (let i = 0; i < pairs.length; i++) fields.append(fieldName(pairs[i][0]), pairs[i][1]);
    return fields;
  }

  /** Codecs: the fields of a head whose bytes lie at arena offset `at` and read `head`; {@linkcode addParsed} them, at most `count`. */
  static parsed(head: string, at: number, inputEpoch: number, count: number): Fields {
    const fields = new Fields();
    fields.#head = head;
    fields.#at = at;
    fields.#epoch = inputEpoch;
    fields.#lines = new Array(count * LINE);
    return fields;
  }

  /** Codecs: one line, by arena offsets; the name is in lower case. */
  addParsed(id: number, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    const lines = this.#lines, base = this.#at;
    let line = this.#size++ * LINE;
    lines[line] = id;
    lines[++line] = nameStart - base;
    lines[++line] = nameEnd - base;
    lines[++line] = valueStart - base;
    lines[++line] = valueEnd - base;
  }

  get size(): number {
    return this.#size;
  }

  nameAt(index: number): string {
    const line = index * LINE, id = this.#lines[line];
    if (id !== 0) return fieldById(id).text;
    const names = this.#names ??= [];
    const name = names[index];
    if (name !== undefined) return name;
    return names[index] = this.#head.slice(this.#lines[line + 1], this.#lines[line + 2]);
  }

  /** The interned name's id, 0 for other names. */
  idAt(index: number): number {
    return this.#lines[index * LINE];
  }

  valueAt(index: number): string {
    const values = this.#values ??= [];
    const value = values[index];
    if (value !== undefined) return value;
    const line = index * LINE;
    return values[index] = this.#head.slice(this.#lines[line + 3], this.#lines[line + 4]);
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

  /** The value of each line. */
  values(name: FieldName): string[] {
    const found: string[] = [];
    for (let at = this.#find(name, 0); at >= 0; at = this.#find(name, at + 1)) found.push(this.valueAt(at));
    return found;
  }

  has(name: FieldName): boolean {
    return this.#find(name, 0) >= 0;
  }

  /** Replaces all values, in the place of the first. */
  set(name: FieldName, value: string): void {
    const at = this.#find(name, 0);
    if (at < 0) return this.append(name, value);
    if (this.#lines[at * LINE] === 0) this.nameAt(at);
    (this.#values ??= [])[at] = value;
    this.#lines[at * LINE + 1] = -1;
    for (let next = this.#find(name, at + 1); next >= 0; next = this.#find(name, next)) this.removeAt(next);
  }

  append(name: FieldName, value: string): void {
    this.#add(name.id, value);
  }

  /** As {@linkcode append}, for a name (in lower case) that is a peer's: it is not remembered. */
  appendText(name: string, value: string): void {
    const known = knownField(name);
    if (known !== undefined) return this.#add(known.id, value);
    (this.#names ??= [])[this.#size] = name;
    this.#add(0, value);
  }

  #add(id: number, value: string): void {
    const lines = this.#lines, index = this.#size++;
    (this.#values ??= [])[index] = value;
    let line = index * LINE;
    lines[line] = id;
    lines[++line] = -1;
    lines[++line] = 0;
    lines[++line] = 0;
    lines[++line] = 0;
  }

  remove(name: FieldName): void {
    for (let at = this.#find(name, 0); at >= 0; at = this.#find(name, at)) this.removeAt(at);
  }

  /** As {@linkcode remove}, by a name in lower case that need not be interned. */
  removeText(name: string): void {
    for (let i = this.#size - 1; i >= 0; i--) if (this.nameAt(i) === name) this.removeAt(i);
  }

  removeAt(index: number): void {
    const lines = this.#lines, size = --this.#size;
    for (let i = index * LINE; i < size * LINE; i++) lines[i] = lines[i + LINE];
    removeFrom(this.#values, index, size);
    removeFrom(this.#names, index, size);
  }

  clone(): Fields {
    const copy = new Fields();
    copy.#head = this.#head;
    copy.#at = this.#at;
    copy.#epoch = this.#epoch;
    copy.#known = this.#known;
    copy.#size = this.#size;
    copy.#lines = this.#lines.slice(0, this.#size * LINE);
    if (this.#values !== null) copy.#values = this.#values.slice();
    if (this.#names !== null) copy.#names = this.#names.slice();
    return copy;
  }

  #find(name: FieldName, from: number): number {
    const lines = this.#lines, id = name.id, end = this.#size * LINE;
    for (let line = from * LINE; line < end; line += LINE) if (lines[line] === id) return line / LINE;
    return id <= this.#known ? -1 : this.#findText(name, from);
  }

  /** Among names that were not interned when they came. */
  #findText(name: FieldName, from: number): number {
    for (let i = from; i < this.#size; i++) if (this.#lines[i * LINE] === 0 && this.nameAt(i) === name.text) return i;
    return -1;
  }

  // --- as HTTP/1.1

  /** Bytes that {@linkcode write} needs at most. */
  get bound(): number {
    let bound = this.#head.length + 4;
    const values = this.#values;
    if (values === null) return bound;
    for (let i = 0; i < this.#size; i++) {
      const value = values[i];
      if (value !== undefined) bound += value.length + this.nameAt(i).length + 4;
    }
    return bound;
  }

  /** Writes `name: value` lines at arena offset `to`, without those that frame a message; returns the offset behind them. */
  write(to: number): number {
    const lines = this.#lines, last = this.#size * LINE;
    let base = -1;
    for (let line = 0; line < last;) {
      const id = lines[line];
      if (id !== 0 && id <= LAST_CODEC_FIELD) {
        line += LINE;
        continue;
      }
      const start = lines[line + 1];
      if (start < 0) {
        to = this.#writeLine(line / LINE, to);
        line += LINE;
        continue;
      }
      if (base < 0) base = this.#bytes();
      const nameEnd = lines[line + 2], valueStart = lines[line + 3], valueEnd = lines[line + 4];
      line += LINE;
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
      while (line < last && (lines[line] === 0 || lines[line] > LAST_CODEC_FIELD)) {
        if (lines[line + 1] !== end || lines[line + 3] !== lines[line + 2] + 2) break;
        const next = lines[line + 4];
        if (U8[base + next] !== 0x0d) break;
        end = next + 2;
        line += LINE;
      }
      U8.copyWithin(to, base + start, base + end);
      to += end - start;
    }
    return to;
  }

  #writeLine(index: number, to: number): number {
    to = writeText(this.nameAt(index), to);
    U8[to++] = 0x3a;
    U8[to++] = 0x20;
    to = writeText(this.valueAt(index), to);
    U8[to++] = 0x0d;
    U8[to++] = 0x0a;
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

function removeFrom(strings: (string | undefined)[] | null, index: number, size: number): void {
  if (strings === null || index >= strings.length) return;
  for (let i = index; i < size; i++) strings[i] = strings[i + 1];
  strings.length = Math.min(strings.length, size);
}

/** Writes text that goes into a head; what would break the head's form, or is no byte, cannot get through. */
export function writeText(text: string, to: number): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    U8[to++] = code < 0x20 || code === 0x7f ? (code === 0x09 ? 0x09 : 0x20) : code > 0xff ? 0x3f : code;
  }
  return to;
}
