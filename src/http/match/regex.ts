// Users' regular expressions, in linear time whatever they and their input are.
//
// RE2 semantics come from re2js. Most expressions in routes are simpler than that: a literal with `.*` around it, or a sequence
// that a backtracking engine cannot get wrong. Those take cheaper forms, where linear time is provable (see {@linkcode simple}).

import { RE2JS } from "re2js";

/** Matches a whole text. */
export interface WholeTextMatcher {
  matches(text: string): boolean;
}

const enum Shape {
  Exact,
  Prefix,
  Suffix,
  Contains,
  Any,
  NotEmpty,
}

class LiteralMatcher implements WholeTextMatcher {
  constructor(readonly shape: Shape, readonly literal: string) {}
  matches(text: string): boolean {
    switch (this.shape) {
      case Shape.Exact:
        return text === this.literal;
      case Shape.Prefix:
        return text.startsWith(this.literal);
      case Shape.Suffix:
        return text.endsWith(this.literal);
      case Shape.Contains:
        return text.includes(this.literal);
      case Shape.Any:
        return true;
      case Shape.NotEmpty:
        return text !== "";
    }
  }
}

class BuiltinMatcher implements WholeTextMatcher {
  readonly #regex: RegExp;
  constructor(pattern: string) {
    this.#regex = new RegExp(`^(?:${pattern})$`);
  }
  matches(text: string): boolean {
    return this.#regex.test(text);
  }
}

class Re2Matcher implements WholeTextMatcher {
  readonly #regex: ReturnType<typeof RE2JS.compile>;
  constructor(pattern: string) {
    this.#regex = RE2JS.compile(pattern);
  }
  matches(text: string): boolean {
    return this.#regex.testExact(text);
  }
}

/**
 * Compiles an RE2 expression that must match whole texts (without line breaks, which no header or path has).
 *
 * @returns undefined when the expression is not valid
 */
export function compileRegex(pattern: string): WholeTextMatcher | undefined {
  const known = compiled.get(pattern);
  if (known) return known;
  const matcher = compileAnew(pattern);
  if (matcher) {
    characters += pattern.length;
    if (compiled.size >= MAX_COMPILED || characters > MAX_CHARACTERS) {
      compiled.clear();
      characters = pattern.length;
    }
    compiled.set(pattern, matcher);
  }
  return matcher;
}

/**
 * What was compiled lately: a change of one route brings all routes of its host anew, and an expression takes 0.1 ms and more. Matchers hold
 * no state, but some 10 KB, so that not many are kept.
 */
const compiled = new Map<string, WholeTextMatcher>();
const MAX_COMPILED = 2_000, MAX_CHARACTERS = 256 * 1024;
let characters = 0;

function compileAnew(pattern: string): WholeTextMatcher | undefined {
  const literal = literalShape(pattern);
  if (literal) return literal;
  try {
    return isSimple(pattern) ? new BuiltinMatcher(pattern) : new Re2Matcher(pattern);
  } catch {
    return undefined;
  }
}

/** Replaces every match; substitution in RE2's form (`\1`), as Envoy's rewrites take it. */
export interface Replacer {
  replace(text: string): string;
}

/** @returns undefined when the expression or the substitution is not valid */
export function compileReplacer(pattern: string, substitution: string): Replacer | undefined {
  try {
    const regex = RE2JS.compile(pattern);
    const parts = substitutionParts(substitution, regex.groupCount());
    if (!parts) return undefined;
    const substitute = (...args: unknown[]): string => {
      let out = "";
      for (const part of parts) out += typeof part === "string" ? part : args[part] ?? "";
      return out;
    };
    return { replace: (text) => regex.matcher(text).replaceAll(substitute) };
  } catch {
    return undefined;
  }
}

/** Text and numbers of groups (`\\1`). Undefined for a group that does not exist or a stray backslash. */
function substitutionParts(text: string, groups: number): (string | number)[] | undefined {
  const parts: (string | number)[] = [];
  let literal = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== "\\") {
      literal += text[i];
      continue;
    }
    const next = text[++i] ?? "";
    if (next === "\\") literal += next;
    else if (/[0-9]/.test(next) && Number(next) <= groups) {
      parts.push(literal, Number(next));
      literal = "";
    } else return undefined;
  }
  parts.push(literal);
  return parts;
}

/** `literal`, `literal.*`, `.*literal`, `.*literal.*`, `.*`, `.+`. */
function literalShape(pattern: string): WholeTextMatcher | undefined {
  let text = pattern;
  if (text.startsWith("^")) text = text.slice(1);
  if (text.endsWith("$") && !text.endsWith("\\$")) text = text.slice(0, -1);
  if (text === ".*") return new LiteralMatcher(Shape.Any, "");
  if (text === ".+") return new LiteralMatcher(Shape.NotEmpty, "");
  const before = text.startsWith(".*"),
    after = text.length > 2 && text.endsWith(".*") && text[text.length - 3] !== "\\";
  const literal = unescapeLiteral(text.slice(before ? 2 : 0, after ? -2 : undefined));
  if (literal === undefined) return undefined;
  if (before && after) return new LiteralMatcher(Shape.Contains, literal);
  if (before) return new LiteralMatcher(Shape.Suffix, literal);
  return new LiteralMatcher(after ? Shape.Prefix : Shape.Exact, literal);
}

/** The text of an expression without operators; undefined when it has any. */
function unescapeLiteral(pattern: string): string | undefined {
  let out = "";
  for (let i = 0; i < pattern.length; i++) {
    let c = pattern[i];
    if (c === "\\") {
      c = pattern[++i] ?? "";
      if (c === "" || /[A-Za-z0-9]/.test(c)) return undefined;
    } else if (".*+?()[]{}|^$".includes(c)) return undefined;
    // Only ASCII means the same everywhere.
    if (c > "~") return undefined;
    out += c;
  }
  return out;
}

/** One atom: which characters below 128 it takes, and how often. */
interface Atom {
  readonly chars: Uint8Array;
  readonly unbounded: boolean;
  readonly optional: boolean;
}

/**
 * Whether a backtracking engine needs linear time for `pattern`, which must then be a plain sequence of characters, classes and `.`
 * with `*`, `+` and no groups or alternatives. Proof: an unbounded atom that is followed by an atom of one character taken from a
 * disjoint class (or by the end) can stop at one place only, so that giving back characters fails at once each time: linear
 * in its run, and no state is entered twice. One other unbounded atom, followed only by atoms of exactly one character, is tried at each of n
 * places with a tail of constant length: linear as well.
 */
export function isSimple(pattern: string): boolean {
  const atoms = parseSequence(pattern);
  if (!atoms || atoms.length > 64) return false;
  let ambiguous = 0;
  for (let i = 0; i < atoms.length; i++) {
    if (!atoms[i].unbounded) continue;
    const next = atoms[i + 1];
    const settled = next === undefined || (!next.optional && disjoint(atoms[i].chars, next.chars));
    if (settled && ambiguous === 0) continue;
    if (settled || ++ambiguous > 1) return false;
    // After the ambiguous one everything must be of fixed length.
    if (atoms.slice(i + 1).some((atom) => atom.unbounded || atom.optional)) return false;
  }
  return true;
}

function disjoint(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] && b[i]) return false;
  return true;
}

/** Index 128 stands for everything above ASCII. */
const TABLE = 129;

function parseSequence(pattern: string): Atom[] | undefined {
  const atoms: Atom[] = [];
  let i = pattern.startsWith("^") ? 1 : 0;
  const end = pattern.endsWith("$") && !pattern.endsWith("\\$") ? pattern.length - 1 : pattern.length;
  while (i < end) {
    const chars = new Uint8Array(TABLE);
    const c = pattern[i];
    if (c === ".") {
      chars.fill(1);
      i++;
    } else if (c === "[") {
      i = parseClass(pattern, i + 1, end, chars);
      if (i < 0) return undefined;
    } else if (c === "\\") {
      if (!escape(pattern[i + 1], chars)) return undefined;
      i += 2;
    } else if ("*+?()]{}|^$".includes(c) || c > "~") return undefined;
    else {
      chars[c.charCodeAt(0)] = 1;
      i++;
    }
    const quantifier = i < end ? pattern[i] : "";
    if (quantifier === "?" || quantifier === "{") return undefined;
    const repeated = quantifier === "*" || quantifier === "+";
    if (repeated) i++;
    // `+?`, `**` and the like.
    if (repeated && i < end && "*+?{".includes(pattern[i])) return undefined;
    atoms.push({ chars, unbounded: repeated, optional: quantifier === "*" });
  }
  return atoms;
}

/** `[a-z0-9_.-]`, not negated: negation and what RE2 and JavaScript read differently is left to RE2. */
function parseClass(pattern: string, from: number, end: number, chars: Uint8Array): number {
  let i = from, previous = -1;
  if (pattern[i] === "^") {
    // `[^/]` is common: one plain character.
    const c = pattern[i + 1];
    if (pattern[i + 2] !== "]" || c === undefined || c === "\\" || c === "[" || c === "]" || c > "~") return -1;
    chars.fill(1);
    chars[c.charCodeAt(0)] = 0;
    return i + 3;
  }
  for (; i < end && pattern[i] !== "]"; i++) {
    let c = pattern[i];
    if (c === "[" || c > "~") return -1;
    if (c === "-" && previous >= 0 && pattern[i + 1] !== "]") {
      const to = pattern.charCodeAt(i + 1);
      if (pattern[i + 1] === "\\" || pattern[i + 1] === "[" || to > 126 || to < previous) return -1;
      chars.fill(1, previous, to + 1);
      i++;
      previous = -1;
      continue;
    }
    if (c === "\\") {
      c = pattern[++i] ?? "";
      if (/[A-Za-z0-9]/.test(c)) {
        if (!escape(c, chars)) return -1;
        previous = -1;
        continue;
      }
    }
    if (c === "") return -1;
    previous = c.charCodeAt(0);
    chars[previous] = 1;
  }
  return i < end && i > from ? i + 1 : -1;
}

/** `\d`, `\w` and escaped punctuation mean the same to RE2 and JavaScript. */
function escape(c: string | undefined, chars: Uint8Array): boolean {
  if (c === undefined) return false;
  if (c === "d" || c === "w") chars.fill(1, 0x30, 0x3a);
  if (c === "w") {
    chars.fill(1, 0x41, 0x5b);
    chars.fill(1, 0x61, 0x7b);
    chars[0x5f] = 1;
  } else if (c !== "d") {
    if (/[A-Za-z0-9]/.test(c) || c > "~") return false;
    chars[c.charCodeAt(0)] = 1;
  }
  return true;
}
