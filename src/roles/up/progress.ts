import { palette, terminalColumns, wantsColor } from "../../core/terminal.ts";

/** A terminal, as far as it shapes text. */
export interface Screen {
  readonly columns: number;
  readonly color: boolean;
}

/** Shows what is going on: a line for each finished step, and on a terminal a live line for the running one. */
export class Progress {
  readonly #terminal: boolean;
  readonly #columns: number | undefined;
  readonly #colors;
  readonly #write: (text: string) => void;
  readonly #frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
  #live: { text: string; since: number; timer: ReturnType<typeof setInterval> } | undefined;
  #frame = 0;

  /** @param shownOn the terminal on which somebody else shows the output, which itself goes to a file */
  constructor(shownOn?: Screen) {
    this.#terminal = shownOn === undefined && Deno.stdout.isTerminal();
    this.#colors = palette(shownOn ? shownOn.color : wantsColor(Deno.stdout));
    this.#columns = shownOn?.columns;
    const encoder = new TextEncoder();
    this.#write = (text) => {
      const bytes = encoder.encode(text);
      for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
    };
  }

  get colors() {
    return this.#colors;
  }

  /** Columns to stay within; endless where the output is no terminal, so that lines stay whole for other programs. */
  get columns(): number {
    return this.#columns ?? (this.#terminal ? terminalColumns() ?? 80 : Infinity);
  }

  /** Prints a line as it is. */
  line(text = ""): void {
    this.#clear();
    this.#write(text + "\n");
    this.#draw();
  }

  /** Shows on a terminal that something is going on, until the function that it returns is called. */
  busy(text: string): () => void {
    if (!this.#terminal) return () => {};
    this.#live = { text, since: performance.now(), timer: setInterval(() => this.#redraw(), 100) };
    this.#draw();
    return () => this.#stopLive();
  }

  /** Prints a line on standard error, beside the live line. */
  complain(text: string): void {
    this.#clear();
    console.error(text);
    this.#draw();
  }

  /** Runs one step, named in the present ("Starting the nodes"); prints how it ended and how long it took. */
  async step<T>(text: string, work: (update: (detail: string) => void) => Promise<T>): Promise<T> {
    const since = performance.now();
    if (this.#terminal) {
      this.#live = { text, since, timer: setInterval(() => this.#redraw(), 100) };
      this.#draw();
    }
    const finish = (mark: string) => {
      this.#stopLive();
      const seconds = ((performance.now() - since) / 1000).toFixed(1);
      this.#write(` ${mark} ${text} ${this.#colors.dim(`${seconds}s`)}\n`);
    };
    try {
      const result = await work((detail) => {
        if (this.#live) this.#live.text = `${text}: ${detail}`;
      });
      finish(this.#colors.green("✔"));
      return result;
    } catch (error) {
      finish(this.#colors.red("✘"));
      throw error;
    }
  }

  #stopLive(): void {
    if (!this.#live) return;
    clearInterval(this.#live.timer);
    this.#clear();
    this.#live = undefined;
  }

  #redraw(): void {
    this.#frame = (this.#frame + 1) % this.#frames.length;
    this.#clear();
    this.#draw();
  }

  #draw(): void {
    if (!this.#live) return;
    const columns = terminalColumns() ?? 80;
    const time = ` ${((performance.now() - this.#live.since) / 1000).toFixed(1)}s`;
    const text = ` ${this.#frames[this.#frame]} ${this.#live.text}`, room = Math.max(1, columns - time.length - 1);
    this.#write((text.length > room ? `${text.slice(0, room - 1)}…` : text) + this.#colors.dim(time));
  }

  #clear(): void {
    if (this.#terminal && this.#live) this.#write("\r\x1b[2K");
  }
}
