import assert from "node:assert/strict";
import { parseIp } from "../../src/core/ip.ts";
import type { L7Operation, L7Policy, L7Rule, L7Source } from "../../src/model/mod.ts";
import {
  compileL7Policy,
  type L7ConnectionFacts,
  type L7Decision,
  L7PolicySet,
  type L7RequestFacts,
} from "../../src/policy/http.ts";

function policy(extra: Partial<L7Policy>): L7Policy {
  return { kind: "policy", name: "shop/p", listeners: ["*"], action: "ALLOW", dryRun: false, rules: [], ...extra };
}

interface Given {
  principal?: string;
  certificate?: boolean;
  ip?: string;
  remote?: string;
  localIp?: string;
  port?: number;
  sni?: string;
  method?: string;
  path?: string;
  host?: string;
  headers?: Record<string, string | readonly string[]>;
}

function connection(given: Given): L7ConnectionFacts {
  const named = given.principal === undefined ? undefined : /^(.*)\/ns\/(.*)\/sa\/(.*)$/.exec(given.principal)!;
  return {
    identity: named && { trustDomain: named[1], namespace: named[2], serviceAccount: named[3] },
    principal: given.principal ?? "",
    authenticated: named !== undefined || given.certificate === true,
    peerIp: parseIp(given.ip ?? "10.0.0.1"),
    localIp: parseIp(given.localIp ?? "10.9.9.9"),
    localPort: given.port ?? 80,
    sni: given.sni ?? "",
  };
}

function facts(given: Given): L7RequestFacts {
  return {
    connection: connection(given),
    method: given.method ?? "GET",
    path: given.path ?? "/",
    authority: given.host ?? "web",
    remoteIp: parseIp(given.remote ?? given.ip ?? "10.0.0.1"),
    headerValues: (name) => [given.headers?.[name] ?? []].flat(),
  };
}

const rule = (extra: Partial<L7Rule>): L7Rule => ({ from: [], to: [], when: [], ...extra });
const exact = (value: string) => ({ kind: "exact" as const, value });
const prefix = (value: string) => ({ kind: "prefix" as const, value });
const suffix = (value: string) => ({ kind: "suffix" as const, value });
const PRESENT = { kind: "presence" as const };
const template = (value: string) => ({ kind: "template" as const, value });

const SLEEP = "cluster.local/ns/default/sa/sleep";

function decide(policies: readonly L7Policy[], given: Given = {}): L7Decision {
  return new L7PolicySet(policies.map(compileL7Policy)).decide(facts(given));
}

// --- fields: a rule of one field, requests that it matches, and requests that it does not

const SOURCES: [string, L7Source, Given[], Given[]][] = [
  ["principals exact", { principals: [exact(SLEEP)] }, [{ principal: SLEEP }], [{}, { principal: `${SLEEP}2` }]],
  ["principals prefix", { principals: [prefix("cluster.local/ns/default/")] }, [{ principal: SLEEP }], [{
    principal: "cluster.local/ns/other/sa/sleep",
  }]],
  ["principals suffix", { principals: [suffix("/sa/sleep")] }, [{ principal: SLEEP }], [{}]],
  ["principals *", { principals: [PRESENT] }, [{ principal: SLEEP }, { certificate: true }], [{}]],
  ["notPrincipals", { notPrincipals: [exact(SLEEP)] }, [{}, { principal: "td/ns/a/sa/b" }], [{ principal: SLEEP }]],
  ["notPrincipals *", { notPrincipals: [PRESENT] }, [{}], [{ principal: SLEEP }]],
  ["namespaces", { namespaces: [exact("default")] }, [{ principal: SLEEP }], [{}, { principal: "td/ns/x/sa/default" }]],
  ["namespaces prefix", { namespaces: [prefix("def")] }, [{ principal: SLEEP }], [{}]],
  ["notNamespaces", { notNamespaces: [exact("default")] }, [{}, { principal: "td/ns/x/sa/a" }], [{ principal: SLEEP }]],
  [
    "serviceAccounts",
    { serviceAccounts: [{ namespace: "default", serviceAccount: "sleep" }] },
    [{ principal: SLEEP }],
    [{
      principal: "cluster.local/ns/other/sa/sleep",
    }, {}],
  ],
  ["notServiceAccounts", { notServiceAccounts: [{ namespace: "default", serviceAccount: "sleep" }] }, [{}], [{
    principal: SLEEP,
  }]],
  ["ipBlocks", { ipBlocks: [{ address: "10.1.0.0", length: 16 }] }, [{ ip: "10.1.2.3" }], [{
    ip: "10.2.2.3",
    remote: "10.1.0.1",
  }]],
  ["notIpBlocks", { notIpBlocks: [{ address: "10.1.0.0", length: 16 }] }, [{ ip: "10.2.2.3" }], [{ ip: "10.1.2.3" }]],
  ["remoteIpBlocks", { remoteIpBlocks: [{ address: "fd00::", length: 8 }] }, [{ remote: "fd00::1" }], [{
    ip: "fd00::1",
    remote: "::1",
  }]],
  ["notRemoteIpBlocks", { notRemoteIpBlocks: [{ address: "1.2.3.4", length: 32 }] }, [{}], [{ remote: "1.2.3.4" }]],
  ["requestPrincipals without tokens", { requestPrincipals: [PRESENT] }, [], [{}, { principal: SLEEP }]],
  ["notRequestPrincipals without tokens", { notRequestPrincipals: [PRESENT] }, [{}], []],
  ["two fields are both asked for", { principals: [PRESENT], namespaces: [exact("default")] }, [{ principal: SLEEP }], [
    {
      principal: "td/ns/x/sa/a",
    },
  ]],
];

const OPERATIONS: [string, L7Operation, Given[], Given[]][] = [
  ["hosts", { hosts: [exact("Shop.Example.com")] }, [{ host: "shop.example.COM" }], [{ host: "shop.example.com:80" }, {
    host: "other",
  }]],
  ["hosts with any port", { hosts: [prefix("shop.example.com:")] }, [{ host: "shop.example.com:8080" }], [{
    host: "shop.example.com",
  }]],
  ["hosts suffix", { hosts: [suffix(".example.com")] }, [{ host: "A.EXAMPLE.COM" }], [{ host: "example.com" }]],
  ["notHosts takes the port away", { notHosts: [exact("admin")] }, [{ host: "web" }], [{ host: "admin" }, {
    host: "ADMIN:80",
  }, {
    host: "admin.",
  }]],
  ["ports", { ports: [80, 8080] }, [{ port: 8080 }], [{ port: 81 }]],
  ["notPorts", { notPorts: [80] }, [{ port: 81 }], [{ port: 80 }]],
  ["methods", { methods: [exact("GET")] }, [{}], [{ method: "POST" }, { method: "get" }]],
  ["methods prefix", { methods: [prefix("P")] }, [{ method: "PUT" }, { method: "POST" }], [{ method: "GET" }]],
  ["notMethods", { notMethods: [exact("DELETE")] }, [{}], [{ method: "DELETE" }]],
  ["paths exact", { paths: [exact("/a")] }, [{ path: "/a" }], [{ path: "/a/" }, { path: "/A" }, { path: "/ab" }]],
  ["paths prefix", { paths: [prefix("/a/")] }, [{ path: "/a/" }, { path: "/a/b/c" }], [{ path: "/a" }]],
  ["paths suffix", { paths: [suffix(".png")] }, [{ path: "/x.png" }], [{ path: "/x.PNG" }]],
  ["paths *", { paths: [PRESENT] }, [{ path: "/" }], []],
  ["paths template", { paths: [template("/users/{*}/posts")] }, [{ path: "/users/7/posts" }], [{
    path: "/users//posts",
  }, {
    path: "/users/7/8/posts",
  }, { path: "/users/7/posts/" }]],
  ["paths template rest", { paths: [template("/files/{**}")] }, [{ path: "/files/a" }, { path: "/files/a/b" }, {
    path: "/files/",
  }], [{ path: "/files" }, { path: "/file/a" }]],
  ["paths template tail", { paths: [template("/a/{*}/{**}/z")] }, [{ path: "/a/b/c/d/z" }], [{ path: "/a/b/z" }, {
    path: "/a/b/c/d",
  }]],
  ["notPaths", { notPaths: [prefix("/admin")] }, [{ path: "/" }], [{ path: "/admin/x" }]],
];

for (const [name, source, yes, no] of SOURCES) {
  Deno.test(`http policy: from ${name}`, () => fieldHolds(rule({ from: [source] }), yes, no));
}
for (const [name, operation, yes, no] of OPERATIONS) {
  Deno.test(`http policy: to ${name}`, () => fieldHolds(rule({ to: [operation] }), yes, no));
}

const CONDITIONS: [string, readonly string[], readonly string[], Given[], Given[]][] = [
  ["request.headers[x-a]", ["v*"], [], [{ headers: { "x-a": "v1" } }], [{}, { headers: { "x-a": "w" } }]],
  ["request.headers[X-A]", ["*"], [], [{ headers: { "x-a": "" } }], [{}]],
  ["request.headers[x-a]", [], ["bad"], [{}, { headers: { "x-a": "good" } }], [{ headers: { "x-a": "bad" } }]],
  ["source.ip", ["10.0.0.0/8"], [], [{ ip: "10.0.0.1" }], [{ ip: "11.0.0.1" }]],
  ["remote.ip", ["1.1.1.1"], [], [{ remote: "1.1.1.1" }], [{ remote: "1.1.1.2" }]],
  ["source.namespace", ["def*"], [], [{ principal: SLEEP }], [{}]],
  ["source.principal", ["*"], ["*/sa/sleep"], [{ principal: "td/ns/a/sa/b" }], [{ principal: SLEEP }, {}]],
  ["source.serviceAccount", ["shop/web"], [], [{ principal: "td/ns/shop/sa/web" }], [{ principal: SLEEP }]],
  ["source.serviceAccount", ["web"], [], [{ principal: "td/ns/shop/sa/web" }], [{ principal: "td/ns/x/sa/web" }]],
  ["destination.ip", ["10.9.0.0/16"], [], [{}], [{ localIp: "10.8.0.1" }]],
  ["destination.port", ["80", "81"], [], [{ port: 81 }], [{ port: 82 }]],
  ["connection.sni", ["*.example.com"], [], [{ sni: "a.example.com" }], [{}]],
  ["request.auth.claims[iss]", ["*"], [], [], [{}]],
  ["request.auth.claims[a][b]", [], ["x"], [{}], []],
  ["request.auth.principal", ["*"], [], [], [{}]],
  ["request.auth.audiences", ["a"], [], [], [{}]],
];

for (const [key, values, notValues, yes, no] of CONDITIONS) {
  Deno.test(`http policy: when ${key} ${values.join()} not ${notValues.join()}`, () =>
    fieldHolds(rule({ when: [{ key, values, notValues }] }), yes, no));
}

/** What an ALLOW rule takes, a DENY rule of the same form refuses (hosts are read more widely by DENY; see below). */
function fieldHolds(one: L7Rule, yes: Given[], no: Given[]): void {
  const hosts = one.to.some(({ hosts, notHosts }) => hosts || notHosts);
  for (const given of yes) {
    assert.equal(decide([policy({ rules: [one] })], given).allowed, true, `ALLOW ${JSON.stringify(given)}`);
    if (!hosts) {
      assert.equal(
        decide([policy({ action: "DENY", rules: [one] })], given).allowed,
        false,
        `DENY ${JSON.stringify(given)}`,
      );
    }
  }
  for (const given of no) {
    assert.equal(decide([policy({ rules: [one] })], given).allowed, false, `ALLOW ${JSON.stringify(given)}`);
    if (!hosts) {
      assert.equal(
        decide([policy({ action: "DENY", rules: [one] })], given).allowed,
        true,
        `DENY ${JSON.stringify(given)}`,
      );
    }
  }
}

Deno.test("http policy: a DENY by host is not evaded by port, case or a trailing dot", () => {
  const deny = policy({ action: "DENY", rules: [rule({ to: [{ hosts: [exact("admin.example.com")] }] })] });
  for (
    const host of [
      "admin.example.com",
      "ADMIN.example.com",
      "admin.example.com:80",
      "admin.example.com.",
      "admin.example.com.:80",
    ]
  ) {
    assert.equal(decide([deny], { host }).allowed, false, host);
  }
  assert.equal(decide([deny], { host: "shop.example.com" }).allowed, true);
});

Deno.test("http policy: what cannot be understood fails closed", () => {
  const unknown: L7Rule[] = [
    rule({ when: [{ key: "request.nonsense", values: ["x"], notValues: [] }] }),
    rule({ when: [{ key: "source.ip", values: ["not an address"], notValues: [] }] }),
    rule({ when: [{ key: "destination.port", values: ["http"], notValues: [] }] }),
    rule({ when: [{ key: "request.headers[]", values: ["x"], notValues: [] }] }),
    rule({ when: [{ key: "source.principal", values: [], notValues: [] }] }),
    rule({ when: [{ key: "request.nonsense", values: [], notValues: ["x"] }] }),
    rule({ from: [{ ipBlocks: [{ address: "10.0.0.0", length: 77 }] }] }),
    rule({ from: [{ notIpBlocks: [{ address: "x", length: 8 }] }] }),
    rule({ to: [{ paths: [template("/{**}/{*}")] }] }),
    rule({ to: [{ notPaths: [template("no slash {*}")] }] }),
  ];
  for (const one of unknown) {
    assert.equal(decide([policy({ rules: [one] })]).allowed, false, `ALLOW ${JSON.stringify(one)}`);
    assert.equal(decide([policy({ action: "DENY", rules: [one] })]).allowed, false, `DENY ${JSON.stringify(one)}`);
  }
});

Deno.test("http policy: order of actions, details and reasons", () => {
  const allowAll = policy({ name: "shop/all", rules: [rule({})] });
  const nobody = policy({ name: "shop/nobody" });
  const denyGet = policy({
    name: "shop/no-get",
    action: "DENY",
    rules: [rule({ to: [{ methods: [exact("PUT")] }] }), rule({ to: [{ methods: [exact("GET")] }] })],
  });
  assert.deepEqual(pick(decide([])), { allowed: true, code: "allowed_by_default", detail: "" });
  assert.deepEqual(pick(decide([nobody])), {
    allowed: false,
    code: "no_allow_matched",
    detail: "rbac_access_denied_matched_policy[none]",
  });
  assert.deepEqual(pick(decide([nobody, allowAll])), { allowed: true, code: "allowed_by_policy", detail: "" });
  assert.deepEqual(pick(decide([allowAll, denyGet])), {
    allowed: false,
    code: "denied_by_policy",
    detail: "rbac_access_denied_matched_policy[ns[shop]-policy[no-get]-rule[1]]",
  });
  assert.equal(decide([policy({ action: "DENY" })]).allowed, true, "a DENY without rules matches nothing");
  assert.equal(
    decide([policy({ action: "DENY", rules: [rule({})] })]).allowed,
    false,
    "a DENY with an empty rule matches all",
  );
  assert.equal(decide([allowAll, denyGet], { method: "POST" }).by?.policy.name, "shop/all");
});

const pick = ({ allowed, code, detail }: L7Decision) => ({ allowed, code, detail });

Deno.test("http policy: AUDIT and dry-run policies are noted and change nothing", () => {
  const audit = policy({ name: "shop/audit", action: "AUDIT", rules: [rule({ to: [{ methods: [exact("GET")] }] })] });
  const dryDeny = policy({ name: "shop/dry", action: "DENY", dryRun: true, rules: [rule({})] });
  const dryAllow = policy({ name: "shop/dry-allow", dryRun: true, rules: [rule({})] });
  const decision = decide([audit, dryDeny, dryAllow]);
  assert.equal(decision.allowed, true);
  assert.equal(decision.code, "allowed_by_default");
  assert.deepEqual(decision.audited.map(({ policy, rule }) => [policy.name, rule]), [["shop/audit", 0]]);
  assert.deepEqual(decision.dryRun.map(({ policy }) => policy.name), ["shop/dry", "shop/dry-allow"]);
  assert.deepEqual(decide([audit], { method: "PUT" }).audited, []);
});

Deno.test("http policy: on TCP, HTTP fields never match in ALLOW and are dropped by DENY", () => {
  const tcp = (policies: L7Policy[], given: Given = {}) =>
    new L7PolicySet(policies.map(compileL7Policy)).decideTcp(connection(given)).allowed;
  const methods = rule({ from: [{ principals: [exact(SLEEP)] }], to: [{ methods: [exact("GET")] }] });
  assert.equal(tcp([policy({ rules: [methods] })], { principal: SLEEP }), false);
  assert.equal(tcp([policy({ action: "DENY", rules: [methods] })], { principal: SLEEP }), false);
  assert.equal(tcp([policy({ action: "DENY", rules: [methods] })]), true);
  const negated = rule({ to: [{ notPaths: [exact("/x")] }] });
  assert.equal(tcp([policy({ rules: [negated] })]), false);
  assert.equal(tcp([policy({ action: "DENY", rules: [negated] })]), false);
  const ports = rule({ to: [{ ports: [80] }], from: [{ remoteIpBlocks: [{ address: "10.0.0.0", length: 8 }] }] });
  assert.equal(tcp([policy({ rules: [ports] })]), true);
  assert.equal(tcp([policy({ rules: [ports] })], { port: 81 }), false);
  const header = rule({
    when: [{ key: "request.headers[a]", values: ["b"], notValues: [] }, {
      key: "source.ip",
      values: ["10.0.0.1"],
      notValues: [],
    }],
  });
  assert.equal(tcp([policy({ rules: [header] })]), false);
  assert.equal(tcp([policy({ action: "DENY", rules: [header] })]), false);
  assert.equal(tcp([policy({ action: "DENY", rules: [header] })], { ip: "10.0.0.2" }), true);
});

Deno.test("http policy: rules found by the beginnings of paths are those that match, the first of them", () => {
  const values = [
    [prefix("/a")],
    [prefix("/ab"), exact("/abc/d")],
    [exact("/abc")],
    [prefix("/")],
    [prefix("/abc/"), prefix("/x")],
    [suffix("z")],
    [exact("/x")],
    [prefix("/ab"), suffix("/q")],
  ];
  for (const order of [values, values.toReversed(), [...values.slice(4), ...values.slice(0, 4)]]) {
    const policies = order.map((paths, i) => policy({ name: `shop/p${i}`, rules: [rule({ to: [{ paths }] })] }));
    for (const some of [policies, policies.filter((_, i) => i % 2 === 0), policies.slice(0, 3)]) {
      const set = new L7PolicySet(some.map(compileL7Policy));
      for (const path of ["/", "/a", "/ab", "/abc", "/abc/d", "/abc/d/q", "/x", "/xz", "/y", "/yz", "*", ""]) {
        const asked = facts({ path });
        const alone = some.find((one) => new L7PolicySet([compileL7Policy(one)]).decide(asked).allowed);
        assert.equal(set.decide(asked).by?.policy.name, alone?.name, path);
      }
    }
  }
});

Deno.test("http policy: a thousand policies decide as they would one by one", () => {
  const policies: L7Policy[] = [];
  for (let i = 0; i < 1000; i++) {
    const from = i % 3 === 0
      ? [{ principals: [exact(`td/ns/n${i}/sa/a`)] }]
      : i % 3 === 1
      ? [{ namespaces: [exact(`n${i}`)] }]
      : [];
    const path = i % 2 === 0 ? exact(`/p${i}/`) : prefix(`/p${i}/`);
    const to = i % 3 === 2 ? [{ paths: [path], methods: [exact("GET")] }] : [{ methods: [exact("GET")] }];
    policies.push(policy({ name: `shop/p${i}`, rules: [rule({ from, to })] }));
  }
  policies.push(policy({ name: "shop/zz", action: "DENY", rules: [rule({ to: [{ paths: [prefix("/secret")] }] })] }));
  const set = new L7PolicySet(policies.map(compileL7Policy));
  for (const i of [0, 1, 2, 500, 501, 998, 999]) {
    const given: Given = { principal: `td/ns/n${i}/sa/a`, path: `/p${i}/` };
    const decision = set.decide(facts(given));
    assert.equal(decision.by?.policy.name, `shop/p${i}`);
    assert.equal(set.decide(facts({ ...given, path: "/secret" })).by?.policy.name, "shop/zz");
  }
  assert.equal(set.decide(facts({ principal: "td/ns/none/sa/a", path: "/p" })).allowed, false);
  // Only the rules of this caller's key are asked.
  let asked = 0;
  const counting = facts({ principal: "td/ns/n3/sa/a" });
  Object.defineProperty(counting, "method", { get: () => (asked++, "GET") });
  assert.equal(set.decide(counting).allowed, true);
  assert.ok(asked <= 2, `${asked} rules were asked`);
  asked = 0;
  const byPath = facts({ path: "/p5/x" });
  Object.defineProperty(byPath, "method", { get: () => (asked++, "GET") });
  assert.equal(set.decide(byPath).by?.policy.name, "shop/p5");
  assert.ok(asked <= 2, `${asked} rules were asked`);
});
