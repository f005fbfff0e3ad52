/** What an endpoint of HTTP/2 advertises and tolerates. */
export interface H2Options {
  /** Bytes a peer may have under way on one stream; what a slow reader of ours makes us hold. At least 65,535. */
  readonly streamWindow: number;
  /** Bytes the streams of a connection may make us hold together. */
  readonly connectionWindow: number;
  /** Longest frame we take. */
  readonly maxFrameSize: number;
  /** Longest list of headers we take, as SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  readonly maxHeaderListSize: number;
  /** Streams a peer may have open at once. */
  readonly maxConcurrentStreams: number;
  /** Quiet time before a PING, counted from the answer to the last one; 0 sends none. */
  readonly pingIntervalMs: number;
  /** How long a PING may stay unanswered. */
  readonly pingTimeoutMs: number;
  /** Server: takes CONNECT with `:protocol` (RFC 8441) and says so in SETTINGS. */
  readonly extendedConnect?: boolean;
  /** Most fields of one header block, pseudo-headers apart; as many as the list's size allows when absent. */
  readonly maxFields?: number;
}

/** ztunnel's numbers for the accepting side (hbone.md, 6). */
export const HBONE_SERVER_OPTIONS: H2Options = {
  streamWindow: 4 * 1024 * 1024,
  connectionWindow: 16 * 1024 * 1024,
  maxFrameSize: 1024 * 1024,
  maxHeaderListSize: 64 * 1024,
  maxConcurrentStreams: 200,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 20_000,
};

/** ztunnel's numbers for the connecting side. */
export const HBONE_CLIENT_OPTIONS: H2Options = {
  ...HBONE_SERVER_OPTIONS,
  maxHeaderListSize: 16 * 1024,
  maxConcurrentStreams: 0,
};
