import type { MeshError } from "../core/errors.ts";
import { type Endpoint, type EndpointMonitor, type FlowErrorCode, join } from "./endpoint.ts";

/** What went through a pump. */
export interface PumpStats {
  /** Bytes read from the first end and given to the second. */
  aToB: number;
  /** Bytes read from the second end and given to the first. */
  bToA: number;
  /** Absent when both directions came to an orderly end. */
  error?: MeshError<FlowErrorCode>;
}

export interface PumpOptions {
  /** Called once, when both ends are closed. */
  onDone(stats: PumpStats): void;
}

/** Two joined ends and the account of what went through. */
export class Pump implements EndpointMonitor {
  #open = 2;
  #done = false;
  #error: MeshError<FlowErrorCode> | null = null;

  constructor(readonly a: Endpoint, readonly b: Endpoint, readonly options: PumpOptions) {
    a.monitor = b.monitor = this;
    join(a, b);
    // An end that failed while its owner was still deciding.
    if (!a.open) this.onEndpointDone(a, a.error);
    if (!b.open) this.onEndpointDone(b, b.error);
  }

  /** Bytes so far, read from the first end. */
  get aToB(): number {
    return this.a.bytesIn;
  }

  /** Bytes so far, read from the second end. */
  get bToA(): number {
    return this.b.bytesIn;
  }

  /** Resets both ends; `onDone` follows with the error `aborted`. */
  abort(): void {
    this.a.abort();
    this.b.abort();
  }

  onEndpointDone(end: Endpoint, error: MeshError<FlowErrorCode> | null): void {
    this.#open--;
    this.#error ??= error;
    if (error) {
      const other = end === this.a ? this.b : this.a;
      other.abort();
    }
    if (this.#open > 0 || this.#done) return;
    this.#done = true;
    const stats: PumpStats = { aToB: this.a.bytesIn, bToA: this.b.bytesIn };
    if (this.#error) stats.error = this.#error;
    this.a.partner = this.b.partner = null;
    this.options.onDone(stats);
  }
}

/**
 * Moves bytes both ways between two ends (TCP sockets, HBONE streams) until both directions have ended or one end fails,
 * with half-close and backpressure; then both ends are closed.
 */
export function pump(a: Endpoint, b: Endpoint, options: PumpOptions): Pump {
  return new Pump(a, b, options);
}
