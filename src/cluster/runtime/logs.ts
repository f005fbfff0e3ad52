import type { LogOptions } from "../contracts.ts";

/** A log is turned over at this size; one older file is kept. */
const ROTATE_BYTES = 10 * 1024 * 1024;

/** Longer lines are cut into parts marked `P`, as container runtimes do. */
const PART_BYTES = 16 * 1024;

const NEWLINE = 10;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The log of one start of a container, in the CRI format: `<RFC 3339 time> stdout|stderr F|P <text>`. */
export class LogFile {
  readonly path: string;
  #file: Deno.FsFile | undefined;
  #size: number;
  #rest: Record<"stdout" | "stderr", Uint8Array> = { stdout: new Uint8Array(0), stderr: new Uint8Array(0) };
  readonly #waiting = new Set<() => void>();
  #generation = 0;
  readonly #rotateBytes: number;

  constructor(path: string, rotateBytes = ROTATE_BYTES) {
    this.path = path;
    this.#rotateBytes = rotateBytes;
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    this.#file = Deno.openSync(path, { create: true, append: true });
    this.#size = this.#file.statSync().size;
  }

  /** Counts up whenever the file is turned over. */
  get generation(): number {
    return this.#generation;
  }

  get closed(): boolean {
    return this.#file === undefined;
  }

  /** Appends output; a line without its end waits for it. */
  write(stream: "stdout" | "stderr", chunk: Uint8Array): void {
    if (!this.#file) return;
    const before = this.#rest[stream];
    let bytes = chunk;
    if (before.length > 0) {
      bytes = new Uint8Array(before.length + chunk.length);
      bytes.set(before);
      bytes.set(chunk, before.length);
    }
    const head = encoder.encode(`${timestamp()} ${stream} `);
    const parts: Uint8Array[] = [];
    let at = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, at);
      if (end < 0 && bytes.length - at < PART_BYTES) break;
      const full = end >= 0 && end - at <= PART_BYTES;
      const stop = full ? end : at + PART_BYTES;
      parts.push(head, full ? FULL : PARTIAL, bytes.subarray(at, stop), LINE_END);
      at = full ? end + 1 : stop;
    }
    this.#rest[stream] = bytes.slice(at);
    this.#append(parts);
  }

  #append(parts: Uint8Array[]): void {
    if (parts.length === 0 || !this.#file) return;
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    if (this.#size > 0 && this.#size + bytes.length > this.#rotateBytes) this.#rotate();
    try {
      for (let done = 0; done < bytes.length;) done += this.#file.writeSync(bytes.subarray(done));
    } catch {
      // A full disk loses log lines, not the container.
    }
    this.#size += bytes.length;
    this.#wake();
  }

  #rotate(): void {
    this.#file?.close();
    Deno.renameSync(this.path, `${this.path}.1`);
    this.#file = Deno.openSync(this.path, { create: true, append: true });
    this.#size = 0;
    this.#generation++;
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Resolves at the next write or at the end. */
  changed(signal?: AbortSignal): Promise<void> {
    if (this.closed || signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        signal?.removeEventListener("abort", wake);
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake);
    });
  }

  close(): void {
    if (!this.#file) return;
    for (const stream of ["stdout", "stderr"] as const) {
      if (this.#rest[stream].length > 0) {
        this.#append([encoder.encode(`${timestamp()} ${stream} F `), this.#rest[stream], LINE_END]);
      }
    }
    this.#file.close();
    this.#file = undefined;
    this.#wake();
  }
}

const FULL = encoder.encode("F ");
const PARTIAL = encoder.encode("P ");
const LINE_END = Uint8Array.of(NEWLINE);

/** RFC 3339 with nine digits of fraction, as container runtimes write it. */
function timestamp(): string {
  const micros = Math.round((performance.timeOrigin + performance.now()) * 1000);
  const fraction = String(micros % 1_000_000).padStart(6, "0");
  return `${new Date(Math.floor(micros / 1000)).toISOString().slice(0, 19)}.${fraction}000Z`;
}

/**
 * What `kubectl logs` shows of a file.
 *
 * @param live the log while its container writes to it; without it following ends at the end of the file
 */
export function readLog(path: string, options: LogOptions, live?: LogFile): ReadableStream<Uint8Array> {
  const stop = new AbortController();
  const parts = selected(path, options, live, stop.signal);
  return new ReadableStream({
    async pull(controller) {
      try {
        const { value, done } = await parts.next();
        if (done) controller.close();
        else controller.enqueue(value);
      } catch (error) {
        controller.error(error);
      }
    },
    async cancel() {
      stop.abort();
      await parts.return(undefined);
    },
  }, { highWaterMark: 0 });
}

async function* selected(
  path: string,
  options: LogOptions,
  live: LogFile | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let budget = options.limitBytes ?? Infinity;
  const since = sinceText(options);
  const show = (text: string): Uint8Array => {
    const bytes = encoder.encode(text);
    const cut = bytes.subarray(0, Math.max(0, Math.min(bytes.length, budget)));
    budget -= cut.length;
    return cut;
  };
  // Everything is read synchronously: the writer is in this process, and can neither write nor turn the file over meanwhile.
  let generation = live?.generation ?? 0;
  let file = open(path);
  try {
    let past = read(path + ".1") + (file ? rest(file) : "");
    // The writer appends whole lines, so only a file of a process that was killed ends within one.
    let pending = past.slice(past.lastIndexOf("\n") + 1);
    past = past.slice(0, past.length - pending.length);
    const records = past.split("\n").slice(0, -1).filter((line) => line.slice(0, 30) >= since);
    const wanted = options.tailLines === undefined ? records : tail(records, options.tailLines);
    const text = wanted.map((line) => render(line, options)).join("");
    if (text !== "") yield show(text);
    while (options.follow && live && budget > 0 && !signal.aborted) {
      const ended = live.closed;
      let more = file ? rest(file) : "";
      if (live.generation !== generation) {
        // A follower who was away for one file has it in the older one; what is older still is gone.
        if (live.generation - generation > 1) more += read(path + ".1");
        generation = live.generation;
        file?.close();
        file = open(path);
        more += file ? rest(file) : "";
      }
      more = pending + more;
      pending = more.slice(more.lastIndexOf("\n") + 1);
      const fresh = more.split("\n").slice(0, -1).map((line) => render(line, options)).join("");
      if (fresh !== "") yield show(fresh);
      else if (ended) break;
      else await live.changed(signal);
    }
  } finally {
    file?.close();
  }
}

/** The last `count` lines; parts of a long line count as one. */
function tail(records: string[], count: number): string[] {
  let from = records.length;
  for (let left = count; left > 0 && from > 0; left--) {
    from--;
    while (from > 0 && isPart(records[from - 1])) from--;
  }
  return records.slice(from);
}

const isPart = (record: string) => record.startsWith(" P ", record.indexOf(" ", 31));

function render(record: string, { timestamps }: LogOptions): string {
  const match = /^(\S+) (?:stdout|stderr) ([FP]) /.exec(record);
  if (!match) return "";
  const text = record.slice(match[0].length) + (match[2] === "F" ? "\n" : "");
  return timestamps ? `${match[1]} ${text}` : text;
}

/** Compares as text with the times of the lines. */
function sinceText({ sinceSeconds, sinceTime }: LogOptions): string {
  if (sinceSeconds !== undefined) return new Date(Date.now() - sinceSeconds * 1000).toISOString();
  if (sinceTime !== undefined && !Number.isNaN(Date.parse(sinceTime))) return new Date(sinceTime).toISOString();
  return "";
}

function open(path: string): Deno.FsFile | undefined {
  try {
    return Deno.openSync(path);
  } catch {
    return undefined;
  }
}

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

function rest(file: Deno.FsFile): string {
  const parts: Uint8Array[] = [];
  const buffer = new Uint8Array(65536);
  for (let n; (n = file.readSync(buffer)) !== null;) parts.push(buffer.slice(0, n));
  if (parts.length === 0) return "";
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return decoder.decode(all);
}
