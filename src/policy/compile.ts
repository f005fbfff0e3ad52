import { type Cidr, inCidr, type IpBits, parseCidr } from "../core/ip.ts";
import {
  type AuthorizationPolicy,
  type IpRange,
  policyKey,
  type PolicyMatch,
  type ServiceAccountMatch,
  type StringMatch,
} from "../model/mod.ts";
import type { ConnectionFacts, MatchPlace } from "./decision.ts";

type Test = (facts: ConnectionFacts) => boolean;

/** A policy turned into closures over parsed ranges and sets, so that a connection costs comparisons only. */
export interface CompiledPolicy {
  readonly key: string;
  readonly policy: AuthorizationPolicy;
  /** The first rule that matches, or undefined. */
  match(facts: ConnectionFacts): MatchPlace | undefined;
}

export function compilePolicy(policy: AuthorizationPolicy): CompiledPolicy {
  const rules = policy.rules.map((rule) => rule.map((clause) => clause.map(compileMatch)));
  return {
    key: policyKey(policy),
    policy,
    match(facts) {
      for (let r = 0; r < rules.length; r++) {
        const matches = matchRule(rules[r], facts);
        if (matches) return { policy, rule: r, matches };
      }
      return undefined;
    },
  };
}

/** All clauses must hold; a rule without clauses does, and so does a clause without matches. */
function matchRule(clauses: readonly (readonly Test[])[], facts: ConnectionFacts): number[] | undefined {
  const places: number[] = [];
  for (const tests of clauses) {
    const at = tests.findIndex((test) => test(facts));
    if (at < 0 && tests.length > 0) return undefined;
    places.push(at);
  }
  return places;
}

/** Every field that says something must hold; a match that says nothing never does (ztunnel skips it). */
function compileMatch(match: PolicyMatch): Test {
  const tests: Test[] = [];
  const field = <T>(positive: readonly T[], negative: readonly T[], make: (values: readonly T[]) => Test) => {
    if (positive.length > 0) tests.push(make(positive));
    if (negative.length > 0) {
      const hit = make(negative);
      tests.push((facts) => !hit(facts));
    }
  };
  // Cheapest first: a port comparison spares the string work.
  field(match.destinationPorts, match.notDestinationPorts, ports);
  field(match.sourceIps, match.notSourceIps, (values) => ranges(values, (facts) => facts.sourceIp));
  field(match.destinationIps, match.notDestinationIps, (values) => ranges(values, (facts) => facts.destinationIp));
  field(match.namespaces, match.notNamespaces, (values) => strings(values, (facts) => facts.identity?.namespace ?? ""));
  field(match.principals, match.notPrincipals, principals);
  field(match.serviceAccounts, match.notServiceAccounts, serviceAccounts);
  if (tests.length === 0) return () => false;
  if (tests.length === 1) return tests[0];
  return (facts) => tests.every((test) => test(facts));
}

function ports(values: readonly number[]): Test {
  const set = new Set(values);
  return (facts) => set.has(facts.destinationPort);
}

function ranges(values: readonly IpRange[], get: (facts: ConnectionFacts) => IpBits | undefined): Test {
  // An unreadable range matches nothing; xDS rejects such a policy before it comes here.
  const parsed = values.map((range) => parseCidr(range.address, range.length)).filter((cidr): cidr is Cidr => !!cidr);
  return (facts) => {
    const ip = get(facts);
    return ip !== undefined && parsed.some((range) => inCidr(ip, range));
  };
}

/** Without identity nothing matches, so that every negative principal match succeeds. */
function principals(values: readonly StringMatch[]): Test {
  const test = strings(values, (facts) => facts.principal);
  return (facts) => facts.identity !== undefined && test(facts);
}

function serviceAccounts(values: readonly ServiceAccountMatch[]): Test {
  const set = new Set(values.map((value) => `${value.namespace}/${value.serviceAccount}`));
  return ({ identity }) => identity !== undefined && set.has(`${identity.namespace}/${identity.serviceAccount}`);
}

function strings(values: readonly StringMatch[], get: (facts: ConnectionFacts) => string): Test {
  const exact = new Set<string>(), rest: ((text: string) => boolean)[] = [];
  for (const value of values) {
    if (value.kind === "exact") exact.add(value.value);
    else if (value.kind === "prefix") rest.push((text) => text.startsWith(value.value));
    else if (value.kind === "suffix") rest.push((text) => text.endsWith(value.value));
    else rest.push((text) => text !== "");
  }
  return (facts) => {
    const text = get(facts);
    return exact.has(text) || rest.some((test) => test(text));
  };
}
