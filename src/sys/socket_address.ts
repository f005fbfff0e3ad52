import { MeshError } from "../core/errors.ts";
import { AF_INET, AF_INET6, AF_UNIX } from "./constants.ts";
import { I32, U8 } from "./memory.ts";

/** Bytes to set aside for a socket address of any family. */
export const SOCKADDR_BYTES = 128;

/** An IP address and port. `address` is canonical text: an IPv4-mapped IPv6 address appears as the IPv4 address in it. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** `10.0.0.1:80` or `[fd00::1]:80`. */
export function formatSocketAddress({ address, port }: SocketAddress): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The family of an IP literal. */
export function familyOf(address: string): number {
  return address.includes(":") ? AF_INET6 : AF_INET;
}

/**
 * Writes `address` at arena offset `at` as a sockaddr of `family`; an IPv4 address in an AF_INET6 socket becomes mapped.
 *
 * @returns the length of the struct
 * @throws MeshError `bad_address`
 */
export function writeSocketAddress(at: number, family: number, address: string, port: number): number {
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new MeshError("bad_address", `cannot use "${port}" as a port`);
  }
  U8[at] = family;
  U8[at + 1] = 0;
  U8[at + 2] = port >> 8;
  U8[at + 3] = port & 255;
  if (family === AF_INET) {
    if (!writeV4(at + 4, address)) throw new MeshError("bad_address", `cannot read "${address}" as an IPv4 address`);
    U8.fill(0, at + 8, at + 16);
    return 16;
  }
  U8.fill(0, at + 4, at + 28);
  if (!address.includes(":")) {
    U8[at + 18] = U8[at + 19] = 255;
    if (!writeV4(at + 20, address)) throw new MeshError("bad_address", `cannot read "${address}" as an IP address`);
  } else if (!writeV6(at + 8, address)) {
    throw new MeshError("bad_address", `cannot read "${address}" as an IPv6 address`);
  }
  return 28;
}

/** Reads the sockaddr at `at`. */
export function readSocketAddress(at: number): SocketAddress {
  const port = U8[at + 2] * 256 + U8[at + 3];
  if (U8[at] === AF_INET) return { address: v4Text(at + 4), port };
  return { address: v6Text(at + 8), port };
}

/** Writes a sockaddr_un; an abstract name begins with `@`. Returns its length. */
export function writeUnixAddress(at: number, path: string): number {
  const bytes = new TextEncoder().encode(path);
  if (bytes.length === 0 || bytes.length > 107) {
    throw new MeshError("bad_address", `cannot use "${path}" as a socket path: it must have 1 to 107 bytes`);
  }
  U8[at] = AF_UNIX;
  U8[at + 1] = 0;
  U8.set(bytes, at + 2);
  U8[at + 2 + bytes.length] = 0;
  if (bytes[0] === 0x40) {
    U8[at + 2] = 0;
    return 2 + bytes.length;
  }
  return 3 + bytes.length;
}

function v4Text(at: number): string {
  return `${U8[at]}.${U8[at + 1]}.${U8[at + 2]}.${U8[at + 3]}`;
}

function v6Text(at: number): string {
  const i = at >> 2;
  if (I32[i] === 0 && I32[i + 1] === 0 && I32[i + 2] === -65536) return v4Text(at + 12);
  // RFC 5952: the longest run of two or more zero groups becomes "::".
  let bestStart = -1, bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && U8[at + 2 * (start + length)] === 0 && U8[at + 2 * (start + length) + 1] === 0) {
      length++;
    }
    if (length > bestLength) {
      bestStart = start;
      bestLength = length;
    }
  }
  let text = "";
  for (let group = 0; group < 8; group++) {
    if (group === bestStart) {
      text += group === 0 ? "::" : ":";
      group += bestLength - 1;
      continue;
    }
    text += (U8[at + 2 * group] * 256 + U8[at + 2 * group + 1]).toString(16);
    if (group < 7) text += ":";
  }
  return text;
}

function writeV4(at: number, text: string): boolean {
  let octet = 0, digits = 0, count = 0;
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : 0x2e;
    if (code === 0x2e) {
      if (digits === 0 || octet > 255 || count === 4) return false;
      U8[at + count++] = octet;
      octet = digits = 0;
    } else if (code >= 0x30 && code <= 0x39 && digits < 3) {
      octet = octet * 10 + code - 0x30;
      digits++;
    } else return false;
  }
  return count === 4;
}

function writeV6(at: number, text: string): boolean {
  const halves = text.split("::");
  if (halves.length > 2) return false;
  const head = groupsOf(halves[0]), tail = halves.length === 2 ? groupsOf(halves[1]) : [];
  if (!head || !tail) return false;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return false;
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail];
  all.forEach((group, i) => {
    U8[at + 2 * i] = group >> 8;
    U8[at + 2 * i + 1] = group & 255;
  });
  return true;
}

function groupsOf(text: string): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(parseInt(part, 16));
    else if (i === parts.length - 1 && /^\d{1,3}(\.\d{1,3}){3}$/.test(part)) {
      const octets = part.split(".").map(Number);
      if (octets.some((octet) => octet > 255)) return undefined;
      groups.push(octets[0] * 256 + octets[1], octets[2] * 256 + octets[3]);
    } else return undefined;
  }
  return groups;
}
