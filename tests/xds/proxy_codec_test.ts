import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import { ProxyResourceSchema } from "../../src/gen/ambientd/proxy/resource_pb.ts";
import {
  DEFAULT_LIMITS,
  DEFAULT_RETRY,
  type Destination,
  type L7Listener,
  type L7Policy,
  type L7Settings,
  type ProxyResource,
  proxyResourceKey,
  type TlsSecret,
  type VirtualHost,
} from "../../src/model/l7.ts";
import { proxyResourceType, type ProxyUpdate } from "../../src/xds/client/proxy_type.ts";
import { decodeProxyResource, encodeProxyResource } from "../../src/xds/proxy_codec.ts";

const HEADERS = { set: [["x-a", "1"]], add: [["x-b", ""]], remove: ["x-c"] } as const;

export const SETTINGS: L7Settings = {
  kind: "settings",
  name: "mesh",
  trustDomain: "cluster.local",
  pathNormalization: "BASE",
  accessLog: { encoding: "TEXT", format: "%PROTOCOL%\n" },
  tracing: { protocol: "OTLP_HTTP", address: "collector.obs:4318", path: "/v1/traces", samplingPercent: 0.5 },
  trustedProxies: 1,
};

const LISTENERS: L7Listener[] = [
  {
    kind: "listener",
    name: "default/gw/https",
    binding: { kind: "port", port: 443 },
    protocol: "HTTPS",
    hostnames: ["*", "*.example.com"],
    tls: {
      mode: "MUTUAL",
      secrets: ["kubernetes://default/cert"],
      caSecret: "kubernetes://default/ca",
      minVersion: "TLSv1_2",
    },
    httpsRedirect: false,
    origin: "Gateway/default/gw",
  },
  {
    kind: "listener",
    name: "inbound-vip|9000|tcp|db.default.svc.cluster.local",
    binding: {
      kind: "service",
      service: "default/db.default.svc.cluster.local",
      hostname: "db.default.svc.cluster.local",
      addresses: ["10.96.0.7", "fd00::7"],
      port: 9000,
    },
    protocol: "TCP",
    hostnames: [],
    httpsRedirect: false,
    tcp: { destinations: [{ destination: "db", weight: 1 }], idleTimeoutMs: 1000 },
    origin: "",
  },
  {
    kind: "listener",
    name: "direct",
    binding: { kind: "workload", workloads: { "Kubernetes//Pod/default/a": ["10.1.0.1"] } },
    protocol: "AUTO",
    hostnames: [],
    httpsRedirect: true,
    origin: "",
  },
];

const VIRTUAL_HOST: VirtualHost = {
  kind: "virtualHost",
  name: "default/reviews/0",
  listener: "inbound-vip|9080|http|reviews",
  hostnames: ["*"],
  routes: [
    {
      name: "default.reviews.0",
      origin: "HTTPRoute/default/reviews",
      match: {
        path: { kind: "prefix", value: "/reviews", segments: true, ignoreCase: true },
        method: { kind: "exact", value: "GET" },
        scheme: { kind: "prefix", value: "http" },
        authority: { kind: "regex", value: "rev.*" },
        headers: [{ name: ":authority", value: { kind: "exact", value: "x", ignoreCase: true } }, {
          name: "x",
          invert: true,
        }],
        query: [{ name: "a[b]", value: { kind: "regex", value: ".*" } }],
        sourceNamespace: "default",
        sourceLabels: { app: "sleep" },
      },
      action: {
        kind: "forward",
        destinations: [{ destination: "v2", weight: 90, requestHeaders: HEADERS, responseHeaders: HEADERS }, {
          destination: "",
          weight: 10,
          invalid: 500,
        }],
        rewrite: { authority: "other.test", path: { kind: "regex", pattern: "^/a", substitution: "/\\1" } },
        timeoutMs: 500,
        retry: { ...DEFAULT_RETRY, statusCodes: [503], perTryTimeoutMs: 100 },
        mirrors: [{ destination: "v3", millionths: 250_000 }],
      },
      requestHeaders: HEADERS,
      responseHeaders: HEADERS,
      cors: {
        allowOrigins: [{ kind: "wildcard", value: "https://*.example.com" }, {
          kind: "exact",
          value: "https://a.test",
        }],
        allowMethods: ["GET"],
        allowHeaders: ["*"],
        exposeHeaders: [],
        maxAgeSeconds: 60,
        allowCredentials: true,
        unmatchedPreflights: "FORWARD",
      },
      fault: {
        delay: { millionths: 1_000_000, delayMs: 7000 },
        abort: { millionths: 1, status: 555 },
      },
    },
    {
      name: "",
      origin: "",
      match: { path: { kind: "regex", value: "/a+" }, headers: [], query: [] },
      action: {
        kind: "redirect",
        status: 301,
        scheme: "https",
        host: "a.test",
        port: 8443,
        portRule: "LISTENER",
        path: { kind: "prefix", value: "/new" },
      },
    },
    {
      name: "",
      origin: "",
      match: { path: { kind: "exact", value: "/x" }, headers: [], query: [] },
      action: { kind: "direct", status: 418, body: "AAA=", binary: true },
      fault: { abort: { millionths: 5, grpcStatus: 14 } },
    },
  ],
};

export const DESTINATION: Destination = {
  kind: "destination",
  name: "inbound-vip|9080|http|reviews.default.svc.cluster.local",
  hostname: "reviews.default.svc.cluster.local",
  namespace: "default",
  port: 9080,
  subset: "v2",
  endpoints: { kind: "service", service: "default/reviews.default.svc.cluster.local", only: ["uid"] },
  protocol: "USE_CLIENT",
  tls: { mode: "MUTUAL", sni: "a", subjectAltNames: ["b"], secret: "kubernetes://a/b", insecureSkipVerify: false },
  loadBalancer: {
    policy: "CONSISTENT_HASH",
    hash: { on: { kind: "cookie", name: "u", path: "/", ttlSeconds: 0 }, algorithm: "RING_HASH", size: 1024 },
    warmupMs: 1,
    locality: {
      failover: [{ from: "a", to: "b" }],
      failoverEnabled: true,
      distribute: [{ from: "a/*", to: { "a/*": 80, "b/*": 20 } }],
    },
  },
  limits: {
    ...DEFAULT_LIMITS,
    maxConnections: 1,
    maxPendingRequests: 1,
    maxRequests: 1,
    maxRetries: 4294967295,
    maxRequestsPerConnection: 0,
  },
  outlierDetection: {
    consecutive5xx: 1,
    consecutiveGatewayErrors: 0,
    consecutiveLocalOriginFailures: 5,
    splitExternalLocalOriginErrors: false,
    intervalMs: 1000,
    baseEjectionMs: 180_000,
    maxEjectionPercent: 100,
    minHealthPercent: 0,
  },
  useWaypoint: true,
  rule: "default/reviews",
};

const STATIC: Destination = {
  ...DESTINATION,
  endpoints: {
    kind: "dns",
    endpoints: [{ address: "a.test", port: 443, weight: 1, locality: { region: "r", zone: "z", subzone: "" } }],
  },
};

const POLICY: L7Policy = {
  kind: "policy",
  name: "default/p",
  listeners: ["*"],
  action: "DENY",
  dryRun: false,
  rules: [{
    from: [{
      principals: [{ kind: "presence" }],
      notPrincipals: [{ kind: "suffix", value: "/sa/a" }],
      serviceAccounts: [{ namespace: "a", serviceAccount: "b" }],
      ipBlocks: [{ address: "10.0.0.0", length: 8 }],
      notRemoteIpBlocks: [{ address: "fd00::", length: 64 }],
    }],
    to: [{
      hosts: [{ kind: "exact", value: "a" }],
      ports: [80],
      notMethods: [{ kind: "prefix", value: "P" }],
      paths: [{ kind: "template", value: "/a/{*}/{**}" }],
    }],
    when: [{ key: "request.headers[x]", values: ["a"], notValues: [] }],
  }],
};

export const SECRET: TlsSecret = {
  kind: "secret",
  name: "kubernetes://default/cert",
  certificateChain: "-----BEGIN CERTIFICATE-----\n",
  privateKey: "-----BEGIN PRIVATE KEY-----\nhush\n",
  ca: "",
};

const ALL: ProxyResource[] = [SETTINGS, ...LISTENERS, VIRTUAL_HOST, DESTINATION, STATIC, POLICY, SECRET];

const wire = (json: string): Uint8Array => toBinary(ProxyResourceSchema, create(ProxyResourceSchema, { json }));
const wired = (value: unknown): Uint8Array => wire(JSON.stringify(value));

Deno.test("every kind of an L7 proxy's resource survives the wire", () => {
  for (const resource of ALL) assert.deepEqual(decodeProxyResource(encodeProxyResource(resource)), resource);
});

Deno.test("equal resources have equal bytes, whatever the order of their fields, and absent fields take no room", () => {
  const shuffled = Object.fromEntries(Object.entries(DESTINATION).reverse()) as unknown as Destination;
  assert.deepEqual(encodeProxyResource(shuffled), encodeProxyResource(DESTINATION));
  assert.deepEqual(
    encodeProxyResource({ ...SETTINGS, tracing: undefined }),
    encodeProxyResource(without(SETTINGS, "tracing")),
  );
});

function without<T extends object>(value: T, field: keyof T): T {
  const copy = { ...value };
  delete copy[field];
  return copy;
}

Deno.test("what is not a resource is refused, saying where", () => {
  const route = VIRTUAL_HOST.routes[0], forward = route.action as Extract<typeof route.action, { kind: "forward" }>;
  const routed = (change: object) => ({ ...VIRTUAL_HOST, routes: [{ ...route, ...change }] });
  const rows: [unknown, RegExp][] = [
    [null, /expected an object, got null/],
    [[], /expected an object, got a list of 0/],
    ["x".repeat(1000), /^expected an object, got "x{63}…$/],
    [{ kind: "lua" }, /^kind: unknown kind "lua"$/],
    [{ kind: 7 }, /unknown kind 7/],
    [{ kind: "__proto__" }, /unknown kind/],
    [{ kind: "constructor" }, /unknown kind/],
    [{}, /unknown kind nothing/],
    [{ ...SETTINGS, surprise: 1 }, /^unknown field "surprise"$/],
    [JSON.parse('{"kind":"settings","__proto__":{"name":"mesh"}}'), /unknown field "__proto__"/],
    [without(SETTINGS, "name"), /^name: expected a text, got nothing$/],
    [{ ...SETTINGS, name: "" }, /name: an empty text/],
    [{ ...SETTINGS, name: "x".repeat(5000) }, /name: a text of 5000 characters/],
    [{ ...SETTINGS, trustedProxies: 1e308 }, /trustedProxies: expected a whole number from 0 to 1000, got 1e\+308/],
    [{ ...SETTINGS, trustedProxies: "1" }, /trustedProxies: .*got "1"/],
    [{ ...SETTINGS, pathNormalization: "base" }, /pathNormalization: expected one of NONE, BASE/],
    [{ ...SETTINGS, accessLog: { encoding: "XML", format: "" } }, /accessLog.encoding: /],
    [{ ...LISTENERS[0], binding: { kind: "port", port: 70000 } }, /binding.port: .*65535, got 70000/],
    [{ ...LISTENERS[0], binding: { kind: "port", port: 80.5 } }, /binding.port/],
    [{ ...LISTENERS[0], binding: { kind: "port", port: -0.1 } }, /binding.port/],
    [{ ...LISTENERS[0], binding: { kind: "pipe" } }, /binding.kind: unknown kind "pipe"/],
    [
      { ...LISTENERS[1], binding: { ...LISTENERS[1].binding, addresses: ["10.0.0.256"] } },
      /binding.addresses\[0\]: expected an IP/,
    ],
    [{ ...LISTENERS[0], hostnames: "*" }, /hostnames: expected a list/],
    [{ ...LISTENERS[0], tls: { ...LISTENERS[0].tls, minVersion: "TLSv1_0" } }, /tls.minVersion/],
    [{ ...LISTENERS[2], binding: { kind: "workload", workloads: { u: [1] } } }, /binding.workloads\["u"\]\[0\]/],
    [
      { ...VIRTUAL_HOST, routes: [route, { ...route, cors: { allowOrigins: 1 } }] },
      /^routes\[1\].cors.allowOrigins: expected a list, got 1$/,
    ],
    [routed({ action: { ...forward, destinations: [{ destination: "a", weight: 1e99 }] } }), /weight/],
    [routed({ action: { ...forward, timeoutMs: 1e15 } }), /action.timeoutMs: .*ten years/],
    [routed({ action: { ...forward, timeoutMs: -1 } }), /timeoutMs/],
    [routed({ action: { ...forward, timeoutMs: null } }), /timeoutMs/],
    [routed({ action: { ...forward, retry: { ...DEFAULT_RETRY, statusCodes: [99] } } }), /statusCodes\[0\]/],
    [routed({ action: { kind: "direct", status: 101, body: "" } }), /status/],
    [
      routed({ requestHeaders: { ...HEADERS, set: [["x: y\r\nz", "1"]] } }),
      /requestHeaders.set\[0\]\[0\]: expected a header's name/,
    ],
    [
      routed({ requestHeaders: { ...HEADERS, set: [["x", "1\r\nhost: evil"]] } }),
      /set\[0\]\[1\]: expected a header's value/,
    ],
    [routed({ responseHeaders: { ...HEADERS, add: [["x", "a\0b"]] } }), /header's value/],
    [routed({ responseHeaders: { ...HEADERS, add: [["x"]] } }), /add\[0\]: expected a pair/],
    [routed({ match: { ...route.match, path: { kind: "glob", value: "*" } } }), /match.path.kind/],
    [routed({ fault: { delay: { millionths: 1_000_001, delayMs: 1 } } }), /fault.delay.millionths/],
    [
      { ...DESTINATION, outlierDetection: { ...DESTINATION.outlierDetection, maxEjectionPercent: 101 } },
      /maxEjectionPercent/,
    ],
    [{
      ...DESTINATION,
      loadBalancer: { policy: "CONSISTENT_HASH", hash: { ...DESTINATION.loadBalancer.hash, size: 2 ** 40 } },
    }, /hash.size/],
    [{ ...DESTINATION, useWaypoint: "yes" }, /useWaypoint: expected true or false/],
    [{ ...POLICY, action: "ALLOW_ALL" }, /action/],
    [{ ...POLICY, rules: [{ from: [{ jwt: [] }], to: [], when: [] }] }, /^rules\[0\].from\[0\]: unknown field "jwt"$/],
    [
      { ...POLICY, rules: [{ from: [{ ipBlocks: [{ address: "10.0.0.0", length: 33 }] }], to: [], when: [] }] },
      /ipBlocks\[0\].length/,
    ],
    [{ ...POLICY, rules: [{ from: [], to: [] }] }, /rules\[0\].when: expected a list, got nothing/],
  ];
  for (const [value, expected] of rows) {
    assert.throws(() => decodeProxyResource(wired(value)), (error: any) => {
      assert.equal(error.code, "invalid_resource");
      assert.match(error.message, expected);
      return true;
    });
  }
});

Deno.test("bytes that are no resource are refused", () => {
  assert.throws(() => decodeProxyResource(Uint8Array.of(0xff, 0xff)), { code: "invalid_resource" });
  assert.throws(() => decodeProxyResource(wire("{")), { message: "not JSON" });
  assert.throws(() => decodeProxyResource(wire("")), { message: "not JSON" });
  assert.throws(() => decodeProxyResource(new Uint8Array(33 * 1024 * 1024)), /33|34603008/);
  assert.throws(() => decodeProxyResource(wire("[".repeat(200_000) + "]".repeat(200_000))), {
    code: "invalid_resource",
  });
  const many = { ...LISTENERS[0], hostnames: Array.from({ length: 100_001 }, () => "a") };
  assert.throws(() => decodeProxyResource(wired(many)), /hostnames: a list of 100001/);
});

Deno.test("times beyond the runtime's timers are cut to their end", () => {
  const month = { ...DESTINATION, limits: { connectTimeoutMs: 1, idleTimeoutMs: 30 * 86_400_000 } };
  assert.equal((decodeProxyResource(wired(month)) as Destination).limits.idleTimeoutMs, 2 ** 31 - 1);
});

Deno.test("the refusal of a secret quotes nothing of it", () => {
  for (
    const value of [{ ...SECRET, ca: { hush: "hush" } }, { ...SECRET, privateKey: ["hush"] }, {
      ...SECRET,
      certificateChain: 5,
      name: "hush",
    }]
  ) {
    assert.throws(() => decodeProxyResource(wired(value)), (error: Error) => !error.message.includes("hush"));
  }
  assert.throws(
    () => decodeProxyResource(wire(`{"privateKey":"hush" hush`)),
    (error: Error) => !/hush/.test(error.message),
  );
});

Deno.test("the client refuses what it cannot read, keeps what it had, and closes where a policy is missing", () => {
  const heard: ProxyUpdate[] = [];
  let refuse: string[] = [];
  const type = proxyResourceType((update) => {
    heard.push(update);
    return refuse.map((name) => ({ name, reason: "engine" }));
  });
  const send = (...resources: [name: string, bytes: Uint8Array][]) =>
    type.onUpdate({ added: resources.map(([name, bytes]) => ({ name, value: type.decode(bytes) })), removed: [] }) ??
      [];
  const key = proxyResourceKey(POLICY), good = encodeProxyResource(POLICY), bad = wired({ ...POLICY, rules: 1 });

  send();
  assert.equal(type.complete?.(), false, "a proxy that is told nothing is not ready");
  heard.length = 0;
  assert.deepEqual(send([proxyResourceKey(SETTINGS), encodeProxyResource(SETTINGS)], ["listener/x", wired({})]), [
    { name: "listener/x", reason: "kind: unknown kind nothing" },
  ]);
  assert.deepEqual(heard.pop()?.added, [SETTINGS]);
  assert.equal(type.complete?.(), true);

  // Unknown, and nothing held: everything is denied until a readable version comes.
  assert.deepEqual(send([key, bad]).map(({ name }) => name), [key]);
  const [stand] = heard.pop()!.added as L7Policy[];
  assert.deepEqual([stand.name, stand.action, stand.listeners, stand.rules.length], ["default/p", "DENY", ["*"], 1]);
  assert.deepEqual(send([key, good]), []);
  assert.deepEqual(heard.pop()?.added, [POLICY]);
  // Held: the old one stays.
  assert.equal(send([key, bad]).length, 1);
  assert.deepEqual(heard.pop()?.added, []);

  assert.deepEqual(send(["policy/default/other", good]), [
    { name: "policy/default/other", reason: "its name is another in its content" },
  ]);
  refuse = [proxyResourceKey(DESTINATION)];
  assert.deepEqual(send([proxyResourceKey(DESTINATION), encodeProxyResource(DESTINATION)]), [
    { name: proxyResourceKey(DESTINATION), reason: "engine" },
  ]);
});

/** Values that are right in no place, or in few. */
const HOSTILE: unknown[] = [
  null,
  true,
  -1,
  0.5,
  1e308,
  Number.MAX_SAFE_INTEGER,
  "",
  "\0",
  "x\r\ny: z",
  "constructor",
  [],
  [[]],
  {},
  { kind: "exact" },
  { kind: {} },
  JSON.parse('{"__proto__":{"kind":"exact","value":"x"}}'),
  { length: 3 },
  { toString: "x" },
];

/** Every place in a value, as a path. */
function* places(value: unknown, path: (string | number)[] = []): Iterable<(string | number)[]> {
  yield path;
  if (typeof value !== "object" || value === null) return;
  for (const key of Object.keys(value)) yield* places((value as Record<string, unknown>)[key], [...path, key]);
}

Deno.test("a hostile value in any place is refused, or read as what it is; nothing else happens", () => {
  let refused = 0, read = 0;
  for (const resource of ALL) {
    for (const path of places(resource)) {
      for (const hostile of HOSTILE) {
        const copy = { root: structuredClone(resource) as any };
        let at: any = copy, last: string | number = "root";
        for (const step of path) [at, last] = [at[last], step];
        at[last] = hostile;
        try {
          const decoded = decodeProxyResource(wired(copy.root));
          // What is read survives another journey: nothing of it is other than the model says.
          assert.deepEqual(decodeProxyResource(encodeProxyResource(decoded)), decoded);
          read++;
        } catch (error) {
          assert.equal(
            (error as any).code,
            "invalid_resource",
            `${path.join(".")} = ${JSON.stringify(hostile)}: ${error}`,
          );
          refused++;
        }
      }
    }
  }
  assert.ok(refused > 5 * read, `${refused} refused, ${read} read`);
  assert.equal(({} as any).kind, undefined);
});
