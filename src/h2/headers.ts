/** Header fields in order; pseudo-headers first, names in lower case. */
export type HeaderFields = readonly (readonly [name: string, value: string])[];

/** What kind of block is being checked. */
export type BlockKind = "request" | "response" | "trailers";

/** First value of a field. */
export function fieldOf(headers: HeaderFields, name: string): string | undefined {
  for (const [key, value] of headers) if (key === name) return value;
  return undefined;
}

/** 1: may stand in a name, which is a token in lower case. */
const NAME = new Uint8Array(256);
/** 1: may stand in a value: anything but control characters, tabs apart. */
const VALUE = new Uint8Array(256);
for (let code = 0; code < 256; code++) {
  if (/[!#$%&'*+\-.^_`|~0-9a-z]/.test(String.fromCharCode(code))) NAME[code] = 1;
  if (code === 9 || (code >= 0x20 && code !== 0x7f)) VALUE[code] = 1;
}

function isName(name: string): boolean {
  for (let i = 0; i < name.length; i++) if (NAME[name.charCodeAt(i)] !== 1) return false;
  return name.length > 0;
}

function isValue(value: string): boolean {
  const length = value.length;
  if (length === 0) return true;
  for (let i = 0; i < length; i++) if (VALUE[value.charCodeAt(i)] !== 1) return false;
  const first = value.charCodeAt(0), last = value.charCodeAt(length - 1);
  return first !== 0x20 && first !== 9 && last !== 0x20 && last !== 9;
}

const CONNECTION_SPECIFIC = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]);
/** Each pseudo-header's bit. */
const METHOD = 1, SCHEME = 2, AUTHORITY = 4, PATH = 8, PROTOCOL = 16, STATUS = 32;

function pseudoBit(name: string): number {
  switch (name) {
    case ":method":
      return METHOD;
    case ":scheme":
      return SCHEME;
    case ":authority":
      return AUTHORITY;
    case ":path":
      return PATH;
    case ":protocol":
      return PROTOCOL;
    case ":status":
      return STATUS;
  }
  return 0;
}

/**
 * Checks a decoded block by RFC 9113, 8.2 and 8.3, and RFC 8441 where `extendedConnect` has been offered.
 *
 * @returns what makes it malformed, or undefined
 */
export function malformedHeaders(
  headers: HeaderFields,
  kind: BlockKind,
  extendedConnect = true,
): string | undefined {
  let regular = false, seen = 0;
  let method = "", path = "", status = "";
  const allowed = kind === "request" ? STATUS - 1 : kind === "response" ? STATUS : 0;
  for (let i = 0; i < headers.length; i++) {
    const name = headers[i][0], value = headers[i][1];
    if (!isValue(value)) return `the value of "${name}" has characters that are not allowed`;
    if (name.charCodeAt(0) === 0x3a) {
      if (regular) return `"${name}" stands after a regular field`;
      const bit = pseudoBit(name);
      if ((bit & allowed) === 0) return `"${name}" is no pseudo-header of a ${kind}`;
      if ((seen & bit) !== 0) return `"${name}" occurs twice`;
      seen |= bit;
      if (bit === METHOD) method = value;
      else if (bit === PATH) path = value;
      else if (bit === STATUS) status = value;
      continue;
    }
    regular = true;
    if (!isName(name)) return `"${name}" is no field name`;
    if (CONNECTION_SPECIFIC.has(name) || (name === "te" && value !== "trailers")) {
      return `"${name}" has no meaning in HTTP/2`;
    }
  }
  if (kind === "response") return /^[1-9]\d\d$/.test(status) ? undefined : "no :status";
  if (kind === "trailers") return undefined;
  if (method === "") return "no :method";
  const authority = (seen & AUTHORITY) !== 0;
  if ((seen & PROTOCOL) !== 0 && (method !== "CONNECT" || !extendedConnect)) {
    return ":protocol without an extended CONNECT";
  }
  if (method === "CONNECT") {
    if (!authority) return "CONNECT without :authority";
    // RFC 9113, 8.5
    if ((seen & PROTOCOL) === 0) return (seen & (SCHEME | PATH)) !== 0 ? "CONNECT with :scheme or :path" : undefined;
  }
  return (seen & SCHEME) !== 0 && path !== "" ? undefined : "no :scheme or :path";
}
