import { MeshError } from "../core/errors.ts";

/** Why bytes stopped flowing other than by an orderly end. */
export type FlowErrorCode =
  | "reset" // the peer reset the connection or stream
  | "io" // the kernel reported another error
  | "closed" // the connection underneath went away
  | "aborted" // our own side gave up
  | "out_of_memory"; // the arena is full

/**
 * One end of a byte stream: a TCP socket, an HBONE stream, or code ({@linkcode Tap}). Two ends joined as partners pump
 * into each other: what is read from one goes straight into the other's output buffer, with no copy, promise or closure.
 *
 * As a *source* an end drives its partner through the methods under "sink"; as a *sink* it calls the two under "source".
 */
export abstract class Endpoint {
  /** The other end of the pump; null until joined. A source holds its bytes back (bounded) while it has no partner. */
  partner: Endpoint | null = null;
  /** Told when this end is finished; null when nobody asked. */
  monitor: EndpointMonitor | null = null;
  /** False once everything is released. */
  open = true;
  /** What ended it, when that was no orderly end. */
  error: MeshError<FlowErrorCode> | null = null;
  /** Payload bytes read from and written to this end. */
  bytesIn = 0;
  bytesOut = 0;

  /** Where the next bytes go, set by {@linkcode prepare}. */
  roomAt = 0;
  /** Non-zero: `roomIovecCount` iovecs at this arena offset take the bytes instead of the one range. */
  roomIovecs = 0;
  roomIovecCount = 0;

  // --- sink: called by the partner

  /** Makes room in the output buffer: bytes that may be read to `roomAt`, or 0 when blocked (`partner.resume()` follows). */
  abstract prepare(): number;
  /** `bytes` bytes were put where {@linkcode prepare} said. */
  abstract commit(bytes: number): void;
  /** Takes all of the bytes at arena offset `at`, queueing what cannot go out; says `partner.consumed()` when they are gone. */
  abstract push(at: number, bytes: number): void;
  /** Copies code's own bytes behind whatever waits to be sent. Not bounded here: for preambles, probes and tests. */
  abstract write(bytes: Uint8Array): void;
  /** Bytes that wait for the peer to take them. */
  abstract get queued(): number;
  /** No more bytes will come: half-close once everything has gone out. */
  abstract finish(): void;
  /** Send what is queued, then end both directions; what still arrives is dropped. */
  abstract finishAll(): void;
  /** Give up at once in both directions, with a reset. Idempotent. */
  abstract abort(): void;

  // --- source: called by the partner

  /** The partner has room again. */
  abstract resume(): void;
  /** The partner has got rid of `bytes` pushed bytes. */
  abstract consumed(bytes: number): void;

  /** Releases everything without ceremony: bytes not yet sent are lost; what was sent ends in an orderly way. Idempotent. */
  abstract close(): void;

  /** Marks the end as over and tells whoever watches. For subclasses, once, when they have released everything. */
  protected done(error: MeshError<FlowErrorCode> | null): void {
    this.open = false;
    this.error = error;
    const monitor = this.monitor, partner = this.partner;
    this.monitor = null;
    if (monitor !== null) monitor.onEndpointDone(this, error);
    else if (error !== null && partner !== null) partner.abort();
  }
}

/** Watches an end; see {@linkcode Endpoint.monitor}. */
export interface EndpointMonitor {
  /** Both directions of `end` are over, or it failed. Called once. */
  onEndpointDone(end: Endpoint, error: MeshError<FlowErrorCode> | null): void;
}

/** Joins two ends; bytes start to flow. */
export function join(a: Endpoint, b: Endpoint): void {
  a.partner = b;
  b.partner = a;
  a.resume();
  b.resume();
}

/** Made without a stack, which costs more than the connection that failed: peers reset connections all day. */
export function flowError(code: FlowErrorCode, message: string): MeshError<FlowErrorCode> {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const error = new MeshError(code, message);
  Error.stackTraceLimit = limit;
  return error;
}

/** Our own side gave up; nobody looks for more in it. */
export const ABORTED: MeshError<FlowErrorCode> = flowError("aborted", "the connection was given up");
