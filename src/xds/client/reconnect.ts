import { Backoff } from "../../core/backoff.ts";
import { grpc } from "../../identity/grpc.ts";

/** How a stream came to its end. */
export interface StreamEnd {
  /** Undefined: the server ended it without an error, or the failure was not gRPC's. */
  readonly status?: grpc.status;
  readonly details: string;
  /** Whether the server had answered on it. */
  readonly answered: boolean;
}

export const RECONNECT_DEFAULTS = { firstMs: 10, maxMs: 15_000 };

const BENIGN: readonly grpc.status[] = [grpc.status.UNKNOWN, grpc.status.CANCELLED, grpc.status.DEADLINE_EXCEEDED];

/** What ends a stream of a server that went away, as opposed to one that cannot be reached. grpc-js's texts beside tonic's. */
const GONE = /transport is closing|received prior goaway|Connection dropped|ECONNRESET|GOAWAY|RST_STREAM/i;

/**
 * How long to wait before the next attempt (workload-xds.md §9): a connection that was lost is made again at once, a server that
 * cannot be reached or refuses is asked ever less often. Where ztunnel reconnects without any wait, this waits 10 ms, so that a
 * server which ends every stream is not hammered.
 */
export class Reconnect {
  readonly #backoff: Backoff;

  constructor(private readonly options: { firstMs: number; maxMs: number } = RECONNECT_DEFAULTS) {
    // ztunnel doubles before it waits: the first failure waits twice the initial value.
    this.#backoff = new Backoff({ initialMs: options.firstMs * 2, maxMs: options.maxMs });
  }

  /** Milliseconds. */
  after(end: StreamEnd): number {
    const lost = end.status === undefined || BENIGN.includes(end.status) ||
      (end.status === grpc.status.UNAVAILABLE && end.answered && GONE.test(end.details));
    if (lost || end.answered) this.#backoff.reset();
    return lost ? this.options.firstMs : this.#backoff.next();
  }
}
