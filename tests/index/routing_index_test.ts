import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { type IndexInputs, RoutingIndex, targetKey } from "../../src/index/mod.ts";
import { objectKey } from "../../src/kube/types.ts";
import { proxyResourceKey } from "../../src/model/l7.ts";
import { routingInputOf, routingWorld } from "../support/routing_inputs.ts";

const TESTDATA = new URL("./testdata/routing/", import.meta.url);

function load(name: string): { objects: any[]; targets: any[] } {
  const documents = parseAllDocuments(Deno.readTextFileSync(new URL(name, TESTDATA))).map((one) => (one as any).toJS());
  const test = documents.find(({ kind }) => kind === "Test");
  return {
    objects: documents.filter(({ kind }) => kind !== "Test"),
    targets: test.targets.map((target: any) => ({ labels: {}, ...target })),
  };
}

/** A generator of numbers below `n` that gives the same sequence for the same seed. */
function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * n);
  };
}

Deno.test("RoutingIndex kept up to date equals RoutingIndex built anew, and what has not changed is the same object", () => {
  for (const name of ["mesh-routes.yaml", "istio-ingress.yaml", "virtual-service-waypoint.yaml", "http-route.yaml"]) {
    const { objects, targets } = load(name), pick = random(7);
    const { inputs, ambient, set } = routingWorld(objects), routing = new RoutingIndex(inputs, ambient);
    let before = targets.map((target) => routing.proxyConfig(target));
    for (let step = 0; step < 60; step++) {
      const object = objects[pick(objects.length)], input = routingInputOf(object);
      const old: any = inputs[input].get(objectKey(object));
      if (old) {
        inputs[input].delete(objectKey(object));
        ambient.changed(input as keyof IndexInputs, [{ type: "deleted", object: old }]);
      } else set(object);
      ambient.flush();
      routing.changed();
      const now = targets.map((target) => routing.proxyConfig(target));
      const fresh = new RoutingIndex(inputs, ambient);
      for (const [i, target] of targets.entries()) {
        assert.deepEqual(now[i], fresh.proxyConfig(target), `${name} ${targetKey(target)} step ${step}`);
        const former = new Map(before[i].map((one) => [proxyResourceKey(one), one]));
        for (const one of now[i]) {
          const same = former.get(proxyResourceKey(one));
          if (same === one || same === undefined) continue;
          assert.notEqual(JSON.stringify(same), JSON.stringify(one), `${proxyResourceKey(one)} has not changed`);
        }
      }
      assert.deepEqual(routing.statuses(() => undefined), fresh.statuses(() => undefined));
      before = now;
    }
  }
});

Deno.test("RoutingIndex changes one resource for a change of one route among many, and asks nothing anew without a change", () => {
  const route = (i: number, path: string) => ({
    kind: "HTTPRoute",
    metadata: { name: `r${i}`, namespace: "default" },
    spec: {
      parentRefs: [{ name: "web" }],
      hostnames: [`h${i % 50}.example.com`],
      rules: [{ matches: [{ path: { value: path } }], backendRefs: [{ name: "s", port: 80 }] }],
    },
  });
  const { inputs, ambient, set } = routingWorld([
    {
      kind: "Gateway",
      metadata: { name: "web", namespace: "default" },
      spec: { gatewayClassName: "istio", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] },
    },
    { kind: "Service", metadata: { name: "s", namespace: "default" }, spec: { ports: [{ name: "http", port: 80 }] } },
    ...Array.from({ length: 2000 }, (_, i) => route(i, `/p${i}`)),
  ]);
  const routing = new RoutingIndex(inputs, ambient);
  const target = { kind: "gateway", namespace: "default", gateway: "web", labels: {}, serviceAccount: "" } as const;
  const first = routing.proxyConfig(target), statuses = routing.statuses(() => undefined);
  assert.equal(routing.proxyConfig(target), first);
  routing.changed();
  assert.equal(routing.proxyConfig(target), first, "nothing came out different");
  assert.equal(routing.statuses(() => undefined), statuses);
  set(route(7, "/other"));
  ambient.flush();
  routing.changed();
  const known = new Set(first), second = routing.proxyConfig(target);
  assert.deepEqual(second.filter((one) => !known.has(one)).map(({ name }) => name), [
    "default/web/http/h7.example.com",
  ]);
});

Deno.test("targetKey tells proxies apart by what decides their configuration", () => {
  const gateway = (labels: Record<string, string>) =>
    ({ kind: "gateway", namespace: "a", labels, serviceAccount: "s" }) as const;
  assert.equal(
    targetKey(gateway({ a: "1", "pod-template-hash": "x" })),
    targetKey(gateway({ "pod-template-hash": "y", a: "1" })),
  );
  assert.notEqual(targetKey(gateway({ a: "1" })), targetKey(gateway({ a: "2" })));
  const waypoint = { kind: "waypoint", namespace: "a", gateway: "w" } as const;
  assert.notEqual(targetKey(waypoint), targetKey({ ...waypoint, namespace: "b" }));
});

Deno.test("statuses: what was said of parents and problems that are no more is taken back, others' entries are left alone", () => {
  const ours = { parentRef: { name: "gone" }, controllerName: "istio.io/gateway-controller", conditions: [] };
  const route = (name: string, parents: unknown[], told: unknown[]) => ({
    kind: "HTTPRoute",
    metadata: { name, namespace: "default", generation: 2 },
    spec: { parentRefs: parents, rules: [{}] },
    status: { parents: told },
  });
  const problem = [{ type: "Reconciled", status: "False", reason: "UnsupportedValue", message: "x" }];
  const { inputs, ambient } = routingWorld([
    route("left", [{ name: "gone" }], [ours]),
    route("foreign", [{ name: "gone" }], [{ ...ours, controllerName: "example.com/other" }]),
    route("never-ours", [{ name: "gone" }], []),
    {
      kind: "DestinationRule",
      metadata: { name: "mended", namespace: "default" },
      spec: { host: "a" },
      status: { conditions: problem },
    },
    { kind: "DestinationRule", metadata: { name: "good", namespace: "default" }, spec: { host: "a" } },
    { kind: "DestinationRule", metadata: { name: "bad", namespace: "default" }, spec: { host: 5 } },
  ]);
  const said = new RoutingIndex(inputs, ambient).statuses(() => undefined).map((
    { kind, name, parents, conditions },
  ) => ({
    name: `${kind} ${name}`,
    says: parents ?? conditions?.map(({ type, status, reason }) => `${type}=${status} ${reason}`),
  }));
  assert.deepEqual(said, [
    { name: "DestinationRule bad", says: ["Reconciled=False UnsupportedValue"] },
    { name: "DestinationRule mended", says: [] },
    { name: "HTTPRoute left", says: [] },
  ]);
});

Deno.test("statuses: kinds that nobody does say so", () => {
  const targetRefs = [{ group: "", kind: "Service", name: "reviews" }];
  const object = (kind: string, spec = {}) => ({
    kind,
    metadata: { name: "x", namespace: "default", generation: 2 },
    spec,
  });
  const kinds = [
    "RequestAuthentication",
    "Telemetry",
    "EnvoyFilter",
    "WasmPlugin",
    "TrafficExtension",
    "ProxyConfig",
    "Sidecar",
    "WorkloadGroup",
  ];
  const { inputs, ambient } = routingWorld([
    ...kinds.map((kind) => object(kind, { targetRefs })),
    object("BackendTLSPolicy", { targetRefs }),
    object("ListenerSet"),
  ]);
  inputs.backendTlsPolicies.set({
    ...object("BackendTLSPolicy", { targetRefs: "?" }),
    metadata: { name: "odd", namespace: "default" },
  });
  const statuses = new RoutingIndex(inputs, ambient).statuses(() => undefined);
  for (const kind of kinds) {
    const [status] = statuses.filter((one) => one.kind === kind);
    assert.deepEqual(status.conditions?.map(({ type, status, reason }) => [type, status, reason]), [
      ["Reconciled", "False", "UnsupportedValue"],
    ]);
    assert.match(status.conditions![0].message, new RegExp(`^${kind} is not supported: `));
  }
  const [set] = statuses.filter(({ kind }) => kind === "ListenerSet");
  assert.deepEqual(set.conditions?.map(({ type, status }) => `${type}=${status}`), [
    "Accepted=False",
    "Programmed=False",
  ]);
  const policies = statuses.filter(({ kind }) => kind === "BackendTLSPolicy");
  assert.deepEqual(policies.map(({ ancestors }) => ancestors?.map(({ ancestorRef }) => ancestorRef.name)), [
    [],
    ["reviews"],
  ]);
  assert.equal(policies[1].ancestors![0].conditions[0].status, "False");
});

Deno.test("statuses: secrets that are missing, and ports that an older Gateway of the same proxies has", () => {
  const gateway = (name: string, server: Record<string, unknown>) => ({
    apiVersion: "networking.istio.io/v1",
    kind: "Gateway",
    metadata: { name, namespace: "default", generation: 1, creationTimestamp: `2026-01-01T00:00:0${name.length}Z` },
    spec: { selector: { istio: "ingressgateway" }, servers: [server] },
  });
  const http = { port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] };
  const https = {
    port: { number: 443, name: "https", protocol: "HTTPS" },
    hosts: ["a.example.com"],
    tls: { mode: "SIMPLE", credentialName: "cert" },
  };
  const rule = {
    kind: "DestinationRule",
    metadata: { name: "d", namespace: "default", generation: 1 },
    spec: {
      host: "reviews",
      trafficPolicy: {
        portLevelSettings: [{ port: { number: 80 }, tls: { mode: "SIMPLE", credentialName: "roots" } }],
      },
    },
  };
  const { inputs, ambient } = routingWorld([
    gateway("a", http),
    gateway("bb", { ...http, port: { number: 80, name: "tcp", protocol: "TCP" } }),
    gateway("ccc", https),
    rule,
  ]);
  const told = () =>
    new RoutingIndex(inputs, ambient).statuses(() => undefined).flatMap(({ name, conditions }) =>
      conditions?.map(({ reason, message }) => `${name} ${reason}: ${message}`) ?? []
    );
  assert.deepEqual(told(), [
    "d ReferencedResourceNotFound: secret roots was not found",
    "bb NotEnforced: servers[0] is not served: port 80 speaks HTTP for Gateway default/a",
    "ccc ReferencedResourceNotFound: secret cert was not found",
  ]);
  for (const name of ["roots", "cert"]) {
    inputs.secrets.set({ kind: "Secret", metadata: { name, namespace: "x" }, data: {} });
  }
  assert.deepEqual(told(), ["bb NotEnforced: servers[0] is not served: port 80 speaks HTTP for Gateway default/a"]);
});
