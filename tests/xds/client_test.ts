import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { create } from "@bufbuild/protobuf";
import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from "../../src/gen/envoy/service/discovery/v3/discovery_pb.ts";
import { tokenAuthenticator } from "../../src/identity/authenticate.ts";
import type { CertificateAuthority } from "../../src/identity/authority.ts";
import { callMetadata, type ControlPlaneOptions, openChannel } from "../../src/identity/control_plane.ts";
import { closeGrpc, grpc, grpcMethod, grpcService, listenGrpc, newGrpcServer } from "../../src/identity/grpc.ts";
import { EMPTY_MATCH } from "../../src/model/policy.ts";
import { Registry } from "../../src/telemetry/metrics.ts";
import {
  type AddressResource,
  addressType,
  authorizationType,
  DeltaXdsClient,
  type DeltaXdsClientOptions,
  type Reject,
  TYPE_URL,
  type Update,
  XdsClientMetrics,
  ztunnelNode,
} from "../../src/xds/client/mod.ts";
import {
  AddressStore,
  addXdsService,
  authorizationResource,
  authorizationStore,
  DiscoveryServer,
  serviceResource,
  synczResources,
  workloadResource,
} from "../../src/xds/server/mod.ts";
import {
  grpcTimersFired,
  LogLines,
  reviewed,
  tableReviewer,
  testCa,
  testCaMaterial,
  testLogger,
} from "../identity/support.ts";
import { eventually } from "../support/eventually.ts";
import { service, workload } from "../support/model.ts";

const QUICK = { quietMs: 5, maxMs: 100 };
const A = "Kubernetes//Pod/default/a", WEB = "default/web.default.svc.cluster.local";
const TOKENS = {
  "zt.good.x": reviewed("istio-system", "ztunnel", "zt-1", "u1"),
  "other.good.x": reviewed("default", "x"),
};

/** One istiod process: what dies when it is killed. */
async function startIstiod(
  ca: CertificateAuthority,
  stores: { addresses: AddressStore; policies: ReturnType<typeof authorizationStore> },
  port = 0,
) {
  const lines = new LogLines(), logger = testLogger(lines);
  const discovery = new DiscoveryServer({ logger, debounce: QUICK });
  discovery.register(stores.addresses);
  discovery.register(stores.policies);
  const server = newGrpcServer();
  addXdsService(server, {
    discovery,
    logger,
    authenticators: [tokenAuthenticator({
      reviewerOf: (cluster) => cluster === "Kubernetes" ? tableReviewer(TOKENS) : undefined,
      audiences: ["istio-ca"],
      trustDomain: () => "cluster.local",
    })],
    debug: () => Promise.resolve(synczResources(discovery.connections())),
    controlPlane: "istiod-test",
  });
  const serving = await ca.servingCertificate([{ dns: "istiod.istio-system.svc" }], 3600_000, {
    kind: "EC",
    curve: "P-256",
  });
  const bound = await listenGrpc(server, `127.0.0.1:${port}`, { ...serving, clientRootsPem: ca.rootPem });
  return {
    discovery,
    lines,
    port: bound,
    /** Orderly: streams end with a status. */
    async stop() {
      discovery.close();
      await closeGrpc(server, 1000);
    },
    /** As kill -9: connections break. */
    kill() {
      server.forceShutdown();
      discovery.close();
    },
  };
}

function stores() {
  const addresses = new AddressStore(), policies = authorizationStore();
  addresses.apply([
    workloadResource(workload("a", "10.1.0.1")),
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
  return { addresses, policies };
}

/** A client that keeps what it was given, as ztunnel's state would. */
class Mirror {
  readonly addresses = new Map<string, AddressResource>();
  readonly policies = new Set<string>();
  readonly updates: Update<AddressResource>[] = [];
  rejects: (update: Update<AddressResource>) => Reject[] | void = () => {};

  address = (update: Update<AddressResource>) => {
    this.updates.push(update);
    for (const name of update.removed) this.addresses.delete(name);
    const rejects = this.rejects(update) ?? [];
    for (const { name, value } of update.added) {
      if (!rejects.some((reject) => reject.name === name)) this.addresses.set(name, value);
    }
    return rejects;
  };

  get names(): string[] {
    return [...this.addresses.keys()].sort();
  }
}

async function clientOf(
  ca: CertificateAuthority,
  port: number,
  extra: Partial<DeltaXdsClientOptions> & { onDemand?: boolean } = {},
) {
  const dir = await Deno.makeTempDir({ prefix: "ambientd-xds-" });
  await Deno.writeTextFile(`${dir}/root.pem`, ca.rootPem);
  await Deno.writeTextFile(`${dir}/token`, "zt.good.x\n");
  const mirror = new Mirror(), lines = new LogLines(), registry = new Registry(), stopping = new AbortController();
  const client = new DeltaXdsClient({
    address: `https://127.0.0.1:${port}`,
    rootCa: `${dir}/root.pem`,
    altHostname: "istiod.istio-system.svc",
    token: `${dir}/token`,
    clusterId: "Kubernetes",
    node: ztunnelNode({ podName: "zt-1", podNamespace: "istio-system", nodeName: "node-1", env: {} }),
    types: [
      addressType(mirror.address, { onDemand: extra.onDemand }),
      authorizationType(({ added, removed }) => {
        removed.forEach((name) => mirror.policies.delete(name));
        added.forEach(({ name }) => mirror.policies.add(name));
      }),
    ],
    logger: testLogger(lines),
    metrics: new XdsClientMetrics(registry),
    reconnect: { firstMs: 5, maxMs: 40 },
    ...extra,
  });
  const running = client.run(stopping.signal);
  return {
    client,
    mirror,
    lines,
    registry,
    dir,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await running;
      await grpcTimersFired();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

Deno.test("DeltaXdsClient receives resources over TLS with a token, follows changes and acknowledges", async () => {
  const ca = await testCa(), data = stores(), istiod = await startIstiod(ca, data);
  try {
    let synced = 0;
    await using c = await clientOf(ca, istiod.port, { onSynced: () => synced++ });
    await eventually(() => assert.ok(c.client.synced));
    assert.deepEqual(c.mirror.names, [A, WEB]);
    const entry = c.mirror.addresses.get(A);
    assert.ok(entry?.kind === "workload" && entry.workload.addresses[0] === "10.1.0.1");
    assert.deepEqual([...c.mirror.policies], ["default/p"]);
    data.addresses.apply([workloadResource(workload("b", "10.1.0.2"))], [A]);
    await eventually(() => assert.deepEqual(c.mirror.names, ["Kubernetes//Pod/default/b", WEB]));
    await eventually(() => {
      const [connection] = istiod.discovery.connections();
      assert.deepEqual([...connection.subscriptions.values()].map(({ status }) => status), ["SYNCED", "SYNCED"]);
      assert.deepEqual(connection.client?.caller?.identities, ["spiffe://cluster.local/ns/istio-system/sa/ztunnel"]);
      assert.equal(connection.client?.metadata.NODE_NAME, "node-1");
    });
    assert.equal(synced, 1);
    assert.equal(c.client.count(TYPE_URL.address), 2);
    assert.match(
      c.registry.expose(),
      /istio_xds_message_total\{url="type.googleapis.com\/istio.workload.Address"\} 2\n/,
    );
  } finally {
    await istiod.stop();
  }
});

Deno.test("DeltaXdsClient survives the loss of istiod, keeps its state and asks only for what changed", async (t) => {
  const ca = await testCa(), data = stores();
  let istiod = await startIstiod(ca, data);
  await using c = await clientOf(ca, istiod.port);
  await eventually(() => assert.ok(c.client.synced));
  for (const how of ["stop", "kill"] as const) {
    await t.step(how, async () => {
      await istiod[how]();
      await eventually(() => assert.ok(!c.client.connected));
      assert.ok(c.mirror.addresses.has(WEB), "state is kept");
      data.addresses.apply([workloadResource(workload(how, "10.3.0.1"))], [A]);
      const before = c.mirror.updates.length;
      istiod = await startIstiod(ca, data, istiod.port);
      const name = `Kubernetes//Pod/default/${how}`;
      await eventually(() => assert.ok(c.mirror.addresses.has(name)));
      const [first] = c.mirror.updates.slice(before);
      assert.deepEqual(first.added.map((item) => item.name), [name], "unchanged resources are not sent again");
      assert.deepEqual([...first.removed], how === "stop" ? [A] : []);
      assert.ok(c.lines.has("XDS client connection error, retrying"));
    });
  }
  assert.match(c.registry.expose(), /istio_xds_connection_terminations_total\{reason="\w+"\} \d+/);
  await istiod.stop();
});

Deno.test("DeltaXdsClient is refused with a bad token, root or name, and gets in once they are right", async () => {
  const ca = await testCa(), istiod = await startIstiod(ca, stores());
  try {
    const wrong = await testCaMaterial();
    await using c = await clientOf(ca, istiod.port);
    await eventually(() => assert.ok(c.client.synced));
    await using bad = await clientOf(ca, istiod.port, { altHostname: "other.test" });
    await eventually(() => assert.ok(bad.lines.has("altnames")));
    assert.equal(bad.client.synced, false);

    await using late = await clientOf({ rootPem: wrong.rootPem } as CertificateAuthority, istiod.port);
    await eventually(() => assert.ok(late.lines.has("retrying")));
    await Deno.writeTextFile(`${late.dir}/token`, "forged.token.x");
    await Deno.writeTextFile(`${late.dir}/root.pem`, ca.rootPem);
    await eventually(() => assert.ok(late.lines.has("UNAUTHENTICATED")));
    await Deno.writeTextFile(`${late.dir}/token`, "other.good.x");
    await eventually(() => assert.ok(late.lines.has("PERMISSION_DENIED")), 10_000);
    assert.ok(istiod.lines.has("the token is not valid"));
    await Deno.writeTextFile(`${late.dir}/token`, "zt.good.x");
    await eventually(() => assert.ok(late.client.synced));
    await Deno.remove(`${late.dir}/token`);
  } finally {
    await istiod.stop();
  }
});

Deno.test("DeltaXdsClient on demand: asks by name, waits for presence or absence, also across a reconnect", async () => {
  const ca = await testCa(), data = stores();
  data.addresses.apply([workloadResource(workload("far", "10.1.0.7", { node: "node-9" }))]);
  let istiod = await startIstiod(ca, data);
  await using c = await clientOf(ca, istiod.port, { onDemand: true });
  await eventually(() => assert.ok(c.client.synced));
  await eventually(() => assert.deepEqual(c.mirror.names, [A]));
  await c.client.request(TYPE_URL.address, "/10.1.0.7");
  assert.deepEqual(c.mirror.names, [A, "Kubernetes//Pod/default/far"]);
  await Promise.all([
    c.client.request(TYPE_URL.address, "/192.0.2.1"),
    c.client.request(TYPE_URL.address, "/192.0.2.1"),
  ]);
  await c.client.request(TYPE_URL.address, A);
  istiod.kill();
  await eventually(() => assert.ok(!c.client.connected));
  const pending = c.client.request(TYPE_URL.address, WEB);
  istiod = await startIstiod(ca, data, istiod.port);
  await pending;
  assert.deepEqual(c.mirror.names, [A, "Kubernetes//Pod/default/far", WEB]);
  await istiod.stop();
});

/** A server whose responses the test writes, for what a real istiod would not send. */
async function scriptedServer(
  answer: (request: DeltaDiscoveryRequest, n: number) => Partial<DeltaDiscoveryResponse> | Uint8Array | undefined,
) {
  const requests: DeltaDiscoveryRequest[] = [];
  const server = newGrpcServer();
  const service = grpcService(AggregatedDiscoveryService);
  const delta = service.DeltaAggregatedResources as { responseSerialize: (message: any) => unknown };
  const serialize = delta.responseSerialize;
  delta.responseSerialize = (message) => message instanceof Uint8Array ? Buffer.from(message) : serialize(message);
  server.addService(service, {
    DeltaAggregatedResources: (call: grpc.ServerDuplexStream<DeltaDiscoveryRequest, any>) => {
      call.on("error", () => {});
      call.on("end", () => call.end());
      call.on("data", (request: DeltaDiscoveryRequest) => {
        requests.push(request);
        const response = answer(request, requests.length);
        if (response instanceof Uint8Array) call.write(response);
        else if (response) call.write(create(DeltaDiscoveryResponseSchema, response as object));
      });
    },
    StreamAggregatedResources: (call: grpc.ServerDuplexStream<unknown, unknown>) => call.end(),
  });
  const port = await listenGrpc(server, "127.0.0.1:0");
  return { requests, port, stop: () => closeGrpc(server) };
}

Deno.test("DeltaXdsClient refuses bad resources one by one and applies the good ones", async () => {
  const good = workloadResource(workload("good", "10.1.0.1")),
    strange = workloadResource(workload("strange", "10.1.0.2"));
  const any = (value: Uint8Array, typeUrl: string = TYPE_URL.address) => ({ typeUrl, value });
  const scripted = await scriptedServer((request) => {
    if (request.typeUrl !== TYPE_URL.address || request.responseNonce !== "") return undefined;
    return {
      typeUrl: request.typeUrl,
      nonce: "n1",
      resources: [
        { name: good.name, version: "1", resource: any(good.bytes), aliases: [] },
        { name: "garbage", version: "1", resource: any(Uint8Array.of(0xff)), aliases: [] },
        { name: "empty", version: "1", resource: any(new Uint8Array()), aliases: [] },
        { name: "absent", version: "1", aliases: [] },
        { name: "other-type", version: "1", resource: any(good.bytes, "type.googleapis.com/x"), aliases: [] },
        { name: strange.name, version: "1", resource: any(strange.bytes), aliases: [] },
      ],
      removedResources: ["never-known"],
    } as unknown as Partial<DeltaDiscoveryResponse>;
  });
  try {
    const ca = await testCa();
    await using c = await clientOf(ca, scripted.port, {
      address: `http://127.0.0.1:${scripted.port}`,
      rootCa: "/nonexistent",
    });
    c.mirror.rejects = () => [{ name: strange.name, reason: "the owner refuses" }];
    await eventually(() => assert.ok(scripted.requests.some(({ responseNonce }) => responseNonce === "n1")));
    const reply = scripted.requests.find(({ responseNonce }) => responseNonce === "n1")!;
    assert.equal(reply.errorDetail?.code, 0);
    const parts = reply.errorDetail!.message.split("; ");
    assert.deepEqual(
      parts.map((part) => part.split(": ")[0]).sort(),
      [strange.name, "absent", "empty", "garbage", "other-type"].sort(),
    );
    assert.ok(parts.includes(`${strange.name}: the owner refuses`));
    assert.deepEqual(c.mirror.names, [good.name]);
    assert.equal(c.client.count(TYPE_URL.address), 1);
    const [first] = scripted.requests;
    assert.equal(first.node?.id, "ztunnel~1.1.1.1~zt-1.istio-system~istio-system.svc.cluster.local");
    assert.deepEqual([first.resourceNamesSubscribe, first.resourceNamesUnsubscribe], [[], []]);
    assert.equal(reply.node, undefined);
  } finally {
    await scripted.stop();
  }
});

Deno.test("DeltaXdsClient survives a server that talks nonsense", async () => {
  let streams = 0;
  const ok = workloadResource(workload("a", "10.1.0.1"));
  const scripted = await scriptedServer((request) => {
    if (request.typeUrl !== TYPE_URL.address || request.responseNonce !== "") return undefined;
    streams++;
    if (streams === 1) return Uint8Array.of(0xff, 0xff, 0xff, 0xff);
    if (streams === 2) return { typeUrl: "type.googleapis.com/unasked", nonce: "u" };
    if (streams === 3) return undefined;
    return undefined;
  });
  try {
    const ca = await testCa();
    await using c = await clientOf(ca, scripted.port, {
      address: `http://127.0.0.1:${scripted.port}`,
      rootCa: "/nonexistent",
    });
    await eventually(() => assert.ok(scripted.requests.some(({ responseNonce }) => responseNonce === "u")), 10_000);
    const ack = scripted.requests.find(({ responseNonce }) => responseNonce === "u")!;
    assert.equal(ack.errorDetail, undefined, "an unknown type is acknowledged");
    assert.ok(c.lines.has("XDS response cannot be read"));
    assert.equal(c.client.count(TYPE_URL.address), 0);
    assert.ok(ok.bytes.length > 0);
  } finally {
    await scripted.stop();
  }
});

Deno.test("DeltaXdsClient with an owner that throws keeps nothing and says so", async () => {
  const ca = await testCa(), istiod = await startIstiod(ca, stores());
  try {
    await using c = await clientOf(ca, istiod.port);
    c.mirror.rejects = () => {
      throw new Error("state is broken");
    };
    await eventually(() => assert.ok(istiod.lines.has("state is broken")));
    assert.equal(c.client.count(TYPE_URL.address), 0);
  } finally {
    await istiod.stop();
  }
});

Deno.test("the state-of-the-world stream answers debug questions only", async (t) => {
  const ca = await testCa(), istiod = await startIstiod(ca, stores());
  const options: ControlPlaneOptions = {
    address: `https://127.0.0.1:${istiod.port}`,
    rootCa: ca.rootPem,
    altHostname: "istiod.istio-system.svc",
    token: "other.good.x",
    clusterId: "Kubernetes",
  };
  const method = grpcMethod(AggregatedDiscoveryService.method.streamAggregatedResources);
  const ask = async (typeUrl: string): Promise<DiscoveryResponse | grpc.ServiceError> => {
    const client = openChannel(options, ca.rootPem, 1 << 20), metadata = await callMetadata(options);
    try {
      return await new Promise((resolve) => {
        const call = client.makeBidiStreamRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          metadata,
        );
        call.on("data", (response: DiscoveryResponse) => {
          resolve(response);
          call.end();
        });
        call.on("error", (error: grpc.ServiceError) => resolve(error));
        call.write(create(DiscoveryRequestSchema, { typeUrl, node: { id: "debug~0.0.0.0~istioctl~cluster.local" } }));
      });
    } finally {
      client.close();
    }
  };
  try {
    await using c = await clientOf(ca, istiod.port);
    await eventually(() => assert.ok(c.client.synced));
    await t.step("istio.io/debug/syncz", async () => {
      const response = await ask("istio.io/debug/syncz") as DiscoveryResponse;
      assert.equal(response.typeUrl, "istio.io/debug/syncz");
      assert.equal(response.resources.length, 1);
      assert.equal(response.controlPlane?.identifier, "istiod-test");
    });
    await t.step("other types", async () => {
      assert.equal(
        (await ask("type.googleapis.com/envoy.config.cluster.v3.Cluster") as grpc.ServiceError).code,
        grpc.status.UNIMPLEMENTED,
      );
    });
  } finally {
    await istiod.stop();
  }
});
