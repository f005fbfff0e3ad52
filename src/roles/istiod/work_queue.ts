import { Backoff, sleep } from "../../core/backoff.ts";

/**
 * Keys that something must be done about, one at a time, in the order they came; a key that fails comes again later, others go
 * first. Waits grow per queue, not per key: what fails is nearly always the API.
 */
export class WorkQueue {
  readonly #keys = new Set<string>();
  #wake: () => void = () => {};

  get size(): number {
    return this.#keys.size;
  }

  add(key: string): void {
    this.#keys.add(key);
    this.#wake();
  }

  /** Works until `signal` aborts. */
  async run(
    signal: AbortSignal,
    work: (key: string) => Promise<void>,
    failed: (key: string, error: unknown) => void,
  ): Promise<void> {
    const backoff = new Backoff({ initialMs: 200, maxMs: 10_000, jitter: 0.2 });
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      const [key] = this.#keys;
      if (key === undefined) {
        await new Promise<void>((resolve) => this.#wake = resolve);
        continue;
      }
      this.#keys.delete(key);
      try {
        await work(key);
        backoff.reset();
      } catch (error) {
        if (signal.aborted) return;
        failed(key, error);
        this.#keys.add(key);
        await sleep(backoff.next(), signal);
      }
    }
  }
}
