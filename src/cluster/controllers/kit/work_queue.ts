import type { Clock } from "../../../core/clock.ts";

/** client-go's default: 5 ms, doubled by each failure in a row. */
const BACKOFF_INITIAL_MS = 5;
/** client-go waits up to 1000 s; a cluster on one machine can afford to look once a minute. */
const BACKOFF_MAX_MS = 60_000;

/**
 * A queue of keys as in client-go: a key is queued once however often it is added, one that is added while it is being
 * worked on is queued again afterwards, and each failure makes its next attempt later.
 */
export class WorkQueue {
  readonly #ready = new Set<string>();
  readonly #processing = new Set<string>();
  readonly #dirty = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, { cancel: () => void; due: number }>();
  readonly #clock: Clock;
  readonly #wake: () => void;
  #closed = false;

  /** `wake` is called when a key has become ready. */
  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Keys ready to be taken. */
  get size(): number {
    return this.#ready.size;
  }

  /** Whether nothing is ready or being worked on; keys that wait for a time do not count. */
  get idle(): boolean {
    return this.#ready.size === 0 && this.#processing.size === 0;
  }

  add(key: string): void {
    if (this.#closed) return;
    if (this.#processing.has(key)) {
      this.#dirty.add(key);
      return;
    }
    this.#ready.add(key);
    this.#wake();
  }

  /** Adds the key after a time; of several waits for one key the shortest counts. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    if (ms <= 0) return this.add(key);
    const due = this.#clock.now() + ms;
    const waiting = this.#timers.get(key);
    if (waiting) {
      if (waiting.due <= due) return;
      waiting.cancel();
    }
    const cancel = this.#clock.timer(ms, () => {
      this.#timers.delete(key);
      this.add(key);
    });
    this.#timers.set(key, { cancel, due });
  }

  /** Adds the key after its back-off, which grows until {@linkcode forget}. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.addAfter(key, Math.min(BACKOFF_MAX_MS, BACKOFF_INITIAL_MS * 2 ** Math.min(failures, 30)));
  }

  /** Failures of the key in a row. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Takes the key that has been ready longest; {@linkcode done} must follow. */
  take(): string | undefined {
    for (const key of this.#ready) {
      this.#ready.delete(key);
      this.#processing.add(key);
      return key;
    }
    return undefined;
  }

  done(key: string): void {
    this.#processing.delete(key);
    if (this.#dirty.delete(key)) this.add(key);
  }

  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#ready.clear();
    this.#dirty.clear();
  }
}
