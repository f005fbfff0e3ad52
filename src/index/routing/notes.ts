import { parseDurationMs } from "../../core/duration.ts";
import { isObject } from "../read.ts";

/** What was found wrong with an object, with places; bounded. */
export class Notes {
  readonly texts: string[] = [];
  #more = 0;

  add(text: string): void {
    const MAX = 24;
    if (this.texts.length < MAX) this.texts.push(text);
    else this.texts[MAX] = `… and ${++this.#more} more`;
  }

  get size(): number {
    return this.texts.length;
  }

  toString(): string {
    return this.texts.join("; ");
  }
}

/** Ten years: longer than anybody waits, and within what timers and JSON take. */
const MAX_MS = 315_360_000_000;

/** A value for a message, cut short. */
export function shown(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 80) ?? "undefined";
}

/**
 * Reads the fields of one object and notes what cannot be read. `bad` becomes true for anything that would change what the object
 * means: a value of another type, a field that nobody knows or supports.
 */
export class Fields {
  readonly #object: Record<string, unknown>;
  bad = false;

  constructor(value: unknown, readonly place: string, readonly notes: Notes, known: readonly string[]) {
    this.#object = isObject(value) ? value : {};
    if (!isObject(value) && value !== undefined && value !== null) this.wrong("", value);
    for (const field of Object.keys(this.#object)) {
      if (!known.includes(field) && this.has(field)) this.unsupported(field);
    }
  }

  has(field: string): boolean {
    return this.#object[field] !== undefined && this.#object[field] !== null;
  }

  raw(field: string): unknown {
    return this.#object[field] ?? undefined;
  }

  at(field: string): string {
    return this.place === "" ? field : field === "" ? this.place : `${this.place}.${field}`;
  }

  wrong(field: string, value: unknown): void {
    this.bad = true;
    this.notes.add(`cannot use ${this.at(field)}=${shown(value)}`);
  }

  unsupported(field: string): void {
    this.bad = true;
    this.notes.add(`${this.at(field)} is not supported`);
  }

  /** What has no effect, where requests are still served as meant. */
  without(field: string, why = ""): void {
    this.notes.add(`${this.at(field)} is not supported${why === "" ? "" : `: ${why}`}`);
  }

  /** A text that is not longer than `most`. */
  text(field: string, fallback = "", most = 4096): string {
    const value = this.#object[field];
    if (value === undefined || value === null) return fallback;
    if (typeof value === "string" && value.length <= most) return value;
    this.wrong(field, value);
    return fallback;
  }

  flag(field: string): boolean {
    const value = this.#object[field];
    if (typeof value === "boolean") return value;
    if (value !== undefined && value !== null) this.wrong(field, value);
    return false;
  }

  /** An integer within bounds. */
  count(field: string, least = 0, most = 2 ** 31 - 1): number | undefined {
    const value = this.#object[field];
    if (value === undefined || value === null) return undefined;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    this.wrong(field, value);
    return undefined;
  }

  /** Milliseconds of a Go duration. */
  duration(field: string): number | undefined {
    const value = this.#object[field];
    if (value === undefined || value === null) return undefined;
    try {
      const ms = typeof value === "string" ? parseDurationMs(value) : NaN;
      if (ms >= 0 && ms <= MAX_MS) return ms;
    } catch {
      // Said below.
    }
    this.wrong(field, value);
    return undefined;
  }

  list(field: string): readonly unknown[] {
    const value = this.#object[field];
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value;
    this.wrong(field, value);
    return [];
  }

  texts(field: string): string[] {
    return this.list(field).filter((one, i): one is string => {
      if (typeof one === "string" && one.length <= 4096) return true;
      this.wrong(`${field}[${i}]`, one);
      return false;
    });
  }

  /** The fields of an object in a field. Its faults are this one's once `take` has been called. */
  object(field: string, known: readonly string[]): Fields {
    return new Fields(this.raw(field), this.at(field), this.notes, known);
  }

  objects(field: string, known: readonly string[]): Fields[] {
    return this.list(field).map((one, i) => new Fields(one ?? 0, this.at(`${field}[${i}]`), this.notes, known));
  }

  /** Pairs of a map of texts. */
  pairs(field: string): [string, string][] {
    const value = this.raw(field);
    if (value === undefined) return [];
    if (!isObject(value)) {
      this.wrong(field, value);
      return [];
    }
    return Object.entries(value).filter((pair): pair is [string, string] => {
      if (typeof pair[1] === "string" && pair[1].length <= 4096) return true;
      this.wrong(`${field}["${pair[0]}"]`, pair[1]);
      return false;
    });
  }

  /** Takes over that parts are bad. */
  take(...parts: { readonly bad: boolean }[]): void {
    for (const { bad } of parts) this.bad ||= bad;
  }
}
