/** How the parts of a role learn that it is shutting down, and how the role learns that they have finished. */
export class Drain {
  readonly #controller = new AbortController();
  readonly #held = new Set<Promise<unknown>>();

  /** Aborted when draining starts: stop accepting, finish what runs. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get draining(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Draining is not over before `work` settles. */
  hold<T>(work: Promise<T>): Promise<T> {
    const tracked = work.then(() => {}, () => {}).finally(() => this.#held.delete(tracked));
    this.#held.add(tracked);
    return work;
  }

  /** Starts draining; resolves to true when all held work ended within `deadlineMs`, else to false. */
  async start(deadlineMs: number): Promise<boolean> {
    this.#controller.abort();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<false>((resolve) => timer = setTimeout(() => resolve(false), deadlineMs));
    const finished = (async () => {
      while (this.#held.size > 0) await Promise.all(this.#held);
      return true as const;
    })();
    const result = await Promise.race([finished, deadline]);
    clearTimeout(timer);
    return result;
  }
}

/** Resolves with the name of the first of SIGTERM and SIGINT to arrive, or with "abort" when `signal` aborts. */
export function shutdownSignal(signal?: AbortSignal): Promise<"SIGTERM" | "SIGINT" | "abort"> {
  return new Promise((resolve) => {
    const finish = (name: "SIGTERM" | "SIGINT" | "abort") => {
      Deno.removeSignalListener("SIGTERM", onTerm);
      Deno.removeSignalListener("SIGINT", onInt);
      signal?.removeEventListener("abort", onAbort);
      resolve(name);
    };
    const onTerm = () => finish("SIGTERM");
    const onInt = () => finish("SIGINT");
    const onAbort = () => finish("abort");
    Deno.addSignalListener("SIGTERM", onTerm);
    Deno.addSignalListener("SIGINT", onInt);
    signal?.addEventListener("abort", onAbort);
  });
}
