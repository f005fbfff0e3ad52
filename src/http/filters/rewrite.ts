// Rewrites of path and authority on the way to the backend.

import type { PathMatch, Rewrite } from "../../model/mod.ts";
import type { RequestHead } from "../message.ts";
import { compileReplacer, type Replacer } from "../match/mod.ts";

/** The part of a path that its route matched, and how it is replaced. */
export interface PathReplacement {
  readonly kind: "full" | "prefix";
  readonly value: string;
}

/** `target` (path and query) with its path replaced; the query stays unless the replacement brings one. */
export function replacePath(target: string, match: PathMatch | undefined, replacement: PathReplacement): string {
  const question = target.indexOf("?");
  const path = question < 0 ? target : target.slice(0, question), query = question < 0 ? "" : target.slice(question);
  let result: string;
  if (replacement.kind === "full") result = replacement.value;
  else {
    const rest = path.slice(matchedLength(match, path));
    // Exactly one slash where the two meet.
    const value = rest.startsWith("/") && replacement.value.endsWith("/")
      ? replacement.value.slice(0, -1)
      : replacement.value;
    result = value + rest;
  }
  if (!result.startsWith("/")) result = `/${result}`;
  return result.includes("?") ? result : result + query;
}

/** How much of the path the route's condition took: a prefix, or the whole path for exact ones and expressions. */
function matchedLength(match: PathMatch | undefined, path: string): number {
  if (match === undefined) return 1;
  if (match.kind !== "prefix") return path.length;
  return match.segments ? match.value.replace(/\/+$/, "").length : match.value.length;
}

/** A {@linkcode Rewrite} ready to be applied. */
export class CompiledRewrite {
  readonly #authority: string | undefined;
  readonly #replacement: PathReplacement | undefined;
  readonly #match: PathMatch | undefined;
  readonly #regex: Replacer | undefined;
  /** What cannot be done; the role reports it. */
  readonly refused: string[] = [];

  constructor(rewrite: Rewrite, match: PathMatch | undefined) {
    this.#authority = rewrite.authority;
    this.#match = match;
    if (rewrite.path?.kind === "regex") {
      this.#regex = compileReplacer(rewrite.path.pattern, rewrite.path.substitution);
      if (!this.#regex) this.refused.push(`the rewrite "${rewrite.path.pattern}" is not a valid expression`);
    } else this.#replacement = rewrite.path;
  }

  apply(head: RequestHead): void {
    if (this.#authority !== undefined) head.authority = this.#authority;
    if (this.#replacement) head.path = replacePath(head.path, this.#match, this.#replacement);
    else if (this.#regex) {
      const question = head.path.indexOf("?");
      const path = question < 0 ? head.path : head.path.slice(0, question);
      const rewritten = this.#regex.replace(path);
      head.path = (rewritten.startsWith("/") ? rewritten : `/${rewritten}`) +
        (question < 0 ? "" : head.path.slice(question));
    }
  }
}
