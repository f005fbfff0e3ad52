// The headers of a CONNECT that carry telemetry: who calls (baggage), for which service (forwarded), and the trace.

import { canonicalIp, hostPort, splitHostPort } from "../core/ip.ts";
import { type Baggage, formatBaggage, parseBaggage } from "../hbone/baggage.ts";
import type { HeaderList } from "../hbone/types.ts";
import type { Workload } from "../model/mod.ts";
import type { SocketAddress } from "../sys/socket_address.ts";

const MEMBER = /^[\x21-\x2b\x2d-\x3a\x3c-\x7e]*$/;

type Header = HeaderList[number];

/** The baggage header of each workload; they never change, and every connection carries one. */
const baggageHeaders = new WeakMap<Workload, Header>();

function baggageHeader(workload: Workload): Header {
  let header = baggageHeaders.get(workload);
  if (!header) baggageHeaders.set(workload, header = ["baggage", encodeBaggage(workload)]);
  return header;
}

/** What a CONNECT of `source` on behalf of `client` carries. */
export function requestHeaders(source: Workload, client: SocketAddress, serviceHost: string | undefined): HeaderList {
  return [
    baggageHeader(source),
    ["forwarded", encodeForwarded(client.address, client.port, serviceHost)],
    ["traceparent", newTraceparent()],
  ];
}

/** What the 200 of a CONNECT to `workload` carries. */
export function responseHeaders(workload: Workload): HeaderList {
  return [baggageHeader(workload)];
}

/** Values that would break the header (spaces, commas, semicolons, non-ASCII) are left out, as are empty ones. */
export function encodeBaggage(workload: Workload): string {
  const clean = (value: string | undefined) => value !== undefined && MEMBER.test(value) ? value : undefined;
  return formatBaggage({
    clusterId: clean(workload.clusterId),
    namespace: clean(workload.namespace),
    workloadType: workload.workloadType,
    workloadName: clean(workload.workloadName),
    serviceName: clean(workload.canonicalName),
    revision: clean(workload.canonicalRevision),
    region: clean(workload.locality?.region),
    zone: clean(workload.locality?.zone),
  });
}

/** A claim of the peer, used in telemetry alone, hence bounded. */
export function baggageOf(header: string | undefined): Baggage {
  return header === undefined ? {} : parseBaggage(header.slice(0, 4096));
}

/** `for="10.0.0.1:41000";host=web.default.svc.cluster.local` */
export function encodeForwarded(ip: string, port: number, serviceHost: string | undefined): string {
  const source = `for="${hostPort(ip, port)}"`;
  return serviceHost !== undefined && MEMBER.test(serviceHost) ? `${source};host=${serviceHost}` : source;
}

/** The host of a `forwarded` header, quoted or not; undefined when it names none. */
export function forwardedHost(header: string | undefined): string | undefined {
  for (const part of (header ?? "").slice(0, 1024).split(/[;,]/)) {
    const found = /^\s*host\s*=\s*(?:"([^"]*)"|([^\s"]+))\s*$/i.exec(part);
    const host = found?.[1] ?? found?.[2];
    if (host) return host;
  }
  return undefined;
}

/** The client that a `forwarded` header names first, with a port and in canonical text: `for="10.0.0.1:41000"`, `for="[fd00::1]:41000"`. */
export function forwardedClient(header: string | undefined): SocketAddress | undefined {
  const found = /(?:^|[;,])\s*for\s*=\s*(?:"([^"]{1,64})"|([^\s";,]{1,64}))/i.exec((header ?? "").slice(0, 1024));
  const place = splitHostPort(found?.[1] ?? found?.[2] ?? "");
  const address = place && canonicalIp(place.host);
  return place && address ? { address, port: place.port } : undefined;
}

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

const TRACE_BYTES = 24;
/** Random bytes for many traces: asking for each costs more than all else of one. */
const entropy = new Uint8Array(TRACE_BYTES * 64);
let spent = entropy.length;
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** A fresh W3C trace context, not sampled. */
export function newTraceparent(): string {
  if (spent === entropy.length) {
    crypto.getRandomValues(entropy);
    spent = 0;
  }
  let text = "00-";
  for (let i = 0; i < TRACE_BYTES; i++) {
    if (i === 16) text += "-";
    text += HEX[entropy[spent++]];
  }
  return text + "-00";
}

/** The caller's trace context if it is one. */
export function parseTraceparent(header: string | undefined): string | undefined {
  return header !== undefined && TRACEPARENT.test(header) ? header : undefined;
}
