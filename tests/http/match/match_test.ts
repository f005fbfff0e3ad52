import assert from "node:assert/strict";
import { Fields } from "../../../src/http/fields.ts";
import {
  closestByHost,
  compileRegex,
  compileReplacer,
  hostOf,
  HostTable,
  isSimple,
  type MatchFacts,
  portOf,
  queryParameter,
  RouteTable,
} from "../../../src/http/match/mod.ts";
import type { HeaderMatch, PathMatch, Route, RouteMatch, Workload } from "../../../src/model/mod.ts";

function route(name: string, match: Partial<RouteMatch>): Route {
  return {
    name,
    origin: "",
    match: { headers: [], query: [], ...match },
    action: { kind: "direct", status: 200, body: "" },
  };
}

interface Given extends Partial<Omit<MatchFacts, "fields">> {
  headers?: [string, string][];
}

function facts({ headers = [], ...extra }: Given = {}): MatchFacts {
  return {
    hostname: "web",
    authority: "web",
    path: "/",
    query: "",
    method: "GET",
    scheme: "http",
    sourceWorkload: undefined,
    fields: Fields.of(...headers),
    ...extra,
  };
}

function chosen(routes: readonly Route[], given: Given): string {
  const table = new RouteTable(routes);
  const index = table.select(facts(given));
  return index < 0 ? "none" : routes[index].name;
}

const exact = (value: string, ignoreCase = false): PathMatch => ({ kind: "exact", value, ignoreCase });
const prefix = (value: string, segments = false, ignoreCase = false): PathMatch => ({
  kind: "prefix",
  value,
  segments,
  ignoreCase,
});
const regex = (value: string): PathMatch => ({ kind: "regex", value });

const PATHS: [PathMatch | undefined, string[], string[]][] = [
  [undefined, ["/", "/a", "*"], []],
  [exact("/a"), ["/a"], ["/a/", "/A", "/ab", "/"]],
  [exact("/A", true), ["/a", "/A"], ["/a/"]],
  [prefix("/"), ["/", "/a"], ["*"]],
  [prefix("/a"), ["/a", "/ab", "/a/b"], ["/", "/A"]],
  [prefix("/A", false, true), ["/ab", "/Ab"], ["/b"]],
  [prefix("/a", true), ["/a", "/a/", "/a/b"], ["/ab", "/"]],
  [prefix("/a/", true), ["/a", "/a/", "/a/b"], ["/ab"]],
  [prefix("/", true), ["/", "/x/y"], ["*"]],
  [regex("/v[0-9]+/.*"), ["/v1/", "/v12/x"], ["/v/", "/v1", "x/v1/"]],
  [regex("/a|/b"), ["/a", "/b"], ["/ab", "/a|/b"]],
  [regex("/a("), [], ["/a", "/a("]],
];

Deno.test("match: paths", () => {
  for (const [path, yes, no] of PATHS) {
    const routes = [route("it", { path })];
    for (const text of yes) assert.equal(chosen(routes, { path: text }), "it", `${JSON.stringify(path)} ${text}`);
    for (const text of no) assert.equal(chosen(routes, { path: text }), "none", `${JSON.stringify(path)} ${text}`);
  }
});

const header = (name: string, value?: HeaderMatch["value"], invert = false): HeaderMatch => ({ name, value, invert });

Deno.test("match: everything else", () => {
  const cases: [Partial<RouteMatch>, Given[], Given[]][] = [
    [{ method: { kind: "exact", value: "POST" } }, [{ method: "POST" }], [{}]],
    [{ scheme: { kind: "exact", value: "https" } }, [{ scheme: "https" }], [{}]],
    [{ authority: { kind: "prefix", value: "we" } }, [{}], [{ authority: "x" }]],
    [{ headers: [header("x-a")] }, [{ headers: [["X-A", ""]] }], [{}]],
    [{ headers: [header("x-a", { kind: "exact", value: "1" })] }, [{ headers: [["x-a", "1"]] }], [{
      headers: [["x-a", "11"]],
    }, {}]],
    [{ headers: [header("x-a", { kind: "exact", value: "1,2" })] }, [{ headers: [["x-a", "1"], ["x-a", "2"]] }], [{
      headers: [["x-a", "1"]],
    }]],
    [{ headers: [header("x-a", { kind: "exact", value: "V", ignoreCase: true })] }, [{ headers: [["x-a", "v"]] }], []],
    [{ headers: [header("x-a", { kind: "prefix", value: "v" })] }, [{ headers: [["x-a", "v2"]] }], [{
      headers: [["x-a", "xv"]],
    }]],
    [{ headers: [header("x-a", { kind: "regex", value: "v[12]" })] }, [{ headers: [["x-a", "v2"]] }], [{
      headers: [["x-a", "v3"]],
    }]],
    [{ headers: [header("x-a", undefined, true)] }, [{}], [{ headers: [["x-a", "1"]] }]],
    [{ headers: [header("x-a", { kind: "exact", value: "1" }, true)] }, [{}, { headers: [["x-a", "2"]] }], [{
      headers: [["x-a", "1"]],
    }]],
    [{ headers: [header("end-user", { kind: "exact", value: "jason" }), header("x-b")] }, [{
      headers: [["end-user", "jason"], ["x-b", ""]],
    }], [{ headers: [["end-user", "jason"]] }]],
    [{ headers: [header(":method", { kind: "exact", value: "PUT" })] }, [{ method: "PUT" }], [{}]],
    [{ headers: [header("host", { kind: "exact", value: "web" })] }, [{}], [{ authority: "x" }]],
    [{ query: [header("a", { kind: "exact", value: "1" })] }, [{ query: "a=1" }, { query: "b&a=1&a=2" }], [{
      query: "a=2&a=1",
    }, {
      query: "ba=1",
    }, {}]],
    [{ query: [header("a")] }, [{ query: "a" }, { query: "a=" }], [{ query: "A=1" }]],
    [{ sourceNamespace: "shop" }, [{ sourceWorkload: { namespace: "shop" } as Workload }], [{}]],
    [{ sourceLabels: { app: "web", version: "v1" } }, [{
      sourceWorkload: { canonicalName: "web", canonicalRevision: "v1" } as Workload,
    }], [{ sourceWorkload: { canonicalName: "web", canonicalRevision: "v2" } as Workload }, {}]],
    [{ sourceLabels: { tier: "front" } }, [], [{ sourceWorkload: { canonicalName: "web" } as Workload }]],
  ];
  for (const [match, yes, no] of cases) {
    for (const given of yes) assert.equal(chosen([route("it", match)], given), "it", JSON.stringify([match, given]));
    for (const given of no) assert.equal(chosen([route("it", match)], given), "none", JSON.stringify([match, given]));
  }
});

Deno.test("match: the first route in order wins, whatever finds it", () => {
  const conditions: Partial<RouteMatch>[] = [
    { path: exact("/a/b") },
    { path: prefix("/a", true) },
    { path: prefix("/a/") },
    { path: regex("/a/.*") },
    { path: prefix("/A/", false, true) },
    {},
    { path: prefix("/") },
  ];
  // Every order of every pair that both match.
  for (const first of conditions) {
    for (const second of conditions) {
      assert.equal(chosen([route("first", first), route("second", second)], { path: "/a/b" }), "first");
      const guarded = { ...first, headers: [header("x-a")] };
      assert.equal(chosen([route("first", guarded), route("second", second)], { path: "/a/b" }), "second");
      assert.equal(
        chosen([route("first", guarded), route("second", second)], { path: "/a/b", headers: [["x-a", "1"]] }),
        "first",
      );
    }
  }
});

Deno.test("match: the index decides as a look at each route in order does", () => {
  // Deterministic, many shapes.
  let seed = 7;
  const draw = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  const parts = ["a", "b", "ab", "c"];
  const path = () => "/" + Array.from({ length: draw(4) }, () => parts[draw(4)]).join("/") + (draw(4) === 0 ? "/" : "");
  for (let round = 0; round < 50; round++) {
    const routes = Array.from({ length: 30 }, (_, i) => {
      const kind = draw(5);
      const folded = draw(5) === 0;
      const match = kind === 0
        ? exact(path(), folded)
        : kind === 1
        ? prefix(path(), false, folded)
        : kind === 2
        ? prefix(path(), true, folded)
        : kind === 3
        ? regex(path() + "[ab]*")
        : exact(path());
      return route(String(i), { path: match, headers: draw(3) === 0 ? [header("x-a")] : [] });
    });
    const table = new RouteTable(routes);
    for (let i = 0; i < 40; i++) {
      const given: Given = {
        path: draw(3) === 0 ? path().toUpperCase() : path(),
        headers: draw(2) === 0 ? [["x-a", "1"]] : [],
      };
      const expected = routes.findIndex((one) => new RouteTable([one]).select(facts(given)) === 0);
      assert.equal(
        table.select(facts(given)),
        expected,
        JSON.stringify([given, routes.map(({ match }) => match.path)]),
      );
    }
  }
});

Deno.test("match: of five thousand routes only those on the way are asked", () => {
  const routes = Array.from(
    { length: 5000 },
    (_, i) =>
      route(String(i), {
        path: i % 2 === 0 ? exact(`/exact/${i}`) : prefix(`/prefix/${i}/`),
        method: { kind: "exact", value: "GET" },
      }),
  );
  const table = new RouteTable(routes);
  let asked = 0;
  const given = { ...facts(), path: "" };
  Object.defineProperty(given, "method", { get: () => (asked++, "GET") });
  for (const i of [0, 1, 2500, 4999]) {
    given.path = i % 2 === 0 ? `/exact/${i}` : `/prefix/${i}/x`;
    assert.equal(table.select(given), i);
  }
  assert.equal(asked, 4);
  given.path = "/exact/x";
  assert.equal(table.select(given), -1);
  assert.equal(asked, 4);
});

Deno.test("match: explain() says why routes were passed over", () => {
  const routes = [
    route("a", { path: exact("/x") }),
    route("b", { headers: [header("x-a")] }),
    route("c", { method: { kind: "exact", value: "PUT" } }),
    route("d", {}),
    route("e", {}),
  ];
  assert.deepEqual(
    new RouteTable(routes).explain(facts()).map(({ route, unmatched }) => [route, unmatched]),
    [["a", "path"], ["b", "header"], ["c", "method"], ["d", undefined]],
  );
});

Deno.test("match: hosts", () => {
  const table = new HostTable<string>();
  for (const pattern of ["a.example.com", "*.example.com", "*.b.example.com", "*.com"]) {
    assert.ok(table.add(pattern, pattern));
  }
  assert.equal(table.add("A.example.com", "again"), false);
  const cases: [string, string | null][] = [
    ["a.example.com", "a.example.com"],
    ["x.example.com", "*.example.com"],
    ["x.y.example.com", "*.example.com"],
    ["x.b.example.com", "*.b.example.com"],
    ["b.example.com", "*.example.com"],
    ["example.com", "*.com"],
    ["com", null],
    ["other.org", null],
    ["", null],
  ];
  for (const [host, expected] of cases) assert.equal(table.find(host), expected, host);
  table.add("*", "*");
  assert.equal(table.find("other.org"), "*");
  const listeners = [{ hostnames: ["*"] }, { hostnames: ["*.example.com"] }, { hostnames: ["a.example.com", "b.org"] }];
  assert.equal(closestByHost(listeners, "a.example.com"), listeners[2]);
  assert.equal(closestByHost(listeners, "b.example.com"), listeners[1]);
  assert.equal(closestByHost(listeners, "c.org"), listeners[0]);
  assert.equal(closestByHost(listeners.slice(1), "c.org"), null);
});

Deno.test("match: host and port of an authority", () => {
  const cases: [string, string, number][] = [
    ["Web.Example.COM", "web.example.com", -1],
    ["web:8080", "web", 8080],
    ["[::1]:80", "[::1]", 80],
    ["[::1]", "[::1]", -1],
    ["10.0.0.1:1", "10.0.0.1", 1],
    ["", "", -1],
    ["web:", "web:", -1],
  ];
  for (const [authority, host, port] of cases) {
    assert.deepEqual([hostOf(authority), portOf(authority)], [host, port], authority);
  }
});

Deno.test("match: queryParameter() takes names as they are", () => {
  assert.equal(queryParameter("a=1&b=2", "b"), "2");
  assert.equal(queryParameter("a=1&b=2", "="), undefined);
  assert.equal(queryParameter("a=b=c", "a"), "b=c");
  assert.equal(queryParameter("&&a", "a"), "");
});

Deno.test("regex: whole texts, RE2 syntax", () => {
  const cases: [string, string[], string[]][] = [
    [".*", ["", "x"], []],
    [".+", ["x"], [""]],
    ["abc", ["abc"], ["abcd", "xabc"]],
    ["abc.*", ["abc", "abcd"], ["xabc"]],
    [".*abc", ["abc", "xabc"], ["abcx"]],
    [".*abc.*", ["abc", "xabcx"], ["ab"]],
    ["a\\.b", ["a.b"], ["axb"]],
    ["^/api/v[0-9]+/users/[^/]+$", ["/api/v12/users/x"], ["/api/v/users/x", "/api/v1/users/x/y", "/api/v1/users/"]],
    ["[a-z0-9-]+\\.png", ["a-1.png"], [".png", "a_png"]],
    ["(a|b)+c{2}", ["abacc"], ["abc"]],
    ["(?i)abc", ["ABC"], ["abd"]],
    ["\\pL+", ["abc"], ["1"]],
    ["[^a]", ["b"], ["a", "bb"]],
    ["a*", ["", "aaa"], ["b"]],
    ["\\d\\w", ["1_"], ["a1"]],
    ["a-c", ["a-c"], ["b"]],
  ];
  for (const [pattern, yes, no] of cases) {
    const compiled = compileRegex(pattern)!;
    for (const text of yes) assert.equal(compiled.matches(text), true, `${pattern} ${text}`);
    for (const text of no) assert.equal(compiled.matches(text), false, `${pattern} ${text}`);
  }
  for (const bad of ["(", "[a", "a**", "(?=a)b", "\\1(a)", "*a"]) assert.equal(compileRegex(bad), undefined, bad);
});

Deno.test("regex: nothing that could take more than linear time is given to a backtracking engine", () => {
  for (
    const pattern of [
      "(a+)+",
      "(a|a)*b",
      "a*a*a*b",
      ".*.*=.*",
      "(x+x+)+y",
      "[ab]*[bc]*d",
      "\\w+\\d+",
      "a?a?a?aaa",
      "a{1,50}",
      "(?:a)",
      ".*a.*b",
    ]
  ) assert.equal(isSimple(pattern), false, pattern);
  for (const pattern of ["/v[0-9]+/x", "/[a-z]+/[0-9]+", ".*\\.png", "[^/]*/b", "/a/[^/]+", "abc", "/x/.*", "a+a"]) {
    assert.equal(isSimple(pattern), true, pattern);
  }
  // What is left to RE2 ends, whatever it is asked: a backtracking engine would be at it for years.
  const text = "a".repeat(50_000) + "!";
  for (const pattern of ["(a+)+", "(a|aa)+", "(a*)*b", "(.*)(.*)(.*)(.*)x", "([a-z]+)*Z"]) {
    assert.equal(compileRegex(pattern)!.matches(text), false, pattern);
  }
});

Deno.test("regex: the same expression is compiled once, and of many the latest are remembered", () => {
  const first = compileRegex("/(a+)+remembered");
  assert.equal(compileRegex("/(a+)+remembered"), first);
  for (let i = 0; i < 2_001; i++) compileRegex(`/x${i}`);
  const again = compileRegex("/(a+)+remembered");
  assert.notEqual(again, first);
  assert.ok(again!.matches("/aaremembered"));
});

Deno.test("regex: replacements name groups as RE2 does", () => {
  assert.equal(compileReplacer("^/v(\\d+)/(.*)$", "/\\2/ver\\1")!.replace("/v12/a/b"), "/a/b/ver12");
  assert.equal(compileReplacer("o", "$1\\\\")!.replace("foo"), "f$1\\$1\\");
  assert.equal(compileReplacer("a", "\\1"), undefined);
  assert.equal(compileReplacer("a", "\\"), undefined);
  assert.equal(compileReplacer("(", "x"), undefined);
  assert.equal(compileReplacer("/a/(b)?", "[\\1]\\0")!.replace("/a/"), "[]/a/");
});
