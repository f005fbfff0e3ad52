import assert from "node:assert/strict";
import { Readiness } from "../../src/core/readiness.ts";
import type { SpiffeId } from "../../src/model/mod.ts";
import { ConnectionManager, MeshState } from "../../src/proxy/mod.ts";
import { dedicatedWorkload, drainDeadlineMs, readZtunnelConfig } from "../../src/roles/ztunnel/config.ts";
import { configDump } from "../../src/roles/ztunnel/config_dump.ts";
import { StateFeed } from "../../src/roles/ztunnel/feed.ts";
import { adminHandler, readinessHandler } from "../../src/roles/ztunnel/http.ts";
import { parseLocalXds } from "../../src/roles/ztunnel/local_xds.ts";
import { Logger, LogLevels } from "../../src/telemetry/logger.ts";
import { Registry } from "../../src/telemetry/metrics.ts";
import { statsHandler } from "../../src/telemetry/serve.ts";
import { service, workload } from "../support/model.ts";

const config = (env: Record<string, string>) => readZtunnelConfig((name) => env[name]);

Deno.test("readZtunnelConfig() refuses what cannot be meant, all of it with its reason", () => {
  const rows: [Record<string, string>, RegExp][] = [
    [{ PROXY_MODE: "both" }, /neither "shared" nor "dedicated"/],
    [{ PROXY_MODE: "dedicated" }, /PROXY_WORKLOAD_INFO="" is not/],
    [{ PROXY_MODE: "dedicated", PROXY_WORKLOAD_INFO: "a/b" }, /namespace\/name\/service-account/],
    [{ LOCAL_XDS: "x", LOCAL_XDS_PATH: "y" }, /exclude each other/],
    [{ LOG_FORMAT: "xml" }, /neither plain nor json/],
    [{ PACKET_MARK: "many", IPV6_ENABLED: "perhaps" }, /PACKET_MARK.*IPV6_ENABLED/],
  ];
  for (const [env, want] of rows) assert.throws(() => config(env), want);
  assert.equal(dedicatedWorkload(config({})), undefined);
  assert.deepEqual(dedicatedWorkload(config({ PROXY_MODE: "dedicated", PROXY_WORKLOAD_INFO: "ns/pod/sa" })), {
    namespace: "ns",
    name: "pod",
    serviceAccount: "sa",
  });
});

Deno.test("drainDeadlineMs() leaves the grace period some seconds", () => {
  const rows: [Record<string, string>, number][] = [
    [{}, 5000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: "30" }, 25_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: "10" }, 9000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: "1" }, 1000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: "30", CONNECTION_TERMINATION_DEADLINE: "2s" }, 2000],
  ];
  for (const [env, want] of rows) assert.equal(drainDeadlineMs(config(env)), want);
});

const LOCAL = `
workloads:
- uid: c//Pod/default/web
  name: web
  namespace: default
  serviceAccount: web
  workloadIps: ["10.0.0.2", "::ffff:10.0.0.3"]
  protocol: HBONE
  node: n1
  waypoint: {destination: "net/10.0.0.9", hboneMtlsPort: 15008}
  services:
    default/web.default.svc.cluster.local: {80: 8080}
services:
- name: web
  namespace: default
  hostname: web.default.svc.cluster.local
  vips: ["/10.96.0.1", "10.96.0.2"]
  cidrVips: ["/10.97.0.0/16"]
  ports: {80: 8080}
  loadBalancer: {routingPreferences: [Region], mode: Failover, healthPolicy: AllowAll}
policies:
- name: deny
  namespace: default
  scope: Namespace
  action: Deny
  rules:
  - - - principals: [{exact: a}, {Prefix: b}, {presence: {}}]
        sourceIps: ["10.0.0.0/8", "fd00::1"]
        destinationPorts: [80]
        serviceAccounts: [{namespace: x, serviceAccount: y}]
`;

Deno.test("parseLocalXds() reads workloads, services and policies, and configDump() shows them", () => {
  const mesh = parseLocalXds(LOCAL);
  const [web] = mesh.workloads, [svc] = mesh.services, [deny] = mesh.policies;
  assert.deepEqual(web.addresses, ["10.0.0.2", "10.0.0.3"]);
  assert.deepEqual(web.waypoint, {
    destination: { address: { network: "net", address: "10.0.0.9" } },
    hboneMtlsPort: 15008,
  });
  assert.deepEqual(svc.addresses, [
    { network: "", address: "10.96.0.1" },
    { network: "", address: "10.96.0.2" },
    { network: "", address: "10.97.0.0", length: 16 },
  ]);
  assert.equal(svc.loadBalancing?.mode, "FAILOVER");
  const [[[match]]] = deny.rules;
  assert.deepEqual(match.principals, [{ kind: "exact", value: "a" }, { kind: "prefix", value: "b" }, {
    kind: "presence",
  }]);
  assert.deepEqual(match.sourceIps, [{ address: "10.0.0.0", length: 8 }, { address: "fd00::1", length: 128 }]);

  const state = new MeshState();
  const connections = new ConnectionManager(state, new Logger("t", { sink: { write: () => {} } }));
  new StateFeed(state, connections, undefined, "").local(mesh);
  const dump: any = JSON.parse(JSON.stringify(configDump({ state, certificates: [], config: {}, pods: {} })));
  assert.equal(dump.workloads[0].protocol, "HBONE");
  assert.equal(dump.workloads[0].status, "Healthy");
  assert.equal(dump.workloads[0].waypoint.destination, "net/10.0.0.9");
  // Kiali reads a list here, as ztunnel writes it.
  assert.deepEqual(dump.workloads[0].services, ["default/web.default.svc.cluster.local"]);
  assert.deepEqual(dump.services[0].vips, ["/10.96.0.1", "/10.96.0.2"]);
  assert.deepEqual(dump.services[0].cidrVips, ["/10.97.0.0/16"]);
  assert.equal(dump.services[0].endpoints["c//Pod/default/web"].port["80"], 8080);
  assert.equal(dump.services[0].loadBalancer.healthPolicy, "AllowAll");
  assert.deepEqual(dump.policies[0].rules, [[[{
    principals: [{ Exact: "a" }, { Prefix: "b" }, { Presence: {} }],
    sourceIps: ["10.0.0.0/8", "fd00::1/128"],
    destinationPorts: [80],
    serviceAccounts: [{ namespace: "x", serviceAccount: "y" }],
  }]]]);
  assert.equal(dump.policies[0].scope, "Namespace");
  const keys = [
    "workloads",
    "services",
    "policies",
    "stagedServices",
    "staticConfig",
    "version",
    "config",
    "certificates",
  ];
  assert.deepEqual(Object.keys(dump), [...keys, "workloadState"]);
});

Deno.test("parseLocalXds() says what is wrong", () => {
  for (
    const bad of [
      "workloads: 1",
      "workloads: [{name: a}]",
      "workloads: [{uid: a, name: a, namespace: b, workloadIps: [x]}]",
      "policies: [{name: a, namespace: b, scope: Everywhere}]",
      "{",
    ]
  ) assert.throws(() => parseLocalXds(bad), /cannot read the local xDS/, bad);
  assert.deepEqual(parseLocalXds(""), { workloads: [], services: [], policies: [] });
});

Deno.test("StateFeed fetches certificates ahead for this node's workloads, and drops them with the last one", () => {
  const state = new MeshState(), log: string[] = [];
  const connections = new ConnectionManager(state, new Logger("t", { sink: { write: () => {} } }));
  const plan = {
    prefetch: (id: SpiffeId) => log.push(`+${id.slice(-1)}`),
    forget: (id: SpiffeId) => log.push(`-${id.slice(-1)}`),
  };
  const feed = new StateFeed(state, connections, plan, "n1");
  const put = (name: string, extra = {}) => ({
    name,
    value: {
      kind: "workload" as const,
      workload: workload(name, "10.0.0.1", { node: "n1", serviceAccount: "a", ...extra }),
    },
  });
  const uid = (name: string) => `Kubernetes//Pod/default/${name}`;
  feed.addresses({ removed: [], added: [put("one"), put("two"), put("far", { node: "n2", serviceAccount: "b" })] });
  feed.addresses({ removed: [], added: [put("plain", { tunnelProtocol: "NONE", serviceAccount: "c" }), put("one")] });
  assert.deepEqual(log, ["+a", "+a"], "asked for per workload; the cache makes one of it");
  feed.addresses({
    removed: [uid("one")],
    added: [{ name: "s", value: { kind: "service", service: service("s", "", {}) } }],
  });
  assert.equal(log.length, 2);
  feed.addresses({ removed: [uid("two"), "default/s.default.svc.cluster.local"], added: [] });
  assert.deepEqual(log.slice(2), ["-a"]);
  assert.equal([...state.services()].length, 0);
  feed.addresses({ removed: [], added: [put("plain", { serviceAccount: "c" })] });
  feed.addresses({ removed: [], added: [put("plain", { serviceAccount: "d" })] });
  assert.deepEqual(log.slice(3), ["+c", "-c", "+d"]);
});

Deno.test("the admin interface: methods, levels, index, shutdown", async () => {
  const levels = new LogLevels("info");
  let quits = 0;
  const admin = adminHandler({ dump: () => ({ a: 1 }), levels, quit: () => quits++ });
  const call = async (path: string, method = "GET") => {
    const response = admin(new Request(`http://localhost${path}`, { method }));
    return `${response.status} ${(await response.text()).trim().split("\n")[0]}`;
  };
  assert.match(await call("/"), /^200 <html>/);
  assert.equal(await call("/config_dump"), "200 {");
  assert.equal(await call("/logging"), "405 method not allowed");
  assert.equal(await call("/logging", "POST"), "200 current log level is info");
  assert.equal(await call("/logging?level=access%3Ddebug", "POST"), "200 current log level is info,access=debug");
  assert.equal(await call("/logging?level=debug", "POST"), "200 current log level is debug,access=debug");
  assert.match(await call("/logging?level=loud", "POST"), /^400 /);
  assert.equal(await call("/logging?reset", "POST"), "200 current log level is info");
  assert.equal(await call("/quitquitquit"), "405 method not allowed");
  assert.equal(quits, 0);
  assert.equal(await call("/quitquitquit", "POST"), "200 shutdown now");
  assert.equal(quits, 1);
  assert.equal(await call("/nothing"), "404 not found");
});

Deno.test("readiness lists what is pending; stats speak both formats", async () => {
  const readiness = new Readiness();
  const done = readiness.register("state manager");
  const ready = async (method = "GET", path = "/healthz/ready") => {
    const response = readinessHandler(readiness)(new Request(`http://x${path}`, { method }));
    return `${response.status} ${await response.text()}`;
  };
  assert.equal(await ready(), "500 not ready, pending tasks: state manager\n");
  done();
  assert.equal(await ready(), "200 ready\n");
  assert.match(await ready("POST"), /^405/);
  assert.match(await ready("GET", "/x"), /^404/);

  const registry = new Registry();
  registry.counter("a_total", "a").with().inc();
  const stats = statsHandler(registry);
  const plain = stats(new Request("http://x/stats/prometheus"));
  assert.equal(plain.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assert.match(await plain.text(), /# TYPE a_total counter\na_total 1\n/);
  const open = stats(
    new Request("http://x/metrics", { headers: { accept: "application/openmetrics-text;version=1.0.0" } }),
  );
  assert.match(open.headers.get("content-type")!, /openmetrics/);
  assert.match(await open.text(), /# EOF\n$/);
  assert.equal(stats(new Request("http://x/other")).status, 404);
});
