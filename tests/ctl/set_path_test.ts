import assert from "node:assert/strict";
import fc from "fast-check";
import { UsageError } from "../../src/core/usage.ts";
import { formatPath, parsePath, parseSetting, type PathStep, setAtPath } from "../../src/roles/ctl/set_path.ts";

const PARSED: [name: string, text: string, path: PathStep[], value: string][] = [
  ["a field", "profile=ambient", [{ field: "profile" }], "ambient"],
  ["nested fields", "values.global.hub=x", [{ field: "values" }, { field: "global" }, { field: "hub" }], "x"],
  [
    "an index",
    "components.ingressGateways[0].enabled=true",
    [{ field: "components" }, { field: "ingressGateways" }, { index: 0 }, { field: "enabled" }],
    "true",
  ],
  ["appending", "a[-1]=x", [{ field: "a" }, { index: -1 }], "x"],
  ["two selectors", "a[0][1]=x", [{ field: "a" }, { index: 0 }, { index: 1 }], "x"],
  ["a key", "a[name:FOO].value=1", [{ field: "a" }, { key: "name", value: "FOO" }, { field: "value" }], "1"],
  [
    "a key with a path as value",
    "a[path:/x.y].b=1",
    [{ field: "a" }, { key: "path", value: "/x.y" }, { field: "b" }],
    "1",
  ],
  ["escaped dots", "a.b\\.c\\.io/d=1", [{ field: "a" }, { field: "b.c.io/d" }], "1"],
  ["a quoted segment", 'a."b.c".d=1', [{ field: "a" }, { field: "b.c" }, { field: "d" }], "1"],
  ["a single-quoted segment", "a.'b.c'=1", [{ field: "a" }, { field: "b.c" }], "1"],
  ["an equals sign in the value", "a=b=c", [{ field: "a" }], "b=c"],
  ["an equals sign in quotes", 'a."b=c"=d', [{ field: "a" }, { field: "b=c" }], "d"],
  ["a quoted value", 'a="true"', [{ field: "a" }], "true"],
  ["an empty value", "a=", [{ field: "a" }], ""],
  [
    // As the shell hands over the seed's ...k8s.service."loadBalancerIP="10.224.0.180
    "the load balancer address of the AKS walkthrough",
    "components.ingressGateways[0].k8s.service.loadBalancerIP=10.224.0.180",
    [
      { field: "components" },
      { field: "ingressGateways" },
      { index: 0 },
      { field: "k8s" },
      { field: "service" },
      { field: "loadBalancerIP" },
    ],
    "10.224.0.180",
  ],
];

for (const [name, text, path, value] of PARSED) {
  Deno.test(`parseSetting() reads ${name}`, () => {
    const setting = parseSetting(text);
    assert.deepEqual(setting.path, path);
    assert.equal(setting.value, value);
  });
}

const REFUSED = [
  "",
  "a",
  "=x",
  ".a=x",
  "a.=x",
  "a..b=x",
  "a[0=x",
  "a[x]=1",
  "[0]=x",
  'a."b=x',
  "a[:x]=1",
  "a[99999]=1",
];

for (const text of REFUSED) {
  Deno.test(`parseSetting() refuses "${text}"`, () => {
    assert.throws(() => parseSetting(text), UsageError);
  });
}

Deno.test("parseSetting() either reads any text or refuses it with a UsageError", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme-ascii" }), (text) => {
    try {
      parseSetting(text);
    } catch (error) {
      assert.ok(error instanceof UsageError, String(error));
    }
  }));
});

Deno.test("parsePath() reads back what formatPath() writes", () => {
  const field = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9./-]{0,12}$/).map((field) => ({ field }));
  const selector = fc.oneof(
    fc.integer({ min: 0, max: 9999 }).map((index) => ({ index })),
    fc.tuple(fc.stringMatching(/^[a-z]{1,8}$/), fc.stringMatching(/^[a-z0-9.]{1,8}$/)).map(([key, value]) => ({
      key,
      value,
    })),
  );
  const path = fc.tuple(field, fc.array(fc.oneof(field, selector), { maxLength: 6 })).map((
    [first, rest],
  ) => [first, ...rest]);
  fc.assert(fc.property(path, (path) => assert.deepEqual(parsePath(formatPath(path)), path)));
});

Deno.test("setAtPath() makes maps and lists on its way", () => {
  const root: Record<string, any> = {};
  const set = (text: string) => {
    const { path, value } = parseSetting(text);
    setAtPath(root, path, value);
  };
  set("a.b[0].c=1");
  set("a.b[0].d=2");
  set("a.b[1].c=3");
  set("a.b[c:3].e=4");
  set("a.b[-1].c=5");
  assert.deepEqual(root, { a: { b: [{ c: "1", d: "2" }, { c: "3", e: "4" }, { c: "5" }] } });
});

Deno.test("setAtPath() refuses a place that is not there or not of the kind, and never touches prototypes", () => {
  const cases = ["a[5]=x", "a[name:x]=y", "b[0]=x", "b.c.d=x", "__proto__.polluted=1", "c.__proto__.polluted=1"];
  for (const text of cases) {
    const { path, value } = parseSetting(text);
    assert.throws(() => setAtPath({ a: [], b: { c: "text" }, c: {} }, path, value), UsageError, text);
  }
  assert.equal(({} as any).polluted, undefined);
});
