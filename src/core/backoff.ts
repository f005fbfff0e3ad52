/** How waits between attempts grow. Jitter is a share of the wait, e.g. 0.2 for plus or minus 20 %. */
export interface BackoffOptions {
  initialMs: number;
  maxMs: number;
  factor?: number;
  jitter?: number;
}

/** Exponential waits between attempts at one thing; `reset()` after a success. */
export class Backoff {
  #next: number;
  readonly #options: Required<BackoffOptions>;

  constructor(options: BackoffOptions) {
    this.#options = { factor: 2, jitter: 0, ...options };
    this.#next = options.initialMs;
  }

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const wait = this.#next;
    this.#next = Math.min(this.#options.maxMs, this.#next * this.#options.factor);
    const spread = wait * this.#options.jitter;
    return wait + (spread === 0 ? 0 : (Math.random() * 2 - 1) * spread);
  }

  reset(): void {
    this.#next = this.#options.initialMs;
  }
}

/** Resolves after `ms`, or at once when `signal` aborts; never rejects and never holds the process open past abort. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
