// Writes DER: the counterpart of der.ts for certificates and certificate requests.

import { TAG } from "./der.ts";

/** One element from its content. */
export function element(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const header = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : length < 0x10000
    ? [tag, 0x82, length >>> 8, length & 0xff]
    : [tag, 0x83, length >>> 16, (length >>> 8) & 0xff, length & 0xff];
  const out = new Uint8Array(header.length + length);
  out.set(header);
  let at = header.length;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => element(TAG.SEQUENCE, ...parts);
export const set = (...parts: readonly Uint8Array[]): Uint8Array => element(TAG.SET, ...parts);
export const octetString = (bytes: Uint8Array): Uint8Array => element(TAG.OCTET_STRING, bytes);
export const boolean = (value: boolean): Uint8Array => element(TAG.BOOLEAN, Uint8Array.of(value ? 0xff : 0));
export const utf8String = (text: string): Uint8Array => element(TAG.UTF8_STRING, new TextEncoder().encode(text));
export const nullValue = (): Uint8Array => element(0x05);

/** A context-specific element, `[number]`. */
export function tagged(number: number, constructed: boolean, ...parts: readonly Uint8Array[]): Uint8Array {
  return element(0x80 | (constructed ? 0x20 : 0) | number, ...parts);
}

/** A BIT STRING of whole bytes, or with `unused` bits at its end. */
export function bitString(bytes: Uint8Array, unused = 0): Uint8Array {
  return element(TAG.BIT_STRING, Uint8Array.of(unused), bytes);
}

/** A non-negative INTEGER. */
export function integer(value: bigint): Uint8Array {
  const bytes: number[] = [];
  do {
    bytes.unshift(Number(value & 0xffn));
    value >>= 8n;
  } while (value > 0n);
  if (bytes[0] >= 0x80) bytes.unshift(0);
  return element(TAG.INTEGER, Uint8Array.from(bytes));
}

export function oid(dotted: string): Uint8Array {
  const [first, second, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const part of [first * 40 + second, ...rest]) {
    const digits = [part & 0x7f];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift((left & 0x7f) | 0x80);
    }
    bytes.push(...digits);
  }
  return element(TAG.OID, Uint8Array.from(bytes));
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5). */
export function time(date: Date): Uint8Array {
  const digits = date.toISOString().replace(/[-:T]|\.\d+Z$/g, "");
  const utc = date.getUTCFullYear() >= 1950 && date.getUTCFullYear() < 2050;
  return element(
    utc ? TAG.UTC_TIME : TAG.GENERALIZED_TIME,
    new TextEncoder().encode((utc ? digits.slice(2) : digits) + "Z"),
  );
}
