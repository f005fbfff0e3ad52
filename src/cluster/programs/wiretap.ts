import { PacketCapture } from "../../sys/packet_capture.ts";

/** What a wiretap has seen of TCP between nodes, one JSON object a line. */
export interface WiretapSummary {
  /** Segments with payload to or from port 15008. */
  hboneSegments: number;
  /** Of those, the ones that begin with a TLS record header. */
  tlsRecords: number;
  /** Segments with payload to or from other ports, by the lower port. */
  otherPorts: Record<string, number>;
  /** Segments, on any port, that contain one of the texts looked for. */
  plainText: number;
}

const HBONE_PORT = 15008;

/**
 * `ambientd sample wiretap --text "Simple Bookstore" …`: watches the network namespace it runs in (a node's, with
 * hostNetwork) and prints what passed, a line whenever something changed. Proof that nothing readable is on the wire.
 */
export async function runWiretap(args: string[], signal: AbortSignal): Promise<number> {
  const texts: Uint8Array[] = [];
  for (let i = 0; i + 1 < args.length; i += 2) {
    if (args[i] === "--text") texts.push(new TextEncoder().encode(args[i + 1]));
  }
  const capture = new PacketCapture();
  const summary: WiretapSummary = { hboneSegments: 0, tlsRecords: 0, otherPorts: {}, plainText: 0 };
  let printed = "";
  while (!signal.aborted) {
    for (let frame = capture.next(); frame; frame = capture.next()) inspect(frame, texts, summary);
    const line = JSON.stringify(summary);
    if (line !== printed) console.log(printed = line);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  capture.close();
  return 0;
}

/** Counts one Ethernet frame; anything that is not IPv4 TCP with payload is passed over. */
export function inspect(frame: Uint8Array, texts: readonly Uint8Array[], summary: WiretapSummary): void {
  if (frame.length < 54 || frame[12] !== 0x08 || frame[13] !== 0x00) return;
  const ip = 14, ipHeader = (frame[ip] & 0x0f) * 4;
  if (frame[ip] >> 4 !== 4 || frame[ip + 9] !== 6) return;
  const end = Math.min(frame.length, ip + (frame[ip + 2] << 8 | frame[ip + 3]));
  const tcp = ip + ipHeader;
  if (tcp + 20 > end) return;
  const payload = tcp + (frame[tcp + 12] >> 4) * 4;
  if (payload >= end) return;
  const source = frame[tcp] << 8 | frame[tcp + 1], destination = frame[tcp + 2] << 8 | frame[tcp + 3];
  if (source === HBONE_PORT || destination === HBONE_PORT) {
    summary.hboneSegments++;
    if (frame[payload] >= 0x14 && frame[payload] <= 0x17 && frame[payload + 1] === 0x03) summary.tlsRecords++;
  } else {
    const port = String(Math.min(source, destination));
    // Ports are peers' choice: the table stays small.
    if (port in summary.otherPorts || Object.keys(summary.otherPorts).length < 64) {
      summary.otherPorts[port] = (summary.otherPorts[port] ?? 0) + 1;
    }
  }
  if (texts.some((text) => indexOf(frame, text, payload, end) >= 0)) summary.plainText++;
}

function indexOf(bytes: Uint8Array, text: Uint8Array, from: number, to: number): number {
  outer: for (
    let i = bytes.indexOf(text[0], from);
    i >= 0 && i + text.length <= to;
    i = bytes.indexOf(text[0], i + 1)
  ) {
    for (let j = 1; j < text.length; j++) if (bytes[i + j] !== text[j]) continue outer;
    return i;
  }
  return -1;
}
