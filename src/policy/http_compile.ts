// L7Policy -> rules that can be asked. Strings, ranges and templates are read once, when the configuration arrives.

import type { IpRange, L7Operation, L7PathMatch, L7Policy, L7Rule, L7Source, StringMatch } from "../model/mod.ts";
import { compileCondition, type ConnectionTest, type RequestTest } from "./http_conditions.ts";
import type { L7ConnectionFacts, L7Decision, L7MatchPlace, L7RequestFacts } from "./http_facts.ts";
import { anyOf, anyRange, foldCase, type TextPredicate } from "./http_strings.ts";
import { PathTemplate } from "./path_template.ts";

/** What a rule can be found by without asking it: each list is complete, i.e. nothing else can match the rule. */
export interface RuleKeys {
  readonly principals: readonly string[] | undefined;
  readonly namespaces: readonly string[] | undefined;
  readonly paths: readonly string[] | undefined;
  /** What paths begin with; whole paths among them. */
  readonly prefixes: readonly string[] | undefined;
}

/** One rule of a policy. */
export interface CompiledRule {
  readonly place: L7MatchPlace;
  readonly keys: RuleKeys;
  /** The outcome when this rule decides and nothing is to be noted beside it; made once. */
  readonly decision: L7Decision;
  matches(facts: L7RequestFacts): boolean;
  /** Of bytes that are no HTTP: an ALLOW rule with HTTP fields never matches, a DENY rule drops them. */
  matchesTcp(facts: L7ConnectionFacts): boolean;
}

export interface CompiledL7Policy {
  readonly policy: L7Policy;
  readonly rules: readonly CompiledRule[];
}

/** A test of a request, and what becomes of it for TCP: `null` where it is about HTTP. */
interface FieldTest {
  readonly http: RequestTest;
  readonly tcp: ConnectionTest | null;
}

const NOTHING: readonly never[] = [];
const pass = () => true, refuse = () => false;

/** `rbac_access_denied_matched_policy[ns[shop]-policy[no-bots]-rule[0]]`. */
export function deniedDetail(place: L7MatchPlace | undefined): string {
  if (!place) return "rbac_access_denied_matched_policy[none]";
  const slash = place.policy.name.indexOf("/");
  const namespace = place.policy.name.slice(0, slash), name = place.policy.name.slice(slash + 1);
  return `rbac_access_denied_matched_policy[ns[${namespace}]-policy[${name}]-rule[${place.rule}]]`;
}

export function compileL7Policy(policy: L7Policy): CompiledL7Policy {
  return { policy, rules: policy.rules.map((rule, index) => compileRule(policy, rule, index)) };
}

function compileRule(policy: L7Policy, rule: L7Rule, index: number): CompiledRule {
  const deny = policy.action === "DENY";
  const namespace = policy.name.slice(0, policy.name.indexOf("/"));
  const from = alternatives(rule.from.map((source) => sourceTests(source, deny)), deny);
  const to = alternatives(rule.to.map((operation) => operationTests(operation, deny)), deny);
  const when = both(
    rule.when.map((condition) => {
      const compiled = compileCondition(condition, namespace, deny);
      if (compiled.scope === "unknown") return failClosed(deny);
      if (compiled.scope === "request") return { http: compiled.test, tcp: null };
      return onConnection(compiled.test);
    }),
    deny,
  );
  const place: L7MatchPlace = { policy, rule: index };
  const [a, b, c] = [from, to, when].map((test) => test.http);
  const tcp = [from, to, when].map((test) => test.tcp ?? (deny ? pass : refuse));
  return {
    place,
    keys: ruleKeys(rule),
    decision: deny
      ? {
        allowed: false,
        code: "denied_by_policy",
        detail: deniedDetail(place),
        by: place,
        audited: NOTHING,
        dryRun: NOTHING,
      }
      : { allowed: true, code: "allowed_by_policy", detail: "", by: place, audited: NOTHING, dryRun: NOTHING },
    matches: (facts) => a(facts) && b(facts) && c(facts),
    matchesTcp: (facts) => tcp[0](facts) && tcp[1](facts) && tcp[2](facts),
  };
}

/** What cannot be understood: a DENY rule behaves as if it held, others as if it did not. */
function failClosed(deny: boolean): FieldTest {
  return deny ? { http: pass, tcp: pass } : { http: refuse, tcp: refuse };
}

function onConnection(test: ConnectionTest): FieldTest {
  return { http: (facts) => test(facts.connection), tcp: test };
}

/** One of several groups of fields must hold; no group asks for nothing. */
function alternatives(groups: readonly FieldTest[][], deny: boolean): FieldTest {
  if (groups.length === 0) return { http: pass, tcp: pass };
  const all = groups.map((tests) => both(tests, deny));
  if (all.length === 1) return all[0];
  const http = all.map((test) => test.http), tcp = all.map((test) => test.tcp ?? (deny ? pass : refuse));
  return {
    http: (facts) => http.some((test) => test(facts)),
    tcp: (facts) => tcp.some((test) => test(facts)),
  };
}

/** All tests must hold. */
function both(tests: readonly FieldTest[], deny: boolean): FieldTest {
  if (tests.length === 0) return { http: pass, tcp: pass };
  if (tests.length === 1) return tests[0];
  const http = tests.map((test) => test.http);
  // HTTP fields: dropped by DENY; an ALLOW rule that has one cannot match bytes.
  const tcp = tests.map((test) => test.tcp ?? (deny ? pass : refuse));
  return {
    http: (facts) => {
      for (let i = 0; i < http.length; i++) if (!http[i](facts)) return false;
      return true;
    },
    tcp: (facts) => tcp.every((test) => test(facts)),
  };
}

/** Collects the tests of fields that are given: one of the positive values, none of the negative ones. */
class FieldTests {
  readonly tests: FieldTest[] = [];
  constructor(readonly deny: boolean) {}

  add<T>(
    positive: readonly T[] | undefined,
    negative: readonly T[] | undefined,
    make: (values: readonly T[], strict: boolean) => FieldTest | undefined,
  ): void {
    if (positive && positive.length > 0) this.tests.push(make(positive, !this.deny) ?? failClosed(this.deny));
    if (negative && negative.length > 0) {
      const hit = make(negative, this.deny);
      if (!hit) this.tests.push(failClosed(this.deny));
      else {
        const { http, tcp } = hit;
        this.tests.push({ http: (facts) => !http(facts), tcp: tcp && ((facts) => !tcp(facts)) });
      }
    }
  }
}

function sourceTests(source: L7Source, deny: boolean): FieldTest[] {
  const fields = new FieldTests(deny);
  fields.add(source.principals, source.notPrincipals, principals);
  fields.add(source.namespaces, source.notNamespaces, (values) => {
    const hit = anyOf(values);
    return onConnection((facts) => facts.identity !== undefined && hit(facts.identity.namespace));
  });
  fields.add(source.serviceAccounts, source.notServiceAccounts, (values) => {
    const set = new Set(values.map((value) => `${value.namespace}/${value.serviceAccount}`));
    return onConnection(({ identity }) =>
      identity !== undefined && set.has(`${identity.namespace}/${identity.serviceAccount}`)
    );
  });
  fields.add(source.ipBlocks, source.notIpBlocks, (values: readonly IpRange[]) => {
    const hit = anyRange(values);
    return hit && onConnection((facts) => hit(facts.peerIp));
  });
  fields.add(source.remoteIpBlocks, source.notRemoteIpBlocks, (values: readonly IpRange[]) => {
    const hit = anyRange(values);
    // Of bytes, the peer is all that is known of the client.
    return hit && { http: (facts) => hit(facts.remoteIp), tcp: (facts) => hit(facts.peerIp) };
  });
  // Nobody verifies tokens here: none of these matches, and each of their negations does.
  fields.add(source.requestPrincipals, source.notRequestPrincipals, () => ({ http: refuse, tcp: null }));
  return fields.tests;
}

function principals(values: readonly StringMatch[]): FieldTest {
  const hit = anyOf(values), any = values.some((value) => value.kind === "presence");
  return onConnection((facts) =>
    (any && facts.authenticated) || (facts.identity !== undefined && hit(facts.principal))
  );
}

function operationTests(operation: L7Operation, deny: boolean): FieldTest[] {
  const fields = new FieldTests(deny);
  fields.add(operation.ports, operation.notPorts, (values) => {
    const set = new Set(values);
    return onConnection((facts) => set.has(facts.localPort));
  });
  fields.add(operation.methods, operation.notMethods, (values) => {
    const hit = anyOf(values);
    return { http: (facts) => hit(facts.method), tcp: null };
  });
  fields.add(operation.hosts, operation.notHosts, hosts);
  fields.add(operation.paths, operation.notPaths, paths);
  return fields.tests;
}

/**
 * Istio compares the authority as sent, port and all, without case. Where that would let a request through (a DENY that misses, an
 * exception of an ALLOW that misses) the host without port and trailing dot is compared as well, so that `host:80` evades nothing.
 */
function hosts(values: readonly StringMatch[], strict: boolean): FieldTest {
  const hit = anyOf(values.map(foldCase));
  if (strict) return { http: (facts) => hit(facts.authority.toLowerCase()), tcp: null };
  return {
    http: (facts) => {
      const authority = facts.authority.toLowerCase();
      return hit(authority) || hit(authority.replace(/:\d*$/, "").replace(/\.$/, ""));
    },
    tcp: null,
  };
}

function paths(values: readonly L7PathMatch[], strict: boolean): FieldTest | undefined {
  const strings: StringMatch[] = [], tests: TextPredicate[] = [];
  for (const value of values) {
    if (value.kind !== "template") strings.push(value);
    else {
      const template = PathTemplate.parse(value.value);
      if (!template) return undefined;
      tests.push((path) => template.matches(path, strict));
    }
  }
  if (strings.length > 0) tests.push(anyOf(strings));
  if (tests.length === 1) {
    const only = tests[0];
    return { http: (facts) => only(facts.path), tcp: null };
  }
  return { http: (facts) => tests.some((test) => test(facts.path)), tcp: null };
}

// --- what rules are found by

function ruleKeys(rule: L7Rule): RuleKeys {
  return {
    principals: valuesOf(rule.from.map((source) => source.principals), "exact"),
    namespaces: valuesOf(rule.from.map((source) => source.namespaces), "exact"),
    paths: valuesOf(rule.to.map((operation) => operation.paths), "exact"),
    prefixes: valuesOf(rule.to.map((operation) => operation.paths), "exact", "prefix"),
  };
}

/** All values of a field when every alternative has the field, and with nothing but values of these kinds. */
function valuesOf(
  fields: readonly (readonly L7PathMatch[] | undefined)[],
  ...kinds: readonly ("exact" | "prefix")[]
): string[] | undefined {
  if (fields.length === 0) return undefined;
  const out: string[] = [];
  for (const values of fields) {
    if (!values || values.length === 0) return undefined;
    for (const value of values) {
      if (value.kind !== "exact" && value.kind !== "prefix") return undefined;
      if (!kinds.includes(value.kind)) return undefined;
      out.push(value.value);
    }
  }
  return out;
}
