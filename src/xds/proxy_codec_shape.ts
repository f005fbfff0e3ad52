// Shape checks of untrusted JSON: each returns the value as its type says it is, built anew with only the fields that the type has, or
// throws saying where and why. What a type does not name is refused: a field that one side does not know may be what closes a door.

import { parseIp } from "../core/ip.ts";
import type { IpRange } from "../model/policy.ts";
import { checkPrefix } from "./address_bytes.ts";

/** Reads a value of `T` out of anything. */
export type Shape<T> = (value: unknown) => T;

/** A field that may be absent. */
export interface OptionalShape<T> {
  readonly optional: Shape<T>;
}

/** A shape for each field of `T`, optional ones marked as such: a field added to the model does not compile until it is read here. */
export type Fields<T> = {
  readonly [K in keyof T]-?: undefined extends T[K] ? OptionalShape<Exclude<T[K], undefined>> : Shape<T[K]>;
};

/** Where a value does not fit, from the outside in. */
export class ShapeError extends Error {
  #path = "";

  constructor(readonly why: string) {
    super(why);
    this.name = "ShapeError";
  }

  inside(step: string): this {
    this.#path = this.#path === "" || this.#path.startsWith("[") ? step + this.#path : `${step}.${this.#path}`;
    this.message = `${this.#path}: ${this.why}`;
    return this;
  }
}

/** What a value is, short enough for a log line. */
function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 64 ? `${text.slice(0, 64)}…` : text;
}

function refuse(wanted: string, value: unknown): never {
  throw new ShapeError(`expected ${wanted}, got ${shown(value)}`);
}

/** Runs `read` as part of the value that `step` names. */
function within<T>(step: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof ShapeError ? error.inside(step) : error;
  }
}

export function optional<T>(shape: Shape<T>): OptionalShape<T> {
  return { optional: shape };
}

/** An object of exactly these fields. */
export function object<T>(fields: Fields<T>): Shape<T> {
  const table = Object.entries(fields) as [string, Shape<unknown> | OptionalShape<unknown>][];
  const known = new Set(table.map(([name]) => name));
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) refuse("an object", value);
    for (const name of Object.keys(value)) {
      if (!known.has(name)) throw new ShapeError(`unknown field "${name.slice(0, 64)}"`);
    }
    const result: Record<string, unknown> = {};
    for (const [name, shape] of table) {
      const field = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
      if (typeof shape === "function") result[name] = within(name, () => shape(field));
      else if (field !== undefined) result[name] = within(name, () => shape.optional(field));
    }
    return result as T;
  };
}

/** Shapes of the fields beside `kind`. */
export type Body<T> = Fields<Omit<T, "kind">>;

/** An object whose `kind` says which other fields it has. */
export function variants<T extends { readonly kind: string }>(
  bodies: { readonly [K in T["kind"]]: Body<Extract<T, { readonly kind: K }>> },
): Shape<T> {
  const table = new Map<string, Shape<T>>(
    Object.entries(bodies).map(([kind, body]) =>
      [kind, object({ kind: oneOf(kind), ...body as object }) as unknown as Shape<T>] as const
    ),
  );
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) refuse("an object", value);
    const kind = Object.hasOwn(value, "kind") ? (value as { kind: unknown }).kind : undefined;
    const shape = typeof kind === "string" ? table.get(kind) : undefined;
    if (!shape) throw new ShapeError(`unknown kind ${shown(kind)}`).inside("kind");
    return shape(value);
  };
}

/** More elements than any mesh has are an attack, or a mistake. */
const MAX_ELEMENTS = 100_000;

export function list<T>(shape: Shape<T>): Shape<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value)) refuse("a list", value);
    if (value.length > MAX_ELEMENTS) {
      throw new ShapeError(`a list of ${value.length}, at most ${MAX_ELEMENTS} are taken`);
    }
    return value.map((item, i) => within(`[${i}]`, () => shape(item)));
  };
}

export function record<T>(shape: Shape<T>): Shape<Readonly<Record<string, T>>> {
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) refuse("an object", value);
    const entries = Object.entries(value);
    if (entries.length > MAX_ELEMENTS) {
      throw new ShapeError(`an object of ${entries.length} fields, at most ${MAX_ELEMENTS} are taken`);
    }
    return Object.fromEntries(
      entries.map(([key, item]) => [key, within(`["${key.slice(0, 64)}"]`, () => shape(item))]),
    );
  };
}

export function pair<A, B>(first: Shape<A>, second: Shape<B>): Shape<readonly [A, B]> {
  return (value) => {
    if (!Array.isArray(value) || value.length !== 2) refuse("a pair", value);
    return [within("[0]", () => first(value[0])), within("[1]", () => second(value[1]))];
  };
}

export function oneOf<const T extends string>(...words: readonly T[]): Shape<T> {
  const known = new Set<string>(words);
  return (value) =>
    typeof value === "string" && known.has(value) ? value as T : refuse(`one of ${words.join(", ")}`, value);
}

export const bool: Shape<boolean> = (value) => typeof value === "boolean" ? value : refuse("true or false", value);

/** A whole number of the range. */
export function integer(min: number, max: number): Shape<number> {
  return (value) =>
    typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
      ? value
      : refuse(`a whole number from ${min} to ${max}`, value);
}

export function number(min: number, max: number): Shape<number> {
  return (value) =>
    typeof value === "number" && value >= min && value <= max ? value : refuse(`a number from ${min} to ${max}`, value);
}

/** Timers of the runtime end here, at 24.8 days; longer times are cut to it. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const TEN_YEARS_MS = 10 * 365 * 86_400_000;

/** Milliseconds. */
export const milliseconds: Shape<number> = (value) =>
  typeof value === "number" && value >= 0 && value <= TEN_YEARS_MS
    ? Math.min(value, MAX_TIMER_MS)
    : refuse("milliseconds, at most ten years", value);

/** A text of at most `max` UTF-16 units. */
export function text(max: number, min = 0): Shape<string> {
  return (value) => {
    if (typeof value !== "string") refuse("a text", value);
    if (value.length < min) throw new ShapeError("an empty text");
    if (value.length > max) throw new ShapeError(`a text of ${value.length} characters, at most ${max} are taken`);
    return value;
  };
}

/** A text that fits a pattern. */
export function fitting(pattern: RegExp, wanted: string, max = 4096): Shape<string> {
  const short = text(max);
  return (value) => {
    const read = short(value);
    return pattern.test(read) ? read : refuse(wanted, value);
  };
}

export const ipAddress: Shape<string> = (value) =>
  typeof value === "string" && value.length < 64 && parseIp(value) ? value : refuse("an IP address", value);

const range = object<IpRange>({ address: ipAddress, length: integer(0, 128) });

export const ipRange: Shape<IpRange> = (value) => {
  const read = range(value);
  return { address: read.address, length: within("length", () => prefix(read.address, read.length)) };
};

function prefix(address: string, length: number): number {
  try {
    return checkPrefix(address, length);
  } catch {
    return refuse(`a prefix of "${address}"`, length);
  }
}
