import assert from "node:assert/strict";
import { Readiness } from "../../src/core/readiness.ts";
import { VERSION } from "../../src/core/version.ts";
import type { Authenticator } from "../../src/identity/authenticate.ts";
import { AmbientIndex, newRoutingInputs, RoutingIndex } from "../../src/index/mod.ts";
import { spiffeId } from "../../src/model/identity.ts";
import { DebugPages, debugReader, isLoopback } from "../../src/roles/istiod/debug_pages.ts";
import { type HttpSources, monitoringHandler, readinessHandler } from "../../src/roles/istiod/http.ts";
import { ProxyPublisher } from "../../src/roles/istiod/proxy_publisher.ts";
import { Logger, LogLevels } from "../../src/telemetry/logger.ts";
import { Registry } from "../../src/telemetry/metrics.ts";
import { DiscoveryServer } from "../../src/xds/server/server.ts";
import { TYPE_URL } from "../../src/xds/types.ts";

/** Takes a namespace for a token. */
const byNamespace: Authenticator = {
  name: "test",
  authenticate: (call) => {
    const namespace = /^Bearer (\w[\w-]*)$/.exec(call.metadata("authorization")[0] ?? "")?.[1];
    if (!namespace) return Promise.resolve({ refused: "no token" });
    const identity = spiffeId({ trustDomain: "cluster.local", namespace, serviceAccount: "x" });
    return Promise.resolve({ authenticator: "kubernetesToken", identities: [identity] });
  },
};

function lab(): { sources: HttpSources; ready: () => void; pages: DebugPages } {
  const readiness = new Readiness(), ready = readiness.register("informers"), inputs = newRoutingInputs();
  const logger = new Logger("test", { sink: { write: () => {} } }), index = new AmbientIndex(inputs);
  const mayRead = debugReader(() => "istio-system");
  const pages = new DebugPages({
    discovery: new DiscoveryServer({ logger }),
    index,
    inputs,
    proxies: new ProxyPublisher({
      inputs,
      routing: new RoutingIndex(inputs, index),
      facts: () => undefined,
      mayReadSecrets: () => true,
      logger,
    }),
    mesh: () => ({ trustDomain: "cluster.local" }),
    clusterId: "c1",
    synced: () => readiness.ready,
  });
  const registry = new Registry();
  registry.counter("x_total", "X.").with().inc();
  const debugAuth = { authenticators: () => [byNamespace], mayRead };
  return { sources: { readiness, registry, levels: new LogLevels(), pages, debugAuth }, ready, pages };
}

const request = (path: string, init?: RequestInit) => new Request(`http://istiod${path}`, init);

Deno.test("istiod's /ready names what is missing, then says ready", async () => {
  const { sources, ready } = lab(), handle = readinessHandler(sources);
  const before = await handle(request("/ready"), "10.0.0.1");
  assert.deepEqual([before.status, await before.text()], [503, "not ready: informers\n"]);
  ready();
  const after = await handle(request("/ready"), "10.0.0.1");
  assert.deepEqual([after.status, await after.text()], [200, "ready\n"]);
});

Deno.test("istiod's 15014 answers metrics and version to everyone", async () => {
  const { sources } = lab(), handle = monitoringHandler(sources);
  assert.equal(await (await handle(request("/version"), "10.0.0.1")).text(), VERSION);
  assert.match(await (await handle(request("/metrics"), "10.0.0.1")).text(), /^x_total 1$/m);
  const headers = { accept: "application/openmetrics-text; version=1.0.0" };
  const open = await handle(request("/metrics", { headers }), "10.0.0.1");
  assert.match(open.headers.get("content-type")!, /^application\/openmetrics-text/);
  assert.match(await open.text(), /# EOF\n$/);
  assert.equal((await handle(request("/nothing"), "127.0.0.1")).status, 404);
});

Deno.test("istiod's debug pages are open on loopback and to the system namespace, closed to others", async () => {
  const { sources, pages } = lab(), handle = monitoringHandler(sources);
  const get = async (path: string, peer: string, authorization?: string) =>
    (await handle(request(path, { headers: authorization ? { authorization } : {} }), peer)).status;
  for (const name of pages.names) assert.equal(await get(`/debug/${name}`, "127.0.0.1"), 200, name);
  assert.equal(await get("/debug", "::1"), 200);
  assert.equal(await get("/debug/none", "127.0.0.1"), 404);
  assert.equal(await get("/debug/constructor", "127.0.0.1"), 404);
  assert.equal(await get("/debug/ambientz", "10.0.0.1"), 401);
  assert.equal(await get("/debug/ambientz", "10.0.0.1", "Bearer"), 401);
  assert.equal(await get("/debug/ambientz", "10.0.0.1", "Bearer default"), 403);
  assert.equal(await get("/debug/ambientz", "10.0.0.1", "Bearer istio-system"), 200);
  assert.equal(await get("/logging", "10.0.0.1", "Bearer default"), 403);
  const open = monitoringHandler({ ...sources, debugAuth: undefined });
  assert.equal((await open(request("/debug/ambientz"), "10.0.0.1")).status, 200, "ENABLE_DEBUG_ENDPOINT_AUTH=false");
});

Deno.test("istiod's /logging changes levels while it runs", async () => {
  const { sources } = lab(), handle = monitoringHandler(sources);
  const post = async (query: string) => {
    const response = await handle(request(`/logging?${query}`, { method: "POST" }), "127.0.0.1");
    return [response.status, await response.text()];
  };
  assert.deepEqual(await post("level=ads:debug"), [200, "current log level is info,ads=debug\n"]);
  assert.deepEqual((await post("level=loud"))[0], 400);
  assert.deepEqual(await post("reset"), [200, "current log level is info\n"]);
  assert.equal((await handle(request("/logging"), "127.0.0.1")).status, 405);
});

Deno.test("isLoopback knows loopback with and without port, and nothing that only looks like it", () => {
  for (const yes of ["127.0.0.1", "127.1.2.3:80", "::1", "[::1]:80", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]:5"]) {
    assert.equal(isLoopback(yes), true, yes);
  }
  for (const no of ["10.0.0.1", "127.0.0.1.evil.example", "x127.0.0.1", "::ffff:10.0.0.1", "", "localhost", "1::1"]) {
    assert.equal(isLoopback(no), false, no);
  }
});

Deno.test("istiod answers debug questions over xDS by the same rule", async () => {
  const { pages } = lab(), handler = pages.xdsHandler(debugReader(() => "istio-system"));
  const client = (namespace: string | undefined, peerAddress: string) => ({
    nodeId: "x",
    proxyType: "istioctl",
    podName: "x",
    namespace: "",
    metadata: {},
    peerAddress,
    caller: namespace === undefined ? undefined : {
      authenticator: "kubernetesToken" as const,
      identities: [spiffeId({ trustDomain: "t", namespace, serviceAccount: "x" })],
    },
  });
  const ask = async (...who: Parameters<typeof client>) =>
    (await handler(TYPE_URL.debug, ["list", "none"], client(...who))).map(({ bytes }) =>
      JSON.parse(new TextDecoder().decode(bytes))
    );
  assert.deepEqual(await ask("istio-system", "10.0.0.1:5"), [pages.names]);
  assert.deepEqual(await ask(undefined, "127.0.0.1:5"), [pages.names]);
  assert.deepEqual(await ask("default", "10.0.0.1:5"), []);
  assert.deepEqual(await ask(undefined, "10.0.0.1:5"), []);
  assert.equal((await handler("istio.io/debug/mesh", [], client("istio-system", ""))).length, 1);
});
