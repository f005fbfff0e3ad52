// One clause of a rule (`to`, `from`, or one `when`) -> matches. What L4 cannot express, or nobody can read, never makes a policy
// laxer: in ALLOW the part that holds it matches nothing, in DENY it is left out, so that the rest matches more.

import { EMPTY_MATCH, type PolicyAction, type PolicyMatch } from "../../model/policy.ts";
import type { Findings } from "./findings.ts";

/** A field of a policy that L4 can check: where it goes, and how a value is read. */
export interface FieldReader {
  readonly to: keyof PolicyMatch;
  readonly read: (text: string) => unknown;
}

/** Matches that are OR-ed; `everything`: the clause constrains nothing; `nothing`: it can never hold. */
export type Clause = readonly PolicyMatch[] | "everything" | "nothing";

/** Builds one match of a clause. */
export class MatchBuilder {
  readonly #match: Record<string, readonly unknown[]> = {};
  /** Some constraint is missing from the match. */
  #incomplete = false;

  constructor(readonly action: PolicyAction, readonly findings: Findings) {}

  /** Something constrains this match in a way that cannot be taken over. */
  incomplete(): void {
    this.#incomplete = true;
    this.findings.widened ||= this.action === "DENY";
  }

  /** Takes the values of one field. `negative`: the field holds what must not match. */
  field(place: string, values: unknown, negative: boolean, { to, read }: FieldReader): void {
    if (values === undefined || values === null || (Array.isArray(values) && values.length === 0)) return;
    if (!Array.isArray(values)) {
      this.findings.value(place, values);
      return this.incomplete();
    }
    const good: unknown[] = [];
    let bad = 0;
    for (const [i, value] of values.entries()) {
      const result = typeof value === "string" ? read(value) : undefined;
      if (result !== undefined) good.push(result);
      else {
        bad++;
        this.findings.value(`${place}[${i}]`, value);
      }
    }
    // Leaving one value out of a list of alternatives narrows the match; out of a list of exceptions, it widens it. An ALLOW may
    // narrow and a DENY may widen; otherwise the whole field is what cannot be taken over.
    const safe = this.action === "ALLOW" ? !negative : negative;
    if (bad > 0 && (!safe || good.length === 0)) return this.incomplete();
    this.#match[to] = [...this.#match[to] ?? [], ...good];
  }

  /** The match; `everything` or `nothing` when it comes to that. */
  build(): PolicyMatch | "everything" | "nothing" {
    if (this.#incomplete && this.action === "ALLOW") return "nothing";
    if (Object.keys(this.#match).length > 0) return { ...EMPTY_MATCH, ...this.#match };
    // A match that says nothing never holds for ztunnel. In a DENY that would let through what somebody meant to stop.
    return this.action === "ALLOW" ? "nothing" : "everything";
  }
}

/** Joins the matches of a clause. */
export function clauseOf(matches: readonly (PolicyMatch | "everything" | "nothing")[]): Clause {
  if (matches.includes("everything")) return "everything";
  const real = matches.filter((match): match is PolicyMatch => typeof match === "object");
  return real.length > 0 ? real : "nothing";
}
