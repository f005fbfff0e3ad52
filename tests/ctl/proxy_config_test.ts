import assert from "node:assert/strict";
import { parse } from "yaml";
import { DUMP_KIND, type ProxyDump } from "../../src/roles/waypoint/config_dump.ts";
import { FakeKube } from "../support/fake_kube.ts";
import { destination, listener, route, serviceListener, virtualHost } from "../roles/waypoint/lab.ts";
import { ctl } from "./harness.ts";

const GATEWAY = "istio-ingressgateway-7f9f8898b8-sfjw5", WAYPOINT = "waypoint-5f8f49cb65-czw8l";
const REVIEWS = "reviews.default.svc.cluster.local";

const OWN_PORTS = [
  { address: "0.0.0.0", port: 15021, use: "readiness" },
  { address: "0.0.0.0", port: 15090, use: "stats" },
] as const;

function dump(extra: Partial<ProxyDump> = {}): ProxyDump {
  const root = {
    serialNumber: "255",
    validFrom: "2020-01-01T00:00:00.000Z",
    expirationTime: "2120-01-01T00:00:00.000Z",
  };
  return {
    kind: DUMP_KIND,
    version: { version: "0.1.0", name: "ambientd" },
    mode: "router",
    node: { id: "router~10.0.0.1~gw.istio-system~istio-system.svc.cluster.local", metadata: {} },
    bootstrap: { adminAddress: "localhost:15000" },
    ports: OWN_PORTS,
    settings: null,
    listeners: [],
    virtualHosts: [],
    destinations: [],
    policies: [],
    secrets: [],
    endpoints: [],
    certificates: [{
      identity: "spiffe://cluster.local/ns/istio-system/sa/gw",
      state: "Available",
      certChain: [{ ...root, pem: "" }],
      rootCerts: [{ ...root, pem: "" }],
    }],
    problems: {},
    lastUpdated: null,
    configs: [],
    ...extra,
  };
}

const CONFIGURED = dump({
  ports: [...OWN_PORTS, { address: "0.0.0.0", port: 8080, use: "gateway" }],
  listeners: [
    listener("http.8080", 8080),
    listener("shop", 8443, { protocol: "HTTPS", hostnames: ["shop.test", "*.shop.test"] }),
    listener("db", 5432, { protocol: "TCP", tcp: { destinations: [{ destination: "outbound|5432||db", weight: 1 }] } }),
  ],
  virtualHosts: [
    virtualHost("http.8080", [
      route("a", {
        match: { path: { kind: "exact", value: "/productpage" }, headers: [], query: [] },
        origin: "VirtualService/default/bookinfo",
      }),
      route("a", { match: { path: { kind: "prefix", value: "/static", segments: false }, headers: [], query: [] } }),
    ], ["a.test", "b.test", "c.test"]),
    virtualHost("shop", []),
  ],
  destinations: [
    destination("outbound|9080|v1|reviews", 1, {
      hostname: REVIEWS,
      port: 9080,
      subset: "v1",
      rule: "default/reviews",
      endpoints: { kind: "service", service: `default/${REVIEWS}` },
    }),
    destination("outbound|5432||db", 1, { hostname: "db.example.com", port: 5432 }),
  ],
  endpoints: [
    ["10.244.0.7:9080", "HEALTHY", "OK", "outbound|9080|v1|reviews"],
    ["10.244.0.8:9080", "UNHEALTHY", "FAILED", "outbound|9080|v1|reviews"],
    ["10.1.1.1:5432", "HEALTHY", "OK", "outbound|5432||db"],
  ].map(([endpoint, status, outlierCheck, cluster]) => ({
    endpoint,
    status,
    outlierCheck,
    cluster,
    hbone: false,
    weight: 1,
    priority: 0,
    locality: "",
    workload: "",
    activeRequests: 0,
    connections: 0,
  } as ProxyDump["endpoints"][number])),
  secrets: [{
    kind: "secret",
    name: "kubernetes://default/shop-cert",
    privateKey: "[redacted]",
    certChain: [{
      serialNumber: "16",
      validFrom: "2020-01-01T00:00:00.000Z",
      expirationTime: "2021-01-01T00:00:00.000Z",
    }],
    ca: [],
  }],
});

const FOR_WAYPOINT = dump({
  mode: "waypoint",
  ports: [...OWN_PORTS, { address: "0.0.0.0", port: 15008, use: "hbone" }],
  listeners: [
    serviceListener("reviews", "10.96.0.9", 9080),
    serviceListener("db", "10.96.0.10", 5432, {
      protocol: "TCP",
      tcp: { destinations: [{ destination: "inbound-vip|5432|tcp|db", weight: 1 }] },
    }),
  ],
});

async function withPods(run: (ask: (...args: string[]) => ReturnType<typeof ctl>, kube: FakeKube) => Promise<void>) {
  await using kube = new FakeKube();
  const pod = (namespace: string, name: string, labels: Record<string, string>, container: string, answer: unknown) => {
    kube.put(`/api/v1/namespaces/${namespace}/pods/${name}`, {
      metadata: { name, namespace, labels },
      spec: { containers: [{ name: container }] },
      status: { phase: "Running" },
    });
    kube.pods.set(
      `${namespace}/${name}:15000`,
      (method, path) =>
        method === "POST" ? { body: `current log level is ${path}\n` } : { body: JSON.stringify(answer) },
    );
  };
  pod("istio-system", GATEWAY, { app: "istio-ingressgateway" }, "istio-proxy", dump());
  pod("istio-system", "configured", { app: "gw" }, "istio-proxy", CONFIGURED);
  pod("default", WAYPOINT, {}, "istio-proxy", FOR_WAYPOINT);
  pod("istio-system", "ztunnel-x", { app: "ztunnel" }, "istio-proxy", { workloads: [], services: [] });
  pod("default", "reviews-v1", { app: "reviews" }, "reviews", {});
  kube.put("/api/v1/namespaces/default/pods/pending", {
    metadata: { name: "pending", namespace: "default" },
    status: { phase: "Pending" },
  });
  await run((...args) => ctl(["proxy-config", ...args], { kubeconfig: kube.kubeconfig() }), kube);
}

Deno.test("proxy-config listener of a gateway without configuration has the three rows of Istio's", async () => {
  await withPods(async (ask) => {
    const { code, out } = await ask("listener", GATEWAY, "-n", "istio-system");
    assert.equal(code, 0);
    assert.equal(
      out,
      "ADDRESS PORT  MATCH DESTINATION\n" +
        "        0     ALL   Cluster: connect_originate\n" +
        "0.0.0.0 15021 ALL   Inline Route: /healthz/ready*\n" +
        "0.0.0.0 15090 ALL   Inline Route: /stats/prometheus*\n",
    );
  });
});

const TABLES: [name: string, args: string[], want: string[]][] = [
  ["listeners", ["l"], [
    "ADDRESS PORT  MATCH                      DESTINATION",
    "        0     ALL                        Cluster: connect_originate",
    "0.0.0.0 5432  ALL                        Cluster: outbound|5432||db",
    "0.0.0.0 8080  ALL                        Route: http.8080",
    "0.0.0.0 8443  SNI: shop.test,*.shop.test Route: https.8443.shop",
    "0.0.0.0 15021 ALL                        Inline Route: /healthz/ready*",
    "0.0.0.0 15090 ALL                        Inline Route: /stats/prometheus*",
  ]],
  ["listeners of a port", ["listeners", "--port", "8080", "--verbose=false"], [
    "ADDRESS PORT TYPE",
    "0.0.0.0 8080 HTTP",
  ]],
  ["listeners of a type", ["listener", "--type", "tcp", "--port", "5432", "--verbose=false"], [
    "ADDRESS PORT TYPE",
    "0.0.0.0 5432 TCP",
  ]],
  ["clusters", ["c"], [
    "SERVICE FQDN                          PORT     SUBSET     DIRECTION     TYPE             DESTINATION RULE",
    "connect_originate                     -        -          -             ORIGINAL_DST",
    "db.example.com                        5432     -          outbound      STATIC",
    "reviews.default.svc.cluster.local     9080     v1         outbound      EDS              reviews.default",
  ]],
  [
    "clusters of a service",
    ["cluster", "--fqdn", REVIEWS, "--subset", "v1", "--direction", "outbound", "--port=9080"],
    [
      "SERVICE FQDN                          PORT     SUBSET     DIRECTION     TYPE     DESTINATION RULE",
      "reviews.default.svc.cluster.local     9080     v1         outbound      EDS      reviews.default",
    ],
  ],
  ["routes", ["r"], [
    "NAME                VHOST NAME                        DOMAINS                       MATCH                  VIRTUAL SERVICE",
    "http.8080           http.8080/a.test,b.test,c.test    a.test, b.test + 1 more...    /productpage           bookinfo.default",
    "http.8080           http.8080/a.test,b.test,c.test    a.test, b.test + 1 more...    /static*               test.default",
    "https.8443.shop     shop/*                            *                             /*                     404",
    "                    backend                           *                             /healthz/ready*",
    "                    backend                           *                             /stats/prometheus*",
  ]],
  ["names of routes", ["route", "--name", "http.8080", "--verbose=false"], [
    "NAME          VIRTUAL HOSTS",
    "http.8080     1",
  ]],
  ["endpoints", ["ep"], [
    "ENDPOINT            STATUS        OUTLIER CHECK     CLUSTER",
    "10.1.1.1:5432       HEALTHY       OK                outbound|5432||db",
    "10.244.0.7:9080     HEALTHY       OK                outbound|9080|v1|reviews",
    "10.244.0.8:9080     UNHEALTHY     FAILED            outbound|9080|v1|reviews",
  ]],
  ["endpoints of a status", ["endpoint", "--status", "unhealthy", "--port", "9080", "--address", "10.244.0.8"], [
    "ENDPOINT            STATUS        OUTLIER CHECK     CLUSTER",
    "10.244.0.8:9080     UNHEALTHY     FAILED            outbound|9080|v1|reviews",
  ]],
  ["clusters by a part of a name", ["c", "--fqdn=example", "--direction=out"], [
    "SERVICE FQDN       PORT     SUBSET     DIRECTION     TYPE       DESTINATION RULE",
    "db.example.com     5432     -          outbound      STATIC",
  ]],
  ["endpoints of a cluster", ["ep", "--cluster", "OUTBOUND|5432||db"], [
    "ENDPOINT          STATUS      OUTLIER CHECK     CLUSTER",
    "10.1.1.1:5432     HEALTHY     OK                outbound|5432||db",
  ]],
  ["extensions, of which there are none", ["ec"], ["ECDS NAME     TYPE"]],
  ["secrets", ["s"], [
    "RESOURCE NAME                      TYPE           STATUS     VALID CERT     SERIAL NUMBER     NOT AFTER                    NOT BEFORE",
    "default                            Cert Chain     ACTIVE     true           ff                2120-01-01T00:00:00.000Z     2020-01-01T00:00:00.000Z",
    "ROOTCA                             CA             ACTIVE     true           ff                2120-01-01T00:00:00.000Z     2020-01-01T00:00:00.000Z",
    "kubernetes://default/shop-cert     Cert Chain     ACTIVE     false          10                2021-01-01T00:00:00.000Z     2020-01-01T00:00:00.000Z",
  ]],
];

Deno.test("proxy-config shows a configured gateway in istioctl's columns", async (t) => {
  await withPods(async (ask) => {
    for (const [name, [part, ...flags], want] of TABLES) {
      await t.step(name, async () => {
        const { code, out, err } = await ask(part, "configured.istio-system", ...flags);
        assert.equal(code, 0, err);
        // Wide columns are compared by their cells.
        const cells = (line: string) =>
          line.split(part === "l" || part === "listener" || part === "listeners" ? / (?=\S)/ : / {2,}/).join("|")
            .trim();
        assert.deepEqual(out.trimEnd().split("\n").map(cells), want.map(cells));
      });
    }
    await t.step("everything, with headings", async () => {
      const { out } = await ask("all", "configured.istio-system", "--with-headers");
      assert.deepEqual([...out.matchAll(/^------ (.*) INFO ------$/gm)].map(([, title]) => title), [
        "BOOTSTRAP",
        "CLUSTER",
        "LISTENER",
        "ROUTE",
        "SECRET",
        "ENDPOINTS",
        "ECDS",
      ]);
      const { out: filtered } = await ask("all", "configured.istio-system", "--fqdn", "db.", "--port", "5432");
      assert.match(filtered, /^db\.example\.com +5432/m);
      assert.doesNotMatch(filtered, /^reviews|:9080/m);
    });
    await t.step("as data", async () => {
      const listeners = JSON.parse((await ask("listener", "configured.istio-system", "-o", "json")).out);
      assert.deepEqual(listeners.map(({ name }: any) => name).sort(), ["db", "http.8080", "shop"]);
      const routes = parse((await ask("route", "configured.istio-system", "-o", "yaml")).out);
      assert.equal(routes[0].virtualHosts[0].routes.length, 2);
      assert.deepEqual(JSON.parse((await ask("ecds", "configured.istio-system", "-o=json")).out), { ecdsFilters: [] });
      const { out: short } = await ask("b", "configured.istio-system", "-o=short");
      assert.match(short, /^Istio Version: 0\.1\.0\nProxy Version: ambientd\/0\.1\.0 \(router\)\nNode: +router~/);
      const { out } = await ask("bootstrap", "configured.istio-system");
      assert.equal(JSON.parse(out).bootstrap.adminAddress, "localhost:15000");
    });
  });
});

Deno.test("proxy-config listener shows what a waypoint does for its services", async () => {
  await withPods(async (ask) => {
    const { out } = await ask("listener", WAYPOINT);
    assert.match(
      out,
      /^ +0 +10\.96\.0\.9:9080, reviews\.default\.svc\.cluster\.local:9080 +Route: inbound-vip\|9080\|http\|/m,
    );
    assert.match(out, /^0\.0\.0\.0 15008 ALL +Cluster: main_internal$/m);
    const { out: chains } = await ask("listener", WAYPOINT, "--waypoint", "--type", "TCP");
    assert.match(
      chains,
      /^LISTENER +CHAIN +MATCH +DESTINATION\nmain_internal inbound-vip\|5432\|http\|db\.\S+ 10\.96\.0\.10:5432, .* Cluster: inbound-vip\|5432\|tcp\|db\n$/,
    );
  });
});

Deno.test("proxy-config log shows and sets levels", async () => {
  await withPods(async (ask) => {
    const { out } = await ask("log", `${WAYPOINT}.default`, "--level", "http:debug,warning");
    assert.equal(out, `${WAYPOINT}.default:\ncurrent log level is /logging?level=http%3Ddebug%2Cwarn\n\n`);
    assert.match((await ask("log", "-n", "istio-system", "-l", "app=gw", "-r")).out, /configured\.istio-system:/);
    assert.match((await ask("log", WAYPOINT, "--level", "loud")).err, /"loud" is not a log level/);
  });
});

const REFUSED: [name: string, args: string[], code: number, message: RegExp][] = [
  ["a ztunnel", ["listener", "ztunnel-x.istio-system"], 1, /is a ztunnel.*ambientd ctl ztunnel-config/],
  ["the levels of a ztunnel", ["log", "ztunnel-x.istio-system"], 1, /is a ztunnel/],
  ["an application", ["cluster", "reviews-v1.default"], 1, /has no L7 proxy.*ztunnel-config/],
  ["a pod that is not there", ["route", "nobody"], 1, /pods "nobody" not found in namespace "default"/],
  ["no pod", ["secret"], 64, /a pod name, or --file, must be given/],
  ["a pod and a file", ["secret", "a", "-f", "b"], 64, /at most one of/],
  ["an unknown output", ["listener", "a", "-o", "xml"], 1, /--output must be json, yaml or short/],
  ["a wrong port", ["listener", "a", "--port", "http"], 64, /option '--port <port>' argument 'http' is invalid/],
  ["a wrong type", ["listener", "a", "--type", "UDP"], 64, /--type must be HTTP, TCP or HTTP\+TCP/],
  ["log without a pod", ["log"], 64, /a pod name or a selector must be given/],
  ["a level and a reset", ["log", "a", "--level", "info", "-r"], 64, /--level cannot be combined with --reset/],
  ["another output of log", ["log", "a", "-o", "json"], 64, /--output is not applicable/],
  ["labels that no pod has", ["log", "-l", "app=none"], 1, /no pods match "app=none".*kubectl get pods -A -l app=none/],
  ["something that is no pod", ["listener", "/x"], 1, /cannot read "\/x" as a pod/],
  ["a kind without pods", ["listener", "configmap/x"], 1, /cannot use "configmap\/x"/],
  ["a deployment that is not there", ["listener", "deploy/x.shop"], 1, /deploy "x" not found in namespace "shop"/],
  ["a pod that does not run", ["listener", "pending"], 1, /is Pending; `kubectl describe pod pending -n default` says/],
  ["an admin port out of range", ["listener", "a", "--proxy-admin-port=0"], 64, /--proxy-admin-port must be a port/],
];

Deno.test("proxy-config explains what it cannot show", async (t) => {
  await withPods(async (ask) => {
    for (const [name, args, code, message] of REFUSED) {
      await t.step(name, async () => {
        const result = await ask(...args);
        assert.match(result.err, message);
        assert.equal(result.code, code);
      });
    }
  });
});

Deno.test("proxy-config reads a dump from a file or standard input, and says what is none", async () => {
  const from = (stdin: string) => ctl(["pc", "cluster", "-f", "-"], { stdin });
  assert.match((await from(JSON.stringify(CONFIGURED))).out, /reviews\.default\.svc\.cluster\.local +9080 +v1/);
  assert.match((await from('{"workloads":[],"services":[]}')).err, /is a ztunnel/);
  assert.match((await from('{"configs":[]}')).err, /not one of an ambientd waypoint/);
  assert.match((await from("{")).err, /cannot read the configuration dump/);
  assert.match((await ctl(["pc", "cluster", "-f", "/nowhere"])).err, /cannot read "\/nowhere"/);
});
