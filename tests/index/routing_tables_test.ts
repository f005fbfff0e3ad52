import assert from "node:assert/strict";
import { DEFAULT_ROUTING_SETTINGS, readRoutingSettings, RoutingIndex } from "../../src/index/mod.ts";
import { matchesLabelSelector } from "../../src/index/label_selector.ts";
import { covers, intersection, readHostname, specificity } from "../../src/index/routing/hostname.ts";
import { isExported } from "../../src/index/routing/istio/hosts.ts";
import { portProtocol } from "../../src/index/routing/services.ts";
import type { Destination, VirtualHost } from "../../src/model/l7.ts";
import { routingWorld } from "../support/routing_inputs.ts";

Deno.test("readHostname takes names and wildcards, and nothing that could end a header", () => {
  for (
    const [text, name] of [
      ["Example.COM.", "example.com"],
      ["*.example.com", "*.example.com"],
      ["*", "*"],
      ["a", "a"],
      ["a_b.example.com", "a_b.example.com"],
      ["", undefined],
      ["*a.example.com", undefined],
      ["a.*.com", undefined],
      ["a..b", undefined],
      ["-a.com", undefined],
      ["a.com/b", undefined],
      ["a.com\r\n", undefined],
      ["a".repeat(254), undefined],
      [5, undefined],
    ] as const
  ) assert.equal(readHostname(text), name, String(text));
});

Deno.test("intersection of host names: what both stand for", () => {
  for (
    const [a, b, both] of [
      ["*", "a.example.com", "a.example.com"],
      ["*", "*", "*"],
      ["a.example.com", "a.example.com", "a.example.com"],
      ["a.example.com", "b.example.com", undefined],
      ["*.example.com", "a.example.com", "a.example.com"],
      ["*.example.com", "a.b.example.com", "a.b.example.com"],
      ["*.example.com", "example.com", undefined],
      ["*.example.com", "badexample.com", undefined],
      ["*.example.com", "*.a.example.com", "*.a.example.com"],
      ["*.example.com", "*.example.com", "*.example.com"],
      ["*.example.com", "*.other.com", undefined],
    ] as const
  ) {
    assert.equal(intersection(a, b), both, `${a} ${b}`);
    assert.equal(intersection(b, a), both, `${b} ${a}`);
  }
  assert.ok(covers("*.example.com", "a.b.example.com") && !covers("*.a.example.com", "*.example.com"));
  const sorted = ["*", "*.example.com", "*.a.example.com", "a", "b.a.example.com"];
  assert.deepEqual([...sorted].reverse().sort((a, b) => specificity(a) - specificity(b)), sorted);
});

Deno.test("portProtocol follows appProtocol, then the port's name, then well-known ports", () => {
  for (
    const [app, name, port, protocol] of [
      ["", "http", 80, "HTTP"],
      ["", "http-web", 80, "HTTP"],
      ["", "HTTP2-x", 80, "HTTP2"],
      ["", "grpc", 80, "HTTP2"],
      ["", "grpc-web", 80, "HTTP"],
      ["", "grpc-web-x", 80, "HTTP"],
      ["", "https", 443, "TLS"],
      ["", "tls-x", 443, "TLS"],
      ["", "tcp", 80, "TCP"],
      ["", "mongo", 1, "TCP"],
      ["", "redis-cache", 1, "TCP"],
      ["", "", 80, "AUTO"],
      ["", "web", 80, "AUTO"],
      ["", "", 3306, "TCP"],
      ["", "http", 3306, "HTTP"],
      ["kubernetes.io/h2c", "tcp", 80, "HTTP2"],
      ["kubernetes.io/ws", "", 80, "HTTP"],
      ["kubernetes.io/wss", "", 80, "TLS"],
      ["example.com/own", "http", 80, "AUTO"],
      ["grpc", "tcp", 80, "HTTP2"],
    ] as const
  ) assert.equal(portProtocol(app, name, port), protocol, `${app} ${name} ${port}`);
});

Deno.test("matchesLabelSelector reads selectors as Kubernetes does, and nothing into what it cannot read", () => {
  const labels = { a: "1", b: "2" };
  for (
    const [selector, matches] of [
      [{}, true],
      [{ matchLabels: { a: "1" } }, true],
      [{ matchLabels: { a: "2" } }, false],
      [{ matchExpressions: [{ key: "a", operator: "In", values: ["0", "1"] }] }, true],
      [{ matchExpressions: [{ key: "c", operator: "In", values: ["1"] }] }, false],
      [{ matchExpressions: [{ key: "a", operator: "NotIn", values: ["1"] }] }, false],
      [{ matchExpressions: [{ key: "c", operator: "NotIn", values: ["1"] }] }, true],
      [{ matchExpressions: [{ key: "a", operator: "Exists" }, { key: "c", operator: "DoesNotExist" }] }, true],
      [{ matchExpressions: [{ key: "a", operator: "Gt", values: ["0"] }] }, false],
      [{ matchExpressions: [null] }, false],
      [{ unknown: {} }, false],
      [undefined, false],
      ["a", false],
    ] as [unknown, boolean][]
  ) assert.equal(matchesLabelSelector(selector, labels), matches, JSON.stringify(selector));
});

Deno.test("isExported: `.` is the owner's namespace, `~` nobody's", () => {
  for (
    const [exportTo, owner, namespace, seen] of [
      [undefined, "a", "b", true],
      [[], "a", "b", true],
      [["*"], "a", "b", true],
      [["."], "a", "a", true],
      [["."], "a", "b", false],
      [["b"], "a", "b", true],
      [["~"], "a", "a", false],
    ] as [string[] | undefined, string, string, boolean][]
  ) assert.equal(isExported(exportTo, ["*"], owner, namespace), seen, JSON.stringify([exportTo, owner, namespace]));
});

const WEB = { kind: "gateway", namespace: "default", gateway: "web", labels: {}, serviceAccount: "web" } as const;
const GATEWAY = {
  kind: "Gateway",
  metadata: { name: "web", namespace: "default" },
  spec: { gatewayClassName: "istio", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] },
};

/** Names of the rules of routes with these matches, in the order in which they are tried. */
function order(rules: readonly { name: string; age?: string; match: unknown }[]): string[] {
  const { inputs, ambient } = routingWorld([
    GATEWAY,
    ...rules.map(({ name, age, match }) => ({
      kind: "HTTPRoute",
      metadata: { name, namespace: "default", creationTimestamp: age },
      spec: { parentRefs: [{ name: "web" }], rules: [{ matches: [match] }] },
    })),
  ]);
  const hosts = new RoutingIndex(inputs, ambient).proxyConfig(WEB).filter(({ kind }) => kind === "virtualHost");
  return (hosts[0] as VirtualHost).routes.map(({ name }) => name.split(".")[1]);
}

Deno.test("precedence of Gateway API matches, one criterion after the other", () => {
  const header = (...names: string[]) => names.map((name) => ({ name, value: "1" }));
  const path = (type: string, value: string) => ({ type, value });
  const table: { name: string; age?: string; match: unknown }[] = [
    { name: "exact", match: { path: path("Exact", "/a") } },
    { name: "long", match: { path: path("PathPrefix", "/long/prefix") } },
    { name: "short-method", match: { path: path("PathPrefix", "/a"), method: "GET" } },
    { name: "short-headers", match: { path: path("PathPrefix", "/a"), headers: header("a", "b") } },
    { name: "short-header", match: { path: path("PathPrefix", "/b"), headers: header("a") } },
    { name: "short-query", match: { path: path("PathPrefix", "/a"), queryParams: header("a", "b") } },
    { name: "oldest", age: "2026-01-01T00:00:00Z", match: { path: path("PathPrefix", "/a") } },
    { name: "alpha", age: "2026-01-02T00:00:00Z", match: { path: path("PathPrefix", "/a") } },
    { name: "beta", age: "2026-01-02T00:00:00Z", match: { path: path("PathPrefix", "/a/") } },
    { name: "regex", match: { path: path("RegularExpression", "/a/very/long/expression") } },
    { name: "any", age: "2025-01-01T00:00:00Z", match: { path: path("PathPrefix", "/") } },
  ];
  const wanted = table.map(({ name }) => name);
  for (const rotation of [0, 3, 7]) {
    assert.deepEqual(order([...table.slice(rotation), ...table.slice(0, rotation)]), wanted);
  }
  assert.deepEqual(order(table.toReversed()), wanted);
});

Deno.test("precedence within one HTTPRoute: the first of rules that say the same", () => {
  const { inputs, ambient } = routingWorld([GATEWAY, {
    kind: "HTTPRoute",
    metadata: { name: "r", namespace: "default" },
    spec: {
      parentRefs: [{ name: "web" }],
      rules: [{ name: "first" }, { name: "second" }, { name: "third", matches: [{}] }],
    },
  }]);
  const [host] = new RoutingIndex(inputs, ambient).proxyConfig(WEB).filter(({ kind }) => kind === "virtualHost");
  assert.deepEqual((host as VirtualHost).routes.map(({ name }) => name), [
    "default.r.first",
    "default.r.second",
    "default.r.third",
  ]);
});

Deno.test("a DestinationRule is found in the proxy's namespace, then the service's, then the root namespace", () => {
  const rule = (namespace: string, host: string, extra = {}) => ({
    kind: "DestinationRule",
    metadata: { name: "d", namespace },
    spec: { host, ...extra, trafficPolicy: { loadBalancer: { simple: "RANDOM" } } },
  });
  const all = [
    rule("default", "s.apps.svc.cluster.local"),
    rule("apps", "s"),
    rule("istio-system", "*.svc.cluster.local"),
    rule("other", "s.apps.svc.cluster.local"),
  ];
  const found = (rules: unknown[]) => {
    const { inputs, ambient } = routingWorld([
      GATEWAY,
      { kind: "Service", metadata: { name: "s", namespace: "apps" }, spec: { ports: [{ port: 80 }] } },
      {
        kind: "ReferenceGrant",
        metadata: { name: "g", namespace: "apps" },
        spec: {
          from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "default" }],
          to: [{ group: "", kind: "Service" }],
        },
      },
      {
        kind: "HTTPRoute",
        metadata: { name: "r", namespace: "default" },
        spec: {
          parentRefs: [{ name: "web" }],
          rules: [{
            backendRefs: [{
              group: "networking.istio.io",
              kind: "Hostname",
              name: "s.apps.svc.cluster.local",
              port: 80,
            }],
          }],
        },
      },
      ...rules,
    ]);
    const config = new RoutingIndex(inputs, ambient).proxyConfig(WEB);
    return (config.find(({ kind }) => kind === "destination") as Destination).rule;
  };
  assert.equal(found(all), "default/d");
  assert.equal(found(all.slice(1)), "apps/d");
  assert.equal(found(all.slice(2)), "istio-system/d");
  assert.equal(found(all.slice(3)), "", "a namespace that has nothing to do with either has no say");
  assert.equal(found([rule("apps", "s", { exportTo: ["."] })]), "");
  assert.equal(found([rule("default", "s")]), "", "a short name is of the author's namespace");
});

Deno.test("readRoutingSettings takes what it can, and becomes no laxer for what it cannot", () => {
  assert.deepEqual(readRoutingSettings({}).settings, DEFAULT_ROUTING_SETTINGS);
  assert.deepEqual(DEFAULT_ROUTING_SETTINGS.l7, {
    kind: "settings",
    name: "mesh",
    trustDomain: "cluster.local",
    pathNormalization: "BASE",
    accessLog: undefined,
    tracing: undefined,
    trustedProxies: 0,
  });
  const bad = readRoutingSettings({
    pathNormalization: { normalization: "WHATEVER" },
    accessLogFile: "/var/log/x",
    accessLogEncoding: 5,
    defaultConfig: { gatewayTopology: { numTrustedProxies: -1 } },
    defaultProviders: { tracing: ["missing"] },
    defaultVirtualServiceExportTo: "x",
  }, "td");
  assert.equal(bad.settings.l7.pathNormalization, "DECODE_AND_MERGE_SLASHES");
  assert.equal(bad.settings.l7.trustedProxies, 0);
  assert.equal(bad.settings.l7.trustDomain, "td");
  assert.deepEqual(bad.settings.l7.accessLog, { encoding: "TEXT", format: "" });
  assert.deepEqual(bad.settings.defaultVirtualServiceExportTo, ["."]);
  assert.equal(bad.problems.length, 6, bad.problems.join("\n"));
  assert.deepEqual(
    readRoutingSettings({
      outboundTrafficPolicy: { mode: "REGISTRY_ONLY" },
      defaultConfig: { concurrency: 2, meshId: "m" },
      rootNamespace: "istio-system",
    }).problems,
    ["outboundTrafficPolicy is not supported", "defaultConfig.concurrency is not supported"],
  );
  assert.equal(
    readRoutingSettings({ pathNormalization: { normalization: "DEFAULT" } }).settings.l7.pathNormalization,
    "BASE",
  );
});

Deno.test("VirtualServices for one host at a gateway: what takes every request comes last, whoever is older", () => {
  const virtual = (name: string, creationTimestamp: string, matches: readonly unknown[]) => ({
    kind: "VirtualService",
    metadata: { name, namespace: "default", creationTimestamp },
    spec: {
      hosts: ["a.example.com"],
      gateways: ["gw"],
      http: matches.map((match, i) => ({
        name: `${i}`,
        ...(match ? { match: [match] } : {}),
        directResponse: { status: 200 },
      })),
    },
  });
  const { inputs, ambient } = routingWorld([
    {
      kind: "Gateway",
      apiVersion: "networking.istio.io/v1",
      metadata: { name: "gw", namespace: "default" },
      spec: {
        selector: { istio: "ingressgateway" },
        servers: [{ port: { number: 8080, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
      },
    },
    virtual("old", "2026-01-01T00:00:00Z", [{ uri: { exact: "/old" } }, undefined, { uri: { exact: "/never" } }]),
    virtual("new", "2026-01-02T00:00:00Z", [
      { uri: { prefix: "/new" } },
      { uri: { prefix: "/" }, headers: { a: {} } },
      { uri: { prefix: "/" }, method: { exact: "PUT" } },
    ]),
  ]);
  const target = {
    kind: "gateway" as const,
    namespace: "default",
    labels: { istio: "ingressgateway" },
    serviceAccount: "gw",
  };
  const [host] = new RoutingIndex(inputs, ambient).proxyConfig(target).filter(({ kind }) => kind === "virtualHost");
  assert.deepEqual((host as VirtualHost).routes.map(({ match }) => [match.path?.value, match.headers.length]), [
    ["/old", 0],
    ["/new", 0],
    ["/", 1],
    ["/", 0],
    [undefined, 0],
  ]);
});

Deno.test("what proxies would leave out in silence is in the status by name", () => {
  const told = (kind: string, spec: Record<string, unknown>, name = "x"): string => {
    const gateway = {
      kind: "Gateway",
      apiVersion: "gateway.networking.k8s.io/v1",
      metadata: { name: "gw", namespace: "default" },
      spec: { gatewayClassName: "istio", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] },
    };
    const object = { kind, metadata: { name, namespace: "default" }, spec };
    const { inputs, ambient } = routingWorld([gateway, object]);
    const [status] = new RoutingIndex(inputs, ambient).statuses(() => undefined).filter((one) => one.kind === kind);
    const conditions = [...status?.conditions ?? [], ...status?.parents?.flatMap(({ conditions }) => conditions) ?? []];
    return conditions.map(({ message }) => message).join("\n");
  };
  const direct = { directResponse: { status: 200 } };
  const virtual = (rule: Record<string, unknown>, spec: Record<string, unknown> = {}) =>
    told("VirtualService", { hosts: ["a.example"], http: [{ ...direct, ...rule }], ...spec });
  const label = (labels: Record<string, string>, match = {}) => ({ match: [{ ...match, sourceLabels: labels }] });
  const never =
    "waypoints know app, version and the canonical labels of a source alone, so the match never holds there";
  const bytes = "waypoints do not tell bytes apart by their source, so the match never holds there";
  const tcp = { http: [], tcp: [{ match: [{ sourceLabels: { app: "a" } }], route: [{ destination: { host: "a" } }] }] };
  for (
    const [message, says] of [
      [virtual(label({ app: "a", version: "v1", "service.istio.io/canonical-revision": "v1" })), undefined],
      [virtual(label({ app: "a", tier: "b" })), `http[0].match[0].sourceLabels["tier"] is not supported: ${never}`],
      [virtual(label({ tier: "b" }), { gateways: ["gw", "mesh"] }), never],
      // A gateway knows all its own labels.
      [virtual(label({ tier: "b" }), { gateways: ["gw"] }), undefined],
      [virtual(label({ tier: "b" }, { gateways: ["gw"] }), { gateways: ["gw", "mesh"] }), undefined],
      [virtual({}, tcp), `tcp[0].match[0].sourceLabels is not supported: ${bytes}`],
      [virtual({}, { ...tcp, gateways: ["gw"] }), undefined],
      [
        virtual({ retries: { attempts: 1, retryOn: "5xx,retriable-headers" } }),
        "http[0].retries.retryOn retriable-headers is not supported",
      ],
      [
        virtual({ headers: { request: { set: { TE: "x" }, remove: ["connection", "host"] } } }),
        'http[0].headers.request.set.TE is not supported: "te" belongs to the connection; ' +
        'http[0].headers.request.remove is not supported: "connection" belongs to the connection; ' +
        'http[0].headers.request.remove is not supported: "host" cannot be removed',
      ],
      [virtual({ headers: { request: { set: { a: "%REQ(X)% %START_TIME(%s)% 100%%" } } } }), undefined],
      [
        virtual({ headers: { response: { set: { a: "%NOPE%" }, add: { b: "5%", c: "%FILTER_STATE(x)%" } } } }),
        "http[0].headers.response.set.a is not supported: %NOPE% is no operator, the value is sent as written (%% is a percent sign); " +
        "http[0].headers.response.add.b is not supported: a % alone is no operator, the value is sent as written (%% is a percent sign); " +
        "http[0].headers.response.add.c is not supported: %FILTER_STATE(x)% has no value here",
      ],
      [
        virtual({ headers: { response: { add: { host: "a" } } } }),
        "http[0].headers.response.add.host is not supported: answers have no host",
      ],
      [
        virtual({ rewrite: { uriRegexRewrite: { match: "/(a)", rewrite: "/\\1\\\\" } } }),
        undefined,
      ],
      [
        virtual({ rewrite: { uriRegexRewrite: { match: "/(a)", rewrite: "/\\2" } } }),
        'cannot use http[0].rewrite.uriRegexRewrite.rewrite="/\\\\2"',
      ],
      [
        virtual({ rewrite: { uriRegexRewrite: { match: "/a", rewrite: "\\" } } }),
        "cannot use http[0].rewrite.uriRegexRewrite.rewrite=",
      ],
      [
        virtual({ directResponse: { status: 200, body: { bytes: "not base 64" } } }),
        'cannot use http[0].directResponse.body.bytes="not base 64"',
      ],
      [
        told("HTTPRoute", {
          parentRefs: [{ name: "gw" }],
          rules: [{
            filters: [{
              type: "ResponseHeaderModifier",
              responseHeaderModifier: { set: [{ name: "Transfer-Encoding", value: "x" }], remove: ["Upgrade"] },
            }],
          }],
        }),
        'rules[0].filters[0].responseHeaderModifier.remove is not supported: "upgrade" belongs to the connection; ' +
        'rules[0].filters[0].responseHeaderModifier.set[0] is not supported: "transfer-encoding" belongs to the connection',
      ],
    ] as const
  ) {
    if (says) assert.ok(message.includes(says), `${message}\nlacks\n${says}`);
    else assert.doesNotMatch(message, /not supported|cannot use/);
  }
});
