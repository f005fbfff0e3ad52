/** Header fields in order; pseudo-headers first, names in lower case. */
export type HeaderFields = readonly (readonly [name: string, value: string])[];

/** What kind of block is being checked. */
export type BlockKind = "request" | "response" | "trailers";

/** First value of a field. */
export function fieldOf(headers: HeaderFields, name: string): string | undefined {
  for (const [key, value] of headers) if (key === name) return value;
  return undefined;
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// deno-lint-ignore no-control-regex
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/;
const CONNECTION_SPECIFIC = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]);
const REQUEST_PSEUDO = [":method", ":scheme", ":authority", ":path", ":protocol"];

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
  let regular = false;
  const seen = new Set<string>();
  for (const [name, value] of headers) {
    if (BAD_VALUE.test(value)) return `the value of "${name}" has characters that are not allowed`;
    if (name.charCodeAt(0) === 0x3a) {
      if (regular) return `"${name}" stands after a regular field`;
      if (seen.has(name)) return `"${name}" occurs twice`;
      seen.add(name);
      const known = kind === "request" ? REQUEST_PSEUDO.includes(name) : kind === "response" && name === ":status";
      if (!known) return `"${name}" is no pseudo-header of a ${kind}`;
      continue;
    }
    regular = true;
    if (!NAME.test(name)) return `"${name}" is no field name`;
    if (CONNECTION_SPECIFIC.has(name) || (name === "te" && value !== "trailers")) {
      return `"${name}" has no meaning in HTTP/2`;
    }
  }
  if (kind === "response") {
    return seen.has(":status") && /^[1-9]\d\d$/.test(fieldOf(headers, ":status")!) ? undefined : "no :status";
  }
  if (kind === "trailers") return undefined;
  const method = fieldOf(headers, ":method");
  if (!method) return "no :method";
  if (seen.has(":protocol") && (method !== "CONNECT" || !extendedConnect)) {
    return ":protocol without an extended CONNECT";
  }
  if (method === "CONNECT" && !seen.has(":protocol")) {
    // RFC 9113, 8.5
    if (seen.has(":scheme") || seen.has(":path")) return "CONNECT with :scheme or :path";
    return seen.has(":authority") ? undefined : "CONNECT without :authority";
  }
  if (method === "CONNECT" && !seen.has(":authority")) return "CONNECT without :authority";
  if (!seen.has(":scheme") || !fieldOf(headers, ":path")) return "no :scheme or :path";
  return undefined;
}
