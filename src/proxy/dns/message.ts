// DNS messages as the proxy needs them, over dns-packet. Buffers are node's, as that library wants them.

import { Buffer } from "node:buffer";
import * as dns from "dns-packet";

export type Question = { readonly id: number; readonly name: string; readonly type: string; readonly udpBytes: number };

const RESPONSE = 0x8000, OPCODE = 0x7800, RECURSION_DESIRED = 0x0100;
const AUTHORITATIVE = 0x0400, TRUNCATED = 0x0200, RECURSION_AVAILABLE = 0x0080;

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NOTIMP: 4 } as const;

export type Parsed =
  | { readonly kind: "question"; readonly question: Question; readonly recursion: boolean }
  /** What to answer at once; undefined when there is not even an id to answer to. */
  | { readonly kind: "refuse"; readonly answer: Uint8Array | undefined };

/** Time to live of the mesh's own answers, in seconds. */
const TTL = 30;
/** Datagrams to clients that do not say how much they take (RFC 1035 §4.2.1), and the most we believe (RFC 6891 §6.2.5). */
const PLAIN_BYTES = 512, MOST_BYTES = 4096;

/** Reads a query; whatever is none is answered with the code that RFC 1035 gives it. */
export function parseQuery(bytes: Uint8Array): Parsed {
  if (bytes.length < 12) return { kind: "refuse", answer: undefined };
  const flags = bytes[2] << 8 | bytes[3];
  if ((flags & RESPONSE) !== 0) return refuse(bytes, RCODE.FORMERR);
  if ((flags & OPCODE) !== 0) return refuse(bytes, RCODE.NOTIMP);
  let packet: dns.DecodedPacket;
  try {
    packet = dns.decode(Buffer.from(bytes));
  } catch {
    return refuse(bytes, RCODE.FORMERR);
  }
  const [question, ...more] = packet.questions ?? [];
  if (!question || more.length > 0) return refuse(bytes, RCODE.FORMERR);
  const edns = packet.additionals?.find((record) => record.type === "OPT") as { udpPayloadSize?: number } | undefined;
  const udpBytes = Math.min(MOST_BYTES, Math.max(PLAIN_BYTES, edns?.udpPayloadSize ?? 0));
  return {
    kind: "question",
    question: { id: packet.id ?? 0, name: question.name, type: question.type, udpBytes },
    recursion: (flags & RECURSION_DESIRED) !== 0,
  };
}

function refuse(bytes: Uint8Array, code: number): Parsed {
  return { kind: "refuse", answer: header(bytes[0] << 8 | bytes[1], code) };
}

/** An answer of twelve bytes that says only what went wrong. */
function header(id: number, code: number): Uint8Array {
  const bytes = new Uint8Array(12);
  bytes.set([id >> 8, id & 255, RESPONSE >> 8, RECURSION_AVAILABLE | code]);
  return bytes;
}

/** An answer that repeats the question and carries only a code. */
export function failure(question: Question, code: number): Uint8Array {
  return encode(question, code, []);
}

/**
 * The mesh's answer: addresses, after a CNAME where they belong to another name.
 *
 * @param limit longest message; what does not fit is left out and the answer marked as truncated
 */
export function answer(
  question: Question,
  alias: string | undefined,
  addresses: readonly string[],
  limit: number,
): Uint8Array {
  const type = question.type as "A" | "AAAA";
  const name = alias ?? question.name;
  const records: dns.Answer[] = addresses.map((data) => ({ type, name, ttl: TTL, data }));
  if (alias !== undefined) records.unshift({ type: "CNAME", name: question.name, ttl: TTL, data: alias });
  let bytes = encode(question, RCODE.NOERROR, records);
  while (bytes.length > limit && records.length > 0) {
    records.length = Math.min(records.length - 1, Math.floor(records.length * limit / bytes.length));
    bytes = encode(question, RCODE.NOERROR, records, TRUNCATED);
  }
  return bytes;
}

function encode(question: Question, code: number, answers: dns.Answer[], extra = 0): Uint8Array {
  return dns.encode({
    type: "response",
    id: question.id,
    flags: RECURSION_DESIRED | RECURSION_AVAILABLE | AUTHORITATIVE | extra | code,
    questions: [{ type: question.type as dns.RecordType, name: question.name }],
    answers,
  });
}

/** The same message under another id. */
export function withId(bytes: Uint8Array, id: number): Uint8Array {
  // slice() of a node Buffer would share its memory.
  const copy = new Uint8Array(bytes);
  copy[0] = id >> 8;
  copy[1] = id & 255;
  return copy;
}
