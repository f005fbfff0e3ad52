// The lines of an HTTP/1 head (RFC 9112), from bytes in the arena to numbers in an array: no strings, no objects.
//
// Strict: every line ends with CR LF, nothing is folded, no white space stands before a colon. What a message means (its length, its
// connection) is decided in h1_head.ts.

import { U8 } from "../../sys/memory.ts";
import { HASH_FACTOR, HASH_SEED, lookUpField } from "../field_name.ts";
import { TARGET, TOKEN_LOWER, VALUE } from "./chars.ts";

const CR = 0x0d, LF = 0x0a, SP = 0x20, HTAB = 0x09, COLON = 0x3a;

/** Integers of one line in {@linkcode LINES}: id, name start, name end, value start, value end; absolute arena offsets. */
export const LINE = 5;
export const MAX_LINES = 512;
/** Lines of the head that was parsed last. */
export const LINES = new Int32Array(MAX_LINES * LINE);

/** What else was found in the head that was parsed last; absolute arena offsets. */
export const HEAD = {
  /** Number of field lines. */
  lines: 0,
  /** Offset behind the head's last byte. */
  end: 0,
  /** Request: where the head begins (behind empty lines), and its parts. */
  start: 0,
  methodEnd: 0,
  targetStart: 0,
  targetEnd: 0,
  /** 0 or 1. */
  minor: 0,
  /** Response. */
  status: 0,
};

/** The head is not complete. */
export const INCOMPLETE = 0;
/** {@linkcode HEAD} and {@linkcode LINES} are filled. */
export const COMPLETE = 1;
/** Negative results are what is wrong: the status to answer with. */
export type HeadResult = number;

export const BAD = -400, TOO_LONG_TARGET = -414, TOO_LARGE = -431, BAD_VERSION = -505;

/** Empty lines before a request, which old clients send after a body (RFC 9112, 2.2). */
const MAX_EMPTY_LINES = 2;

/**
 * Parses the head of a request that begins at `at` and may go on to `end`. Names of fields are made lower case in place.
 *
 * @returns {@linkcode COMPLETE}, {@linkcode INCOMPLETE}, or a negative status
 */
export function parseRequestHead(at: number, end: number, maxFields: number, maxTarget: number): HeadResult {
  let empty = 0;
  while (at < end && U8[at] === CR) {
    if (at + 1 >= end) return INCOMPLETE;
    if (U8[at + 1] !== LF || ++empty > MAX_EMPTY_LINES) return BAD;
    at += 2;
  }
  const start = at;
  while (at < end && TOKEN_LOWER[U8[at]] !== 0) at++;
  if (at >= end) return at - start > 64 ? BAD : INCOMPLETE;
  if (U8[at] !== SP || at === start || at - start > 64) return BAD;
  HEAD.start = start;
  HEAD.methodEnd = at++;
  const target = at;
  while (at < end && TARGET[U8[at]] === 1) at++;
  if (at - target > maxTarget) return TOO_LONG_TARGET;
  if (at >= end) return INCOMPLETE;
  if (U8[at] !== SP || at === target) return BAD;
  HEAD.targetStart = target;
  HEAD.targetEnd = at++;
  if (end - at < 10) return versionMayFollow(at, end) ? INCOMPLETE : BAD;
  const version = httpVersion(at);
  if (version < 0) return version;
  if (U8[at + 8] !== CR || U8[at + 9] !== LF) return BAD;
  HEAD.minor = version;
  return parseLines(at + 10, end, maxFields);
}

/**
 * As {@linkcode parseRequestHead}, for a response. What is wrong is always {@linkcode BAD} or {@linkcode TOO_LARGE}.
 */
export function parseResponseHead(at: number, end: number, maxFields: number): HeadResult {
  HEAD.start = at;
  if (end - at < 14) return versionMayFollow(at, end) ? INCOMPLETE : BAD;
  const version = httpVersion(at);
  if (version < 0 || U8[at + 8] !== SP) return BAD;
  let status = 0;
  for (let i = at + 9; i < at + 12; i++) {
    const digit = U8[i] - 0x30;
    if (digit < 0 || digit > 9) return BAD;
    status = status * 10 + digit;
  }
  if (status < 100) return BAD;
  HEAD.minor = version;
  HEAD.status = status;
  at += 12;
  // The space before an absent reason is often absent too.
  if (U8[at] !== SP && U8[at] !== CR) return BAD;
  while (at < end && VALUE[U8[at]] === 1) at++;
  if (end - at < 2) return at < end && U8[at] !== CR ? BAD : INCOMPLETE;
  if (U8[at] !== CR || U8[at + 1] !== LF) return BAD;
  return parseLines(at + 2, end, maxFields);
}

/** The minor version of `HTTP/1.x` at `at`, or what is wrong. */
function httpVersion(at: number): number {
  // "HTTP/"
  if (U8[at] !== 0x48 || U8[at + 1] !== 0x54 || U8[at + 2] !== 0x54 || U8[at + 3] !== 0x50 || U8[at + 4] !== 0x2f) {
    return BAD;
  }
  const major = U8[at + 5] - 0x30, minor = U8[at + 7] - 0x30;
  if (major < 0 || major > 9 || U8[at + 6] !== 0x2e || minor < 0 || minor > 9) return BAD;
  return major === 1 && minor <= 1 ? minor : BAD_VERSION;
}

const VERSION = [0x48, 0x54, 0x54, 0x50, 0x2f];

/** Whether what is there so far can become a version. */
function versionMayFollow(at: number, end: number): boolean {
  for (let i = 0; i < 5 && at + i < end; i++) if (U8[at + i] !== VERSION[i]) return false;
  return true;
}

/** Field lines up to the empty line, of a head or a trailer. */
export function parseLines(at: number, end: number, maxFields: number): HeadResult {
  let lines = 0, put = 0;
  for (;;) {
    if (at >= end) return INCOMPLETE;
    if (U8[at] === CR) {
      if (at + 1 >= end) return INCOMPLETE;
      if (U8[at + 1] !== LF) return BAD;
      HEAD.lines = lines;
      HEAD.end = at + 2;
      return COMPLETE;
    }
    if (lines >= maxFields || lines >= MAX_LINES) return TOO_LARGE;
    const name = at;
    let hash = HASH_SEED;
    for (; at < end; at++) {
      const byte = U8[at], lower = TOKEN_LOWER[byte];
      if (lower === 0) break;
      if (lower !== byte) U8[at] = lower;
      hash = (Math.imul(hash, HASH_FACTOR) + lower) | 0;
    }
    if (at >= end) return INCOMPLETE;
    if (U8[at] !== COLON || at === name) return BAD;
    const nameEnd = at++;
    while (at < end && (U8[at] === SP || U8[at] === HTAB)) at++;
    const value = at;
    for (; at < end; at++) {
      const byte = U8[at];
      if (byte < SP ? byte !== HTAB : byte === 0x7f) break;
    }
    if (end - at < 2) return at < end && U8[at] !== CR ? BAD : INCOMPLETE;
    if (U8[at] !== CR || U8[at + 1] !== LF) return BAD;
    let valueEnd = at;
    while (valueEnd > value && (U8[valueEnd - 1] === SP || U8[valueEnd - 1] === HTAB)) valueEnd--;
    LINES[put] = lookUpField(name, nameEnd - name, hash);
    LINES[put + 1] = name;
    LINES[put + 2] = nameEnd;
    LINES[put + 3] = value;
    LINES[put + 4] = valueEnd;
    put += LINE;
    lines++;
    at += 2;
  }
}

/**
 * Whether a line ends within a range: an incomplete head is parsed again only when a line has been added to it, so that one that comes byte by byte
 * costs no more than it should.
 */
export function lineEnds(at: number, end: number): boolean {
  for (; at < end; at++) if (U8[at] === LF) return true;
  return false;
}
