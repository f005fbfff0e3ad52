import assert from "node:assert/strict";
import { parseIp } from "../../../src/core/ip.ts";
import { fieldName, Fields } from "../../../src/http/fields.ts";
import {
  applyForwarding,
  CompiledCors,
  CompiledHeaderChanges,
  CompiledRewrite,
  CorsOutcome,
  drawShare,
  encodeGrpcMessage,
  type ForwardingFacts,
  grpcStatusOf,
  httpsLocation,
  isGrpc,
  isPrivate,
  normalizePath,
  randomHex,
  randomUuid,
  redirectLocation,
  replacePath,
  trustedClient,
} from "../../../src/http/filters/mod.ts";
import type { RequestRecord } from "../../../src/http/exchange/record.ts";
import type { RequestHead } from "../../../src/http/message.ts";
import { compileFormat } from "../../../src/http/telemetry/log_format.ts";
import { EMPTY_OPERATORS, FORMAT_OPERATORS } from "../../../src/model/l7_names.ts";
import type { CorsPolicy, PathMatch, PathNormalization, RedirectAction } from "../../../src/model/mod.ts";

function head(extra: Partial<RequestHead> = {}, ...fields: [string, string][]): RequestHead {
  return {
    version: "HTTP/1.1",
    method: "GET",
    scheme: "http",
    authority: "web",
    path: "/",
    fields: Fields.of(...fields),
    upgrade: "",
    contentLength: 0,
    expectContinue: false,
    ...extra,
  };
}

const RECORD = { requestId: "the-id" } as RequestRecord;

const list = (fields: Fields) =>
  Array.from({ length: fields.size }, (_, i) => `${fields.nameAt(i)}: ${fields.valueAt(i)}`);

// --- path normalisation

const NORMALIZED: [string, Partial<Record<PathNormalization, string | undefined>>][] = [
  ["/a/b?c=/../d", { NONE: "/a/b?c=/../d", BASE: "/a/b?c=/../d" }],
  ["/a/../b", { NONE: "/a/../b", BASE: "/b" }],
  ["/a/./b", { BASE: "/a/b" }],
  ["/a/..", { BASE: "/" }],
  ["/a/.", { BASE: "/a/" }],
  ["/..", { BASE: "/" }],
  ["/../../etc/passwd", { BASE: "/etc/passwd" }],
  ["/a/...", { BASE: "/a/..." }],
  ["/.a", { BASE: "/.a" }],
  ["/a/%2e%2e/b", { NONE: "/a/%2e%2e/b", BASE: "/b" }],
  ["/a/.%2E/b", { BASE: "/b" }],
  ["/a%2fb", { BASE: "/a%2fb", MERGE_SLASHES: "/a%2fb", DECODE_AND_MERGE_SLASHES: "/a/b" }],
  ["/a%2F..%2Fb", { BASE: "/a%2F..%2Fb", DECODE_AND_MERGE_SLASHES: "/b" }],
  ["/a%5Cb", { BASE: "/a%5Cb", DECODE_AND_MERGE_SLASHES: "/a/b" }],
  ["/a\\b", { NONE: "/a\\b", BASE: "/a/b" }],
  ["/a\\..\\b", { BASE: "/b" }],
  ["//a///b//", { NONE: "//a///b//", BASE: "//a///b//", MERGE_SLASHES: "/a/b/", DECODE_AND_MERGE_SLASHES: "/a/b/" }],
  ["/a//../b", { BASE: "/a/b" }],
  ["/%61dmin", { NONE: "/%61dmin", BASE: "/admin" }],
  ["/%41%7e%2D", { BASE: "/A~-" }],
  ["/%2561", { BASE: "/%2561", DECODE_AND_MERGE_SLASHES: "/%2561" }],
  ["/%252f", { DECODE_AND_MERGE_SLASHES: "/%252f" }],
  ["/%252e%252e/a", { BASE: "/%252e%252e/a" }],
  ["/a%zz%", { BASE: "/a%zz%" }],
  ["/a%2", { BASE: "/a%2" }],
  ["/a%00", { NONE: "/a%00", BASE: undefined, MERGE_SLASHES: undefined }],
  ["/a b", { BASE: "/a%20b" }],
  ["/\u00e9", { BASE: "/%E9" }],
  ['/"<>`{}', { BASE: "/%22%3C%3E%60%7B%7D" }],
  ["/a#b", { NONE: undefined, BASE: undefined }],
  ["/a?b#c", { NONE: undefined, BASE: undefined }],
  ["/a?b=%2e%2e//", { MERGE_SLASHES: "/a?b=%2e%2e//" }],
  ["/?", { BASE: "/?" }],
  ["*", { NONE: "*", BASE: "*" }],
  ["", { NONE: undefined, BASE: undefined }],
  ["a/b", { BASE: undefined }],
  ["http://x/", { BASE: undefined }],
];

Deno.test("normalizePath()", () => {
  for (const [path, expected] of NORMALIZED) {
    for (const [mode, result] of Object.entries(expected)) {
      assert.equal(normalizePath(path, mode as PathNormalization), result, `${mode} ${path}`);
    }
  }
});

Deno.test("normalizePath() of a normal path changes nothing", () => {
  for (const mode of ["BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"] as const) {
    for (const [path] of NORMALIZED) {
      const once = normalizePath(path, mode);
      // An escape that is decoded may form another one only across a stray percent sign, which stays as it is.
      if (once !== undefined) assert.equal(normalizePath(once, mode), once, `${mode} ${path}`);
    }
  }
});

// --- headers

Deno.test("header changes: set, add, remove; host is the authority", () => {
  const request = head({}, ["x-a", "1"], ["x-a", "2"], ["x-b", "1"], ["x-c", "1"]);
  const changes = new CompiledHeaderChanges({
    set: [["X-A", "new"], ["Host", "other:80"], ["x-set", "s"], ["x-id", "id %REQ(X-REQUEST-ID)%"], [
      "x-share",
      "100% %d",
    ]],
    add: [["x-b", "2"]],
    remove: ["X-C", "x-none"],
  });
  changes.applyToRequest(request, RECORD);
  assert.equal(request.authority, "other:80");
  assert.deepEqual(list(request.fields).sort(), [
    "x-a: new",
    "x-b: 1",
    "x-b: 2",
    "x-id: id the-id",
    "x-set: s",
    "x-share: 100% %d",
  ]);
  assert.deepEqual(changes.refused, []);
});

Deno.test("header changes: operators have values, %% is a percent sign, what is missing is not said", () => {
  const request = head({}, ["x-kept", "1"], ["x-user", "ann"]);
  new CompiledHeaderChanges({
    set: [
      ["x-percent", "100%%"],
      ["x-both", "%PROTOCOL% 5%% of %REQ(x-user)%"],
      ["x-gone", "%REQ(x-none)%"],
      ["x-kept", "%REQ(x-none)%"],
      ["x-partly", "<%REQ(x-none)%>"],
      ["x-unknown", "%NOPE% %REQ(x-user)%"],
    ],
    add: [["x-added", "%DYNAMIC_METADATA(a:b)%"]],
    remove: ["x-user"],
  }).applyToRequest(request, { ...RECORD, head: request } as RequestRecord);
  assert.deepEqual(list(request.fields).sort(), [
    "x-both: HTTP/1.1 5% of ann",
    "x-kept: 1",
    "x-partly: <>",
    "x-percent: 100%",
    "x-unknown: %NOPE% %REQ(x-user)%",
  ]);
});

Deno.test("operators that authors are told of are those that proxies do not know", () => {
  for (const name of FORMAT_OPERATORS) assert.deepEqual(compileFormat(`%${name}%`).unknown, [], name);
  assert.deepEqual(compileFormat("%NOPE% %").unknown, ["%NOPE%", "%"]);
  for (const name of EMPTY_OPERATORS) assert.ok(FORMAT_OPERATORS.has(name), name);
});

Deno.test("header changes that would break messages are refused", () => {
  const names = [
    ":path",
    ":method",
    "connection",
    "transfer-encoding",
    "content-length",
    "te",
    "upgrade",
    "keep-alive",
    "a b",
    "",
    "x\r\ny",
  ];
  const changes = new CompiledHeaderChanges({
    set: names.map((name) => [name, "v"] as const),
    add: [["x-a", "v\r\nx-evil: 1"], ["x-b", "\u0000"]],
    remove: ["host", ":authority", ...names],
  });
  const request = head({}, ["x-a", "1"]);
  changes.applyToRequest(request, RECORD);
  assert.deepEqual(list(request.fields), ["x-a: 1"]);
  assert.equal(changes.refused.length, names.length * 2 + 4);
});

// --- rewrites and redirects

const path = (kind: "exact" | "prefix", value: string, segments = false): PathMatch =>
  kind === "exact" ? { kind, value } : { kind, value, segments };

Deno.test("rewrites of paths keep exactly one slash, and the query", () => {
  const cases: [PathMatch | undefined, "full" | "prefix", string, string, string][] = [
    [path("prefix", "/foo", true), "prefix", "/", "/foo/bar?x=1", "/bar?x=1"],
    [path("prefix", "/foo", true), "prefix", "/", "/foo", "/"],
    [path("prefix", "/foo/", true), "prefix", "/bar", "/foo/x", "/bar/x"],
    [path("prefix", "/foo", true), "prefix", "/bar/", "/foo/x", "/bar/x"],
    [path("prefix", "/foo", true), "prefix", "/bar", "/foo?q", "/bar?q"],
    [path("prefix", "/foo", true), "prefix", "", "/foo", "/"],
    [path("prefix", "/foo", true), "prefix", "", "/foo/x", "/x"],
    [path("prefix", "/foo/"), "prefix", "/", "/foo/x", "/x"],
    [path("prefix", "/foo"), "prefix", "/bar", "/foobar", "/barbar"],
    [path("prefix", "/"), "prefix", "/new/", "/x", "/new/x"],
    [undefined, "prefix", "/new/", "/x", "/new/x"],
    [path("exact", "/foo"), "prefix", "/bar", "/foo?q=1", "/bar?q=1"],
    [path("prefix", "/foo"), "full", "/whole", "/foo/x?q=1", "/whole?q=1"],
    [path("prefix", "/foo"), "full", "/whole?mine=1", "/foo/x?q=1", "/whole?mine=1"],
  ];
  for (const [match, kind, value, target, expected] of cases) {
    assert.equal(replacePath(target, match, { kind, value }), expected, JSON.stringify([match, kind, value, target]));
  }
  const request = head({ path: "/v1/users/7?a=/v2/" });
  new CompiledRewrite({
    authority: "users",
    path: { kind: "regex", pattern: "^/v1/([a-z]+)/(\\d+)$", substitution: "/\\2/\\1" },
  }, undefined).apply(request);
  assert.deepEqual([request.authority, request.path], ["users", "/7/users?a=/v2/"]);
  assert.equal(
    new CompiledRewrite({ path: { kind: "regex", pattern: "(", substitution: "" } }, undefined).refused.length,
    1,
  );
});

Deno.test("redirects: scheme, host, port and path", () => {
  const facts = { scheme: "http", authority: "Shop.example.com:8080", path: "/a/b?q=1", listenerPort: 8080 };
  const cases: [Partial<RedirectAction>, Partial<typeof facts>, string][] = [
    [{ portRule: "LISTENER" }, {}, "http://shop.example.com:8080/a/b?q=1"],
    [{ portRule: "LISTENER" }, { listenerPort: 80 }, "http://shop.example.com/a/b?q=1"],
    [{ portRule: "LISTENER", scheme: "https" }, {}, "https://shop.example.com/a/b?q=1"],
    [{ portRule: "LISTENER", scheme: "https", port: 8443 }, {}, "https://shop.example.com:8443/a/b?q=1"],
    [{ portRule: "LISTENER", port: 443 }, { scheme: "https" }, "https://shop.example.com/a/b?q=1"],
    [{ portRule: "LISTENER", port: 443 }, {}, "http://shop.example.com:443/a/b?q=1"],
    [{ portRule: "LISTENER", host: "example.org" }, {}, "http://example.org:8080/a/b?q=1"],
    [{ portRule: "FROM_REQUEST" }, { listenerPort: 80 }, "http://shop.example.com:8080/a/b?q=1"],
    [{ portRule: "FROM_REQUEST" }, { authority: "x" }, "http://x/a/b?q=1"],
    [{ portRule: "SCHEME_DEFAULT" }, {}, "http://shop.example.com/a/b?q=1"],
    [
      { portRule: "LISTENER", path: { kind: "full", value: "/new" } },
      { listenerPort: 80 },
      "http://shop.example.com/new?q=1",
    ],
    [
      { portRule: "LISTENER", path: { kind: "prefix", value: "/z" } },
      { listenerPort: 80 },
      "http://shop.example.com/z/b?q=1",
    ],
  ];
  for (const [action, given, expected] of cases) {
    const full: RedirectAction = { kind: "redirect", status: 302, portRule: "LISTENER", ...action };
    assert.equal(
      redirectLocation(full, path("prefix", "/a", true), { ...facts, ...given }),
      expected,
      JSON.stringify([action, given]),
    );
  }
  assert.equal(httpsLocation("web:80", "/x"), "https://web/x");
  assert.equal(httpsLocation("web", "/x"), "https://web/x");
});

// --- CORS

const CORS: CorsPolicy = {
  allowOrigins: [{ kind: "exact", value: "https://a.com" }, { kind: "wildcard", value: "https://*.b.com" }, {
    kind: "regex",
    value: "https://c[0-9]\\.com",
  }],
  allowMethods: ["GET", "PUT"],
  allowHeaders: ["x-a", "x-b"],
  exposeHeaders: ["x-e"],
  maxAgeSeconds: 60,
  allowCredentials: true,
  unmatchedPreflights: "FORWARD",
};

function judged(policy: CorsPolicy, origin: string | undefined, preflight = true): CorsOutcome {
  const fields: [string, string][] = origin === undefined ? [] : [["origin", origin]];
  if (preflight) fields.push(["access-control-request-method", "PUT"]);
  return new CompiledCors(policy).judge(head({ method: "OPTIONS" }, ...fields));
}

Deno.test("CORS: origins and preflights", () => {
  for (const origin of ["https://a.com", "https://x.b.com", "https://x.y.b.com", "HTTPS://X.B.COM", "https://c1.com"]) {
    assert.equal(judged(CORS, origin), CorsOutcome.Preflight, origin);
    assert.equal(judged(CORS, origin, false), CorsOutcome.Allowed, origin);
  }
  for (
    const origin of [
      "http://a.com",
      "https://.b.com",
      "https://b.com",
      "https://evil.com/.b.com.x",
      "https://c11.com",
      "",
      undefined,
    ]
  ) {
    assert.equal(judged(CORS, origin), CorsOutcome.None, origin);
  }
  const ignoring: CorsPolicy = { ...CORS, unmatchedPreflights: "IGNORE" };
  assert.equal(judged(ignoring, "https://evil.com"), CorsOutcome.Refused);
  assert.equal(judged(ignoring, "https://evil.com", false), CorsOutcome.None);
  const preflight = new Fields();
  const request = head({ method: "OPTIONS" }, ["origin", "https://a.com"], ["access-control-request-method", "PUT"]);
  new CompiledCors(CORS).preflight(request, preflight);
  assert.deepEqual(list(preflight), [
    "access-control-allow-origin: https://a.com",
    "access-control-allow-credentials: true",
    "access-control-allow-methods: GET,PUT",
    "access-control-allow-headers: x-a,x-b",
    "access-control-expose-headers: x-e",
    "access-control-max-age: 60",
  ]);
  const star = new Fields();
  const open = { ...CORS, allowMethods: ["*"], allowHeaders: ["*"], exposeHeaders: [], maxAgeSeconds: undefined };
  new CompiledCors(open).preflight(
    head({ method: "OPTIONS" }, ["origin", "https://a.com"], ["access-control-request-method", "PUT"], [
      "access-control-request-headers",
      "x-q",
    ]),
    star,
  );
  assert.deepEqual(list(star).slice(2), ["access-control-allow-methods: PUT", "access-control-allow-headers: x-q"]);
  const response = Fields.of(["access-control-allow-origin", "*"]);
  new CompiledCors(CORS).decorate("https://a.com", response);
  assert.deepEqual(list(response), [
    "access-control-allow-origin: https://a.com",
    "access-control-allow-credentials: true",
    "access-control-expose-headers: x-e",
  ]);
});

// --- forwarding

const OUTSIDE: ForwardingFacts = {
  use: "gateway",
  scheme: "https",
  peerAddress: "203.0.113.9",
  peerIp: parseIp("203.0.113.9"),
  clientCertText: "",
  peerIsPrivate: false,
};

Deno.test("forwarding: a gateway takes nobody's word", () => {
  const fields = Fields.of(
    ["x-forwarded-for", "1.2.3.4"],
    ["x-forwarded-proto", "http"],
    ["x-request-id", "mine"],
    ["x-envoy-internal", "true"],
    ["x-envoy-max-retries", "100"],
    ["x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/x/sa/admin"],
    ["x-envoy-external-address", "10.0.0.1"],
    ["accept", "*/*"],
  );
  assert.equal(trustedClient(fields, OUTSIDE, 0), OUTSIDE.peerIp);
  const id = applyForwarding(fields, OUTSIDE, 0);
  assert.notEqual(id, "mine");
  assert.deepEqual(list(fields).sort(), [
    "accept: */*",
    "x-envoy-external-address: 203.0.113.9",
    "x-forwarded-for: 1.2.3.4,203.0.113.9",
    "x-forwarded-proto: https",
    `x-request-id: ${id}`,
  ]);
});

Deno.test("forwarding: trusted proxies are believed, and no further", () => {
  const cases: [string | undefined, number, string][] = [
    ["1.1.1.1, 2.2.2.2", 1, "2.2.2.2"],
    ["1.1.1.1, 2.2.2.2", 2, "1.1.1.1"],
    ["1.1.1.1, 2.2.2.2", 3, "203.0.113.9"],
    ["fd00::1", 1, "fd00::1"],
    ["not an address", 1, "203.0.113.9"],
    [undefined, 1, "203.0.113.9"],
    ["1.1.1.1", 0, "203.0.113.9"],
  ];
  for (const [header, hops, expected] of cases) {
    const fields = header === undefined ? new Fields() : Fields.of(["x-forwarded-for", header]);
    assert.deepEqual(trustedClient(fields, OUTSIDE, hops), parseIp(expected), `${header} ${hops}`);
  }
  const fields = Fields.of(["x-forwarded-for", "1.1.1.1"], ["x-forwarded-proto", "http"], ["x-request-id", "kept"]);
  assert.equal(applyForwarding(fields, OUTSIDE, 1), "kept");
  assert.equal(fields.get(fieldName("x-forwarded-proto")), "http");
  assert.equal(fields.get(fieldName("x-envoy-external-address")), "1.1.1.1");
});

Deno.test("forwarding: inside, and at waypoints", () => {
  const inside: ForwardingFacts = {
    ...OUTSIDE,
    peerAddress: "10.0.0.7",
    peerIp: parseIp("10.0.0.7"),
    peerIsPrivate: true,
  };
  const fields = Fields.of(["x-request-id", "mine"]);
  assert.equal(applyForwarding(fields, inside, 0), "mine");
  assert.equal(fields.get(fieldName("x-envoy-internal")), "true");
  assert.equal(fields.has(fieldName("x-envoy-external-address")), false);
  const waypoint: ForwardingFacts = {
    ...inside,
    use: "waypoint",
    scheme: "http",
    clientCertText: "URI=spiffe://a/ns/b/sa/c",
  };
  const through = Fields.of(["x-forwarded-for", "1.2.3.4"], ["x-forwarded-client-cert", "By=x"], [
    "x-envoy-original-path",
    "/",
  ]);
  const id = applyForwarding(through, waypoint, 0);
  assert.deepEqual(list(through), [
    "x-forwarded-for: 1.2.3.4",
    "x-forwarded-client-cert: By=x,URI=spiffe://a/ns/b/sa/c",
    "x-envoy-original-path: /",
    "x-forwarded-proto: http",
    `x-request-id: ${id}`,
  ]);
  for (
    const [address, expected] of [["10.1.1.1", true], ["172.31.0.1", true], ["172.32.0.1", false], ["::1", true], [
      "fd12::1",
      true,
    ], ["8.8.8.8", false]] as const
  ) {
    assert.equal(isPrivate(parseIp(address)), expected, address);
  }
});

// --- small things

Deno.test("request ids and random ids are of the right form and differ", () => {
  const ids = new Set(Array.from({ length: 2000 }, randomUuid));
  assert.equal(ids.size, 2000);
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.match(randomHex(16), /^[0-9a-f]{32}$/);
});

Deno.test("gRPC: content types, statuses and messages", () => {
  for (
    const [type, expected] of [
      ["application/grpc", true],
      ["application/grpc+proto", true],
      ["application/grpc;x", true],
      ["application/grpc-web", false],
      ["text/plain", false],
    ] as const
  ) {
    assert.equal(isGrpc(Fields.of(["content-type", type])), expected, type);
  }
  assert.equal(isGrpc(new Fields()), false);
  assert.deepEqual([200, 400, 401, 403, 404, 429, 503, 504, 500].map(grpcStatusOf), [0, 13, 16, 7, 12, 14, 14, 14, 2]);
  assert.equal(encodeGrpcMessage("a b%\n\u00e9"), "a b%25%0A%C3%A9");
});

Deno.test("drawShare() draws shares", () => {
  assert.equal(drawShare(1_000_000, () => 0.999), true);
  assert.equal(drawShare(0, () => 0), false);
  assert.equal(drawShare(500_000, () => 0.499), true);
  assert.equal(drawShare(500_000, () => 0.5), false);
});
