// What is known about a client's connection before its first request, prepared once for all of its requests.

import { hostPort, type IpBits, parseIp } from "../../core/ip.ts";
import { type Identity, parseSpiffeId, type SpiffeId, type Workload } from "../../model/mod.ts";
import type { SocketAddress } from "../../net/mod.ts";
import type { L7ConnectionFacts } from "../../policy/http.ts";
import { type ForwardingFacts, isPrivate } from "../filters/mod.ts";
import type { ConnectionContext } from "../stream.ts";

/** Which of its uses an L7 proxy serves with a listener: this decides X-Forwarded-For, client certificate headers and the metrics' reporter. */
export type ProxyUse = "waypoint" | "gateway";

/** A client's certificate, verified, as `x-forwarded-client-cert` tells it. */
export interface ClientCertificate {
  /** Lower-case hexadecimal SHA-256 of the DER form; "" when not known. */
  readonly sha256: string;
  /** RFC 2253 subject; "" when empty. */
  readonly subject: string;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
}

/** What the listening side knows about a connection. */
export interface DownstreamInfo {
  readonly use: ProxyUse;
  /** The client: on a waypoint the original one behind the ztunnel (from Forwarded, else the HBONE peer). IP in canonical text. */
  readonly peerAddress: string;
  readonly peerPort: number;
  /** What the client asked for: the CONNECT target's address (or the gateway's own) in canonical text, and its port. */
  readonly localAddress: string;
  readonly localPort: number;
  /** Set where TLS was terminated here: `https`. `sni` is "" when the client sent none. */
  readonly tls?: { readonly sni: string; readonly client?: ClientCertificate };
  /** Who the HBONE tunnel's client proved to be. */
  readonly peerIdentity?: SpiffeId;
  /** The workload behind `peerAddress`, from workload discovery. */
  readonly sourceWorkload?: Workload;
  /** Applications behind a waypoint see the waypoint's address, not the client's. */
  readonly hideClient?: boolean;
  /** Our own SPIFFE id, said in `x-forwarded-client-cert`. */
  readonly ownIdentity?: SpiffeId;
}

/** {@linkcode DownstreamInfo} with what every request of the connection needs, computed once; serves as the codecs' context. */
export class Downstream implements ConnectionContext, L7ConnectionFacts, ForwardingFacts {
  readonly use: ProxyUse;
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly scheme: "http" | "https";
  readonly sni: string;
  readonly certificate: ClientCertificate | undefined;
  readonly spiffeId: SpiffeId | undefined;
  readonly identity: Identity | undefined;
  /** `trust-domain/ns/NAMESPACE/sa/ACCOUNT`, or "": policies name principals without `spiffe://`. */
  readonly principal: string;
  /** A peer with a verified certificate, whatever its name: what a policy's principal `*` asks for. */
  readonly authenticated: boolean;
  readonly sourceWorkload: Workload | undefined;
  readonly peerIp: IpBits | undefined;
  readonly localIp: IpBits | undefined;
  readonly peerIsPrivate: boolean;
  readonly clientCertText: string;
  readonly peer: SocketAddress;
  readonly local: SocketAddress;
  /** The client, where applications of the mesh are to see its address: behind waypoints. */
  readonly onBehalfOf: SocketAddress | null;
  /** `address:port` for logs. */
  readonly peerText: string;
  readonly localText: string;

  constructor(info: DownstreamInfo) {
    this.use = info.use;
    this.peerAddress = info.peerAddress;
    this.peerPort = info.peerPort;
    this.localAddress = info.localAddress;
    this.localPort = info.localPort;
    this.scheme = info.tls ? "https" : "http";
    this.sni = info.tls?.sni ?? "";
    this.certificate = info.tls?.client;
    this.spiffeId = info.peerIdentity ?? spiffeOf(info.tls?.client);
    this.identity = this.spiffeId === undefined ? undefined : parseSpiffeId(this.spiffeId);
    const { identity } = this;
    this.principal = identity ? `${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}` : "";
    this.authenticated = this.identity !== undefined || this.certificate !== undefined;
    this.sourceWorkload = info.sourceWorkload;
    this.peerIp = parseIp(info.peerAddress);
    this.localIp = parseIp(info.localAddress);
    this.peerIsPrivate = isPrivate(this.peerIp);
    this.clientCertText = clientCertText(info);
    this.peer = { address: info.peerAddress, port: info.peerPort };
    this.local = { address: info.localAddress, port: info.localPort };
    this.onBehalfOf = info.use === "waypoint" && info.hideClient !== true ? this.peer : null;
    this.peerText = hostPort(info.peerAddress, info.peerPort);
    this.localText = hostPort(info.localAddress, info.localPort);
  }
}

function spiffeOf(certificate: ClientCertificate | undefined): SpiffeId | undefined {
  return certificate?.uris.find((uri) => parseSpiffeId(uri) !== undefined) as SpiffeId | undefined;
}

/** Our element of `x-forwarded-client-cert`, in Envoy's notation; "" for a client without certificate. */
function clientCertText(info: DownstreamInfo): string {
  const certificate = info.tls?.client;
  const parts: string[] = [];
  if (info.peerIdentity === undefined && certificate === undefined) return "";
  if (info.ownIdentity !== undefined) parts.push(`By=${info.ownIdentity}`);
  if (certificate === undefined) parts.push(`URI=${info.peerIdentity}`);
  else {
    if (certificate.sha256 !== "") parts.push(`Hash=${certificate.sha256}`);
    parts.push(`Subject="${visible(certificate.subject).replace(/["\\]/g, "\\$&")}"`);
    for (const uri of certificate.uris) parts.push(`URI=${element(uri)}`);
    for (const name of certificate.dnsNames) parts.push(`DNS=${element(name)}`);
  }
  return parts.join(";");
}

/** A client chose what its certificate says: nothing of it may end the element or the line. */
function element(text: string): string {
  return visible(text).replace(/[;,="\\]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());
}

function visible(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (c) => encodeURIComponent(c.isWellFormed() ? c : "?"));
}
