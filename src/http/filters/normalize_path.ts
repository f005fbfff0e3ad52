// Path normalisation before anything is decided by the path, as Envoy does it for Istio's four options.
//
// BASE: RFC 3986 section 6.2.2: escaped unreserved characters are decoded, `.` and `..` resolved, backslashes become slashes; what
// must not stand in a path is escaped. Escaped slashes stay as they are, and nothing is decoded twice.
// MERGE_SLASHES: and then runs of slashes become one. DECODE_AND_MERGE_SLASHES: escaped slashes and backslashes are decoded first.

import type { PathNormalization } from "../../model/mod.ts";

const SLASH = 0x2f, BACKSLASH = 0x5c, DOT = 0x2e, PERCENT = 0x25, QUESTION = 0x3f, HASH = 0x23;

/** 1: as it is; 2: must be escaped; 3: unreserved, decoded where it is escaped. */
const CLASS = new Uint8Array(256).fill(1);
CLASS.fill(2, 0, 0x21);
CLASS.fill(2, 0x7f);
for (const c of '"<>^`{|}') CLASS[c.charCodeAt(0)] = 2;
for (const c of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") CLASS[c.charCodeAt(0)] = 3;

/**
 * The path (and query, left alone) to decide by and to forward; undefined when it must be refused: no path at all, a fragment, an
 * escaped NUL. `*` (OPTIONS) passes.
 */
export function normalizePath(target: string, mode: PathNormalization): string | undefined {
  if (target.charCodeAt(0) !== SLASH) return target === "*" ? target : undefined;
  let suspicious = false, end = target.length, previous = 0;
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code === QUESTION) {
      end = i;
      break;
    }
    if (code === HASH) return undefined;
    if (
      code === PERCENT || code === BACKSLASH || CLASS[code & 0xff] === 2 ||
      (previous === SLASH && (code === DOT || code === SLASH))
    ) suspicious = true;
    previous = code;
  }
  if (end < target.length && target.indexOf("#", end) >= 0) return undefined;
  if (!suspicious || mode === "NONE") return target;
  let path: string | undefined = end === target.length ? target : target.slice(0, end);
  if (mode === "DECODE_AND_MERGE_SLASHES") path = path.replace(/%2f/gi, "/").replace(/%5c/gi, "\\");
  path = canonicalPath(path);
  if (path === undefined) return undefined;
  if (mode !== "BASE") path = path.replace(/\/{2,}/g, "/");
  return end === target.length ? path : path + target.slice(end);
}

function canonicalPath(path: string): string | undefined {
  let text = "";
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === PERCENT) {
      const decoded = escaped(path, i);
      if (decoded === 0) return undefined;
      if (decoded < 0) text += "%";
      else {
        text += CLASS[decoded] === 3 ? String.fromCharCode(decoded) : path.slice(i, i + 3);
        i += 2;
      }
    } else if (code === BACKSLASH) text += "/";
    else if (CLASS[code & 0xff] === 2) text += "%" + (code & 0xff).toString(16).toUpperCase().padStart(2, "0");
    else text += path[i];
  }
  return removeDotSegments(text);
}

/** `.` and `..` without what follows a semicolon; other segments as they are. */
function withoutParameters(segment: string): string {
  const end = segment.indexOf(";");
  return end === 1 || (end === 2 && segment.charCodeAt(1) === DOT) ? segment.slice(0, end) : segment;
}

/** The byte that `%xx` at `at` stands for; -1 when it is no escape. */
function escaped(text: string, at: number): number {
  const high = hex(text.charCodeAt(at + 1)), low = hex(text.charCodeAt(at + 2));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

function hex(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/**
 * RFC 3986, 5.2.4; `..` above the root stays at the root. Empty segments are segments. Parameters do not hide dots: servers of Java take
 * `/x/..;v=1/admin` for `/admin`.
 */
function removeDotSegments(path: string): string {
  if (!path.includes("/.")) return path;
  const segments = path.split("/"), out: string[] = [""];
  for (let i = 1; i < segments.length; i++) {
    const text = segments[i], last = i === segments.length - 1;
    const segment = text.charCodeAt(0) === DOT ? withoutParameters(text) : text;
    if (segment === ".") {
      if (last) out.push("");
    } else if (segment === "..") {
      if (out.length > 1) out.pop();
      if (last) out.push("");
    } else out.push(segment);
  }
  return out.length === 1 ? "/" : out.join("/");
}
