/** Lines that wait are written once there is this much text. */
const MAX_WAITING = 32 * 1024;

/** Calls `flush` a few milliseconds from now. */
export type Delay = (flush: () => void) => void;

/**
 * Where lines go: one write for all lines of an event-loop turn, or, with {@linkcode delay}, of some milliseconds; sooner when
 * much has gathered.
 */
class StdoutSink {
  #text = "";
  #scheduled = false;
  #delay: Delay = queueMicrotask;
  readonly #encoder = new TextEncoder();
  readonly #flush = () => this.flush();

  write(line: string): void {
    this.#text += line + "\n";
    if (this.#text.length >= MAX_WAITING) return this.flush();
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#delay(this.#flush);
  }

  /**
   * Lets lines gather: for a process that logs every connection, where a write for each would be a tenth of the work. What
   * still waits when the process exits is written then.
   */
  delay(delay: Delay): void {
    if (this.#delay === queueMicrotask) addEventListener("unload", this.#flush);
    this.#delay = delay;
  }

  /** Lines go out at the end of the turn again; for a process that is ending. */
  undelay(): void {
    removeEventListener("unload", this.#flush);
    this.#delay = queueMicrotask;
    this.flush();
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#text === "") return;
    const bytes = this.#encoder.encode(this.#text);
    this.#text = "";
    try {
      for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
    } catch {
      // A closed stdout must not end a proxy.
    }
  }
}

/** The process's standard output. */
export const stdoutSink: StdoutSink = new StdoutSink();
