import assert from "node:assert/strict";
import { parseFieldSelector, parseLabelSelector } from "../../../src/cluster/api/selectors.ts";
import { generateName, labelValueProblem, nameProblem, qualifiedNameProblem } from "../../../src/cluster/api/names.ts";
import { compareVersions } from "../../../src/cluster/api/registry.ts";
import { readJsonPath } from "../../../src/cluster/api/tables/json_path.ts";
import { humanDuration } from "../../../src/cluster/api/tables/cells.ts";
import { pod } from "./support.ts";

Deno.test("parseLabelSelector() knows every operator", () => {
  const table: [selector: string, matches: boolean][] = [
    ["", true],
    ["app=web", true],
    ["app==web", true],
    ["app!=web", false],
    ["tier!=x", true],
    ["app", true],
    ["!app", false],
    ["!tier", true],
    ["app in (web, api)", true],
    ["app notin (web)", false],
    ["tier notin (web)", true],
    ["app in (api),n=3", false],
    ["n>2", true],
    ["n<3", false],
    ["empty=", true],
    ["empty in (,x)", true],
    ["istio.io/rev=a,app", true],
  ];
  const object = pod("p", { app: "web", n: "3", empty: "", "istio.io/rev": "a" });
  for (const [selector, matches] of table) assert.equal(parseLabelSelector(selector)(object), matches, selector);
});

Deno.test("parseLabelSelector() refuses what is none", () => {
  for (
    const text of [
      "=x",
      "a=b,",
      "a in b",
      "a in (b",
      "a b",
      "a>x",
      "-a=b",
      "a=b c",
      "a=_",
      "a in ()x",
      ",",
      "!",
      "a".repeat(70_000),
    ]
  ) {
    assert.throws(() => parseLabelSelector(text), { code: 400 }, text.slice(0, 20));
  }
});

Deno.test("parseFieldSelector() offers what the type offers", () => {
  const object = { ...pod("p"), spec: { nodeName: "n1" }, status: { phase: "Running" } };
  const matches = (text: string) => parseFieldSelector("/pods", "Pod", text)(object);
  assert.ok(matches("spec.nodeName=n1,status.phase!=Failed"));
  assert.ok(matches("metadata.name=p"));
  assert.ok(matches("spec.hostNetwork=false"));
  assert.ok(!matches("metadata.namespace!=default"));
  assert.throws(() => matches("spec.bogus=1"), { message: "field label not supported: spec.bogus" });
  assert.throws(() => matches("nonsense"), { code: 400 });
});

Deno.test("names are checked as Kubernetes checks them", () => {
  const good: [string, Parameters<typeof nameProblem>[1]][] = [["a.b-c", "subdomain"], ["0a", "label"], [
    "a0",
    "label1035",
  ], ["system:x", "path"]];
  const bad: typeof good = [
    ["A", "subdomain"],
    ["a..b", "subdomain"],
    ["a.b", "label"],
    ["0a", "label1035"],
    ["a/b", "path"],
    ["..", "path"],
    ["x".repeat(254), "subdomain"],
  ];
  for (const [name, rule] of good) assert.equal(nameProblem(name, rule), undefined, name);
  for (const [name, rule] of bad) assert.ok(nameProblem(name, rule), name);
  assert.equal(qualifiedNameProblem("istio.io/dataplane-mode"), undefined);
  for (const key of ["", "/a", "a/", "a/b/c", "-a", "a".repeat(64)]) assert.ok(qualifiedNameProblem(key), key);
  assert.equal(labelValueProblem(""), undefined);
  assert.ok(labelValueProblem("a b"));
  assert.match(generateName("x".repeat(80)), /^x{58}[a-z0-9]{5}$/);
});

Deno.test("compareVersions() prefers stable over beta over alpha", () => {
  const versions = ["v1alpha1", "v2", "foo", "v1", "v1beta2", "v10", "v1beta1"];
  assert.deepEqual(versions.sort(compareVersions), ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
});

Deno.test("readJsonPath() reads the paths that printer columns use", () => {
  const root = {
    spec: { hosts: ["a", "b"] },
    metadata: { annotations: { "x.io/y": "v" } },
    status: { conditions: [{ type: "Ready", status: "True" }] },
  };
  const table: [string, unknown[]][] = [
    [".spec.hosts[*]", ["a", "b"]],
    [".spec.hosts[1]", ["b"]],
    [".spec.hosts", [["a", "b"]]],
    ['.status.conditions[?(@.type=="Ready")].status', ["True"]],
    [".status.conditions[?(@.type=='Other')].status", []],
    [".metadata.annotations.x\\.io/y", ["v"]],
    [".metadata.annotations['x.io/y']", ["v"]],
    [".nothing.here", []],
    [".spec[", []],
  ];
  for (const [path, expected] of table) assert.deepEqual(readJsonPath(root, path), expected, path);
});

Deno.test("humanDuration() prints ages as kubectl does", () => {
  const s = 1000;
  const table: [number, string][] = [
    [0, "0s"],
    [119 * s, "119s"],
    [120 * s, "2m"],
    [192 * s, "3m12s"],
    [600 * s, "10m"],
    [3 * 3600 * s, "3h"],
    [(3 * 3600 + 300) * s, "3h5m"],
    [50 * 3600 * s, "2d2h"],
    [200 * 3600 * s, "8d"],
    [800 * 86400 * s, "2y70d"],
  ];
  for (const [ms, expected] of table) assert.equal(humanDuration(ms), expected);
});
