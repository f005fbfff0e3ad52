import type { Clock } from "../../src/cluster/controllers/kit/clock.ts";

/** Time that stands still until it is told to move. */
export class FakeClock implements Clock {
  #now: number;
  #serial = 0;
  readonly #timers = new Map<number, { at: number; callback: () => void }>();

  constructor(now = Date.parse("2026-01-01T00:00:00Z")) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): ReturnType<typeof setTimeout> {
    const id = ++this.#serial;
    this.#timers.set(id, { at: this.#now + ms, callback });
    return id as unknown as ReturnType<typeof setTimeout>;
  }

  clearTimeout(id: ReturnType<typeof setTimeout>): void {
    this.#timers.delete(id as unknown as number);
  }

  /** Timers that have not run. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves time on, running timers in the order they are due. */
  advance(ms: number): void {
    const until = this.#now + ms;
    while (true) {
      const [id, next] = [...this.#timers].sort(([a, x], [b, y]) => x.at - y.at || a - b)[0] ?? [];
      if (next === undefined || next.at > until) break;
      this.#now = Math.max(this.#now, next.at);
      this.#timers.delete(id!);
      next.callback();
    }
    this.#now = until;
  }
}
