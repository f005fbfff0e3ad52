import assert from "node:assert/strict";
import type { CertificateAuthority } from "../../../src/identity/authority.ts";
import type { Destination, TlsSecret, UpstreamTls } from "../../../src/model/mod.ts";
import { readClientHello } from "../../../src/http/codec/client_hello.ts";
import { connectTcp, listenTcp, pump, type Reactor, tap } from "../../../src/net/mod.ts";
import { TlsContext } from "../../../src/net/tls_context.ts";
import type { HboneRequest } from "../../../src/hbone/mod.ts";
import { HboneServer } from "../../../src/hbone/mod.ts";
import { testCa } from "../../identity/support.ts";
import { eventually } from "../../support/eventually.ts";
import { memberOf, service, workload } from "../../support/model.ts";
import { forwardTo, testMaterial, withReactor } from "../../hbone/support.ts";
import {
  destination,
  endpoint,
  type Lab,
  lab,
  LineServer,
  loopback,
  MESHED_SERVICE as WEB,
  meshedDestination,
  Recorder,
  send,
  statics,
  TlsLineServer,
} from "./support.ts";

const NAME = "outbound|443||shop.example.com";
const SHOP = "shop.example.com";

interface Pki {
  readonly ca: CertificateAuthority;
  readonly server: { chainPem: string; keyPem: string };
  readonly client: { chainPem: string; keyPem: string };
  readonly other: CertificateAuthority;
}

let pki: Promise<Pki> | undefined;

function testPki(): Promise<Pki> {
  return pki ??= (async () => {
    const ca = await testCa(), other = await testCa();
    const issue = (names: Parameters<CertificateAuthority["servingCertificate"]>[0]) =>
      ca.servingCertificate(names, 3600_000, { kind: "EC", curve: "P-256" });
    return {
      ca,
      other,
      server: await issue([{ dns: SHOP }, { uri: "spiffe://cluster.local/ns/shop/sa/web" }]),
      client: await issue([{ dns: "client.example.com" }]),
    };
  })();
}

const tls = (extra: Partial<UpstreamTls> = {}): UpstreamTls => ({
  mode: "SIMPLE",
  sni: "",
  subjectAltNames: [],
  secret: "kubernetes://default/ca",
  insecureSkipVerify: false,
  ...extra,
});

const secretOf = (ca: CertificateAuthority, pair = { chainPem: "", keyPem: "" }): TlsSecret => ({
  kind: "secret",
  name: "kubernetes://default/ca",
  certificateChain: pair.chainPem,
  privateKey: pair.keyPem,
  ca: ca.rootPem,
});

async function withTls(
  run: (
    parts: Lab & {
      pki: Pki;
      server: TlsLineServer;
      secrets: { current: TlsSecret | undefined };
      apply: (tls: UpstreamTls, extra?: Partial<Destination>) => void;
    },
  ) => Promise<void>,
  mutual = false,
): Promise<void> {
  const pki = await testPki();
  await withReactor(async (reactor) => {
    const context = new TlsContext("server", { ...pki.server, rootsPem: pki.ca.rootPem }, {
      mutual,
      minVersion: "TLSv1_2",
      alpn: ["h2", "http/1.1"],
    });
    const server = new TlsLineServer(reactor, context);
    const secrets = { current: secretOf(pki.ca) as TlsSecret | undefined };
    const parts = await lab(reactor, { secret: () => secrets.current });
    const apply = (tls: UpstreamTls, extra: Partial<Destination> = {}) =>
      parts.clusters.apply([
        destination(NAME, { hostname: SHOP, endpoints: statics(server.port), tls, ...extra }),
      ], []);
    try {
      await run({ ...parts, pki, server, secrets, apply });
    } finally {
      parts.clusters.close();
      server.close();
    }
  });
}

Deno.test("TLS origination: verified by the secret's authority and the host's name, ALPN by what is spoken", async () => {
  await withTls(async ({ clusters, server, apply }) => {
    apply(tls());
    assert.equal((await send(clusters, NAME))[0].status, 200);
    apply(tls(), { protocol: "HTTP2" });
    assert.equal((await send(clusters, NAME))[0].status, 200);
    assert.deepEqual(server.alpn, ["http/1.1", "h2"]);
  });
});

/** What is configured; part of the failure's text, or undefined when it works. */
const NAMES: [string, UpstreamTls, string, string | undefined][] = [
  ["another SNI", tls({ sni: "other.example.com" }), SHOP, 'expected "other.example.com"'],
  [
    "another SNI, and the right name among the accepted",
    tls({ sni: "x.example", subjectAltNames: ["y", SHOP] }),
    SHOP,
    undefined,
  ],
  ["a SPIFFE id", tls({ subjectAltNames: ["spiffe://cluster.local/ns/shop/sa/web"] }), SHOP, undefined],
  ["another SPIFFE id", tls({ subjectAltNames: ["spiffe://cluster.local/ns/shop/sa/db"] }), SHOP, "cannot trust"],
  ["another host", tls(), "www.example.com", "cannot trust"],
  ["another host, not verified", tls({ insecureSkipVerify: true, secret: undefined }), "www.example.com", undefined],
];

for (const [name, config, hostname, want] of NAMES) {
  Deno.test(`TLS origination: ${name}`, async () => {
    await withTls(async ({ clusters, apply }) => {
      apply(config, { hostname });
      const [recorder] = await send(clusters, NAME);
      if (want === undefined) return assert.equal(recorder.status, 200);
      assert.equal(recorder.error?.code, "connection_failure");
      assert.ok(recorder.error.message.includes(want), recorder.error.message);
    });
  });
}

Deno.test("TLS origination: an authority that did not sign the certificate", async () => {
  await withTls(async ({ clusters, apply, secrets, pki }) => {
    secrets.current = secretOf(pki.other);
    apply(tls());
    const [recorder] = await send(clusters, NAME);
    assert.equal(recorder.error?.code, "connection_failure");
    assert.ok(recorder.error.message.includes("certificate verify failed"), recorder.error.message);
    // The secret is replaced: the next connection uses it.
    secrets.current = secretOf(pki.ca);
    assert.equal((await send(clusters, NAME))[0].status, 200);
  });
});

Deno.test("TLS origination: no secret, no connection", async () => {
  await withTls(async ({ clusters, apply, secrets, server }) => {
    secrets.current = undefined;
    apply(tls());
    const [recorder] = await send(clusters, NAME);
    assert.equal(recorder.error?.code, "connection_failure");
    assert.ok(recorder.error.message.includes('no secret "kubernetes://default/ca"'), recorder.error.message);
    assert.equal(server.requests, 0);
    assert.equal(clusters.get(NAME)!.breakers.connections, 0);
  });
});

Deno.test("TLS origination: MUTUAL shows the secret's certificate", async () => {
  await withTls(async ({ clusters, apply, secrets, pki }) => {
    secrets.current = secretOf(pki.ca, pki.client);
    apply(tls({ mode: "MUTUAL" }));
    assert.equal((await send(clusters, NAME))[0].status, 200);
    apply(tls());
    const [without] = await send(clusters, NAME);
    assert.notEqual(without.error, null);
    secrets.current = secretOf(pki.ca);
    apply(tls({ mode: "MUTUAL" }));
    assert.ok((await send(clusters, NAME))[0].error?.message.includes("without a certificate"));
  }, true);
});

Deno.test("TLS origination: a server that speaks no TLS, and one that stops half-way", async () => {
  await withTls(async ({ clusters, apply }) => {
    apply(tls());
    const { reactor } = clusters.get(NAME)!;
    const plain = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      socket.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    apply(tls(), { endpoints: statics(plain.port) });
    assert.equal((await send(clusters, NAME))[0].error?.code, "connection_failure");
    const rude = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => socket.abort());
    apply(tls(), { endpoints: statics(rude.port) });
    assert.equal((await send(clusters, NAME))[0].error?.code, "connection_failure");
    plain.close();
    rude.close();
  });
});

Deno.test("a request that waits for a host that is gone goes to another at once", async () => {
  await withTls(async ({ clusters, apply, server }) => {
    apply(tls());
    const { reactor } = clusters.get(NAME)!;
    const silent = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, () => {});
    apply(tls(), { endpoints: statics(silent.port) });
    const recorder = new Recorder();
    const attempt = clusters.get(NAME)!.attempt(recorder, recorder);
    attempt.begin();
    assert.equal(attempt.host!.port, silent.port);
    apply(tls());
    await recorder.done;
    assert.equal(recorder.status, 200);
    assert.equal(attempt.host!.port, server.port);
    const { breakers } = clusters.get(NAME)!;
    assert.deepEqual([breakers.connections, breakers.pending], [1, 0]);
    silent.close();
  });
});

Deno.test("TLS origination: what the ClientHello asks for", async () => {
  const cases: [UpstreamTls, Partial<Destination>, string, string[]][] = [
    [tls({ insecureSkipVerify: true }), {}, SHOP, ["http/1.1"]],
    [tls({ insecureSkipVerify: true, sni: "api.example.com" }), { protocol: "HTTP2" }, "api.example.com", ["h2"]],
    [tls({ insecureSkipVerify: true }), { hostname: "192.0.2.1" }, "", ["http/1.1"]],
  ];
  await withTls(async ({ clusters, apply }) => {
    apply(tls());
    const { reactor } = clusters.get(NAME)!;
    for (const [config, extra, serverName, alpn] of cases) {
      let hello: unknown;
      const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
        tap(socket, {
          onData: (bytes) => {
            hello = readClientHello(bytes);
            socket.abort();
          },
        });
      });
      apply(config, { ...extra, endpoints: statics(listener.port) });
      const [recorder] = await send(clusters, NAME);
      assert.equal(recorder.error?.code, "connection_failure");
      assert.deepEqual(hello, { serverName, alpn });
      listener.close();
    }
  });
});

// --- HBONE

/** A workload at an address of ours whose tunnel is served by `onConnect`; HBONE has one port. */
async function withHbone(
  address: string,
  onConnect: (reactor: Reactor) => (request: HboneRequest) => void,
  run: (
    parts: Lab & { reactor: Reactor; server: LineServer; apply: (extra?: Partial<Destination>) => void },
  ) => Promise<void>,
): Promise<void> {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const server = new LineServer(reactor);
    const hbone = new HboneServer({ reactor, onConnect: onConnect(reactor) });
    const listener = listenTcp(reactor, { address, port: 15008 }, (socket) => hbone.serve(socket, material.server));
    const self = workload("waypoint", "127.0.0.1", { canonicalName: "waypoint" });
    const parts = await lab(reactor, { self: () => self });
    const apply = meshedDestination(parts, NAME, address, server.port);
    try {
      await run({ ...parts, reactor, server, apply });
    } finally {
      parts.clusters.close();
      server.close();
      listener.close();
      hbone.close();
    }
  });
}

Deno.test("HBONE: requests go through a tunnel to the workload, which is kept", async () => {
  const seen: HboneRequest[] = [];
  await withHbone(loopback(1), (reactor) => {
    const forward = forwardTo(reactor);
    return (request) => {
      seen.push(request);
      forward(request);
    };
  }, async ({ clusters, server }) => {
    const [recorder, attempt] = await send(clusters, NAME);
    assert.equal(recorder.status, 200, recorder.error?.message);
    await send(clusters, NAME);
    assert.equal(seen.length, 1);
    assert.equal(seen[0].authority, `${loopback(1)}:${server.port}`);
    assert.match(seen[0].header("baggage")!, /service\.name=waypoint/);
    assert.equal(seen[0].header("forwarded"), "host=web.depot.svc.cluster.local");
    assert.match(seen[0].header("traceparent")!, /^00-/);
    assert.equal(attempt.host!.hbone, true);
    assert.equal(attempt.host!.workload!.name, "web-1");
    assert.equal(attempt.host!.name, `${loopback(1)}:${server.port}`);
    assert.equal(attempt.localAddress!.address, "127.0.0.1");
    assert.equal(clusters.view()[0].hbone, true);
  });
});

Deno.test("HBONE: HTTP/2 within the tunnel, and TLS within it", async () => {
  const { ca, server: pair } = await testPki();
  await withHbone(loopback(2), forwardTo, async ({ clusters, reactor, apply }) => {
    apply({ protocol: "HTTP2" });
    assert.equal((await send(clusters, NAME))[0].status, 200);
    const context = new TlsContext("server", { ...pair, rootsPem: "" }, { mutual: false, alpn: ["http/1.1"] });
    const secure = new TlsLineServer(reactor, context);
    const inner = await lab(reactor, { secret: () => secretOf(ca) });
    inner.mesh.upsertService(service("web", "10.1.0.1", { 80: secure.port }, { namespace: "depot" }));
    inner.mesh.upsertWorkload(
      workload("web-1", loopback(2), {
        namespace: "depot",
        serviceAccount: "stock",
        services: memberOf({ [WEB]: { 80: secure.port } }),
      }),
    );
    inner.clusters.apply([
      destination(NAME, { hostname: SHOP, endpoints: { kind: "service", service: WEB }, tls: tls() }),
    ], []);
    const [recorder] = await send(inner.clusters, NAME);
    assert.equal(recorder.status, 200, recorder.error?.message);
    inner.clusters.close();
    secure.close();
  });
});

Deno.test("HBONE: a refusal, a wrong identity and a certificate that cannot be had are failures to connect", async () => {
  await withHbone(loopback(3), () => (request) => request.reject(401), async ({ clusters, mesh, apply, server }) => {
    const [refused] = await send(clusters, NAME);
    assert.equal(refused.error?.code, "connection_failure");
    assert.ok(refused.error.message.includes("http status: 401"), refused.error.message);
    mesh.upsertWorkload(
      workload("web-1", loopback(3), {
        namespace: "depot",
        serviceAccount: "somebody-else",
        services: memberOf({ [WEB]: { 80: server.port } }),
      }),
    );
    mesh.changed();
    apply();
    const [wrong] = await send(clusters, NAME);
    assert.equal(wrong.error?.code, "connection_failure");
    assert.ok(wrong.error.message.includes("somebody-else"), wrong.error.message);
    assert.deepEqual([clusters.get(NAME)!.breakers.connections, clusters.get(NAME)!.breakers.pending], [0, 0]);
  });
  await withReactor(async (reactor) => {
    const { clusters, mesh } = await lab(reactor, { certificate: () => Promise.reject(new Error("the CA is away")) });
    mesh.upsertWorkload(workload("web-1", loopback(4)));
    clusters.apply([destination(NAME, { endpoints: { kind: "static", endpoints: [endpoint(loopback(4), 80)] } })], []);
    const [recorder] = await send(clusters, NAME);
    assert.ok(recorder.error?.message.includes("the CA is away"), recorder.error?.message);
    clusters.close();
  });
});

Deno.test("HBONE: a tunnel that is not answered is given up after the connect time-out", async () => {
  let gaveUp = false;
  await withHbone(loopback(5), () => (request) => void (request.onAbort = () => gaveUp = true), async (parts) => {
    parts.apply({ limits: { connectTimeoutMs: 100, idleTimeoutMs: 1000 } });
    const [recorder] = await send(parts.clusters, NAME);
    assert.equal(recorder.error?.code, "connection_timeout");
    await eventually(() => assert.equal(gaveUp, true));
  });
});

Deno.test("HBONE: through the service's waypoint, whatever its port", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const server = new LineServer(reactor);
    const authorities: string[] = [];
    const hbone = new HboneServer({
      reactor,
      onConnect: (request) => {
        authorities.push(request.authority);
        connectTcp(reactor, { address: "127.0.0.1", port: server.port, timeoutMs: 5000 }, (error, socket) => {
          if (error) request.reject(503);
          else pump(request.accept(), socket!, { onDone() {} });
        });
      },
    });
    const listener = listenTcp(
      reactor,
      { address: "127.0.0.1", port: 0 },
      (socket) => hbone.serve(socket, material.server),
    );
    const { clusters, mesh } = await lab(reactor);
    const waypoint = { destination: { address: { network: "", address: "127.0.0.1" } }, hboneMtlsPort: listener.port };
    mesh.upsertService(service("web", "10.1.0.1", { 80: 8080 }, { namespace: "depot", waypoint }));
    mesh.upsertWorkload(workload("wp", "127.0.0.1", { namespace: "depot", serviceAccount: "stock" }));
    clusters.apply([
      destination(NAME, { endpoints: { kind: "service", service: WEB }, useWaypoint: true }),
    ], []);
    const [recorder, attempt] = await send(clusters, NAME);
    assert.equal(recorder.status, 200, recorder.error?.message);
    assert.deepEqual(authorities, ["10.1.0.1:80"]);
    assert.equal(attempt.host!.spec.tunnel!.waypoint, true);
    clusters.close();
    listener.close();
    hbone.close();
    server.close();
  });
});
