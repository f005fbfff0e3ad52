// A writer of DER (X.690), as far as certificates need it.

/** Concatenates byte strings. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** One element: tag, length, content. */
export function element(tag: number, ...content: Uint8Array[]): Uint8Array {
  const body = concat(...content);
  if (body.length < 128) return concat(Uint8Array.of(tag, body.length), body);
  const length: number[] = [];
  for (let rest = body.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest & 255);
  return concat(Uint8Array.of(tag, 0x80 | length.length, ...length), body);
}

export const sequence = (...content: Uint8Array[]): Uint8Array => element(0x30, ...content);
export const set = (...content: Uint8Array[]): Uint8Array => element(0x31, ...content);
export const octets = (content: Uint8Array): Uint8Array => element(0x04, content);
export const utf8 = (text: string): Uint8Array => element(0x0c, new TextEncoder().encode(text));
export const boolean = (value: boolean): Uint8Array => element(0x01, Uint8Array.of(value ? 0xff : 0));

/** A non-negative integer from big-endian bytes. */
export function integer(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const trimmed = bytes.subarray(start);
  return element(0x02, trimmed[0] & 0x80 ? concat(Uint8Array.of(0), trimmed) : trimmed);
}

export function bitString(content: Uint8Array, unusedBits = 0): Uint8Array {
  return element(0x03, Uint8Array.of(unusedBits), content);
}

/** An object identifier from its dotted text. */
export function oid(text: string): Uint8Array {
  const [first, second, ...rest] = text.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 127];
    for (let more = arc >>> 7; more > 0; more >>>= 7) groups.unshift((more & 127) | 128);
    bytes.push(...groups);
  }
  return element(0x06, Uint8Array.from(bytes));
}

/** A time as certificates write it: UTCTime up to 2049, GeneralizedTime after. */
export function time(date: Date): Uint8Array {
  const text = date.toISOString().replaceAll(/[-:T]/g, "").slice(0, 14) + "Z";
  const short = date.getUTCFullYear() < 2050;
  return element(short ? 0x17 : 0x18, new TextEncoder().encode(short ? text.slice(2) : text));
}
