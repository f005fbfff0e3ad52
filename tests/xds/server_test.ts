import assert from "node:assert/strict";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryRequestSchema as RequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
} from "../../src/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { ClientConfigSchema, ConfigStatus } from "../../src/gen/envoy/service/status/v3/csds_pb.ts";
import type { Caller } from "../../src/identity/types.ts";
import { EMPTY_MATCH } from "../../src/model/policy.ts";
import { Registry } from "../../src/telemetry/metrics.ts";
import {
  AddressStore,
  adsz,
  authorizationResource,
  authorizationStore,
  DiscoveryServer,
  type DiscoveryServerOptions,
  serviceResource,
  syncz,
  synczResources,
  TYPE_URL,
  workloadResource,
  XdsServerMetrics,
} from "../../src/xds/server/mod.ts";
import { idOf, LogLines, testLogger } from "../identity/support.ts";
import { settle, SettlingClock } from "../identity/settling_clock.ts";
import { memberOf, service, workload } from "../support/model.ts";

const NODE = {
  id: "ztunnel~10.0.0.9~zt-1.istio-system~istio-system.svc.cluster.local",
  metadata: { NODE_NAME: "node-1", CLUSTER_ID: "Kubernetes" },
};
const A = "Kubernetes//Pod/default/a", B = "Kubernetes//Pod/default/b", WEB = "default/web.default.svc.cluster.local";

type Init = MessageInitShape<typeof RequestSchema>;

/** A client whose transport the test drives: responses wait until `drain` when it is `slow`. */
class TestClient {
  readonly responses: DeltaDiscoveryResponse[] = [];
  closed: [string, string] | undefined;
  slow = false;
  #sent: (() => void)[] = [];
  readonly connection;

  constructor(server: DiscoveryServer, caller?: Caller) {
    this.connection = server.open({
      send: (bytes, sent) => {
        this.responses.push(fromBinary(DeltaDiscoveryResponseSchema, bytes));
        if (this.slow) this.#sent.push(sent);
        else queueMicrotask(sent);
      },
      close: (reason, message) => this.closed = [reason, message],
    }, { caller, address: "10.0.0.9:4444" });
  }

  async request(init: Init): Promise<DeltaDiscoveryResponse[]> {
    const before = this.responses.length;
    this.connection.receive(create(DeltaDiscoveryRequestSchema, init));
    await settle();
    return this.responses.slice(before);
  }

  drain(): Promise<void> {
    this.slow = false;
    this.#sent.splice(0).forEach((sent) => sent());
    return settle();
  }

  get last(): DeltaDiscoveryResponse {
    return this.responses[this.responses.length - 1];
  }
}

function names(response: DeltaDiscoveryResponse | undefined): { resources: string[]; removed: string[] } | undefined {
  return response &&
    { resources: response.resources.map(({ name }) => name).sort(), removed: [...response.removedResources].sort() };
}

function setup(options: Partial<DiscoveryServerOptions> = {}) {
  const clock = new SettlingClock(), lines = new LogLines(), registry = new Registry();
  const server = new DiscoveryServer({
    logger: testLogger(lines),
    clock,
    metrics: new XdsServerMetrics(registry),
    ...options,
  });
  const addresses = new AddressStore(), policies = authorizationStore();
  server.register(addresses);
  server.register(policies);
  addresses.apply([
    workloadResource(workload("a", "10.1.0.1", { services: memberOf({ [WEB]: { 80: 8080 } }) })),
    workloadResource(workload("b", "10.1.0.2", { node: "node-2" })),
    serviceResource(service("web", "10.96.0.1", { 80: 8080 })),
  ]);
  policies.apply([
    authorizationResource({
      namespace: "default",
      name: "p",
      scope: "GLOBAL",
      action: "DENY",
      dryRun: false,
      rules: [[[EMPTY_MATCH]]],
    }),
  ]);
  return { clock, lines, registry, server, addresses, policies };
}

const address = TYPE_URL.address, authorization = TYPE_URL.authorization;

Deno.test("a wildcard client gets everything at once, with versions and aliases for addresses only", async () => {
  const { server, clock } = setup();
  await clock.advance(10_000);
  const client = new TestClient(server);
  const [response] = await client.request({ node: NODE, typeUrl: address });
  assert.deepEqual(names(response), { resources: [A, B, WEB], removed: [] });
  assert.equal(response.typeUrl, address);
  const [web] = response.resources.filter(({ name }) => name === WEB);
  assert.deepEqual(web.aliases, ["/10.96.0.1"]);
  assert.match(web.version, /^[0-9a-f]{16}$/);
  assert.equal(web.resource?.typeUrl, address);
  const [policies] = await client.request({ node: NODE, typeUrl: authorization, resourceNamesSubscribe: ["*"] });
  assert.deepEqual(names(policies), { resources: ["default/p"], removed: [] });
  assert.equal(policies.resources[0].version, "");
  assert.notEqual(policies.nonce, response.nonce);
  assert.deepEqual(
    await client.request({ typeUrl: address, responseNonce: response.nonce }),
    [],
    "an ACK is not answered",
  );
  server.close();
});

Deno.test("a first subscription is answered at once, even with nothing: clients are ready when every type has been", async () => {
  const server = new DiscoveryServer({ logger: testLogger(new LogLines()), clock: new SettlingClock() });
  server.register(new AddressStore());
  server.register(authorizationStore());
  for (const resourceNamesSubscribe of [[], ["*"]]) {
    const client = new TestClient(server);
    client.slow = true;
    for (const typeUrl of [address, authorization]) {
      await client.request({ node: NODE, typeUrl, resourceNamesSubscribe });
    }
    await client.drain();
    assert.deepEqual(client.responses.map(({ typeUrl, ...rest }) => [typeUrl, names(rest as typeof client.last)]), [
      [address, { resources: [], removed: [] }],
      [authorization, { resources: [], removed: [] }],
    ]);
    assert.ok(client.responses.every(({ nonce }) => nonce !== ""));
  }
  server.close();
});

Deno.test("changes are pushed after 100 ms of quiet, at most 10 s after the first", async () => {
  const { server, clock, addresses } = setup();
  await clock.advance(10_000);
  const client = new TestClient(server);
  await client.request({ node: NODE, typeUrl: address });
  addresses.apply([workloadResource(workload("c", "10.1.0.3"))], [B]);
  await clock.advance(99);
  assert.equal(client.responses.length, 1);
  addresses.apply([workloadResource(workload("d", "10.1.0.4"))]);
  await clock.advance(99);
  assert.equal(client.responses.length, 1, "a further change starts the quiet anew");
  await clock.advance(1);
  assert.deepEqual(names(client.last), {
    resources: ["Kubernetes//Pod/default/c", "Kubernetes//Pod/default/d"],
    removed: [B],
  });

  const before = client.responses.length, start = clock.now();
  while (client.responses.length === before) {
    addresses.apply([workloadResource(workload("e", `10.2.0.${1 + clock.now() % 200}`))]);
    await clock.advance(50);
  }
  assert.equal(clock.now() - start, 10_000, "endless changes do not delay a push for ever");

  const quiet = client.responses.length;
  addresses.apply([workloadResource(workload("d", "10.1.0.4"))]);
  await clock.advance(1000);
  assert.equal(client.responses.length, quiet, "what did not change is not pushed");
  server.close();
  assert.equal(clock.pending, 0);
});

Deno.test("a reconnecting client is sent what it lacks and told what is gone", async (t) => {
  const { server, addresses } = setup();
  const version = (name: string) => addresses.get(name)!.version;
  await t.step("addresses: unchanged versions are skipped", async () => {
    const client = new TestClient(server);
    const [response] = await client.request({
      node: NODE,
      typeUrl: address,
      responseNonce: "of-the-last-stream",
      initialResourceVersions: { [A]: version(A), [B]: "stale", "Kubernetes//Pod/default/gone": "1" },
    });
    assert.deepEqual(names(response), { resources: [B, WEB], removed: ["Kubernetes//Pod/default/gone"] });
  });
  await t.step("all known: an empty answer, so that the client knows it is in step", async () => {
    const client = new TestClient(server);
    const [response] = await client.request({
      node: NODE,
      typeUrl: address,
      initialResourceVersions: { [A]: version(A), [B]: version(B), [WEB]: version(WEB) },
    });
    assert.deepEqual(names(response), { resources: [], removed: [] });
  });
  await t.step("policies: everything again, removals by name", async () => {
    const client = new TestClient(server);
    const [response] = await client.request({
      node: NODE,
      typeUrl: authorization,
      initialResourceVersions: { "default/p": "", "x/gone": "" },
    });
    assert.deepEqual(names(response), { resources: ["default/p"], removed: ["x/gone"] });
  });
  server.close();
});

Deno.test("an on-demand client gets what it asks for, its node's workloads, and their changes", async () => {
  const { server, addresses, clock } = setup();
  await clock.advance(10_000);
  addresses.apply([
    workloadResource(
      workload("far", "10.1.0.7", {
        node: "node-3",
        services: memberOf({ "default/db.default.svc.cluster.local": {} }),
      }),
    ),
  ]);
  addresses.apply([serviceResource(service("db", "10.96.0.7", {}))]);
  await clock.advance(10_000);
  const far = "Kubernetes//Pod/default/far", db = "default/db.default.svc.cluster.local";
  const client = new TestClient(server);
  const [first] = await client.request({
    node: NODE,
    typeUrl: address,
    resourceNamesSubscribe: ["*"],
    resourceNamesUnsubscribe: ["*"],
  });
  assert.deepEqual(names(first), { resources: [A], removed: [] }, "the workloads of its node come unasked");
  const ask = async (name: string) =>
    names((await client.request({ typeUrl: address, resourceNamesSubscribe: [name] }))[0]);
  assert.deepEqual(await ask("/10.1.0.2"), { resources: [B], removed: [] });
  assert.deepEqual(await ask("/10.1.0.2"), { resources: [B], removed: [] }, "asked again, answered again");
  assert.deepEqual(
    await ask("/10.96.0.7"),
    { resources: [far, db].sort(), removed: [] },
    "a service brings its workloads",
  );
  assert.deepEqual(await ask("/192.0.2.1"), { resources: [], removed: ["/192.0.2.1"] }, "not found is said");

  const pushed = async (change: () => void) => {
    const before = client.responses.length;
    change();
    await clock.advance(200);
    return names(client.responses.slice(before)[0]);
  };
  assert.deepEqual(
    await pushed(() =>
      addresses.apply([workloadResource(workload("b", "10.1.0.2", { node: "node-2", status: "UNHEALTHY" }))])
    ),
    { resources: [B], removed: [] },
  );
  assert.equal(
    await pushed(() => addresses.apply([workloadResource(workload("other", "10.9.0.1", { node: "node-2" }))])),
    undefined,
    "a stranger is not pushed",
  );
  const more = workloadResource(workload("more", "10.1.0.8", { node: "node-3", services: memberOf({ [db]: {} }) }));
  assert.deepEqual(
    await pushed(() => addresses.apply([more])),
    { resources: [more.name], removed: [] },
    "a new workload of a service it asked for",
  );
  const here = workloadResource(workload("here", "10.1.0.9"));
  assert.deepEqual(
    await pushed(() => addresses.apply([here])),
    { resources: [here.name], removed: [] },
    "a new workload of its node",
  );
  const late = workloadResource(workload("late", "192.0.2.1", { node: "node-2" }));
  assert.deepEqual(
    await pushed(() => addresses.apply([late])),
    { resources: [late.name], removed: [] },
    "what it once did not find",
  );
  assert.deepEqual(await pushed(() => addresses.apply([], [B])), { resources: [], removed: [B] });
  await client.request({ typeUrl: address, resourceNamesUnsubscribe: [far] });
  assert.equal(
    await pushed(() => addresses.apply([workloadResource(workload("far", "10.1.0.7", { node: "node-3" }))])),
    undefined,
    "unsubscribed",
  );
  server.close();
});

Deno.test("nonces: a stale one is ignored, a refusal is logged and counted and nothing is sent again", async () => {
  const { server, lines, registry } = setup();
  const client = new TestClient(server);
  const [first] = await client.request({ node: NODE, typeUrl: address });
  assert.equal(syncz(server.connections())[0].types[address].status, "STALE");
  assert.deepEqual(
    await client.request({ typeUrl: address, responseNonce: "bogus", resourceNamesSubscribe: ["x"] }),
    [],
  );
  assert.deepEqual(
    await client.request({ typeUrl: address, responseNonce: first.nonce, errorDetail: { message: `${A}: broken` } }),
    [],
  );
  assert.ok(lines.has("client rejected resources") && lines.has(`${A}: broken`));
  assert.match(registry.expose(), /pilot_total_xds_rejects\{type="type.googleapis.com\/istio.workload.Address"\} 1\n/);
  assert.equal(syncz(server.connections())[0].types[address].status, "ERROR");
  assert.equal(syncz(server.connections())[0].types[address].error, `${A}: broken`);
  await client.request({ typeUrl: address, responseNonce: first.nonce });
  server.close();
});

Deno.test("a slow client costs names, not messages: what it missed comes as one response", async () => {
  const { server, addresses, clock } = setup();
  await clock.advance(10_000);
  const client = new TestClient(server);
  await client.request({ node: NODE, typeUrl: address });
  client.slow = true;
  addresses.apply([workloadResource(workload("c", "10.1.0.3"))]);
  await clock.advance(200);
  assert.equal(client.responses.length, 2);
  for (let i = 0; i < 20; i++) {
    addresses.apply([workloadResource(workload("c", `10.1.1.${i}`))], i === 19 ? [B] : []);
    await clock.advance(200);
  }
  await client.request({ node: NODE, typeUrl: authorization });
  assert.equal(client.responses.length, 2, "nothing is sent while the last response is under way");
  await client.drain();
  assert.equal(client.responses.length, 4);
  assert.equal(client.responses[2].typeUrl, authorization, "an answer goes before a push");
  assert.deepEqual(names(client.responses[3]), { resources: ["Kubernetes//Pod/default/c"], removed: [B] });
  server.close();
});

Deno.test("many wildcard clients are pushed the same bytes", async () => {
  const { server, addresses, clock } = setup();
  await clock.advance(10_000);
  const clients = Array.from({ length: 5 }, () => new TestClient(server));
  for (const client of clients) await client.request({ node: NODE, typeUrl: address });
  addresses.apply([workloadResource(workload("c", "10.1.0.3"))], [B]);
  await clock.advance(200);
  for (const client of clients) {
    assert.deepEqual(names(client.last), { resources: ["Kubernetes//Pod/default/c"], removed: [B] });
  }
  assert.equal(new Set(clients.map(({ last }) => last.nonce)).size, 5);
  server.close();
});

Deno.test("who may say what: node ids and identities", async (t) => {
  const caller = (namespace: string, account: string): Caller => ({
    authenticator: "kubernetesToken",
    identities: [idOf(namespace, account)],
  });
  const cases: [name: string, node: Init["node"], caller: Caller | undefined, closed: string | undefined][] = [
    ["no node", undefined, undefined, "invalid_argument"],
    ["an empty id", { id: "" }, undefined, "invalid_argument"],
    ["an id of three parts", { id: "ztunnel~1.1.1.1~x" }, undefined, "invalid_argument"],
    ["plaintext: no identity to compare", NODE, undefined, undefined],
    ["the same namespace", NODE, caller("istio-system", "ztunnel"), undefined],
    ["another namespace", NODE, caller("default", "ztunnel"), "permission_denied"],
    [
      "the namespace of the metadata counts",
      { ...NODE, metadata: { NAMESPACE: "default" } },
      caller("istio-system", "ztunnel"),
      "permission_denied",
    ],
    [
      "the account of the metadata",
      { ...NODE, metadata: { SERVICE_ACCOUNT: "ztunnel" } },
      caller("istio-system", "ztunnel"),
      undefined,
    ],
    [
      "another account",
      { ...NODE, metadata: { SERVICE_ACCOUNT: "istiod" } },
      caller("istio-system", "ztunnel"),
      "permission_denied",
    ],
  ];
  for (const [name, node, who, closed] of cases) {
    await t.step(name, async () => {
      const { server } = setup();
      const client = new TestClient(server, who);
      const responses = await client.request({ node, typeUrl: address });
      assert.equal(client.closed?.[0], closed);
      assert.equal(responses.length, closed ? 0 : 1);
      assert.equal(server.connections().length, closed ? 0 : 1);
      server.close();
    });
  }
  await t.step("the check can be switched off", async () => {
    const { server } = setup({ identityCheck: false });
    const client = new TestClient(server, caller("default", "x"));
    assert.equal((await client.request({ node: NODE, typeUrl: address })).length, 1);
    server.close();
  });
});

Deno.test("hostile clients are bounded", async (t) => {
  const { server } = setup();
  await t.step("unknown types", async () => {
    const client = new TestClient(server);
    for (let i = 0; i < 100 && !client.closed; i++) {
      await client.request({ node: NODE, typeUrl: `type.googleapis.com/x${i}` });
    }
    assert.equal(client.closed?.[0], "resource_exhausted");
  });
  await t.step("names", async () => {
    const client = new TestClient(server);
    await client.request({
      node: NODE,
      typeUrl: address,
      resourceNamesSubscribe: ["*"],
      resourceNamesUnsubscribe: ["*"],
    });
    for (let i = 0; i < 30 && !client.closed; i++) {
      await client.request({
        typeUrl: address,
        resourceNamesSubscribe: Array.from({ length: 5000 }, (_, j) => `/${i}.${j}`),
      });
    }
    assert.equal(client.closed?.[0], "resource_exhausted");
  });
  await t.step("names of prototypes are only names", async () => {
    const client = new TestClient(server);
    const [response] = await client.request({
      node: NODE,
      typeUrl: authorization,
      resourceNamesSubscribe: ["constructor", "__proto__"],
      initialResourceVersions: { toString: "1" },
    });
    assert.deepEqual(names(response), { resources: [], removed: ["__proto__", "constructor", "toString"] });
    client.connection.ended();
  });
  await t.step("after the end nothing is answered", async () => {
    const client = new TestClient(server);
    await client.request({ node: NODE, typeUrl: address });
    client.connection.ended();
    assert.deepEqual(await client.request({ typeUrl: authorization }), []);
  });
  assert.equal(server.connections().length, 0);
  server.close();
});

Deno.test("debug pages and debug types show the connections", async () => {
  const { clock } = setup();
  const registry = new Registry();
  const server: DiscoveryServer = new DiscoveryServer({
    logger: testLogger(),
    clock,
    metrics: new XdsServerMetrics(registry),
    controlPlane: '{"component":"istiod"}',
    debug: (typeUrl, askedNames) => {
      assert.equal(typeUrl, "istio.io/debug/syncz");
      assert.deepEqual(askedNames, ["x"]);
      return Promise.resolve(synczResources(server.connections()));
    },
  });
  server.register(authorizationStore());
  const zt = new TestClient(server), ctl = new TestClient(server);
  const [answer] = await zt.request({ node: NODE, typeUrl: authorization });
  assert.equal(answer.controlPlane?.identifier, '{"component":"istiod"}');
  await zt.request({ typeUrl: authorization, responseNonce: answer.nonce });
  const [debug] = await ctl.request({
    node: { id: "debug~0.0.0.0~istioctl~cluster.local" },
    typeUrl: "istio.io/debug/syncz",
    resourceNamesSubscribe: ["x"],
  });
  const config = fromBinary(ClientConfigSchema, debug.resources[0].resource!.value);
  assert.equal(config.node?.id, NODE.id);
  assert.deepEqual(config.genericXdsConfigs.map(({ typeUrl, configStatus }) => [typeUrl, configStatus]), [[
    authorization,
    ConfigStatus.SYNCED,
  ]]);
  assert.equal(debug.resources[0].resource!.typeUrl, "type.googleapis.com/envoy.service.status.v3.ClientConfig");
  const page = adsz(server.connections()) as { totalClients: number; clients: { watches: unknown }[] };
  assert.equal(page.totalClients, 2);
  assert.deepEqual(page.clients[0].watches, { [authorization]: ["*"] });
  assert.match(registry.expose(), /pilot_xds\{version="unknown"\} 2\n/);
  const versioned = new TestClient(server);
  await versioned.request({ node: { ...NODE, metadata: { ISTIO_VERSION: "1.30.1" } }, typeUrl: authorization });
  assert.match(registry.expose(), /pilot_xds\{version="1\.30\.1"\} 1\n/);
  server.close();
  assert.deepEqual(zt.closed, ["unavailable", "the server is shutting down"]);
  assert.doesNotMatch(registry.expose(), /pilot_xds\{/);
  assert.equal(new TestClient(server).closed?.[0], "unavailable");
});
