// What the exchange, the TCP proxy and the role see of upstreams.

import type { Clock } from "../../core/clock.ts";
import { MeshError } from "../../core/errors.ts";
import type { CertificateChoice } from "../../hbone/mod.ts";
import type { TlsSecret, Workload } from "../../model/mod.ts";
import type { Endpoint, Keepalive, Netns, Reactor, SocketAddress } from "../../net/mod.ts";
import type { MeshListener, MeshView } from "../../proxy/state/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Fields } from "../fields.ts";
import type { HttpVersion, RequestHead, ResponseHead } from "../message.ts";
import type { StreamErrorCode } from "../stream.ts";
import type { Attempt } from "./attempt.ts";
import type { ClientCodecs } from "./codecs.ts";
import type { Host } from "./host.ts";

/**
 * Why an attempt came to nothing. Beside the stream's own codes: `no_healthy_upstream` (UH), `connection_timeout` (UF);
 * `connection_failure` is UF, `overflow` UO, `connection_termination` and `reset` UC.
 */
export type UpstreamErrorCode = StreamErrorCode | "no_healthy_upstream" | "connection_timeout";
export type UpstreamError = MeshError<UpstreamErrorCode>;

/** Made without a stack: upstreams fail by the thousand when they do. */
export function upstreamError(code: UpstreamErrorCode, message: string, cause?: unknown): UpstreamError {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const error = new MeshError(code, message, { source: "upstream", cause });
  Error.stackTraceLimit = limit;
  return error;
}

/** Envoy's response flag for a failure. */
export function upstreamFlag(code: UpstreamErrorCode): "UH" | "UF" | "UO" | "UC" | "UR" | "UPE" | "-" {
  switch (code) {
    case "no_healthy_upstream":
      return "UH";
    case "connection_failure":
    case "connection_timeout":
      return "UF";
    case "overflow":
      return "UO";
    case "connection_termination":
      return "UC";
    case "reset":
    case "refused":
      return "UR";
    case "protocol_error":
      return "UPE";
    case "aborted":
      return "-";
  }
}

/** What a choice of host may depend on. The exchange (or a TCP session) is one itself: nothing is copied per request. */
export interface PickContext {
  /** Absent for bytes. */
  readonly head: RequestHead | null;
  /** The client's address: for `sourceIp` hashes. */
  readonly source: SocketAddress | null;
  /**
   * The client whose address the application is to see, where it is reached by HBONE: connections are then this client's alone.
   * Null where the application is to see the proxy's own.
   */
  readonly onBehalfOf: SocketAddress | null;
  /** Where the client meant to go, for destinations of kind `original`. */
  readonly originalDestination: SocketAddress | null;
  /** Hosts that earlier attempts used, to be avoided (not with consistent hashing). */
  readonly tried: readonly Host[];
  /** Prefer other priorities (localities) than those of {@linkcode tried}. */
  readonly avoidPriorities: boolean;
  /** -1 at first; the cluster writes the hash here when its balancer needs one, so that every attempt uses the same. */
  hash: number;
  /** null at first; a Set-Cookie value for the response when the cluster had to make up the cookie that it hashes. */
  setCookie: string | null;
}

export interface UpstreamRequest extends PickContext {
  /** As it is to be sent. */
  readonly head: RequestHead;
  /** No body follows. */
  readonly bodyEnded: boolean;
  /** Decides what USE_CLIENT destinations are spoken to with. */
  readonly downstreamVersion: HttpVersion;
}

/** Told of an attempt's progress; see {@linkcode Attempt.begin}. */
export interface AttemptHandler {
  /** The head is on its way on `attempt.stream`, whose body is waiting for its partner. */
  onSent(attempt: Attempt): void;
  onInformational(attempt: Attempt, status: number, fields: Fields): void;
  onResponse(attempt: Attempt, head: ResponseHead, ended: boolean): void;
  onTrailers(attempt: Attempt, trailers: Fields): void;
  /** Over before its time; at most once, and never after onFinished. */
  onFailed(attempt: Attempt, error: UpstreamError): void;
  /** The response is complete. Once, unless failed or cancelled. */
  onFinished(attempt: Attempt): void;
}

/** A raw tunnel to a host, or why there is none. */
export interface TunnelResult {
  readonly error: UpstreamError | null;
  readonly endpoint: Endpoint | null;
  readonly host: Host | null;
  /** Our own address on the connection. */
  readonly local: SocketAddress | null;
  /** To be called once the endpoint is over: until then the connection counts. */
  release(): void;
}

export interface PendingTunnel {
  /** Gives up; the callback is not called any more. */
  cancel(): void;
}

/** Resolves host names; the default asks the system's resolver. */
export interface HostResolver {
  /** Addresses of either family; an empty list is an answer, too, and what was known stays only after a failure. `ttlMs` where it is known. */
  resolve(hostname: string): Promise<{ readonly addresses: readonly string[]; readonly ttlMs?: number }>;
}

export interface ClustersOptions {
  readonly reactor: Reactor;
  readonly mesh: MeshView & { onChange?(listener: MeshListener): () => void };
  /** Our own certificate, for HBONE. */
  readonly certificate: () => CertificateChoice;
  /** Our own workload once it is known: locality, node and network decide which endpoints are near. */
  readonly self?: () => Workload | undefined;
  /** Our own network, "" by default. */
  readonly network?: string;
  /** Secrets for TLS origination by name. */
  readonly secret?: (name: string) => TlsSecret | undefined;
  /** Where no host may be, whatever configuration or DNS says: the proxy's own pages. */
  readonly forbidden?: (address: string, port: number) => boolean;
  readonly netns?: Netns;
  readonly mark?: number;
  readonly keepalive?: Keepalive;
  /** HTTP/1 and HTTP/2 on a connection that is up; the default is ../codec. */
  readonly codecs?: ClientCodecs;
  readonly resolver?: HostResolver;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly logger?: Logger;
}

/** One host as `proxy-config endpoint` shows it. */
export interface HostView {
  /** `10.0.0.1:8080` */
  readonly endpoint: string;
  readonly status: "HEALTHY" | "UNHEALTHY";
  readonly outlierCheck: "OK" | "FAILED";
  readonly cluster: string;
  readonly hbone: boolean;
  readonly weight: number;
  readonly priority: number;
  readonly locality: string;
  readonly workload: string;
  readonly activeRequests: number;
  readonly connections: number;
}
