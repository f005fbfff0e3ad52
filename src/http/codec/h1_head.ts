// What the head of an HTTP/1 message means: whose it is, how long its body is, whether the connection goes on (RFC 9112, 3, 6 and 9).

import { Buffer } from "node:buffer";
import { U8 } from "../../sys/memory.ts";
import {
  CONNECTION,
  CONTENT_LENGTH,
  EXPECT,
  HOST,
  HTTP2_SETTINGS,
  KEEP_ALIVE,
  LAST_CODEC_FIELD,
  PROXY_CONNECTION,
  TE,
  TRANSFER_ENCODING,
  UPGRADE,
} from "../field_name.ts";
import { Fields } from "../fields.ts";
import type { HttpVersion, RequestHead, ResponseHead } from "../message.ts";
import { isAuthorityAt } from "./chars.ts";
import { HEAD, LINE, LINES } from "./head_parser.ts";

const latin1Slice: (this: Uint8Array, start: number, end: number) => string = (Buffer.prototype as any).latin1Slice;

/** How the body of a message that comes in is told to end. */
export const BODY_NONE = 0, BODY_LENGTH = 1, BODY_CHUNKED = 2, BODY_RAW = 3;

/** What is known of the message whose head was read last beyond the head itself. */
export const MESSAGE = {
  body: BODY_NONE,
  /** The connection may take another message after this one. */
  keepAlive: true,
  /** What is wrong with it. */
  problem: "",
};

/** A request's head as one class, so that who reads it sees one shape. */
export class H1RequestHead implements RequestHead {
  constructor(
    readonly version: HttpVersion,
    public method: string,
    public scheme: string,
    public authority: string,
    public path: string,
    readonly fields: Fields,
    public upgrade: string,
    readonly contentLength: number,
    readonly expectContinue: boolean,
  ) {}
}

export class H1ResponseHead implements ResponseHead {
  constructor(
    readonly version: HttpVersion,
    public status: number,
    readonly fields: Fields,
    readonly contentLength: number,
  ) {}
}

/** Fields that a client cannot have taken out by naming them in Connection: others rely on them. */
const NOT_NOMINATED = new Set([
  "authorization",
  "content-encoding",
  "content-type",
  "cookie",
  "forwarded",
  "set-cookie",
  "trailer",
  "traceparent",
  "tracestate",
  "via",
  "x-envoy-original-path",
  "x-forwarded-client-cert",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-real-ip",
  "x-request-id",
]);
const MAX_NOMINATED = 16;

// What the lines that codecs look at have said: offsets of a value, or -1.
let seenHost = -1, seenConnection = 0, seenLength = -1, seenEncoding = -1, seenUpgrade = -1, seenExpect = -1;
let doubled = false;
// Options of Connection.
let optionClose = false, optionKeepAlive = false, optionUpgrade = false;
let nominated: string[] | null = null;

function fail(status: number, problem: string): null {
  MESSAGE.problem = problem;
  failure = status;
  return null;
}

let failure = 0;

/** The status that says what was wrong when a head was null. */
export function headFailure(): number {
  return failure;
}

/** Puts lines of the head that was parsed into fields, but for those that belong to the codec. */
function collect(fields: Fields): boolean {
  seenHost =
    seenLength =
    seenEncoding =
    seenUpgrade =
    seenExpect =
      -1;
  seenConnection = 0;
  doubled = false;
  nominated = null;
  const end = HEAD.lines * LINE;
  for (let at = 0; at < end; at += LINE) {
    const id = LINES[at];
    if (id === 0 || id > LAST_CODEC_FIELD) {
      fields.addParsed(id, LINES[at + 1], LINES[at + 2], LINES[at + 3], LINES[at + 4]);
      continue;
    }
    switch (id) {
      case HOST.id:
        if (seenHost >= 0) doubled = true;
        seenHost = at;
        break;
      case CONTENT_LENGTH.id:
        if (seenLength >= 0) doubled = true;
        seenLength = at;
        fields.addParsed(id, LINES[at + 1], LINES[at + 2], LINES[at + 3], LINES[at + 4]);
        break;
      case TRANSFER_ENCODING.id:
        if (seenEncoding >= 0) doubled = true;
        seenEncoding = at;
        break;
      case CONNECTION.id:
        if (seenConnection === 0) optionClose = optionKeepAlive = optionUpgrade = false;
        if (++seenConnection > 4 || !connectionOptions(LINES[at + 3], LINES[at + 4])) return false;
        break;
      case UPGRADE.id:
        seenUpgrade = at;
        break;
      case EXPECT.id:
        seenExpect = at;
        break;
      case TE.id:
        if (is(LINES[at + 3], LINES[at + 4], "trailers")) fields.append(TE, "trailers");
        break;
      case KEEP_ALIVE.id:
      case PROXY_CONNECTION.id:
      case HTTP2_SETTINGS.id:
        break;
    }
  }
  if (seenConnection === 0) optionClose = optionKeepAlive = optionUpgrade = false;
  return true;
}

/** Compares bytes with lower-case text. */
function is(at: number, end: number, text: string): boolean {
  if (end - at !== text.length) return false;
  for (let i = 0; i < text.length; i++) {
    const byte = U8[at + i];
    if ((byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte) !== text.charCodeAt(i)) return false;
  }
  return true;
}

function connectionOptions(at: number, end: number): boolean {
  if (is(at, end, "keep-alive")) return optionKeepAlive = true;
  if (is(at, end, "close")) return optionClose = true;
  if (is(at, end, "upgrade")) return optionUpgrade = true;
  for (const part of latin1Slice.call(U8, at, end).toLowerCase().split(",")) {
    const option = part.trim();
    if (option === "" || option === "te") continue;
    if (option === "close") optionClose = true;
    else if (option === "keep-alive") optionKeepAlive = true;
    else if (option === "upgrade") optionUpgrade = true;
    else if ((nominated ??= []).push(option) > MAX_NOMINATED) return false;
  }
  return true;
}

function removeNominated(fields: Fields): void {
  for (const name of nominated!) if (!NOT_NOMINATED.has(name)) fields.removeText(name);
}

const NO_LENGTH = -1, BAD_LENGTH = -2;

/** Content-Length, strictly: digits, below 2^53, and only once. */
function contentLength(): number {
  if (seenLength < 0) return NO_LENGTH;
  const at = LINES[seenLength + 3], end = LINES[seenLength + 4];
  if (end === at || end - at > 15 || tabAround(at, end)) return BAD_LENGTH;
  let length = 0;
  for (let i = at; i < end; i++) {
    const digit = U8[i] - 0x30;
    if (digit < 0 || digit > 9) return BAD_LENGTH;
    length = length * 10 + digit;
  }
  return length;
}

/** Tabs are white space, but not to everybody (llhttp does not know `chunked` before one): not where a message's end depends on it. */
function tabAround(at: number, end: number): boolean {
  while (U8[at - 1] === 0x20) at--;
  while (U8[end] === 0x20) end++;
  return U8[at - 1] === 0x09 || U8[end] === 0x09;
}

/** Whether Transfer-Encoding is `chunked` alone: 0 when it is absent, 1 when it is, or the negative status of the refusal. */
function transferEncoding(): number {
  if (seenEncoding < 0) return 0;
  const at = LINES[seenEncoding + 3], end = LINES[seenEncoding + 4];
  if (tabAround(at, end)) return -400;
  if (is(at, end, "chunked")) return 1;
  const text = latin1Slice.call(U8, at, end).toLowerCase();
  if (!/^[a-z0-9!#$%&'*+.^_`|~-]+( *, *[a-z0-9!#$%&'*+.^_`|~-]+)*$/.test(text)) return -400;
  return /chunked.*chunked/.test(text) ? -400 : -501;
}

/** The head of the request that was parsed; null with {@linkcode headFailure} when it may not be served. */
export function requestHead(
  scheme: string,
  inputEpoch: number,
  previous: string,
  allowConnect: boolean,
): H1RequestHead | null {
  const base = HEAD.start;
  const text = latin1Slice.call(U8, base, HEAD.end);
  const fields = Fields.parsed(text, base, inputEpoch, HEAD.lines);
  if (!collect(fields)) return fail(400, "too many options in Connection");
  if (doubled) return fail(400, "a field that may occur once occurs twice");
  const http10 = HEAD.minor === 0;

  // Length.
  const length = contentLength(), encoding = transferEncoding();
  if (length === BAD_LENGTH) return fail(400, "a malformed Content-Length");
  if (encoding < 0) return fail(-encoding, "a Transfer-Encoding that is not understood");
  if (encoding === 1 && length !== NO_LENGTH) return fail(400, "both Content-Length and Transfer-Encoding");
  if (encoding === 1 && http10) return fail(400, "Transfer-Encoding in HTTP/1.0");
  MESSAGE.body = encoding === 1 ? BODY_CHUNKED : length > 0 ? BODY_LENGTH : BODY_NONE;
  MESSAGE.keepAlive = http10 ? optionKeepAlive && !optionClose : !optionClose;

  // Authority and target.
  const method = methodOf(text, base);
  if (isMisspelt(method)) return fail(400, "a method in other letters than its own");
  let authority = "";
  if (seenHost >= 0) {
    const at = LINES[seenHost + 3], end = LINES[seenHost + 4];
    authority = sameText(previous, at, end) ? previous : latin1Slice.call(U8, at, end);
    if ((authority !== previous || authority === "") && !isAuthorityAt(at, end, authority)) {
      return fail(400, "a malformed Host");
    }
  } else if (!http10) return fail(400, "no Host");
  let path = text.slice(HEAD.targetStart - base, HEAD.targetEnd - base);
  const first = U8[HEAD.targetStart];
  if (method === "CONNECT") {
    if (!allowConnect) return fail(405, "CONNECT");
    if (!isAuthorityAt(HEAD.targetStart, HEAD.targetEnd, path)) return fail(400, "CONNECT without an authority");
    if (MESSAGE.body !== BODY_NONE) return fail(400, "CONNECT with a body");
    authority = path;
  } else if (first !== 0x2f) {
    if (path === "*") {
      if (method !== "OPTIONS") return fail(400, "the target * of another method than OPTIONS");
    } else {
      const absolute = /^https?:\/\/([^/?]*)(.*)$/i.exec(path);
      if (absolute === null) return fail(400, "a target that is neither a path nor a URI");
      // What is said in plain text is not said to https.
      if (scheme === "http" && path.charCodeAt(4) !== 0x3a) return fail(403, "a target of https without TLS");
      const named = absolute[1], at = HEAD.targetStart + path.indexOf("/") + 2;
      if (!isAuthorityAt(at, at + named.length, named)) return fail(400, "a malformed authority");
      if (seenHost >= 0 && named.toLowerCase() !== authority.toLowerCase()) {
        return fail(400, "Host contradicts the target");
      }
      authority = named;
      path = absolute[2] === "" ? (method === "OPTIONS" ? "*" : "/") : absolute[2];
      if (path.charCodeAt(0) === 0x3f) path = "/" + path;
    }
  }

  // What it asks of the connection.
  let upgrade = "";
  if (optionUpgrade && seenUpgrade >= 0 && !http10 && MESSAGE.body === BODY_NONE) {
    upgrade = latin1Slice.call(U8, LINES[seenUpgrade + 3], LINES[seenUpgrade + 4]).toLowerCase();
    if (upgrade === "h2c" || !/^[a-z0-9!#$%&'*+.^_`|~/-]+$/.test(upgrade)) upgrade = "";
  }
  let expectContinue = false;
  if (seenExpect >= 0) {
    if (!is(LINES[seenExpect + 3], LINES[seenExpect + 4], "100-continue")) return fail(417, "an unknown expectation");
    expectContinue = !http10 && MESSAGE.body !== BODY_NONE;
  }
  if (nominated !== null) removeNominated(fields);
  const known = encoding === 1 ? -1 : length < 0 ? 0 : length;
  return new H1RequestHead(
    http10 ? "HTTP/1.0" : "HTTP/1.1",
    method,
    scheme,
    authority,
    path,
    fields,
    upgrade,
    known,
    expectContinue,
  );
}

/** The head of the response that was parsed, to a request by `method`; null when it breaks the rules. */
export function responseHead(method: string, upgrading: boolean, inputEpoch: number): H1ResponseHead | null {
  const base = HEAD.start, status = HEAD.status;
  const fields = Fields.parsed(latin1Slice.call(U8, base, HEAD.end), base, inputEpoch, HEAD.lines);
  if (!collect(fields)) return fail(502, "too many options in Connection");
  seenHost = -1;
  if (doubled) return fail(502, "a field that may occur once occurs twice");
  const http10 = HEAD.minor === 0;
  const length = contentLength(), encoding = transferEncoding();
  if (length === BAD_LENGTH) return fail(502, "a malformed Content-Length");
  if (encoding < 0) return fail(502, "a Transfer-Encoding that is not understood");
  if (encoding === 1 && (length !== NO_LENGTH || http10)) return fail(502, "a Transfer-Encoding that contradicts");
  MESSAGE.keepAlive = http10 ? optionKeepAlive && !optionClose : !optionClose;
  let known = length;
  if (status === 101) {
    if (!upgrading || http10 || seenUpgrade < 0 || !optionUpgrade) return fail(502, "an upgrade that nobody asked for");
    MESSAGE.body = BODY_RAW;
    MESSAGE.keepAlive = false;
    known = -1;
  } else if (status < 200 || status === 204 || status === 304 || method === "HEAD") {
    if (encoding === 1 && (status < 200 || status === 204)) return fail(502, "a body where none may be");
    MESSAGE.body = BODY_NONE;
    if (method !== "HEAD" && status !== 304) known = 0;
  } else if (encoding === 1) MESSAGE.body = BODY_CHUNKED;
  else if (length >= 0) MESSAGE.body = length > 0 ? BODY_LENGTH : BODY_NONE;
  else {
    MESSAGE.body = BODY_RAW;
    MESSAGE.keepAlive = false;
  }
  if (nominated !== null) removeNominated(fields);
  return new H1ResponseHead(http10 ? "HTTP/1.0" : "HTTP/1.1", status, fields, known);
}

/** Fields of the trailer section that was parsed, without those that no trailer may have. */
export function trailerFields(at: number, inputEpoch: number): Fields {
  const fields = Fields.parsed(latin1Slice.call(U8, at, HEAD.end), at, inputEpoch, HEAD.lines);
  const end = HEAD.lines * LINE;
  for (let line = 0; line < end; line += LINE) {
    const id = LINES[line];
    if (id !== 0 && id <= LAST_CODEC_FIELD) continue;
    fields.addParsed(id, LINES[line + 1], LINES[line + 2], LINES[line + 3], LINES[line + 4]);
  }
  return fields;
}

function sameText(text: string, at: number, end: number): boolean {
  if (text.length !== end - at) return false;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== U8[at + i]) return false;
  return true;
}

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);

/** `get` is another method than `GET`, to policies; some servers take it for the same. */
export function isMisspelt(method: string): boolean {
  return !METHODS.has(method) && METHODS.has(method.toUpperCase());
}

/** The usual methods as constants: comparing them is then comparing pointers. */
function methodOf(text: string, base: number): string {
  switch (HEAD.methodEnd - base) {
    case 3:
      if (U8[base] === 0x47 && U8[base + 1] === 0x45 && U8[base + 2] === 0x54) return "GET";
      break;
    case 4:
      if (U8[base] === 0x50 && U8[base + 1] === 0x4f && U8[base + 2] === 0x53 && U8[base + 3] === 0x54) return "POST";
      break;
  }
  const method = text.slice(0, HEAD.methodEnd - base);
  switch (method) {
    case "HEAD":
      return "HEAD";
    case "PUT":
      return "PUT";
    case "DELETE":
      return "DELETE";
    case "OPTIONS":
      return "OPTIONS";
    case "PATCH":
      return "PATCH";
    case "CONNECT":
      return "CONNECT";
  }
  return method;
}
