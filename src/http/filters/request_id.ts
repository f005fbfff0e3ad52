// Ids for requests and spans.

const BATCH = 4096;
const bytes = new Uint8Array(BATCH);
let at = BATCH;

const HEX: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

/** A version 4 UUID, for `x-request-id`. */
export function randomUuid(): string {
  return crypto.randomUUID();
}

/** `count` random bytes in lower-case hexadecimal, for trace and span ids; drawn from a pool that is filled many at a time. */
export function randomHex(count: number): string {
  if (at + count > BATCH) {
    crypto.getRandomValues(bytes);
    at = 0;
  }
  let text = "";
  for (const end = at + count; at < end; at++) text += HEX[bytes[at]];
  return text;
}
