// Names of fields known beforehand. Only code and configuration make them; a name that merely came from a peer never gets in here.

import { U8 } from "../sys/memory.ts";

/** A header name known beforehand: interned, so that comparing is comparing numbers. Make them once, at load or configuration time. */
export class FieldName {
  constructor(readonly id: number, /** Lower case. */ readonly text: string) {}
}

const interned = new Map<string, FieldName>();
const byId: (FieldName | null)[] = [null];

// An open hash table from bytes to ids: what the parser looks names up in without making a string.
let slots = new Uint16Array(2048);
let hashes = new Int32Array(256);
let starts = new Int32Array(257);
let spelled = new Uint8Array(8192);
let spelledLength = 0;
const MAX_NAMES = 0xffff;

/** The hash of an empty name; each byte goes in by {@linkcode HASH_FACTOR}: `Math.imul(hash, HASH_FACTOR) + byte | 0`. */
export const HASH_SEED = 0x1505;
export const HASH_FACTOR = 0x21;

/** The interned name of a header, in any case. */
export function fieldName(name: string): FieldName {
  const text = name.toLowerCase();
  const known = interned.get(text);
  if (known !== undefined) return known;
  const made = new FieldName(byId.length, text);
  if (made.id > MAX_NAMES) throw new RangeError(`cannot know more than ${MAX_NAMES} names of headers`);
  interned.set(text, made);
  byId.push(made);
  spell(made);
  return made;
}

/** The name when it is interned; for names that come from peers. */
export function knownField(lowerCase: string): FieldName | undefined {
  return interned.get(lowerCase);
}

export function fieldById(id: number): FieldName {
  return byId[id]!;
}

/** Ids handed out so far are not above this. */
export function fieldNames(): number {
  return byId.length - 1;
}

function spell({ id, text }: FieldName): void {
  let hash = HASH_SEED;
  if (spelledLength + text.length > spelled.length) {
    spelled = grown(spelled, new Uint8Array(spelled.length * 2 + text.length));
  }
  for (let i = 0; i < text.length; i++) {
    const byte = text.charCodeAt(i);
    spelled[spelledLength++] = byte;
    hash = (Math.imul(hash, HASH_FACTOR) + byte) | 0;
  }
  if (id >= hashes.length) {
    hashes = grown(hashes, new Int32Array(hashes.length * 2));
    starts = grown(starts, new Int32Array(hashes.length + 1));
  }
  hashes[id] = hash;
  starts[id + 1] = spelledLength;
  if (id * 2 > slots.length) {
    slots = new Uint16Array(slots.length * 2);
    for (let other = 1; other < id; other++) place(other);
  }
  place(id);
}

function grown<T extends Uint8Array | Int32Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

function place(id: number): void {
  let slot = spread(hashes[id]) & (slots.length - 1);
  while (slots[slot] !== 0) slot = (slot + 1) & (slots.length - 1);
  slots[slot] = id;
}

function spread(hash: number): number {
  return hash ^ (hash >>> 15);
}

/** Id of the name of `length` lower-case bytes at arena offset `at`, whose hash the caller has; 0 when it is not known. */
export function lookUpField(at: number, length: number, hash: number): number {
  const mask = slots.length - 1;
  for (let slot = spread(hash) & mask;; slot = (slot + 1) & mask) {
    const id = slots[slot];
    if (id === 0) return 0;
    if (hashes[id] !== hash) continue;
    const start = starts[id];
    if (starts[id + 1] - start !== length) continue;
    let i = 0;
    while (i < length && spelled[start + i] === U8[at + i]) i++;
    if (i === length) return id;
  }
}

// Names that mean something to a codec; their ids are the lowest.

export const CONNECTION: FieldName = fieldName("connection");
export const KEEP_ALIVE: FieldName = fieldName("keep-alive");
export const PROXY_CONNECTION: FieldName = fieldName("proxy-connection");
export const TRANSFER_ENCODING: FieldName = fieldName("transfer-encoding");
export const UPGRADE: FieldName = fieldName("upgrade");
export const TE: FieldName = fieldName("te");
export const HTTP2_SETTINGS: FieldName = fieldName("http2-settings");
export const CONTENT_LENGTH: FieldName = fieldName("content-length");
export const HOST: FieldName = fieldName("host");
export const EXPECT: FieldName = fieldName("expect");
/** Ids up to this one are looked at by codecs. */
export const LAST_CODEC_FIELD: number = EXPECT.id;
export const TRAILER: FieldName = fieldName("trailer");
export const COOKIE: FieldName = fieldName("cookie");
