// What the headers of a request say about its way here: cleaned of what the client may not say, completed with what we know.

import { formatIp, inCidr, type IpBits, parseCidr, parseIp } from "../../core/ip.ts";
import { fieldName, type Fields } from "../fields.ts";
import { randomUuid } from "./request_id.ts";

export const X_FORWARDED_FOR = fieldName("x-forwarded-for");
export const X_FORWARDED_PROTO = fieldName("x-forwarded-proto");
export const X_REQUEST_ID = fieldName("x-request-id");
export const X_FORWARDED_CLIENT_CERT = fieldName("x-forwarded-client-cert");
export const X_ENVOY_EXTERNAL_ADDRESS = fieldName("x-envoy-external-address");
export const X_ENVOY_INTERNAL = fieldName("x-envoy-internal");

/** What only we say to backends: a client outside the mesh that sends these could steer retries and time-outs, or lie about itself. */
const OURS = [
  "x-envoy-attempt-count",
  "x-envoy-decorator-operation",
  "x-envoy-downstream-service-cluster",
  "x-envoy-downstream-service-node",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-external-address",
  "x-envoy-force-trace",
  "x-envoy-hedge-on-per-try-timeout",
  "x-envoy-internal",
  "x-envoy-ip-tags",
  "x-envoy-is-timeout-retry",
  "x-envoy-max-retries",
  "x-envoy-original-host",
  "x-envoy-original-path",
  "x-envoy-original-url",
  "x-envoy-peer-metadata",
  "x-envoy-peer-metadata-id",
  "x-envoy-retriable-header-names",
  "x-envoy-retriable-status-codes",
  "x-envoy-retry-grpc-on",
  "x-envoy-retry-on",
  "x-envoy-upstream-alt-stat-name",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-stream-duration-ms",
].map(fieldName);

const isOurs: boolean[] = [];
for (const { id } of OURS) isOurs[id] = true;

/** Usually there are none of them, which one look at each field tells. */
function removeOurs(fields: Fields): void {
  for (let i = 0; i < fields.size; i++) {
    const id = fields.idAt(i);
    if (id < isOurs.length && isOurs[id] === true) {
      for (const name of OURS) fields.remove(name);
      return;
    }
  }
}

/** The connection's part of it; the same for all requests of one connection. */
export interface ForwardingFacts {
  readonly use: "waypoint" | "gateway";
  readonly scheme: "http" | "https";
  readonly peerAddress: string;
  readonly peerIp: IpBits | undefined;
  /** Our element of x-forwarded-client-cert; "" for none. */
  readonly clientCertText: string;
  /** The peer's address is a private one, as Envoy counts "internal". */
  readonly peerIsPrivate: boolean;
}

const PRIVATE = [["10.0.0.0", 8], ["172.16.0.0", 12], ["192.168.0.0", 16], ["127.0.0.0", 8], ["::1", 128], [
  "fd00::",
  8,
]]
  .map(([address, length]) => parseCidr(address as string, length as number)!);

export function isPrivate(ip: IpBits | undefined): boolean {
  return ip !== undefined && PRIVATE.some((range) => inCidr(ip, range));
}

/**
 * Who the client is as far as X-Forwarded-For can be trusted: `trustedProxies` of its last addresses were written by proxies of
 * ours. With none it is the connection's peer, whatever the header says.
 */
export function trustedClient(fields: Fields, facts: ForwardingFacts, trustedProxies: number): IpBits | undefined {
  if (trustedProxies <= 0) return facts.peerIp;
  const header = fields.joined(X_FORWARDED_FOR);
  if (header === undefined) return facts.peerIp;
  let end = header.length;
  for (let hop = 1; end > 0; hop++) {
    const comma = header.lastIndexOf(",", end - 1);
    if (hop === trustedProxies) return parseIp(header.slice(comma + 1, end).trim()) ?? facts.peerIp;
    if (comma < 0) break;
    end = comma;
  }
  return facts.peerIp;
}

/**
 * Rewrites what a request says about its way. A gateway is the mesh's edge: it takes nobody's word beyond its trusted proxies. A
 * waypoint's clients are mesh peers whose headers pass on.
 *
 * @returns the request id
 */
export function applyForwarding(fields: Fields, facts: ForwardingFacts, trustedProxies: number): string {
  if (facts.use === "gateway") edge(fields, facts, trustedProxies);
  else {
    if (!fields.has(X_FORWARDED_PROTO)) fields.append(X_FORWARDED_PROTO, facts.scheme);
    if (facts.clientCertText !== "") appendTo(fields, X_FORWARDED_CLIENT_CERT, facts.clientCertText);
  }
  const known = fields.get(X_REQUEST_ID);
  if (known !== undefined && known !== "") return known;
  const id = randomUuid();
  fields.set(X_REQUEST_ID, id);
  return id;
}

function edge(fields: Fields, facts: ForwardingFacts, trustedProxies: number): void {
  const before = trustedProxies > 0 ? trustedClient(fields, facts, trustedProxies) : facts.peerIp;
  const trusted = trustedProxies > 0 && fields.has(X_FORWARDED_FOR);
  const internal = !trusted && facts.peerIsPrivate && !fields.has(X_FORWARDED_FOR);
  removeOurs(fields);
  if (internal) fields.set(X_ENVOY_INTERNAL, "true");
  else {
    fields.set(X_ENVOY_EXTERNAL_ADDRESS, addressText(before, facts));
    // An id from outside would let strangers join other people's traces.
    if (!trusted && !facts.peerIsPrivate) fields.remove(X_REQUEST_ID);
  }
  appendTo(fields, X_FORWARDED_FOR, facts.peerAddress);
  if (!trusted || !fields.has(X_FORWARDED_PROTO)) fields.set(X_FORWARDED_PROTO, facts.scheme);
  // SANITIZE_SET, Istio's default at gateways.
  if (facts.clientCertText === "") fields.remove(X_FORWARDED_CLIENT_CERT);
  else fields.set(X_FORWARDED_CLIENT_CERT, facts.clientCertText);
}

function addressText(ip: IpBits | undefined, facts: ForwardingFacts): string {
  return ip === undefined || ip === facts.peerIp ? facts.peerAddress : formatIp(ip);
}

function appendTo(fields: Fields, name: typeof X_FORWARDED_FOR, text: string): void {
  const known = fields.joined(name);
  fields.set(name, known === undefined || known === "" ? text : `${known},${text}`);
}
