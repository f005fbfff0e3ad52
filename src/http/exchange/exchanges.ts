// All requests under way in one proxy: what they share, and what bounds them.

import { type Clock, systemClock } from "../../core/clock.ts";
import type { Reactor, Runnable, Timer } from "../../net/mod.ts";
import type { L7Decision } from "../../policy/http.ts";
import type { ServerStream } from "../stream.ts";
import type { Attempt, Cluster } from "../upstream/mod.ts";
import type { Downstream } from "./downstream.ts";
import { Exchange } from "./exchange.ts";
import { HttpDate } from "./local_reply.ts";
import type { RequestRecord, TraceContext } from "./record.ts";
import { RefusedRecord } from "./refused.ts";
import type { ListenerRuntime } from "./runtime.ts";
import type { RequestHead } from "../message.ts";

/** Where destinations are found by name: `Clusters` of ../upstream. */
export interface ClusterSource {
  get(name: string): Cluster | undefined;
}

/** Told of every request: `RequestTelemetry` of ../telemetry. */
export interface ExchangeObserver {
  /** A request is about to go to a backend: trace headers are read and written here. null: not traced. */
  trace(head: RequestHead): TraceContext | null;
  /** AUDIT or dry-run policies have matched a request. */
  onNoted(record: RequestRecord, decision: L7Decision): void;
  /** A request is over. The record is only valid during the call. */
  onRequest(record: RequestRecord): void;
}

export interface HttpExchangesOptions {
  readonly reactor: Reactor;
  readonly clusters: ClusterSource;
  readonly observer?: ExchangeObserver;
  /** A stream on which no byte moves for so long is given up; Envoy's default is five minutes. */
  readonly idleTimeoutMs?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

const IDLE_TIMEOUT_MS = 300_000;
/** How long a backend may take to end an answer of which nothing is missing. */
const LINGER_MS = 1_000;

/** Takes requests and sees each to its end. */
export class HttpExchanges implements Runnable {
  readonly reactor: Reactor;
  readonly clusters: ClusterSource;
  readonly observer: ExchangeObserver | null;
  readonly random: () => number;
  readonly clock: Clock;
  readonly date: HttpDate = new HttpDate();
  readonly #idleTimeoutMs: number;
  #first: Exchange | null = null;
  #active = 0;
  readonly #lingering: Attempt[] = [];
  #sweep: Timer | null = null;

  constructor(options: HttpExchangesOptions) {
    this.reactor = options.reactor;
    this.clusters = options.clusters;
    this.observer = options.observer ?? null;
    this.random = options.random ?? Math.random;
    this.clock = options.clock ?? systemClock;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  }

  /** Requests under way. */
  get active(): number {
    return this.#active;
  }

  /** Requests under way, for a dump. */
  *records(): Iterable<RequestRecord> {
    for (let exchange = this.#first; exchange; exchange = exchange.next) yield exchange;
  }

  /**
   * Takes one request. `runtime` is null where no listener is left at all: 404. `refusal` answers without asking `runtime`, which accounts
   * for the request: 404 where no listener has its host, 421 where another one has.
   */
  handleRequest(
    stream: ServerStream,
    downstream: Downstream,
    runtime: ListenerRuntime | null,
    refusal: 0 | 404 | 421 = 0,
  ): void {
    new Exchange(this, stream, downstream, runtime).start(refusal);
  }

  /** A codec has refused what a client sent, and answered it with `status`. */
  handleRefusal(downstream: Downstream, runtime: ListenerRuntime | null, status: number, reason: string): void {
    if (runtime === null || this.observer === null) return;
    this.observer.onRequest(new RefusedRecord(downstream, runtime, status, reason, this.clock.now()));
  }

  /** Gives up every request: the proxy ends. */
  close(): void {
    for (let exchange = this.#first; exchange;) {
      const next: Exchange | null = exchange.next;
      exchange.giveUp();
      exchange = next;
    }
    this.#sweep?.cancel();
    this.#sweep = null;
  }

  /** @internal */
  add(exchange: Exchange): void {
    exchange.next = this.#first;
    if (this.#first) this.#first.previous = exchange;
    this.#first = exchange;
    if (this.#active++ === 0) this.#watch();
  }

  /** @internal */
  remove(exchange: Exchange): void {
    if (exchange.previous) exchange.previous.next = exchange.next;
    else if (this.#first === exchange) this.#first = exchange.next;
    else return;
    if (exchange.next) exchange.next.previous = exchange.previous;
    exchange.next = exchange.previous = null;
    this.#active--;
  }

  /** @internal An attempt whose answer the client has whole: nearly always it has ended by the end of this batch of events. */
  linger(attempt: Attempt): void {
    if (this.#lingering.length === 0) this.reactor.afterBatch(this);
    this.#lingering.push(attempt);
  }

  /** @internal The reactor: the batch is over. */
  run(): void {
    for (const attempt of this.#lingering) {
      if (!attempt.over) this.reactor.setTimer(LINGER_MS, () => attempt.cancel());
    }
    this.#lingering.length = 0;
  }

  /** One timer for the idleness of all streams: a look at each now and then costs less than a timer for each. */
  #watch(): void {
    if (this.#sweep?.pending || this.#idleTimeoutMs <= 0) return;
    const step = Math.max(16, this.#idleTimeoutMs / 8);
    if (this.#sweep) this.reactor.resetTimer(this.#sweep, step);
    else this.#sweep = this.reactor.setTimer(step, () => this.#look());
  }

  #look(): void {
    const { now } = this.reactor;
    for (let exchange = this.#first; exchange;) {
      const next: Exchange | null = exchange.next;
      if (exchange.idleFor(now) >= this.#idleTimeoutMs) exchange.onIdle();
      exchange = next;
    }
    if (this.#active > 0) this.#watch();
  }
}
