import { parseIp } from "../core/ip.ts";
import type { SpiffeId } from "../model/mod.ts";
import type { SocketPlace } from "./telemetry.ts";

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
/** TLV that carries the source's SPIFFE id (Istio). */
const TLV_SPIFFE_ID = 0xd0;

/**
 * A PROXY protocol v2 header (command PROXY, TCP): the client's address, the address it asked for, and who it is.
 * Addresses of two families are both written as IPv6.
 */
export function proxyHeader(
  source: SocketPlace,
  destination: { ip: string; port: number },
  identity: SpiffeId | undefined,
): Uint8Array {
  const from = bytesOf(source.address), to = bytesOf(destination.ip);
  const v4 = from.length === 4 && to.length === 4;
  const body: number[] = [...(v4 ? from : mapped(from)), ...(v4 ? to : mapped(to))];
  body.push(source.port >> 8, source.port & 255, destination.port >> 8, destination.port & 255);
  if (identity !== undefined) {
    const text = new TextEncoder().encode(identity);
    body.push(TLV_SPIFFE_ID, text.length >> 8, text.length & 255, ...text);
  }
  return new Uint8Array([...SIGNATURE, 0x21, v4 ? 0x11 : 0x21, body.length >> 8, body.length & 255, ...body]);
}

function bytesOf(address: string): number[] {
  const ip = parseIp(address) ?? { words: [0] };
  return ip.words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]);
}

function mapped(bytes: number[]): number[] {
  return bytes.length === 16 ? bytes : [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes];
}
