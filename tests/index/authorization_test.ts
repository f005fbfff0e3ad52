import assert from "node:assert/strict";
import fc from "fast-check";
import { convertAuthorizationPolicy } from "../../src/index/authorization/convert.ts";
import { readPeerAuthentication } from "../../src/index/peer_authentication.ts";
import { DEFAULT_SETTINGS } from "../../src/index/mod.ts";
import { authorizationResource } from "../../src/xds/server/mod.ts";

const metadata = { name: "p", namespace: "default" };

/** Specs that look like policies, with anything in any place. */
const junk = fc.oneof(
  fc.constant(null),
  fc.string(),
  fc.integer(),
  fc.boolean(),
  fc.array(fc.string(), { maxLength: 2 }),
);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.oneof({ weight: 5, arbitrary: value }, { weight: 1, arbitrary: junk });
const values = maybe(
  fc.array(fc.constantFrom("*", "a", "10.0.0.0/8", "80", "", "x/y/z", "::1/200", "a*"), { maxLength: 3 }),
);
const source = maybe(fc.record(
  {
    ipBlocks: values,
    notIpBlocks: values,
    principals: values,
    notNamespaces: values,
    requestPrincipals: values,
    odd: values,
  },
  { requiredKeys: [] },
));
const operation = maybe(fc.record({ ports: values, notPorts: values, methods: values }, { requiredKeys: [] }));
const rule = maybe(fc.record({
  from: maybe(fc.array(maybe(fc.record({ source }, { requiredKeys: [] })), { maxLength: 2 })),
  to: maybe(fc.array(maybe(fc.record({ operation }, { requiredKeys: [] })), { maxLength: 2 })),
  when: maybe(fc.array(
    maybe(fc.record({ key: fc.constantFrom("source.ip", "request.headers[x]", "?"), values, notValues: values })),
    { maxLength: 2 },
  )),
}, { requiredKeys: [] }));
const spec = maybe(fc.record({
  action: maybe(fc.constantFrom("ALLOW", "DENY")),
  selector: maybe(fc.record({ matchLabels: fc.constant({ app: "a" }) })),
  rules: maybe(fc.array(rule, { maxLength: 3 })),
  extra: junk,
}, { requiredKeys: [] }));

Deno.test("convertAuthorizationPolicy makes something encodable of any spec and reports what it left out", () => {
  fc.assert(
    fc.property(spec, (spec) => {
      const { policy, condition } = convertAuthorizationPolicy({ metadata, spec }, DEFAULT_SETTINGS);
      assert.ok(condition ? condition.message.length > 0 : !policy);
      if (!policy) return;
      authorizationResource(policy);
      for (const clause of policy.rules.flat()) {
        assert.ok(clause.length > 0, "a clause without matches would hold for ztunnel");
        for (const match of clause) {
          assert.ok(Object.values(match).some((values) => values.length > 0), "a match that says nothing never holds");
        }
      }
    }),
    { numRuns: 2000, seed: 7 },
  );
});

Deno.test("convertAuthorizationPolicy never says Accepted about a rule that it left out", () => {
  fc.assert(
    fc.property(spec, (spec) => {
      const { policy, condition } = convertAuthorizationPolicy({ metadata, spec }, DEFAULT_SETTINGS);
      if (condition?.reason !== "Accepted") return;
      const rules = (spec as any)?.rules;
      assert.equal(policy!.rules.length, Array.isArray(rules) ? rules.length : 0);
    }),
    { numRuns: 2000, seed: 11 },
  );
});

Deno.test("readPeerAuthentication reads any spec, and never as laxer than it knows", () => {
  fc.assert(
    fc.property(fc.anything(), fc.anything(), (spec, mtls) => {
      readPeerAuthentication({ metadata, spec });
      const { mode, problems } = readPeerAuthentication({ metadata, spec: { mtls } });
      if (problems.length > 0) assert.equal(mode, "STRICT");
    }),
    { numRuns: 500, seed: 3 },
  );
});
