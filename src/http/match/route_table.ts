// The routes of one virtual host: the first in order that matches, found without looking at each.

import type { Route } from "../../model/mod.ts";
import { type MatchFacts, RouteConditions, type UnmatchedReason } from "./conditions.ts";
import { PathIndex, pathMatches } from "./path_index.ts";

/** Why a route was or was not taken, for explanations. */
export interface RouteVerdict {
  readonly route: string;
  readonly origin: string;
  /** undefined: it matches, and an earlier one was taken if it is not the first such. */
  readonly unmatched: UnmatchedReason | undefined;
}

/** Immutable; made when the configuration arrives. */
export class RouteTable {
  readonly routes: readonly Route[];
  readonly #conditions: readonly RouteConditions[];
  readonly #paths: PathIndex;
  // Set during `select`, so that a request makes no closure.
  #facts: MatchFacts | null = null;
  readonly #accept = (index: number): boolean => this.#conditions[index].hold(this.#facts!);

  constructor(routes: readonly Route[]) {
    this.routes = routes;
    this.#conditions = routes.map((route) => new RouteConditions(route.match));
    this.#paths = new PathIndex(routes.map((route) => route.match.path));
  }

  /** Index of the first route that matches; -1 for none. */
  select(facts: MatchFacts): number {
    this.#facts = facts;
    const index = this.#paths.find(facts.path, this.#accept);
    this.#facts = null;
    return index;
  }

  /** Every route up to the chosen one with the reason why it was passed over. */
  explain(facts: MatchFacts): RouteVerdict[] {
    const verdicts: RouteVerdict[] = [];
    for (let i = 0; i < this.routes.length; i++) {
      const { name, origin, match } = this.routes[i];
      const unmatched = pathMatches(match.path, facts.path)
        ? this.#conditions[i].unmatched(facts) ?? undefined
        : "path" as const;
      verdicts.push({ route: name, origin, unmatched });
      if (unmatched === undefined) break;
    }
    return verdicts;
  }
}
