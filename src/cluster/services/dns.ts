import { Buffer } from "node:buffer";
import packet from "dns-packet";
import { CLUSTER_NETWORK } from "../contracts.ts";
import type { Answer, Lookup } from "./names.ts";

/** Where answers come from. */
export interface Zone {
  owns(name: string): boolean;
  lookup(name: string, type: string): Lookup;
}

/** CoreDNS' time for cluster records. */
const TTL_SECONDS = 5;
/** What a client without EDNS can take over UDP (RFC 1035). */
const UDP_PLAIN = 512;
/** And the most that is sent to one with it. */
const UDP_MAX = 1232;
/** CNAME of an ExternalName Service within the cluster is followed this far. */
const CNAME_STEPS = 8;

const enum Rcode {
  FORMERR = 1,
  NXDOMAIN = 3,
  NOTIMP = 4,
}

const AUTHORITATIVE = 1 << 10, TRUNCATED = 1 << 9, RECURSION_AVAILABLE = 1 << 7, RECURSION_DESIRED = 1 << 8;

/**
 * Answers one DNS message.
 *
 * @param limit the most bytes the transport takes, or undefined for UDP, where the message itself tells
 * @returns undefined for what must not be answered: too short, or itself an answer
 */
export function answerQuery(message: Uint8Array, zone: Zone, limit?: number): Uint8Array | undefined {
  if (message.length < 12 || (message[2] & 0x80) !== 0) return undefined;
  const id = message[0] << 8 | message[1], opcode = (message[2] >> 3) & 15;
  const flags = message[2] & 1 ? RECURSION_DESIRED : 0;
  const failed = (rcode: Rcode, questions: packet.Question[] = []) =>
    encode({ id, type: "response", flags: flags | RECURSION_AVAILABLE | rcode, questions });
  if (opcode !== 0) return failed(Rcode.NOTIMP);
  let query: packet.DecodedPacket;
  try {
    query = packet.decode(Buffer.from(message.buffer, message.byteOffset, message.byteLength));
  } catch {
    return failed(Rcode.FORMERR);
  }
  const question = query.questions?.[0];
  if (!question || query.questions!.length !== 1 || typeof question.name !== "string") return failed(Rcode.FORMERR);
  const edns = query.additionals?.find((one) => one.type === "OPT") as any;
  const room = limit ?? Math.max(UDP_PLAIN, Math.min(edns?.udpPayloadSize ?? UDP_PLAIN, UDP_MAX));
  const name = question.name.toLowerCase().replace(/\.$/, "");
  const { lookup, owned } = resolve(zone, name, question.type);
  const response = {
    id,
    type: "response" as const,
    flags: flags | RECURSION_AVAILABLE | (owned ? AUTHORITATIVE : 0) | (lookup.exists ? 0 : Rcode.NXDOMAIN),
    questions: [question],
    // The name comes back spelled as it was asked: resolvers check it.
    answers: lookup.answers.map((answer) => record(answer.name === name ? { ...answer, name: question.name } : answer)),
    authorities: lookup.answers.length === 0 && owned ? [soa(name)] : [],
    additionals: [...lookup.additionals.map(record), ...(edns ? [opt()] : [])],
  };
  try {
    const bytes = encode(response);
    if (bytes.length <= room) return bytes;
    // Without the addresses of SRV targets it may fit; otherwise the client comes back over TCP.
    const shorter = encode({ ...response, additionals: edns ? [opt()] : [] });
    if (shorter.length <= room) return shorter;
    return encode({
      ...response,
      ...{ flags: response.flags | TRUNCATED, answers: [], authorities: [], additionals: edns ? [opt()] : [] },
    });
  } catch {
    return failed(Rcode.FORMERR);
  }
}

function resolve(zone: Zone, name: string, type: string): { lookup: Lookup; owned: boolean } {
  const answers: Answer[] = [];
  let current = name;
  for (let steps = 0; steps < CNAME_STEPS && zone.owns(current); steps++) {
    const lookup = zone.lookup(current, type);
    answers.push(...lookup.answers);
    const alias = lookup.answers.find((answer) => answer.type === "CNAME");
    if (!alias || type === "CNAME") {
      return { lookup: { ...lookup, answers, exists: lookup.exists || answers.length > 0 }, owned: true };
    }
    current = String(alias.data).toLowerCase().replace(/\.$/, "");
  }
  // Outside the cluster there is nothing to ask: the fabric has no way out. A quick "no such name" beats a timeout.
  return { lookup: { exists: answers.length > 0, answers, additionals: [] }, owned: answers.length > 0 };
}

function record(answer: Answer): packet.Answer {
  return { ...answer, ttl: TTL_SECONDS, class: "IN" } as packet.Answer;
}

/** Tells how long a missing name may be remembered. */
function soa(name: string): packet.Answer {
  const reverse = name.endsWith(".arpa");
  const zone = reverse ? "in-addr.arpa" : CLUSTER_NETWORK.clusterDomain;
  return {
    type: "SOA",
    name: zone,
    ttl: TTL_SECONDS,
    class: "IN",
    data: {
      mname: `ns.dns.${CLUSTER_NETWORK.clusterDomain}`,
      rname: `hostmaster.${CLUSTER_NETWORK.clusterDomain}`,
      ...{ serial: 1, refresh: 7200, retry: 1800, expire: 86400, minimum: TTL_SECONDS },
    },
  };
}

function opt(): any {
  return {
    type: "OPT",
    name: ".",
    udpPayloadSize: UDP_MAX,
    flags: 0,
    extendedRcode: 0,
    ednsVersion: 0,
    flag_do: false,
    options: [],
  };
}

function encode(message: packet.Packet): Uint8Array {
  return packet.encode(message);
}
