// HTTP/2's lists of headers to and from heads (RFC 9113, 8.3; RFC 8441).

import type { HeaderFields } from "../../h2/headers.ts";
import { CONTENT_LENGTH, COOKIE, fieldById, HOST, knownField, LAST_CODEC_FIELD, TE } from "../field_name.ts";
import { Fields } from "../fields.ts";
import type { RequestHead, ResponseHead } from "../message.ts";
import { isAuthority } from "./chars.ts";
import { H1RequestHead, H1ResponseHead, isMisspelt } from "./h1_head.ts";

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/;
const PATH = /^\/[!"$-~]*$/;
const LENGTH = /^\d{1,15}$/;

/** What is wrong with the list that was read last. */
export let problem = "";

function fail(reason: string): null {
  problem = reason;
  return null;
}

/**
 * The head of a request; null (with {@linkcode problem}) when it may not be served. An extended CONNECT becomes what it would have been in
 * HTTP/1.1: GET with an upgrade.
 */
export function requestFromList(list: HeaderFields, ended: boolean, allowConnect: boolean): H1RequestHead | null {
  const fields = new Fields();
  let method = "", scheme = "", authority = "", path = "", protocol = "", cookie = "", length = -1;
  let host: string | null = null, authorityGiven = false, expectContinue = false;
  for (let i = 0; i < list.length; i++) {
    const name = list[i][0], value = list[i][1];
    if (name.charCodeAt(0) === 0x3a) {
      switch (name) {
        case ":method":
          method = value;
          break;
        case ":scheme":
          scheme = value;
          break;
        case ":authority":
          authority = value;
          authorityGiven = true;
          break;
        case ":path":
          path = value;
          break;
        case ":protocol":
          protocol = value.toLowerCase();
      }
      continue;
    }
    const known = knownField(name);
    if (known === undefined) fields.appendText(name, value);
    else if (known.id > LAST_CODEC_FIELD) {
      if (known === COOKIE) cookie = cookie === "" ? value : `${cookie}; ${value}`;
      else fields.append(known, value);
    } else if (known === HOST) {
      if (host !== null) return fail("host occurs twice");
      host = value;
    } else if (known === CONTENT_LENGTH) {
      if (length >= 0 || !LENGTH.test(value)) return fail("a malformed content-length");
      length = Number(value);
      fields.append(known, value);
    } else if (known === TE) fields.append(TE, "trailers");
    else if (name === "expect") {
      if (value.toLowerCase() !== "100-continue") return fail("an unknown expectation");
      expectContinue = !ended;
    }
  }
  if (cookie !== "") fields.append(COOKIE, cookie);
  if (!METHOD.test(method) || isMisspelt(method)) return fail("a malformed :method");
  if (host !== null) {
    if (!authorityGiven) authority = host;
    else if (host.toLowerCase() !== authority.toLowerCase()) return fail("host contradicts :authority");
  }
  if (!isAuthority(authority)) return fail("no :authority, or a malformed one");
  if (method === "CONNECT" && protocol === "") {
    if (!allowConnect) return fail("CONNECT");
    path = authority;
  } else {
    if (!PATH.test(path) && !(path === "*" && method === "OPTIONS")) return fail("a malformed :path");
    if (scheme !== "http" && scheme !== "https") return fail("a :scheme that is neither http nor https");
  }
  if (protocol !== "") {
    if (!/^[a-z0-9!#$%&'*+.^_`|~/-]+$/.test(protocol)) return fail("a malformed :protocol");
    method = "GET";
  }
  if (ended) {
    if (length > 0) return fail("a body is shorter than its content-length");
    length = 0;
  }
  return new H1RequestHead(
    "HTTP/2",
    method,
    scheme,
    authority,
    path,
    fields,
    protocol,
    protocol === "" ? length : -1,
    expectContinue,
  );
}

/** The head of a response to a request by `method`; null when it breaks the rules. */
export function responseFromList(list: HeaderFields, method: string, ended: boolean): H1ResponseHead | null {
  const fields = new Fields();
  let status = 0, length = -1;
  for (let i = 0; i < list.length; i++) {
    const name = list[i][0], value = list[i][1];
    if (name === ":status") {
      status = Number(value);
      continue;
    }
    const known = knownField(name);
    if (known === undefined) fields.appendText(name, value);
    else if (known === CONTENT_LENGTH) {
      if (length >= 0 || !LENGTH.test(value)) return fail("a malformed content-length");
      length = Number(value);
      fields.append(known, value);
    } else if (known.id > LAST_CODEC_FIELD) fields.append(known, value);
  }
  if (ended && length > 0 && method !== "HEAD" && status !== 304) {
    return fail("a body is shorter than its content-length");
  }
  if (ended && length < 0 && method !== "HEAD" && status !== 304) length = 0;
  return new H1ResponseHead("HTTP/2", status, fields, length);
}

/** Fields after a body; null when they break the rules. */
export function trailersFromList(list: HeaderFields): Fields {
  const fields = new Fields();
  for (let i = 0; i < list.length; i++) {
    const known = knownField(list[i][0]);
    if (known === undefined || known.id > LAST_CODEC_FIELD) fields.appendText(list[i][0], list[i][1]);
  }
  return fields;
}

type List = [string, string][];

/** Fields as HTTP/2 may have them: none that are a connection's, no characters that would make them malformed. */
function addFields(list: List, fields: Fields): void {
  for (let i = 0; i < fields.size; i++) {
    const id = fields.idAt(i);
    if (id !== 0 && id <= LAST_CODEC_FIELD) continue;
    list.push([id === 0 ? fields.nameAt(i) : fieldById(id).text, clean(fields.valueAt(i))]);
  }
}

/** A value as it may go out; what may not be in one becomes a space or a question mark. */
function clean(value: string): string {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code > 0xff || (code < 0x20 && code !== 9) || code === 0x7f) return cleaned(value);
  }
  const first = value.charCodeAt(0), last = value.charCodeAt(value.length - 1);
  return first === 32 || first === 9 || last === 32 || last === 9 ? value.trim() : value;
}

function cleaned(value: string): string {
  let text = "";
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    text += code > 0xff ? "?" : (code < 0x20 && code !== 9) || code === 0x7f ? " " : value[i];
  }
  return text.trim();
}

/** A path as it may go out: filters may have made it of anything. */
function cleanPath(path: string): string {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f) return cleanedPath(path);
  }
  return path;
}

/** Characters are bytes; what is none becomes a question mark. */
function percent(code: number): string {
  return code > 0xff ? "%3F" : `%${code.toString(16).toUpperCase().padStart(2, "0")}`;
}

function cleanedPath(path: string): string {
  let text = "";
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    text += code > 0x20 && code < 0x7f ? path[i] : percent(code);
  }
  return text;
}

export function requestToList(head: RequestHead, ended: boolean): List {
  const authority = clean(head.authority), path = cleanPath(head.path);
  const list: List = head.upgrade === ""
    ? [[":method", head.method], [":scheme", head.scheme], [":authority", authority], [":path", path]]
    : [
      [":method", "CONNECT"],
      [":protocol", head.upgrade],
      [":scheme", head.scheme],
      [":authority", authority],
      [":path", path],
    ];
  addFields(list, head.fields);
  if (head.fields.has(TE)) list.push(["te", "trailers"]);
  if (head.contentLength > 0 && !ended) list.push(["content-length", String(head.contentLength)]);
  else if (head.contentLength === 0 && head.method !== "GET" && head.method !== "HEAD" && head.upgrade === "") {
    list.push(["content-length", "0"]);
  }
  return list;
}

export function responseToList(head: ResponseHead, status: number): List {
  const list: List = [[":status", String(status)]];
  addFields(list, head.fields);
  if (head.contentLength >= 0 && status >= 200 && status !== 204) {
    list.push(["content-length", String(head.contentLength)]);
  }
  return list;
}

export function fieldsToList(first: List, fields: Fields): List {
  addFields(first, fields);
  return first;
}
