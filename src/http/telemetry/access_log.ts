// Access log lines, gathered and written many at a time.

import type { L7Settings } from "../../model/mod.ts";
import type { Reactor, Timer } from "../../net/mod.ts";
import type { RequestRecord } from "../exchange/record.ts";
import {
  type CompiledFormat,
  compileFormat,
  DEFAULT_JSON_FORMAT,
  DEFAULT_TEXT_FORMAT,
  formatJsonValue,
  formatText,
} from "./log_format.ts";

/** Written when so much has gathered, or so much time has passed. */
const FLUSH_BYTES = 64 * 1024;
const FLUSH_MS = 100;
/**
 * Lines become bytes when there are so many characters of them, so their pieces, fifty a line, are still in the cache: at 64 KiB, joining them cost a
 * twentieth of all time, and they lived long enough to be copied by the collector.
 */
const PIECE_CHARACTERS = 4096;

/** Takes whole lines; standard output by default. The bytes are only valid during the call. */
export type LogWriter = (bytes: Uint8Array) => void;

const encoder = new TextEncoder();

export function stdoutWriter(bytes: Uint8Array): void {
  try {
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  } catch {
    // A closed stdout must not end a proxy.
  }
}

export class AccessLog {
  readonly #reactor: Reactor;
  readonly #write: LogWriter;
  #configured: L7Settings["accessLog"];
  #line: ((record: RequestRecord) => string) | null = null;
  #text = "";
  #bytes = new Uint8Array(4 * PIECE_CHARACTERS);
  #length = 0;
  #timer: Timer | null = null;

  constructor(reactor: Reactor, write: LogWriter = stdoutWriter) {
    this.#reactor = reactor;
    this.#write = write;
  }

  get enabled(): boolean {
    return this.#line !== null;
  }

  /**
   * Changes the format; undefined: no log.
   *
   * @returns operators of the format that are not known
   */
  configure(settings: L7Settings["accessLog"]): string[] {
    const before = this.#configured;
    if (settings?.encoding === before?.encoding && settings?.format === before?.format) return [];
    this.#configured = settings;
    if (settings === undefined) {
      this.#line = null;
      return [];
    }
    const unknown: string[] = [];
    this.#line = settings.encoding === "JSON" ? jsonLine(settings.format, unknown) : textLine(settings.format, unknown);
    return unknown;
  }

  log(record: RequestRecord): void {
    if (this.#line === null) return;
    this.#text += this.#line(record);
    if (this.#text.length >= PIECE_CHARACTERS) {
      this.#encode();
      if (this.#length >= FLUSH_BYTES) return this.flush();
    }
    if (this.#timer === null) this.#timer = this.#reactor.setTimer(FLUSH_MS, () => this.flush());
    else if (!this.#timer.pending) this.#reactor.resetTimer(this.#timer, FLUSH_MS);
  }

  flush(): void {
    this.#timer?.cancel();
    this.#encode();
    const length = this.#length;
    this.#length = 0;
    if (length > 0) this.#write(this.#bytes.subarray(0, length));
  }

  #encode(): void {
    const text = this.#text, from = this.#length, room = from + text.length * 3;
    this.#text = "";
    if (room > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(room, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, from));
      this.#bytes = larger;
    }
    this.#length = from + encoder.encodeInto(text, this.#bytes.subarray(from)).written;
  }
}

function textLine(format: string, unknown: string[]): (record: RequestRecord) => string {
  const text = format === "" ? DEFAULT_TEXT_FORMAT : format.endsWith("\n") ? format : `${format}\n`;
  const compiled = compileFormat(text);
  unknown.push(...compiled.unknown);
  return (record) => formatText(compiled, record);
}

/** `format` is a JSON object of format strings, nested as one likes; "" for Istio's default. */
function jsonLine(format: string, unknown: string[]): (record: RequestRecord) => string {
  let shape: unknown = DEFAULT_JSON_FORMAT;
  if (format !== "") {
    try {
      shape = JSON.parse(format);
    } catch {
      unknown.push(format.slice(0, 40));
    }
  }
  const compiled = compileShape(shape, unknown);
  return (record) => `${JSON.stringify(evaluate(compiled, record))}\n`;
}

type Shape = CompiledFormat | Shape[] | { readonly object: readonly (readonly [string, Shape])[] } | {
  readonly value: unknown;
};

function compileShape(value: unknown, unknown: string[]): Shape {
  if (typeof value === "string") {
    const compiled = compileFormat(value);
    unknown.push(...compiled.unknown);
    return compiled;
  }
  if (Array.isArray(value)) return value.map((item) => compileShape(item, unknown));
  if (typeof value === "object" && value !== null) {
    return { object: Object.entries(value).map(([key, item]) => [key, compileShape(item, unknown)] as const) };
  }
  return { value };
}

function evaluate(shape: Shape, record: RequestRecord): unknown {
  if (Array.isArray(shape)) return shape.map((item) => evaluate(item, record));
  if ("operators" in shape) return formatJsonValue(shape, record);
  if ("value" in shape) return shape.value;
  return Object.fromEntries(shape.object.map(([key, item]) => [key, evaluate(item, record)]));
}
