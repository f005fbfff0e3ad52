import { formatIp, parseIp } from "../core/ip.ts";
import { invalidResource } from "./convert_error.ts";

/**
 * Canonical text of an address in network byte order; IPv4-mapped IPv6 becomes IPv4.
 *
 * @throws MeshError `invalid_resource` unless there are 4 or 16 bytes
 */
export function ipFromBytes(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length !== 16) throw invalidResource(`an address of ${bytes.length} bytes`);
  const words = [0, 4, 8, 12].map((at) =>
    ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0
  );
  const mapped = words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
  return formatIp(mapped ? { family: 4, words: [words[3]] } : { family: 6, words });
}

/**
 * 4 or 16 bytes of an address literal.
 *
 * @throws MeshError `invalid_resource`
 */
export function ipToBytes(text: string): Uint8Array {
  const ip = parseIp(text);
  if (!ip) throw invalidResource(`"${text}" is not an IP address`);
  return Uint8Array.from(
    ip.words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]),
  );
}

/** @throws MeshError `invalid_resource` when a prefix is longer than the address */
export function checkPrefix(address: string, length: number): number {
  if (length > (address.includes(":") ? 128 : 32)) throw invalidResource(`prefix length ${length} of "${address}"`);
  return length;
}
