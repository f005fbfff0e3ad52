// The L7 policies of one listener, and the decision on one request or connection.

import type { CompiledL7Policy, CompiledRule } from "./http_compile.ts";
import { deniedDetail } from "./http_compile.ts";
import type { L7ConnectionFacts, L7Decision, L7MatchPlace, L7RequestFacts } from "./http_facts.ts";

const NONE: readonly never[] = [];

const ALLOWED_BY_DEFAULT: L7Decision = Object.freeze({
  allowed: true,
  code: "allowed_by_default",
  detail: "",
  by: undefined,
  audited: NONE,
  dryRun: NONE,
});

const NO_ALLOW_MATCHED: L7Decision = Object.freeze({
  allowed: false,
  code: "no_allow_matched",
  detail: deniedDetail(undefined),
  by: undefined,
  audited: NONE,
  dryRun: NONE,
});

/**
 * Rules in order, found by what is exact in them: a rule is filed under the key that fewest rules share (principal, path, beginning of paths,
 * namespace), or among those that are asked every time. A thousand policies for a thousand callers, or paths, cost one look-up.
 */
class RuleIndex {
  readonly #rules: readonly CompiledRule[];
  readonly #principals = new Map<string, number[]>();
  readonly #namespaces = new Map<string, number[]>();
  readonly #paths = new Map<string, number[]>();
  readonly #prefixes = new Map<string, number[]>();
  /** Of the prefixes, ascending. */
  readonly #prefixLengths: readonly number[];
  readonly #others: number[] = [];

  constructor(rules: readonly CompiledRule[]) {
    this.#rules = rules;
    const shared = {
      principals: counts(rules, "principals"),
      namespaces: counts(rules, "namespaces"),
      paths: counts(rules, "paths"),
      prefixes: counts(rules, "prefixes"),
    };
    const tables = {
      principals: this.#principals,
      namespaces: this.#namespaces,
      paths: this.#paths,
      prefixes: this.#prefixes,
    };
    rules.forEach((rule, index) => {
      let chosen: keyof CompiledRule["keys"] | undefined, cost = Infinity;
      for (const kind of ["principals", "paths", "prefixes", "namespaces"] as const) {
        const values = rule.keys[kind];
        if (!values) continue;
        const price = Math.max(...values.map((value) => shared[kind].get(value)!));
        if (price < cost) [chosen, cost] = [kind, price];
      }
      if (chosen === undefined) this.#others.push(index);
      else {
        for (const value of new Set(rule.keys[chosen])) {
          const list = tables[chosen].get(value);
          if (list) list.push(index);
          else tables[chosen].set(value, [index]);
        }
      }
    });
    this.#prefixLengths = [...new Set([...this.#prefixes.keys()].map((prefix) => prefix.length))].sort((a, b) => a - b);
  }

  get size(): number {
    return this.#rules.length;
  }

  /** The first rule in order that matches. */
  find(facts: L7RequestFacts): CompiledRule | null {
    let best = Infinity;
    if (this.#others.length > 0) best = this.#first(this.#others, facts, best);
    const { identity, principal } = facts.connection;
    if (identity !== undefined) {
      if (this.#principals.size > 0) best = this.#first(this.#principals.get(principal), facts, best);
      if (this.#namespaces.size > 0) best = this.#first(this.#namespaces.get(identity.namespace), facts, best);
    }
    const { path } = facts;
    if (this.#paths.size > 0) best = this.#first(this.#paths.get(path), facts, best);
    for (let i = 0; i < this.#prefixLengths.length && this.#prefixLengths[i] <= path.length; i++) {
      best = this.#first(this.#prefixes.get(path.slice(0, this.#prefixLengths[i])), facts, best);
    }
    return best === Infinity ? null : this.#rules[best];
  }

  #first(indices: readonly number[] | undefined, facts: L7RequestFacts, best: number): number {
    if (indices === undefined) return best;
    for (let i = 0; i < indices.length && indices[i] < best; i++) {
      if (this.#rules[indices[i]].matches(facts)) return indices[i];
    }
    return best;
  }

  findTcp(facts: L7ConnectionFacts): CompiledRule | null {
    return this.#rules.find((rule) => rule.matchesTcp(facts)) ?? null;
  }
}

function counts(rules: readonly CompiledRule[], kind: keyof CompiledRule["keys"]): Map<string, number> {
  const out = new Map<string, number>();
  for (const { keys } of rules) for (const value of keys[kind] ?? NONE) out.set(value, (out.get(value) ?? 0) + 1);
  return out;
}

/** Immutable: the policies that apply to one listener. DENY comes before ALLOW; AUDIT and dry-run policies are noted only. */
export class L7PolicySet {
  readonly policies: readonly CompiledL7Policy[];
  readonly #deny: RuleIndex;
  readonly #allow: RuleIndex;
  readonly #audit: RuleIndex | null;
  readonly #dryRun: readonly RuleIndex[] | null;
  readonly #hasAllow: boolean;

  /** @param policies in any order; decisions name the first by name that matches, as Envoy does */
  constructor(policies: readonly CompiledL7Policy[]) {
    this.policies = [...policies].sort((a, b) =>
      a.policy.name < b.policy.name ? -1 : a.policy.name > b.policy.name ? 1 : 0
    );
    const rules = (keep: (policy: CompiledL7Policy["policy"]) => boolean) =>
      this.policies.filter(({ policy }) => keep(policy)).flatMap(({ rules }) => rules);
    this.#deny = new RuleIndex(rules((policy) => policy.action === "DENY" && !policy.dryRun));
    this.#allow = new RuleIndex(rules((policy) => policy.action === "ALLOW" && !policy.dryRun));
    this.#hasAllow = this.policies.some(({ policy }) => policy.action === "ALLOW" && !policy.dryRun);
    const audit = rules((policy) => policy.action === "AUDIT" && !policy.dryRun);
    this.#audit = audit.length > 0 ? new RuleIndex(audit) : null;
    const dryRun = (["DENY", "ALLOW"] as const).map((action) =>
      rules((policy) => policy.dryRun && policy.action === action)
    )
      .filter((list) => list.length > 0);
    this.#dryRun = dryRun.length > 0 ? dryRun.map((list) => new RuleIndex(list)) : null;
  }

  /** Decides on one request. Allocates nothing unless an AUDIT or dry-run policy matches. */
  decide(facts: L7RequestFacts): L7Decision {
    const denied = this.#deny.size > 0 ? this.#deny.find(facts) : null;
    const decision = denied ? denied.decision : this.#allowDecision(this.#hasAllow ? this.#allow.find(facts) : null);
    if (this.#audit === null && this.#dryRun === null) return decision;
    return noted(decision, this.#audit?.find(facts), this.#dryRun?.map((index) => index.find(facts)));
  }

  /** Decides on a connection whose bytes are not HTTP. */
  decideTcp(facts: L7ConnectionFacts): L7Decision {
    const denied = this.#deny.findTcp(facts);
    const decision = denied ? denied.decision : this.#allowDecision(this.#hasAllow ? this.#allow.findTcp(facts) : null);
    return noted(decision, this.#audit?.findTcp(facts), this.#dryRun?.map((index) => index.findTcp(facts)));
  }

  #allowDecision(allowed: CompiledRule | null): L7Decision {
    if (allowed) return allowed.decision;
    return this.#hasAllow ? NO_ALLOW_MATCHED : ALLOWED_BY_DEFAULT;
  }
}

function noted(
  decision: L7Decision,
  audit: CompiledRule | null | undefined,
  dryRun: readonly (CompiledRule | null)[] | undefined,
): L7Decision {
  const dryRunPlaces = dryRun ? dryRun.filter((rule) => rule !== null).map((rule): L7MatchPlace => rule.place) : NONE;
  if (!audit && dryRunPlaces.length === 0) return decision;
  return { ...decision, audited: audit ? [audit.place] : NONE, dryRun: dryRunPlaces };
}
