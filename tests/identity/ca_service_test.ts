import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { type AddressInfo, connect, createServer } from "node:net";
import { create } from "@bufbuild/protobuf";
import type { JsonObject } from "@bufbuild/protobuf";
import type { MeshError } from "../../src/core/errors.ts";
import {
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
  IstioCertificateService,
} from "../../src/gen/istio/auth/ca_pb.ts";
import { certificateAuthenticator, tokenAuthenticator } from "../../src/identity/authenticate.ts";
import { CertificateAuthority } from "../../src/identity/authority.ts";
import { CaClient, type CaClientOptions } from "../../src/identity/ca_client.ts";
import { addCaService, CaMetrics } from "../../src/identity/ca_service.ts";
import { certificatesOf } from "../../src/identity/pem.ts";
import { peerSpiffeIds } from "../../src/identity/certificate.ts";
import { openChannel } from "../../src/identity/control_plane.ts";
import { createCsr } from "../../src/identity/csr.ts";
import { closeGrpc, grpc, grpcMethod, listenGrpc, newGrpcServer, serverTls } from "../../src/identity/grpc.ts";
import type { PodFacts } from "../../src/identity/node_authorization.ts";
import { Registry } from "../../src/telemetry/metrics.ts";
import {
  grpcTimersFired,
  idOf,
  issueWorkload,
  LogLines,
  reviewed,
  tableReviewer,
  testCa,
  testCaMaterial,
  testLogger,
} from "./support.ts";

const PODS: PodFacts[] = [
  {
    namespace: "istio-system",
    name: "zt-1",
    uid: "u1",
    serviceAccount: "ztunnel",
    nodeName: "node1",
    phase: "Running",
  },
  { namespace: "shop", name: "cart-1", uid: "u2", serviceAccount: "cart", nodeName: "node1", phase: "Running" },
  { namespace: "shop", name: "stock-1", uid: "u3", serviceAccount: "stock", nodeName: "node2", phase: "Running" },
];

const TOKENS = {
  "zt.good.x": reviewed("istio-system", "ztunnel", "zt-1", "u1"),
  "zt.stale.x": reviewed("istio-system", "ztunnel", "zt-1", "gone"),
  "cart.good.x": reviewed("shop", "cart", "cart-1", "u2"),
  "cart.other-audience.x": { ...reviewed("shop", "cart", "cart-1", "u2"), audience: "vault" },
  "user.good.x": { username: "jane", groups: ["system:authenticated"], extra: {} },
  "node.good.x": { username: "system:node:node1", groups: ["system:serviceaccounts"], extra: {} },
};

/** An istiod of which only the CA runs, on TLS, and a directory with the files of a client. */
async function fixture() {
  const ca = await testCa(), registry = new Registry(), lines = new LogLines();
  const serving = await ca.servingCertificate([{ dns: "istiod.istio-system.svc" }], 3600_000, {
    kind: "EC",
    curve: "P-256",
  });
  const server = newGrpcServer();
  addCaService(server, {
    authority: ca,
    authenticators: [
      certificateAuthenticator(),
      tokenAuthenticator({
        reviewerOf: (cluster) => {
          if (cluster === "broken") return () => Promise.reject(new Error("API server unreachable"));
          return cluster === "" || cluster === "Kubernetes" ? tableReviewer(TOKENS) : undefined;
        },
        audiences: ["istio-ca"],
        trustDomain: () => "cluster.local",
      }),
    ],
    trustedNodeAccounts: new Set(["istio-system/ztunnel"]),
    podsOf: () => ({
      pod: (namespace, name) => PODS.find((p) => p.namespace === namespace && p.name === name),
      podsOfServiceAccount: (namespace, account) =>
        PODS.filter((p) => p.namespace === namespace && p.serviceAccount === account),
    }),
    logger: testLogger(lines),
    metrics: new CaMetrics(registry),
  });
  const tls = serverTls({ ...serving, clientRootsPem: ca.rootPem });
  const port = await listenGrpc(server, "127.0.0.1:0", tls);
  const dir = await Deno.makeTempDir({ prefix: "ambientd-ca-" });
  await Deno.writeTextFile(`${dir}/root.pem`, ca.rootPem);
  await Deno.writeTextFile(`${dir}/token`, "zt.good.x\n");
  const options: CaClientOptions = {
    address: `https://127.0.0.1:${port}`,
    rootCa: `${dir}/root.pem`,
    altHostname: "istiod.istio-system.svc",
    token: `${dir}/token`,
    clusterId: "Kubernetes",
    ttlMs: 24 * 3600_000,
    impersonate: true,
  };
  return {
    ca,
    tls,
    dir,
    lines,
    registry,
    options,
    port,
    async [Symbol.asyncDispose]() {
      await closeGrpc(server);
      await grpcTimersFired();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** A raw call, for what our own client would not send. */
async function rawCall(
  options: CaClientOptions,
  metadata: Record<string, string>,
  request: { csr?: string; validityDuration?: bigint; metadata?: JsonObject },
  pair?: { key: string; cert: string },
): Promise<{ code: number; details: string; chain?: string[] }> {
  const roots = await Deno.readTextFile(options.rootCa);
  const client = pair
    ? new grpc.Client(
      options.address.replace("https://", ""),
      grpc.credentials.createSsl(Buffer.from(roots), Buffer.from(pair.key), Buffer.from(pair.cert)),
      {
        "grpc.ssl_target_name_override": "istiod.istio-system.svc",
        "grpc.use_local_subchannel_pool": 1,
        "grpc.initial_reconnect_backoff_ms": 10,
        "grpc.max_reconnect_backoff_ms": 10,
      },
    )
    : openChannel(options, roots, 1 << 20);
  const method = grpcMethod(IstioCertificateService.method.createCertificate);
  const headers = new grpc.Metadata();
  for (const [name, value] of Object.entries(metadata)) headers.set(name, value);
  try {
    return await new Promise((resolve) => {
      client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        create(IstioCertificateRequestSchema, request),
        headers,
        { deadline: Date.now() + 20_000 },
        (error: grpc.ServiceError | null, reply?: IstioCertificateResponse) =>
          resolve(
            error ? { code: error.code, details: error.details } : { code: 0, details: "", chain: reply!.certChain },
          ),
      );
    });
  } finally {
    client.close();
  }
}

Deno.test("CaClient gets a verified certificate from the CA service over TLS", async () => {
  await using f = await fixture();
  const client = new CaClient(f.options), id = idOf("shop", "cart");
  try {
    const certificate = await client.fetch(id);
    assert.equal(certificate.id, id);
    assert.deepEqual(peerSpiffeIds(certificate.leafDer), [id]);
    const leaf = new X509Certificate(certificate.chainPem), root = new X509Certificate(certificate.rootsPem);
    assert.ok(leaf.verify(root.publicKey));
    assert.equal(certificate.serial, BigInt(`0x${leaf.serialNumber}`).toString());
    assert.match(certificate.keyPem, /^-----BEGIN PRIVATE KEY-----/);
    assert.equal(certificate.notAfter.getTime() - certificate.notBefore.getTime(), 24 * 3600_000 + 120_000);
    assert.notEqual((await client.fetch(id)).keyPem, certificate.keyPem, "a fresh key each time");
    assert.match(f.registry.expose(), /citadel_server_success_cert_issuance_count 2\n/);
  } finally {
    client.close();
  }
});

Deno.test("CaClient spreads calls over connections, and both processes live through their ends", async () => {
  await using f = await fixture();
  let connections = 0;
  const relay = createServer((down) => {
    connections++;
    const up = connect(f.port, "127.0.0.1");
    for (const [from, to] of [[down, up], [up, down]]) from.on("error", () => to.destroy()).pipe(to);
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  const { port } = relay.address() as AddressInfo;
  const client = new CaClient({ ...f.options, address: `https://127.0.0.1:${port}` }), id = idOf("shop", "cart");
  try {
    for (let i = 0; i < 4; i++) {
      const certificates = await Promise.all(Array.from({ length: 10 }, () => client.fetch(id)));
      assert.equal(certificates.length, 10);
    }
    assert.equal(connections, 5);
  } finally {
    client.close();
  }
  await new Promise((resolve) => relay.close(resolve));
  const last = new CaClient(f.options);
  try {
    await last.fetch(id);
  } finally {
    last.close();
  }
});

Deno.test("connections with many calls and one that is open end well", async () => {
  const same = (bytes: Buffer) => bytes, server = newGrpcServer();
  const method = (path: string, stream: boolean) => ({
    path,
    requestStream: stream,
    responseStream: stream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  });
  server.addService({ call: method("/x.Y/Call", false), open: method("/x.Y/Open", true) }, {
    call: (_call: unknown, answer: grpc.sendUnaryData<Buffer>) => answer(null, Buffer.alloc(100)),
    open: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      call.on("error", () => {});
      call.on("data", () => call.write(Buffer.alloc(2000)));
      call.on("end", () => call.end());
    },
  });
  const port = await listenGrpc(server, "127.0.0.1:0");
  const call = (client: grpc.Client) =>
    new Promise((resolve) => client.makeUnaryRequest("/x.Y/Call", same, same, Buffer.alloc(4), resolve));
  const one = async (calls: number) => {
    const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
    for (let i = 0; i < calls; i++) await call(client);
    const open = client.makeBidiStreamRequest("/x.Y/Open", same, same);
    const over = new Promise((resolve) => open.on("status", resolve));
    open.on("error", () => {});
    await new Promise((resolve) => {
      open.on("data", resolve);
      open.write(Buffer.alloc(4));
    });
    client.close();
    open.cancel();
    await over;
  };
  try {
    for (let round = 0; round < 3; round++) await Promise.all(Array.from({ length: 10 }, () => one(30)));
    await one(1);
  } finally {
    await closeGrpc(server);
    await grpcTimersFired();
  }
});

Deno.test("CaClient reads token and root file anew", async () => {
  await using f = await fixture();
  const client = new CaClient(f.options), id = idOf("shop", "cart");
  try {
    await client.fetch(id);
    await Deno.writeTextFile(`${f.dir}/token`, "forged.token.x");
    await assert.rejects(client.fetch(id), { code: "ca_refused" });
    await Deno.writeTextFile(`${f.dir}/token`, "zt.good.x");
    await client.fetch(id);
    await Deno.writeTextFile(`${f.dir}/root.pem`, (await testCaMaterial()).rootPem);
    await assert.rejects(client.fetch(id), { code: "ca_unavailable" });
    await Deno.writeTextFile(`${f.dir}/root.pem`, f.ca.rootPem);
    await client.fetch(id);
    await Deno.rename(`${f.dir}/token`, `${f.dir}/token.away`);
    await assert.rejects(client.fetch(id), { code: "unreadable_token" });
    await Deno.rename(`${f.dir}/token.away`, `${f.dir}/token`);
    await Deno.remove(`${f.dir}/root.pem`);
    await assert.rejects(client.fetch(id), { code: "unreadable_root" });
  } finally {
    client.close();
  }
});

Deno.test("CaClient refuses a server of another name", async () => {
  await using f = await fixture();
  const client = new CaClient({ ...f.options, altHostname: "other.test" });
  await assert.rejects(client.fetch(idOf("shop", "cart")), (error: MeshError) => {
    assert.equal(error.code, "ca_unavailable");
    assert.ok(error.retryable);
    return true;
  });
  client.close();
});

Deno.test("the CA service refuses, with no certificate and no reason to the caller", async (t) => {
  await using f = await fixture();
  const { csrPem } = await createCsr(idOf("shop", "cart"));
  const cart = { ImpersonatedIdentity: idOf("shop", "cart") };
  const good = { authorization: "Bearer zt.good.x", clusterid: "Kubernetes" };
  const { UNAUTHENTICATED, INVALID_ARGUMENT } = grpc.status;
  const cases: [
    name: string,
    metadata: Record<string, string>,
    request: Parameters<typeof rawCall>[2],
    code: number,
    logged: RegExp | string,
  ][] = [
    ["no token", {}, { csr: csrPem }, UNAUTHENTICATED, "no bearer token"],
    ["an empty token", { authorization: "Bearer " }, { csr: csrPem }, UNAUTHENTICATED, "no bearer token"],
    ["basic authentication", { authorization: "Basic eDp5" }, { csr: csrPem }, UNAUTHENTICATED, "no bearer token"],
    [
      "a forged or expired token",
      { authorization: "Bearer a.b.c" },
      { csr: csrPem },
      UNAUTHENTICATED,
      "the token is not valid",
    ],
    [
      "a token of another audience",
      { authorization: "Bearer cart.other-audience.x" },
      { csr: csrPem },
      UNAUTHENTICATED,
      "the token is not valid",
    ],
    [
      "a user's token",
      { authorization: "Bearer user.good.x" },
      { csr: csrPem },
      UNAUTHENTICATED,
      "not a service account",
    ],
    [
      "a node's token",
      { authorization: "Bearer node.good.x" },
      { csr: csrPem },
      UNAUTHENTICATED,
      "is not a service account",
    ],
    [
      "an unknown cluster",
      { ...good, clusterid: "elsewhere" },
      { csr: csrPem },
      UNAUTHENTICATED,
      'unknown cluster \\"elsewhere\\"',
    ],
    [
      "a TokenReview that fails",
      { ...good, clusterid: "broken" },
      { csr: csrPem },
      UNAUTHENTICATED,
      "API server unreachable",
    ],
    [
      "an identity of another node",
      good,
      { csr: csrPem, metadata: { ImpersonatedIdentity: idOf("shop", "stock") } },
      UNAUTHENTICATED,
      "runs on node",
    ],
    [
      "an identity of nobody",
      good,
      { csr: csrPem, metadata: { ImpersonatedIdentity: idOf("kube-system", "admin") } },
      UNAUTHENTICATED,
      "runs on node",
    ],
    [
      "an identity that is none",
      good,
      { csr: csrPem, metadata: { ImpersonatedIdentity: "admin" } },
      UNAUTHENTICATED,
      "not a SPIFFE identity",
    ],
    [
      "an identity of another type",
      good,
      { csr: csrPem, metadata: { ImpersonatedIdentity: 5 } },
      UNAUTHENTICATED,
      "not a SPIFFE identity",
    ],
    [
      "a recreated ztunnel",
      { ...good, authorization: "Bearer zt.stale.x" },
      { csr: csrPem, metadata: cart },
      UNAUTHENTICATED,
      "another UID",
    ],
    [
      "a caller that may not impersonate",
      { authorization: "Bearer cart.good.x" },
      { csr: csrPem, metadata: cart },
      UNAUTHENTICATED,
      "not a trusted node account",
    ],
    [
      "garbage for a CSR",
      good,
      { csr: "garbage", metadata: cart },
      INVALID_ARGUMENT,
      "cannot read the certificate request",
    ],
    ["no CSR", good, { metadata: cart }, INVALID_ARGUMENT, "cannot read the certificate request"],
    [
      "a lifetime above the maximum",
      good,
      { csr: csrPem, metadata: cart, validityDuration: 91n * 86400n },
      INVALID_ARGUMENT,
      "the longest lifetime",
    ],
    [
      "an absurd lifetime",
      good,
      { csr: csrPem, metadata: cart, validityDuration: 2n ** 63n - 1n },
      INVALID_ARGUMENT,
      "the longest lifetime",
    ],
  ];
  for (const [name, metadata, request, code, logged] of cases) {
    await t.step(name, async () => {
      f.lines.lines.length = 0;
      const reply = await rawCall(f.options, metadata, request);
      assert.equal(reply.code, code, reply.details);
      assert.equal(reply.chain, undefined);
      if (code === UNAUTHENTICATED) {
        assert.match(reply.details, /^request (authenticate|impersonation authentication) failure$/);
      }
      assert.ok(f.lines.lines.some((line) => line.includes(String(logged))), f.lines.lines.join("\n"));
      assert.ok(!f.lines.has("good.x"), "no token in a log line");
    });
  }
  await t.step("and still works", async () => {
    assert.equal((await rawCall(f.options, good, { csr: csrPem, metadata: cart })).code, 0);
  });
});

Deno.test("the CA service issues a caller its own identity, by token or client certificate", async (t) => {
  await using f = await fixture();
  const { csrPem } = await createCsr(idOf("kube-system", "admin"));
  await t.step("token", async () => {
    const { chain } = await rawCall(f.options, { authorization: "bearer cart.good.x" }, { csr: csrPem });
    assert.deepEqual(peerSpiffeIds(certificatesOf(chain![0])[0]), [idOf("shop", "cart")]);
    assert.equal(chain![chain!.length - 1], f.ca.rootPem);
  });
  await t.step("certificate of this CA", async () => {
    const { keyPem, chainPem } = await issueWorkload(f.ca, idOf("shop", "waypoint"));
    const { chain } = await rawCall(f.options, {}, { csr: csrPem }, { key: keyPem, cert: chainPem });
    assert.deepEqual(peerSpiffeIds(certificatesOf(chain![0])[0]), [idOf("shop", "waypoint")]);
  });
  await t.step("certificate of another CA counts as none", async () => {
    const other = new CertificateAuthority(await testCaMaterial());
    const { keyPem, chainPem } = await issueWorkload(other, idOf("shop", "waypoint"));
    const reply = await rawCall(f.options, {}, { csr: csrPem }, { key: keyPem, cert: chainPem });
    assert.equal(reply.code, grpc.status.UNAUTHENTICATED, reply.details);
  });
});

Deno.test("a running server takes new TLS material", async () => {
  await using f = await fixture();
  const { csrPem } = await createCsr(idOf("shop", "cart"));
  const renewed = await testCa(), names = [{ dns: "istiod.istio-system.svc" }];
  const serving = await renewed.servingCertificate(names, 3600_000, { kind: "EC", curve: "P-256" });
  const { keyPem, chainPem } = await issueWorkload(renewed, idOf("shop", "waypoint"));
  const pair = { key: keyPem, cert: chainPem };
  assert.equal((await rawCall(f.options, {}, { csr: csrPem }, pair)).code, grpc.status.UNAUTHENTICATED);
  f.tls.replace({ ...serving, clientRootsPem: renewed.rootPem });
  assert.equal(
    (await rawCall(f.options, {}, { csr: csrPem }, pair)).code,
    grpc.status.UNAVAILABLE,
    "the old root is not enough",
  );
  await Deno.writeTextFile(f.options.rootCa, renewed.rootPem);
  assert.equal((await rawCall(f.options, {}, { csr: csrPem }, pair)).code, 0);
});
