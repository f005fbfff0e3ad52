import { type H2Options, HBONE_SERVER_OPTIONS } from "../../h2/options.ts";

/** What a codec that takes requests bears with. Sizes in bytes, times in milliseconds; 0 as a time means for ever. */
export interface HttpServerOptions {
  /** Longest head of a request; beyond it the answer is 431. */
  readonly maxHeadBytes: number;
  /** Fields in one head or trailer; beyond it the answer is 431. */
  readonly maxFields: number;
  /** Longest request target; beyond it the answer is 414. */
  readonly maxTargetBytes: number;
  /** From the first byte of a head (or from the connection's beginning) to its last: slowloris. The answer is 408. */
  readonly headTimeoutMs: number;
  /** How long a connection may stay without a request. */
  readonly idleTimeoutMs: number;
  /** How long a request's body, or a reader of the answer, may stand still while we wait for nothing else. */
  readonly stallTimeoutMs: number;
  /** Body bytes that wait for a slow partner, for each stream of HTTP/1.1 (HTTP/2 has windows). */
  readonly bodyBuffer: number;
  /** Whether CONNECT is a request like others (forward proxies); otherwise 405. */
  readonly allowConnect: boolean;
  readonly h2: H2Options;
}

/** What a codec that makes requests bears with. */
export interface HttpClientOptions {
  readonly maxHeadBytes: number;
  readonly maxFields: number;
  readonly bodyBuffer: number;
  readonly h2: H2Options;
}

/** Envoy's numbers where it has them: 60 KiB and 100 headers, an hour of idleness, five minutes of a standing stream. */
export const HTTP_SERVER_OPTIONS: HttpServerOptions = {
  maxHeadBytes: 60 * 1024,
  maxFields: 100,
  maxTargetBytes: 32 * 1024,
  headTimeoutMs: 10_000,
  idleTimeoutMs: 3_600_000,
  stallTimeoutMs: 300_000,
  bodyBuffer: 64 * 1024,
  allowConnect: false,
  h2: {
    ...HBONE_SERVER_OPTIONS,
    streamWindow: 256 * 1024,
    connectionWindow: 1024 * 1024,
    maxFrameSize: 16 * 1024,
    maxHeaderListSize: 60 * 1024,
    maxConcurrentStreams: 100,
    pingIntervalMs: 0,
    extendedConnect: true,
  },
};

export const HTTP_CLIENT_OPTIONS: HttpClientOptions = {
  maxHeadBytes: 60 * 1024,
  maxFields: 100,
  bodyBuffer: 64 * 1024,
  h2: { ...HTTP_SERVER_OPTIONS.h2, maxConcurrentStreams: 0, extendedConnect: false },
};
