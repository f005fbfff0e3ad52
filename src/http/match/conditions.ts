// The conditions of a route other than its path, compiled.

import { type HeaderMatch, type RouteMatch, SOURCE_LABELS, type TextMatch, type Workload } from "../../model/mod.ts";
import { type FieldName, fieldName, type Fields } from "../fields.ts";
import { compileRegex, type WholeTextMatcher } from "./regex.ts";

/** What a route is chosen by. The exchange fills one per request and hands it to {@linkcode RouteTable.select}. */
export interface MatchFacts {
  /** Lower case, without port. */
  readonly hostname: string;
  /** As sent. */
  readonly authority: string;
  /** Normalised, without query. */
  readonly path: string;
  /** Without `?`; "" for none. */
  readonly query: string;
  readonly method: string;
  readonly scheme: string;
  readonly fields: Fields;
  readonly sourceWorkload: Workload | undefined;
}

const enum Kind {
  Exact,
  ExactFolded,
  Prefix,
  PrefixFolded,
  Regex,
  /** An expression that cannot be read: nothing matches. */
  Never,
}

/** A {@linkcode TextMatch} ready to run. */
export class TextTest {
  readonly #kind: Kind;
  readonly #value: string;
  readonly #regex: WholeTextMatcher | undefined;

  constructor(match: TextMatch) {
    const folded = match.kind !== "regex" && match.ignoreCase === true;
    this.#value = folded ? match.value.toLowerCase() : match.value;
    this.#regex = match.kind === "regex" ? compileRegex(match.value) : undefined;
    if (match.kind === "regex") this.#kind = this.#regex ? Kind.Regex : Kind.Never;
    else if (match.kind === "exact") this.#kind = folded ? Kind.ExactFolded : Kind.Exact;
    else this.#kind = folded ? Kind.PrefixFolded : Kind.Prefix;
  }

  matches(text: string): boolean {
    switch (this.#kind) {
      case Kind.Exact:
        return text === this.#value;
      case Kind.ExactFolded:
        return text.toLowerCase() === this.#value;
      case Kind.Prefix:
        return text.startsWith(this.#value);
      case Kind.PrefixFolded:
        return text.toLowerCase().startsWith(this.#value);
      case Kind.Regex:
        return this.#regex!.matches(text);
      case Kind.Never:
        return false;
    }
  }
}

/** Which condition of a route did not hold. */
export type UnmatchedReason = "path" | "method" | "scheme" | "authority" | "header" | "query" | "source";

class NamedTest {
  readonly name: string;
  readonly field: FieldName;
  readonly value: TextTest | null;
  readonly invert: boolean;
  /** Of headers that are no fields: `:method` and the like. */
  readonly pseudo: string;

  constructor(match: HeaderMatch, header: boolean) {
    const pseudo = header && (match.name.startsWith(":") || match.name.toLowerCase() === "host");
    this.name = match.name;
    this.pseudo = pseudo ? match.name.toLowerCase() : "";
    this.field = fieldName(header && !pseudo ? match.name : "host");
    this.value = match.value ? new TextTest(match.value) : null;
    this.invert = match.invert === true;
  }

  holds(text: string | undefined): boolean {
    const hit = text !== undefined && (this.value === null || this.value.matches(text));
    return hit !== this.invert;
  }
}

const NONE: readonly NamedTest[] = [];

/** Everything of a {@linkcode RouteMatch} but the path. */
export class RouteConditions {
  readonly #method: TextTest | null;
  readonly #scheme: TextTest | null;
  readonly #authority: TextTest | null;
  readonly #headers: readonly NamedTest[];
  readonly #query: readonly NamedTest[];
  readonly #sourceNamespace: string | undefined;
  readonly #sourceLabels: readonly (readonly [string, string])[] | null;
  /** Nothing is asked for. */
  readonly empty: boolean;

  constructor(match: RouteMatch) {
    const text = (value: TextMatch | undefined) => value ? new TextTest(value) : null;
    this.#method = text(match.method);
    this.#scheme = text(match.scheme);
    this.#authority = text(match.authority);
    this.#headers = match.headers.length > 0 ? match.headers.map((header) => new NamedTest(header, true)) : NONE;
    this.#query = match.query.length > 0 ? match.query.map((query) => new NamedTest(query, false)) : NONE;
    this.#sourceNamespace = match.sourceNamespace;
    const labels = Object.entries(match.sourceLabels ?? {});
    this.#sourceLabels = labels.length > 0 ? labels : null;
    this.empty = !this.#method && !this.#scheme && !this.#authority && this.#headers === NONE && this.#query === NONE &&
      this.#sourceNamespace === undefined && this.#sourceLabels === null;
  }

  hold(facts: MatchFacts): boolean {
    return this.empty || this.unmatched(facts) === null;
  }

  /** The first condition that does not hold. */
  unmatched(facts: MatchFacts): UnmatchedReason | null {
    if (this.#method !== null && !this.#method.matches(facts.method)) return "method";
    if (this.#scheme !== null && !this.#scheme.matches(facts.scheme)) return "scheme";
    if (this.#authority !== null && !this.#authority.matches(facts.authority)) return "authority";
    for (let i = 0; i < this.#headers.length; i++) {
      const test = this.#headers[i];
      if (!test.holds(test.pseudo === "" ? facts.fields.joined(test.field) : pseudoHeader(facts, test.pseudo))) {
        return "header";
      }
    }
    for (let i = 0; i < this.#query.length; i++) {
      if (!this.#query[i].holds(queryParameter(facts.query, this.#query[i].name))) return "query";
    }
    if (this.#sourceNamespace !== undefined && facts.sourceWorkload?.namespace !== this.#sourceNamespace) {
      return "source";
    }
    if (this.#sourceLabels !== null) {
      for (const [label, value] of this.#sourceLabels) {
        if (workloadLabel(facts.sourceWorkload, label) !== value) return "source";
      }
    }
    return null;
  }
}

function pseudoHeader(facts: MatchFacts, name: string): string | undefined {
  switch (name) {
    case ":method":
      return facts.method;
    case ":scheme":
      return facts.scheme;
    case ":authority":
    case "host":
      return facts.authority;
    case ":path":
      return facts.query === "" ? facts.path : `${facts.path}?${facts.query}`;
    default:
      return undefined;
  }
}

/** The first value of a parameter as written, not decoded: what Envoy compares. */
export function queryParameter(query: string, name: string): string | undefined {
  let at = 0;
  while (at < query.length) {
    let end = query.indexOf("&", at);
    if (end < 0) end = query.length;
    const equals = query.indexOf("=", at);
    const nameEnd = equals < 0 || equals > end ? end : equals;
    if (nameEnd - at === name.length && query.startsWith(name, at)) {
      return nameEnd === end ? "" : query.slice(nameEnd + 1, end);
    }
    at = end + 1;
  }
  return undefined;
}

/** Workload discovery tells no labels but those behind the canonical name and revision: others match nothing. */
function workloadLabel(source: Workload | undefined, label: string): string | undefined {
  return Object.hasOwn(SOURCE_LABELS, label) ? source?.[SOURCE_LABELS[label]] : undefined;
}
