import type { MeshError } from "../core/errors.ts";
import type { WorkloadCertificate } from "../identity/types.ts";
import type { H2Stream } from "../h2/stream.ts";
import type { SpiffeId } from "../model/identity.ts";
import type { Endpoint } from "../net/endpoint.ts";
import type { SocketAddress } from "../sys/socket_address.ts";

/** Header fields in order, names in lower case, pseudo-headers excluded. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** What failed between "connect" and a 200, each with one `response_flags` value (see `responseFlag()`). */
export type HboneErrorCode =
  | "connect_refused"
  | "connect_timeout" // possibly a NetworkPolicy that blocks 15008
  | "connect_unreachable"
  | "connect_failed"
  | "tls_failure" // handshake or chain
  | "identity_mismatch" // the chain is good, the name is not one we expect
  | "h2_handshake_failure"
  | "http_status" // an answer other than 200; details.status
  | "stream_reset" // the peer reset the CONNECT stream, or the connection ended first
  | "pool_closed";

export type HboneError = MeshError<HboneErrorCode, { status?: number; peerIds?: readonly SpiffeId[] }>;

/** What TLS agreed on. */
export interface TlsInfo {
  /** `TLSv1.3` */
  readonly version: string;
  /** `TLS_AES_256_GCM_SHA384` */
  readonly cipher: string;
}

/** Who is at the other end of an HBONE connection. */
export interface HbonePeer {
  /** Every SPIFFE id of the peer's certificate; the first is its identity in policy, logs and metrics. Never empty. */
  readonly ids: readonly SpiffeId[];
  readonly address: SocketAddress;
  readonly tls: TlsInfo;
  /** The peer's certificate. */
  readonly leafDer: Uint8Array;
}

/** One end of an HBONE tunnel: pump it into a socket. */
export interface HboneStream extends Endpoint {
  readonly peer: HbonePeer;
  /** Client side: headers of the 200, `baggage` among them. Server side: empty. */
  readonly responseHeaders: HeaderList;
}

/** One CONNECT that a server has received. Answer it once, now or later. */
export interface HboneRequest {
  /** `10.1.2.3:8080`, `[fd00::1]:80` or `host.name:80`; checked to have a port, nothing more. */
  readonly authority: string;
  readonly headers: HeaderList;
  readonly peer: HbonePeer;
  /** Our own address on the TCP connection. */
  readonly local: SocketAddress;
  /** The peer has given up (reset, or its connection ended); answering does nothing then. */
  readonly aborted: boolean;
  /** Called once if the peer gives up before the answer: stop connecting upstream. */
  onAbort: (() => void) | null;
  /** First value of a header (lower-case name). */
  header(name: string): string | undefined;
  /** Answers 200, with headers such as `baggage`; returns the tunnel. */
  accept(headers?: HeaderList): HboneStream;
  /** Answers with an error status and ends the stream. */
  reject(status: number): void;
}

/** A certificate, or the promise of one while the CA is being asked. */
export type CertificateChoice = WorkloadCertificate | Promise<WorkloadCertificate>;

/** Where a client wants to go, as whom, and whom it expects there. */
export interface HboneTarget {
  /** Our own workload's certificate. */
  certificate: WorkloadCertificate;
  address: string;
  /** 15008 unless said otherwise. */
  port?: number;
  /** Source address of the TCP connection, when not the kernel's choice; part of the pool key. */
  bindAddress?: string;
  /** The peer must have exactly one of these as a URI SAN. */
  expectedIds: readonly SpiffeId[];
  /** The `:authority` of the CONNECT. */
  authority: string;
  /** `baggage`, `forwarded`, `traceparent`. */
  headers: HeaderList;
}

export type HboneConnectCallback = (error: HboneError | null, stream: HboneStream | null) => void;

/** The same object under its HBONE name: its connection's peer is an {@linkcode HbonePeer}. */
export function asHboneStream(stream: H2Stream): HboneStream {
  return stream as H2Stream & HboneStream;
}
