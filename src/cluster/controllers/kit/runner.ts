import { clearImmediate, setImmediate } from "node:timers";
import { describeError } from "../../../core/errors.ts";
import type { Logger } from "../../../telemetry/logger.ts";
import { ApiError } from "../../api_error.ts";
import type { Clock } from "../../../core/clock.ts";
import { WorkQueue } from "./work_queue.ts";

/** Brings one object nearer to what its spec asks for. A throw is retried with back-off. */
export type Reconcile = (key: string) => void | Promise<void>;

/** Failures of one key in a row before it is worth a line in the log: the first ones are races that end by themselves. */
const QUIET_FAILURES = 5;

interface Entry {
  name: string;
  queue: WorkQueue;
  reconcile: Reconcile;
  background: boolean;
}

/**
 * Runs all controllers, one reconcile per turn of the event loop, the queues taking turns.
 *
 * Watch events arrive on microtasks of the write that caused them, so by the next turn every cache shows every write:
 * a reconcile always starts from the present, and none of client-go's expectations are needed. A reconcile that has much
 * to do does a part and adds its key again, which also keeps the event loop free for the API server.
 */
export class Runner {
  readonly #entries: Entry[] = [];
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #running = new Set<Promise<void>>();
  readonly #waiters: (() => void)[] = [];
  #next = 0;
  #turn: ReturnType<typeof setImmediate> | undefined;
  #stopped = false;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Adds a controller; its keys go into the queue that is returned. A background one runs when no other has work. */
  register(name: string, reconcile: Reconcile, { background = false } = {}): WorkQueue {
    const queue = new WorkQueue(this.#clock, () => this.#wake());
    this.#entries.push({ name, queue, reconcile, background });
    return queue;
  }

  /** Resolves when no key is ready or being worked on. Keys waiting for a time do not count. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      this.#wake();
    });
  }

  /** Ends all work; resolves when the last reconcile has returned. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#turn !== undefined) clearImmediate(this.#turn);
    this.#turn = undefined;
    for (const { queue } of this.#entries) queue.close();
    await Promise.all(this.#running);
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  #wake(): void {
    if (this.#stopped || this.#turn !== undefined) return;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      this.#runOne();
    });
  }

  #runOne(): void {
    const count = this.#entries.length;
    for (const background of [false, true]) {
      for (let i = 0; i < count; i++) {
        const at = (this.#next + i) % count;
        const entry = this.#entries[at];
        if (entry.background !== background) continue;
        const key = entry.queue.take();
        if (key === undefined) continue;
        this.#next = (at + 1) % count;
        this.#reconcile(entry, key);
        this.#wake();
        return;
      }
    }
    if (this.#waiters.length > 0 && this.#entries.every(({ queue }) => queue.idle)) {
      for (const resolve of this.#waiters.splice(0)) resolve();
    }
  }

  #reconcile(entry: Entry, key: string): void {
    let result: void | Promise<void>;
    try {
      result = entry.reconcile(key);
    } catch (thrown) {
      return this.#failed(entry, key, thrown);
    }
    if (result === undefined) return this.#succeeded(entry, key);
    const running = result.then(() => this.#succeeded(entry, key), (thrown) => this.#failed(entry, key, thrown))
      .finally(() => {
        this.#running.delete(running);
        this.#wake();
      });
    this.#running.add(running);
  }

  #succeeded({ queue }: Entry, key: string): void {
    queue.forget(key);
    queue.done(key);
  }

  #failed({ name, queue }: Entry, key: string, thrown: unknown): void {
    queue.done(key);
    if (this.#stopped) return;
    const expected = thrown instanceof ApiError && thrown.code < 500;
    if (!expected || queue.failures(key) >= QUIET_FAILURES) {
      this.#log.warn("cannot reconcile, will try again", { controller: name, key, error: describeError(thrown) });
    }
    queue.addRateLimited(key);
  }
}
