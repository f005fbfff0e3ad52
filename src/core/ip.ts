// IP addresses as numbers: what policy ranges, service CIDRs and address families need, without a library on the path.

/** An address as bits: `words` holds one 32-bit word for IPv4 and four, most significant first, for IPv6. */
export interface IpBits {
  readonly family: 4 | 6;
  readonly words: readonly number[];
}

/**
 * Parses an IPv4 or IPv6 literal (no zone, no port, no brackets). An IPv4-mapped IPv6 address is the IPv4 address it
 * carries: dual-stack sockets show IPv4 peers in that form.
 *
 * @returns undefined when `text` is not an address
 */
export function parseIp(text: string): IpBits | undefined {
  if (!text.includes(":")) {
    const v4 = parseV4(text);
    return v4 === undefined ? undefined : { family: 4, words: [v4] };
  }
  const words = parseV6(text);
  if (!words) return undefined;
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) return { family: 4, words: [words[3]] };
  return { family: 6, words };
}

function parseV4(text: string): number | undefined {
  let value = 0, octet = 0, digits = 0, dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (digits === 0 || ++dots > 3) return undefined;
      value = value * 256 + octet;
      octet = digits = 0;
    } else if (code >= 0x30 && code <= 0x39) {
      // "010" is octal to some readers and decimal to others: refuse it.
      if (digits > 0 && octet === 0) return undefined;
      octet = octet * 10 + code - 0x30;
      if (++digits > 3 || octet > 255) return undefined;
    } else return undefined;
  }
  return dots === 3 && digits > 0 ? value * 256 + octet : undefined;
}

function parseV6(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const left = groups(halves[0], halves.length === 1), right = halves.length === 2 ? groups(halves[1], true) : [];
  if (!left || !right) return undefined;
  const missing = 8 - left.length - right.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const all = [...left, ...new Array<number>(missing).fill(0), ...right];
  return [0, 2, 4, 6].map((i) => all[i] * 65536 + all[i + 1]);
}

/** The 16-bit groups of one side of `::`; the last side may end in a dotted IPv4 address. */
function groups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const out: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      out.push(parseInt(part, 16));
      continue;
    }
    const v4 = last && i === parts.length - 1 ? parseV4(part) : undefined;
    if (v4 === undefined) return undefined;
    out.push(Math.floor(v4 / 65536), v4 % 65536);
  }
  return out;
}

/** Canonical text (RFC 5952 for IPv6, IPv4-mapped shown as IPv4). */
export function formatIp(ip: IpBits): string {
  if (ip.family === 4) return [24, 16, 8, 0].map((shift) => (ip.words[0] >>> shift) & 255).join(".");
  const parts = ip.words.flatMap((word) => [word >>> 16, word & 0xffff]);
  let best = -1, bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && parts[end] === 0) end++;
    if (end - i > bestLength) [best, bestLength] = [i, end - i];
    if (end > i) i = end;
  }
  const hex = (list: number[]) => list.map((part) => part.toString(16)).join(":");
  return best < 0 ? hex(parts) : `${hex(parts.slice(0, best))}::${hex(parts.slice(best + bestLength))}`;
}

/** The canonical form of an address literal, or undefined when it is none. */
export function canonicalIp(text: string): string | undefined {
  // Of IPv4 there is one spelling only.
  if (!text.includes(":")) return parseV4(text) === undefined ? undefined : text;
  const ip = parseIp(text);
  return ip && formatIp(ip);
}

/** A range of addresses, ready for {@linkcode inCidr}. */
export interface Cidr {
  readonly ip: IpBits;
  readonly length: number;
}

/** @returns undefined when the address or the length is not valid */
export function parseCidr(address: string, length: number): Cidr | undefined {
  const ip = parseIp(address);
  if (!ip || !Number.isInteger(length) || length < 0) return undefined;
  // A mapped IPv4 range is written with its IPv6 prefix length.
  const bits = ip.family === 4 && address.includes(":") ? length - 96 : length;
  return bits < 0 || bits > ip.words.length * 32 ? undefined : { ip, length: bits };
}

export function inCidr(ip: IpBits, range: Cidr): boolean {
  if (ip.family !== range.ip.family) return false;
  let left = range.length;
  for (let i = 0; left > 0; i++, left -= 32) {
    const difference = ip.words[i] ^ range.ip.words[i];
    if (left >= 32 ? difference !== 0 : difference >>> (32 - left) !== 0) return false;
  }
  return true;
}

/** `1.2.3.4:80` or `[::1]:80`. */
export function hostPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/**
 * Splits `host:port`, where an IPv6 host stands in brackets.
 *
 * @returns undefined when there is no host, no port, or a port outside 0-65535
 */
export function splitHostPort(text: string): { host: string; port: number } | undefined {
  return splitAscii(text) ?? splitAny(text);
}

/** The usual case by hand, at a tenth of the expression's cost: a name or IPv4 address of plain characters. */
function splitAscii(text: string): { host: string; port: number } | undefined {
  let port = 0, scale = 1, at = text.length - 1;
  for (; at >= 0; at--, scale *= 10) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) break;
    if (scale > 10_000) return undefined;
    port += digit * scale;
  }
  if (at <= 0 || scale === 1 || port > 65535 || text.charCodeAt(at) !== 0x3a) return undefined;
  for (let i = 0; i < at; i++) {
    const code = text.charCodeAt(i);
    const plain = (code >= 0x61 && code <= 0x7a) || (code >= 0x2d && code <= 0x39 && code !== 0x2f) ||
      (code >= 0x41 && code <= 0x5a);
    if (!plain) return undefined;
  }
  return { host: text.slice(0, at), port };
}

function splitAny(text: string): { host: string; port: number } | undefined {
  const parsed = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s@/]+)):(\d{1,5})$/.exec(text);
  if (!parsed) return undefined;
  const port = Number(parsed[3]);
  return port > 65535 ? undefined : { host: parsed[1] ?? parsed[2], port };
}
