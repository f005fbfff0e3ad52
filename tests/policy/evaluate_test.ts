import assert from "node:assert/strict";
import {
  type AuthorizationPolicy,
  EMPTY_MATCH,
  type PolicyAction,
  type PolicyMatch,
  type StringMatch,
} from "../../src/model/mod.ts";
import { compilePolicy, connectionFacts, describePlace, evaluate } from "../../src/policy/mod.ts";

const exact = (value: string): StringMatch => ({ kind: "exact", value });
const prefix = (value: string): StringMatch => ({ kind: "prefix", value });
const suffix = (value: string): StringMatch => ({ kind: "suffix", value });
const presence: StringMatch = { kind: "presence" };
const m = (fields: Partial<PolicyMatch>): PolicyMatch => ({ ...EMPTY_MATCH, ...fields });

function policy(
  name: string,
  action: PolicyAction,
  rules: AuthorizationPolicy["rules"],
  extra: Partial<AuthorizationPolicy> = {},
): AuthorizationPolicy {
  return { namespace: "shop", name, scope: "NAMESPACE", action, rules, dryRun: false, ...extra };
}

const CART = connectionFacts({
  identity: { trustDomain: "corp.test", namespace: "shop", serviceAccount: "cart" },
  sourceIp: "10.9.0.14",
  destinationIp: "10.9.1.7",
  destinationPort: 9090,
});
const NOBODY = connectionFacts({ sourceIp: "::ffff:10.9.0.14", destinationIp: "10.9.1.7", destinationPort: 9090 });

// One match; does it match the cart, and does it match a connection without identity?
const MATCHES: [string, Partial<PolicyMatch>, boolean, boolean][] = [
  ["nothing said never matches", {}, false, false],
  ["principal exact", { principals: [exact("corp.test/ns/shop/sa/cart")] }, true, false],
  [
    "principal is compared without the scheme",
    {
      principals: [exact("spiffe://corp.test/ns/shop/sa/cart")],
    },
    false,
    false,
  ],
  ["principal of another trust domain", { principals: [exact("other.test/ns/shop/sa/cart")] }, false, false],
  ["principal prefix", { principals: [prefix("corp.test/ns/shop/")] }, true, false],
  ["principal suffix", { principals: [suffix("/sa/cart")] }, true, false],
  ["principal present", { principals: [presence] }, true, false],
  ["empty prefix still needs an identity", { principals: [prefix("")] }, true, false],
  ["any of several principals", { principals: [exact("x"), suffix("cart")] }, true, false],
  ["not principal hit", { notPrincipals: [exact("corp.test/ns/shop/sa/cart")] }, false, true],
  ["not principal miss", { notPrincipals: [exact("x")] }, true, true],
  ["not present means unauthenticated", { notPrincipals: [presence] }, false, true],
  ["namespace exact", { namespaces: [exact("shop")] }, true, false],
  ["namespace present", { namespaces: [presence] }, true, false],
  ["empty namespace is the unauthenticated one", { namespaces: [exact("")] }, false, true],
  ["namespace suffix", { namespaces: [suffix("op")] }, true, false],
  ["not namespace hit", { notNamespaces: [exact("shop")] }, false, true],
  ["not namespace present", { notNamespaces: [presence] }, false, true],
  ["service account", { serviceAccounts: [{ namespace: "shop", serviceAccount: "cart" }] }, true, false],
  ["service account elsewhere", { serviceAccounts: [{ namespace: "depot", serviceAccount: "cart" }] }, false, false],
  ["not service account", { notServiceAccounts: [{ namespace: "shop", serviceAccount: "cart" }] }, false, true],
  ["source range, mapped peer", { sourceIps: [{ address: "10.9.0.0", length: 24 }] }, true, true],
  ["source range misses", { sourceIps: [{ address: "10.9.1.0", length: 24 }] }, false, false],
  ["not source range", { notSourceIps: [{ address: "10.9.0.14", length: 32 }] }, false, false],
  ["destination host", { destinationIps: [{ address: "10.9.1.7", length: 32 }] }, true, true],
  ["not destination", { notDestinationIps: [{ address: "10.9.1.8", length: 32 }] }, true, true],
  ["IPv6 range never holds an IPv4 peer", { sourceIps: [{ address: "::", length: 0 }] }, false, false],
  ["unreadable range matches nothing", { sourceIps: [{ address: "nonsense", length: 8 }] }, false, false],
  ["port", { destinationPorts: [80, 9090] }, true, true],
  ["other port", { destinationPorts: [80] }, false, false],
  ["not port", { notDestinationPorts: [9090] }, false, false],
  ["fields are AND-ed", { destinationPorts: [9090], principals: [exact("x")] }, false, false],
  [
    "positive and negative of one field",
    {
      principals: [prefix("corp.test/")],
      notPrincipals: [suffix("/sa/cart")],
    },
    false,
    false,
  ],
];

for (const [name, fields, cart, nobody] of MATCHES) {
  Deno.test(`match: ${name}`, () => {
    const compiled = compilePolicy(policy("p", "ALLOW", [[[m(fields)]]]));
    assert.equal(compiled.match(CART) !== undefined, cart, "with identity");
    assert.equal(compiled.match(NOBODY) !== undefined, nobody, "without identity");
  });
}

const YES = m({ destinationPorts: [9090] }), NO = m({ destinationPorts: [1] });

// Shapes of rules: does it match, and where?
const SHAPES: [string, AuthorizationPolicy["rules"], string | undefined][] = [
  ["no rules never match", [], undefined],
  ["a rule without clauses always matches", [[]], "rule[0] match[]"],
  ["a clause without matches is true", [[[]]], "rule[0] match[-1]"],
  ["a clause of empty matches only is false", [[[m({})]]], undefined],
  ["matches are OR-ed", [[[NO, YES]]], "rule[0] match[1]"],
  ["clauses are AND-ed", [[[YES], [NO]]], undefined],
  ["all clauses hold", [[[YES], [], [NO, YES]]], "rule[0] match[0,-1,1]"],
  ["rules are OR-ed", [[[NO]], [[YES]]], "rule[1] match[0]"],
];

for (const [name, rules, want] of SHAPES) {
  Deno.test(`rules: ${name}`, () => {
    const place = compilePolicy(policy("p", "DENY", rules)).match(CART);
    assert.equal(place && describePlace(place), want && `shop/p ${want}`);
  });
}

const ALWAYS: AuthorizationPolicy["rules"] = [[]], NEVER: AuthorizationPolicy["rules"] = [];
const DECISIONS: [string, AuthorizationPolicy[], boolean, string, string | undefined, string[]][] = [
  ["nothing applies", [], true, "no allow policies apply", undefined, []],
  ["a DENY matches", [policy("d", "DENY", ALWAYS)], false, "explicitly denied by: shop/d", "shop/d", []],
  [
    "DENY wins over ALLOW",
    [policy("a", "ALLOW", ALWAYS), policy("d", "DENY", ALWAYS)],
    false,
    "explicitly denied by: shop/d",
    "shop/d",
    [],
  ],
  ["a DENY that misses", [policy("d", "DENY", NEVER)], true, "no allow policies apply", undefined, []],
  ["an ALLOW matches", [policy("a", "ALLOW", ALWAYS)], true, "explicitly allowed by: shop/a", "shop/a", []],
  [
    "no ALLOW matches",
    [policy("a", "ALLOW", NEVER), policy("b", "ALLOW", NEVER)],
    false,
    "allow policies exist, but none allowed: shop/a, shop/b",
    undefined,
    [],
  ],
  [
    "one of two ALLOW matches",
    [policy("a", "ALLOW", NEVER), policy("b", "ALLOW", ALWAYS)],
    true,
    "explicitly allowed by: shop/b",
    "shop/b",
    [],
  ],
  [
    "dry run never decides",
    [policy("d", "DENY", ALWAYS, { dryRun: true }), policy("a", "ALLOW", NEVER, { dryRun: true })],
    true,
    "no allow policies apply",
    undefined,
    ["shop/d"],
  ],
  [
    "a dry-run ALLOW is no ALLOW policy",
    [policy("a", "ALLOW", ALWAYS, { dryRun: true }), policy("b", "ALLOW", NEVER)],
    false,
    "allow policies exist, but none allowed: shop/b",
    undefined,
    ["shop/a"],
  ],
  [
    "a denial ends before dry-run ALLOW",
    [
      policy("d", "DENY", ALWAYS),
      policy("a", "ALLOW", ALWAYS, { dryRun: true }),
      policy("e", "DENY", ALWAYS, { dryRun: true }),
    ],
    false,
    "explicitly denied by: shop/d",
    "shop/d",
    ["shop/e"],
  ],
];

for (const [name, policies, allowed, reason, by, dryRun] of DECISIONS) {
  Deno.test(`evaluate(): ${name}`, () => {
    const decision = evaluate(CART, policies.map(compilePolicy));
    assert.equal(decision.allowed, allowed);
    assert.equal(decision.reason, reason);
    assert.equal(decision.by && `${decision.by.policy.namespace}/${decision.by.policy.name}`, by);
    assert.deepEqual(decision.dryRun.map((place) => `shop/${place.policy.name}`), dryRun);
  });
}
