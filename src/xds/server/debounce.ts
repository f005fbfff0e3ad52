import type { Clock } from "../../core/clock.ts";

/** Istio's defaults (`PILOT_DEBOUNCE_AFTER`, `PILOT_DEBOUNCE_MAX`). */
export interface DebounceOptions {
  /** Changes are pushed after this much quiet … */
  readonly quietMs: number;
  /** … and at the latest this long after the first of them. */
  readonly maxMs: number;
}

export const DEBOUNCE_DEFAULTS: DebounceOptions = { quietMs: 100, maxMs: 10_000 };

/** Calls `fire` once for a burst of calls to `trigger`. */
export class Debounce {
  #first = 0;
  #cancel: (() => void) | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly options: DebounceOptions,
    private readonly fire: (waitedMs: number) => void,
  ) {}

  trigger(): void {
    const now = this.clock.now();
    if (this.#cancel) this.#cancel();
    else this.#first = now;
    const wait = Math.min(this.options.quietMs, this.#first + this.options.maxMs - now);
    this.#cancel = this.clock.timer(Math.max(0, wait), () => {
      this.#cancel = undefined;
      this.fire(this.clock.now() - this.#first);
    });
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
