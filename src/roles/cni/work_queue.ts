import { Backoff } from "../../core/backoff.ts";

/** What the queue's work says: done, or to be tried again. */
export type Outcome = "done" | "retry";

interface Entry {
  state: "queued" | "running" | "again" | "waiting";
  backoff: Backoff;
  timer?: ReturnType<typeof setTimeout>;
}

/**
 * Runs work per key: never twice at the same time for one key, at most `workers` keys at once, again with growing waits
 * after a failure. A key that is added while it runs runs once more.
 */
export class WorkQueue {
  readonly #work: (key: string) => Promise<Outcome>;
  readonly #workers: number;
  readonly #entries = new Map<string, Entry>();
  readonly #ready: string[] = [];
  #running = 0;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(workers: number, work: (key: string) => Promise<Outcome>) {
    this.#workers = Math.max(1, workers);
    this.#work = work;
  }

  add(key: string): void {
    if (this.#closed) return;
    const entry = this.#entries.get(key);
    if (!entry) {
      this.#entries.set(key, { state: "queued", backoff: new Backoff({ initialMs: 5, maxMs: 5000 }) });
      this.#ready.push(key);
    } else if (entry.state === "running") {
      entry.state = "again";
    } else if (entry.state === "waiting") {
      clearTimeout(entry.timer);
      entry.state = "queued";
      this.#ready.push(key);
    }
    this.#pump();
  }

  /** Keys with work queued, running or waiting for another try. */
  get size(): number {
    return this.#entries.size;
  }

  /** Takes no more work and resolves when what runs has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const entry of this.#entries.values()) clearTimeout(entry.timer);
    this.#ready.length = 0;
    if (this.#running > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#entries.clear();
  }

  #pump(): void {
    while (this.#running < this.#workers && this.#ready.length > 0) {
      const key = this.#ready.shift()!;
      this.#running++;
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    const entry = this.#entries.get(key)!;
    entry.state = "running";
    let outcome: Outcome;
    try {
      outcome = await this.#work(key);
    } catch {
      outcome = "retry";
    }
    this.#running--;
    if (this.#closed) {
      if (this.#running === 0) { for (const done of this.#idle.splice(0)) done(); }
      return;
    }
    // Not the literal that was set above: add() may have changed it meanwhile.
    const state = entry.state as Entry["state"];
    if (outcome === "done") entry.backoff.reset();
    if (state === "again") {
      entry.state = "queued";
      this.#ready.push(key);
    } else if (outcome === "done") {
      this.#entries.delete(key);
    } else {
      entry.state = "waiting";
      entry.timer = setTimeout(() => this.add(key), entry.backoff.next());
    }
    this.#pump();
  }
}
