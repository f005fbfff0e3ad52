import { resizeTerminal } from "./terminal.ts";
import type { ExecSession } from "../contracts.ts";

export type OutputName = "stdout" | "stderr";

/** Output kept for the first who attaches: a prompt that was printed before, the start of a greeting. */
const EARLY_BYTES = 16 * 1024;
/** A client that does not read is cut off rather than kept in memory. */
const BACKLOG_BYTES = 4 * 1024 * 1024;

type Sink = (name: OutputName, chunk: Uint8Array) => void;

/** Standard input and output of one start of a container, for those who attach to it. */
export class ContainerStreams {
  readonly tty: boolean;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array> | undefined;
  readonly #helper: number;
  readonly #sinks = new Set<Sink>();
  readonly #ended = Promise.withResolvers<void>();
  #over = false;
  #early: { name: OutputName; chunk: Uint8Array }[] | undefined;
  #earlyBytes = 0;

  /** @param helper the process that was started for the container */
  constructor(stdin: WritableStream<Uint8Array> | undefined, helper: number, tty: boolean) {
    this.#stdin = stdin?.getWriter();
    this.#helper = helper;
    this.tty = tty;
    // Only a container that was made to be attached to waits for that.
    if (stdin) this.#early = [];
  }

  output(name: OutputName, chunk: Uint8Array): void {
    if (this.#early && this.#sinks.size === 0 && this.#earlyBytes < EARLY_BYTES) {
      this.#early.push({ name, chunk: chunk.slice() });
      this.#earlyBytes += chunk.length;
    }
    for (const sink of this.#sinks) sink(name, chunk);
  }

  /** The container has ended. */
  end(): void {
    this.#over = true;
    this.#ended.resolve();
    this.#stdin?.close().catch(() => {});
  }

  /**
   * Joins a client to the container until it leaves or the container ends.
   *
   * @param container the main process
   * @param once standard input ends with the first client that had it
   */
  attach(
    container: number,
    options: { stdin: boolean; stdout: boolean; stderr: boolean },
    once: boolean,
  ): ExecSession {
    const outputs: Partial<Record<OutputName, ReadableStreamDefaultController<Uint8Array>>> = {};
    const reader = (name: OutputName) =>
      new ReadableStream<Uint8Array>({ start: (controller) => void (outputs[name] = controller) }, {
        highWaterMark: BACKLOG_BYTES,
        size: (chunk) => chunk.length,
      });
    const stdout = reader("stdout"), stderr = options.stderr && !this.tty ? reader("stderr") : undefined;
    const { promise: exit, resolve } = Promise.withResolvers<number>();
    const sink: Sink = (name, chunk) => {
      const controller = outputs[this.tty ? "stdout" : name];
      if (!controller || (name === "stdout" && !options.stdout)) return;
      if ((controller.desiredSize ?? 0) < chunk.length) leave();
      else controller.enqueue(chunk.slice());
    };
    let left = false;
    const leave = () => {
      if (left) return;
      left = true;
      this.#sinks.delete(sink);
      for (const controller of Object.values(outputs)) controller.close();
      if (once && options.stdin) this.#stdin?.close().catch(() => {});
      resolve(0);
    };
    for (const { name, chunk } of this.#early ?? []) sink(name, chunk);
    this.#early = undefined;
    this.#sinks.add(sink);
    if (this.#over) leave();
    this.#ended.promise.then(leave);
    let resizing: Promise<unknown> = Promise.resolve();
    return {
      ...options.stdin && this.#stdin ? { stdin: this.#input(this.#stdin, once) } : {},
      stdout,
      ...stderr ? { stderr } : {},
      resize: (columns, rows) => {
        if (!this.tty) return;
        const over = () => this.#over;
        resizing = resizing.then(() => resizeTerminal(container, this.#helper, over, columns, rows)).catch(() => {});
      },
      exit,
      kill: leave,
    };
  }

  #input(stdin: WritableStreamDefaultWriter<Uint8Array>, once: boolean): WritableStream<Uint8Array> {
    return new WritableStream({
      write: (chunk) => stdin.write(chunk),
      close: async () => {
        if (once) await stdin.close().catch(() => {});
      },
    });
  }
}
