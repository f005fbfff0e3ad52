// What a byte may be in a head, as tables (RFC 9110, 5.5 and 5.6.2; RFC 3986).

import { U8 } from "../../sys/memory.ts";

/** Lower-case form of a byte that a token may have (names of fields, methods); 0 for all others. */
export const TOKEN_LOWER = new Uint8Array(256);
/** 1: may stand in a field's value: visible, space, tab, or beyond ASCII. */
export const VALUE = new Uint8Array(256);
/** 1: may stand in a request target: visible ASCII but `#`. */
export const TARGET = new Uint8Array(256);
/** 1: may stand in an authority (host and port, no user information). */
export const AUTHORITY = new Uint8Array(256);
/** Value of a hexadecimal digit; 255 for all others. */
export const HEX = new Uint8Array(256).fill(255);

for (let byte = 0; byte < 256; byte++) {
  const char = String.fromCharCode(byte);
  if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char)) TOKEN_LOWER[byte] = char.toLowerCase().charCodeAt(0);
  if (byte === 9 || (byte >= 0x20 && byte !== 0x7f)) VALUE[byte] = 1;
  if (byte > 0x20 && byte < 0x7f && char !== "#") TARGET[byte] = 1;
  if (/[A-Za-z0-9\-._~!$&'()*+,;=%:[\]]/.test(char)) AUTHORITY[byte] = 1;
  if (/[0-9a-fA-F]/.test(char)) HEX[byte] = parseInt(char, 16);
}

/** Whether text is an authority: a host, an address, `[v6]`, each with a port or without. */
export function isAuthority(text: string): boolean {
  const length = text.length;
  if (length === 0 || length > 1024) return false;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7e || AUTHORITY[code] === 0) return false;
  }
  let colon = text.lastIndexOf(":");
  const bracket = text.lastIndexOf("]");
  if (text.charCodeAt(0) === 0x5b) {
    if (bracket < 2 || text.indexOf("[", 1) >= 0 || text.indexOf("]") !== bracket) return false;
    if (colon < bracket) colon = -1;
    else if (colon !== bracket + 1) return false;
    if (colon < 0 && bracket !== length - 1) return false;
  } else if (bracket >= 0 || text.indexOf("[") >= 0 || text.indexOf(":") !== colon || colon === 0) return false;
  if (colon < 0) return true;
  const digits = length - colon - 1;
  if (digits > 5) return false;
  for (let i = colon + 1; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}

/** As {@linkcode isAuthority}, for bytes of the arena; `text` is what they read. */
export function isAuthorityAt(at: number, end: number, text: string): boolean {
  let colon = -1;
  for (let i = at; i < end; i++) {
    const byte = U8[i];
    if (AUTHORITY[byte] === 0) return false;
    if (byte === 0x3a && colon < 0) colon = i;
    else if (byte === 0x3a || byte === 0x5b || byte === 0x5d) return isAuthority(text);
  }
  if (end === at || end - at > 1024) return false;
  if (colon < 0) return true;
  if (colon === at || end - colon > 6) return false;
  for (let i = colon + 1; i < end; i++) if (U8[i] < 0x30 || U8[i] > 0x39) return false;
  return true;
}
