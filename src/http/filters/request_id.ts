// Version 4 UUIDs for `x-request-id`, from random bytes drawn many at a time.

const BATCH = 4096;
const bytes = new Uint8Array(BATCH);
let at = BATCH;

const HEX: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

/** 16 fresh random bytes in the shared pool, from the returned offset on. */
function draw(count: number): number {
  if (at + count > BATCH) {
    crypto.getRandomValues(bytes);
    at = 0;
  }
  const start = at;
  at += count;
  return start;
}

export function randomUuid(): string {
  const b = bytes, i = draw(16);
  return HEX[b[i]] + HEX[b[i + 1]] + HEX[b[i + 2]] + HEX[b[i + 3]] + "-" + HEX[b[i + 4]] + HEX[b[i + 5]] + "-" +
    HEX[(b[i + 6] & 0x0f) | 0x40] + HEX[b[i + 7]] + "-" + HEX[(b[i + 8] & 0x3f) | 0x80] + HEX[b[i + 9]] + "-" +
    HEX[b[i + 10]] + HEX[b[i + 11]] + HEX[b[i + 12]] + HEX[b[i + 13]] + HEX[b[i + 14]] + HEX[b[i + 15]];
}

/** `count` random bytes in lower-case hexadecimal, for trace and span ids. */
export function randomHex(count: number): string {
  let text = "";
  for (let i = draw(count), end = i + count; i < end; i++) text += HEX[bytes[i]];
  return text;
}
