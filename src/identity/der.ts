// A reader for DER (X.690), enough for X.509 and PKCS#10. Strict where leniency would let two readers disagree: definite and
// minimal lengths only, low tag numbers only, no byte left over. It runs for every HBONE connection, so it copies nothing.

import { MeshError } from "../core/errors.ts";

export type DerErrorCode = "invalid_der";

function bad(what: string): MeshError<DerErrorCode> {
  return new MeshError("invalid_der", `cannot read DER: ${what}`, { source: "downstream" });
}

/** Universal and context-specific tags as they stand on the wire. */
export const TAG = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OID: 0x06,
  UTF8_STRING: 0x0c,
  SEQUENCE: 0x30,
  SET: 0x31,
  PRINTABLE_STRING: 0x13,
  IA5_STRING: 0x16,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
} as const;

/** One element: `bytes[start, from)` is its header, `bytes[from, to)` its content. */
export interface Element {
  readonly bytes: Uint8Array;
  readonly tag: number;
  readonly start: number;
  readonly from: number;
  readonly to: number;
}

/**
 * The element that starts at `at` and ends no later than `limit`.
 *
 * @throws MeshError `invalid_der`
 */
export function readElement(bytes: Uint8Array, at = 0, limit = bytes.length): Element {
  if (at + 2 > limit) throw bad(`an element at offset ${at} is cut off`);
  const tag = bytes[at];
  if ((tag & 0x1f) === 0x1f) throw bad(`the tag at offset ${at} has more than one byte`);
  let length = bytes[at + 1], from = at + 2;
  if (length >= 0x80) {
    const count = length & 0x7f;
    if (count === 0 || count > 4) throw bad(`the length at offset ${at} is indefinite or too long`);
    if (from + count > limit) throw bad(`the length at offset ${at} is cut off`);
    length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + bytes[from + i];
    if (length < 0x80 || length < 256 ** (count - 1)) throw bad(`the length at offset ${at} is not minimal`);
    from += count;
  }
  if (length > limit - from) throw bad(`the element at offset ${at} is longer than what holds it`);
  return { bytes, tag, start: at, from, to: from + length };
}

/** The only element of `bytes`; anything behind it is an error. */
export function readWhole(bytes: Uint8Array, tag: number): Element {
  const element = readElement(bytes);
  if (element.to !== bytes.length) throw bad("bytes follow the last element");
  return expectTag(element, tag);
}

export function expectTag(element: Element | undefined, tag: number): Element {
  if (element === undefined) throw bad(`an element of tag ${tag} is missing`);
  if (element.tag !== tag) throw bad(`tag ${element.tag} where ${tag} belongs, at offset ${element.start}`);
  return element;
}

/** Steps through the elements inside another one. */
export class DerCursor {
  #at: number;
  readonly #element: Element;

  constructor(element: Element) {
    this.#element = element;
    this.#at = element.from;
  }

  get done(): boolean {
    return this.#at >= this.#element.to;
  }

  /** The next element. */
  next(): Element {
    const element = readElement(this.#element.bytes, this.#at, this.#element.to);
    this.#at = element.to;
    return element;
  }

  /** The next element, which must have this tag. */
  expect(tag: number): Element {
    return expectTag(this.next(), tag);
  }

  /** The next element if it has this tag, else undefined and nothing is consumed. */
  optional(tag: number): Element | undefined {
    return !this.done && this.#element.bytes[this.#at] === tag ? this.next() : undefined;
  }

  /** @throws MeshError when elements are left */
  end(): void {
    if (!this.done) throw bad(`an unexpected element at offset ${this.#at}`);
  }
}

/** The content bytes, a view. */
export function content(element: Element): Uint8Array {
  return element.bytes.subarray(element.from, element.to);
}

/** Header and content, a view. */
export function raw(element: Element): Uint8Array {
  return element.bytes.subarray(element.start, element.to);
}

/** Dotted text of an OBJECT IDENTIFIER. */
export function readOid(element: Element): string {
  const bytes = content(expectTag(element, TAG.OID));
  if (bytes.length === 0 || bytes.length > 64 || bytes[bytes.length - 1] >= 0x80) {
    throw bad("an object identifier is malformed");
  }
  const parts: number[] = [];
  let value = 0;
  for (const byte of bytes) {
    if (value > 2 ** 45) throw bad("an object identifier has an overlong part");
    value = value * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (parts.length === 0) {
      const first = Math.min(2, Math.floor(value / 40));
      parts.push(first, value - first * 40);
    } else parts.push(value);
    value = 0;
  }
  return parts.join(".");
}

/** An INTEGER of at most 64 bytes. */
export function readInteger(element: Element): bigint {
  const bytes = content(expectTag(element, TAG.INTEGER));
  if (bytes.length === 0 || bytes.length > 64) throw bad("an integer is empty or too long");
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return bytes[0] >= 0x80 ? value - (1n << BigInt(8 * bytes.length)) : value;
}

export function readBoolean(element: Element): boolean {
  const bytes = content(expectTag(element, TAG.BOOLEAN));
  if (bytes.length !== 1 || (bytes[0] !== 0 && bytes[0] !== 0xff)) throw bad("a boolean is malformed");
  return bytes[0] === 0xff;
}

/** The bytes of a BIT STRING without unused bits, as signatures and keys are. */
export function readBits(element: Element): Uint8Array {
  const bytes = content(expectTag(element, TAG.BIT_STRING));
  if (bytes.length === 0 || bytes[0] !== 0) throw bad("a bit string has unused bits");
  return bytes.subarray(1);
}

/** Characters of a string restricted to ASCII. */
export function readAscii(element: Element): string {
  const bytes = content(element);
  let text = "";
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] >= 0x80) throw bad(`a string at offset ${element.start} is not ASCII`);
    text += String.fromCharCode(bytes[i]);
  }
  return text;
}

/** UTCTime or GeneralizedTime in the forms that RFC 5280 allows (seconds present, UTC). */
export function readTime(element: Element): Date {
  const utc = element.tag === TAG.UTC_TIME;
  if (!utc) expectTag(element, TAG.GENERALIZED_TIME);
  const text = readAscii(element);
  const parts = (utc ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/).exec(
    text,
  );
  if (!parts) throw bad("a time is malformed");
  const [year, month, day, hour, minute, second] = parts.slice(1).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(utc ? (year >= 50 ? 1900 + year : 2000 + year) : year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) {
    throw bad("a time does not exist");
  }
  return date;
}
