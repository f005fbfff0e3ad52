// The `when` keys of AuthorizationPolicy.

import type { L7Condition } from "../model/mod.ts";
import type { L7ConnectionFacts, L7RequestFacts } from "./http_facts.ts";
import { type AddressPredicate, anyOf, anyRange, parseRange, parseStringMatch } from "./http_strings.ts";

export type RequestTest = (facts: L7RequestFacts) => boolean;
export type ConnectionTest = (facts: L7ConnectionFacts) => boolean;

/** A condition in its two forms; `http` alone when it cannot be asked of bytes. */
export type CompiledCondition =
  | { readonly scope: "connection"; readonly test: ConnectionTest }
  | { readonly scope: "request"; readonly test: RequestTest }
  /** The key, or a value, is not known: the rule must fail closed. */
  | { readonly scope: "unknown" };

const UNKNOWN: CompiledCondition = Object.freeze({ scope: "unknown" });

/**
 * One of `values` must hold when there are any, and none of `notValues`.
 *
 * @param deny the condition is a DENY rule's, which may hold too often but not too rarely
 */
export function compileCondition(condition: L7Condition, policyNamespace: string, deny = false): CompiledCondition {
  const { key, values, notValues } = condition;
  if (values.length === 0 && notValues.length === 0) return UNKNOWN;
  const connection = (hit: (values: readonly string[]) => ConnectionTest | undefined): CompiledCondition => {
    const positive = values.length > 0 ? hit(values) : always, negative = notValues.length > 0 ? hit(notValues) : never;
    if (!positive || !negative) return UNKNOWN;
    return { scope: "connection", test: (facts) => positive(facts) && !negative(facts) };
  };
  const request = (hit: (values: readonly string[], strict: boolean) => RequestTest | undefined): CompiledCondition => {
    const positive = values.length > 0 ? hit(values, !deny) : always;
    const negative = notValues.length > 0 ? hit(notValues, deny) : never;
    if (!positive || !negative) return UNKNOWN;
    return { scope: "request", test: (facts) => positive(facts) && !negative(facts) };
  };
  switch (key) {
    case "source.ip":
      return connection((list) => address(list, (facts: L7ConnectionFacts) => facts.peerIp));
    case "destination.ip":
      return connection((list) => address(list, (facts: L7ConnectionFacts) => facts.localIp));
    case "remote.ip":
      return request((list) => address(list, (facts: L7RequestFacts) => facts.remoteIp));
    case "destination.port":
      return connection(ports);
    case "source.namespace":
      return connection((list) => {
        const hit = anyOf(list.map(parseStringMatch));
        return (facts) => facts.identity !== undefined && hit(facts.identity.namespace);
      });
    case "source.principal":
      return connection((list) => {
        const hit = anyOf(list.map(parseStringMatch)), any = list.includes("*");
        return (facts) => (any && facts.authenticated) || (facts.identity !== undefined && hit(facts.principal));
      });
    case "source.serviceAccount":
      return connection((list) => serviceAccounts(list, policyNamespace));
    case "connection.sni":
      return connection((list) => {
        const hit = anyOf(list.map(parseStringMatch));
        return (facts) => hit(facts.sni);
      });
    case "request.auth.principal":
    case "request.auth.audiences":
    case "request.auth.presenter":
      return request(() => withoutToken);
  }
  if (bracketed(key, "request.auth.claims") !== undefined) return request(() => withoutToken);
  const header = bracketed(key, "request.headers");
  if (header !== undefined) return request((list, strict) => headerValues(list, header.toLowerCase(), strict));
  return UNKNOWN;
}

const always = () => true, never = () => false;
/** No token is ever verified here, so that a condition on one does not hold, and its negation does. */
const withoutToken: RequestTest = never;

/** `x` of `request.headers[x]`; for claims, what stands between the first and last bracket. */
function bracketed(key: string, prefix: string): string | undefined {
  if (!key.startsWith(`${prefix}[`) || !key.endsWith("]")) return undefined;
  const name = key.slice(prefix.length + 1, -1);
  return name === "" ? undefined : name;
}

/**
 * A header may have several lines. Where that would let a request through, all of them must be as wanted: which one the backend takes is not
 * known. Otherwise one is enough, or what they are together.
 */
function headerValues(values: readonly string[], name: string, strict: boolean): RequestTest {
  const any = values.includes("*"), hit = anyOf(values.map(parseStringMatch));
  return (facts) => {
    const found = facts.headerValues(name);
    if (found.length === 0) return false;
    if (any) return true;
    if (found.length === 1) return hit(found[0]);
    return strict ? found.every(hit) : found.some(hit) || hit(found.join(","));
  };
}

function address<Facts>(
  values: readonly string[],
  get: (facts: Facts) => Parameters<AddressPredicate>[0],
): ((facts: Facts) => boolean) | undefined {
  const ranges = values.map(parseRange);
  if (ranges.includes(undefined)) return undefined;
  const hit = anyRange(ranges.map((range) => range!));
  return hit && ((facts) => hit(get(facts)));
}

function ports(values: readonly string[]): ConnectionTest | undefined {
  const set = new Set<number>();
  for (const value of values) {
    if (!/^\d{1,5}$/.test(value) || Number(value) > 65535) return undefined;
    set.add(Number(value));
  }
  return (facts) => set.has(facts.localPort);
}

function serviceAccounts(values: readonly string[], namespace: string): ConnectionTest {
  const set = new Set(values.map((value) => value.includes("/") ? value : `${namespace}/${value}`));
  return ({ identity }) => identity !== undefined && set.has(`${identity.namespace}/${identity.serviceAccount}`);
}
