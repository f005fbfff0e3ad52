import assert from "node:assert/strict";
import { HbonePool, type HboneRequest, HboneServer, responseFlag, splitAuthority } from "../../src/hbone/mod.ts";
import { hboneError } from "../../src/hbone/errors.ts";
import type { HboneErrorCode } from "../../src/hbone/types.ts";
import { H2Connection, HBONE_CLIENT_OPTIONS } from "../../src/h2/mod.ts";
import { listenTcp } from "../../src/net/mod.ts";
import { startTls } from "../../src/net/tls_socket.ts";
import { TlsContext } from "../../src/net/tls_context.ts";
import { eventually } from "../support/eventually.ts";
import { idOf, issueWorkload, testCa } from "../identity/support.ts";
import { connect, listenHbone, openTunnel, targetOf, testMaterial, withReactor } from "./support.ts";

Deno.test("server: only clients of its own trust domain come in", async () => {
  const { server: certificate, ca } = await testMaterial();
  const foreign = await issueWorkload(ca, idOf("shop", "cart", "other.domain"));
  await withReactor(async (reactor) => {
    const { listener, errors } = listenHbone(reactor, certificate, (request) => void request.accept());
    const pool = new HbonePool({ reactor });
    const target = targetOf(await testMaterial(), listener.port, "10.0.0.1:80");
    await assert.rejects(openTunnel(pool, { ...target, certificate: foreign }), { code: "h2_handshake_failure" });
    await eventually(() => assert.equal(errors.length, 1));
    assert.match(
      errors[0].message,
      /"spiffe:\/\/other.domain\/ns\/shop\/sa\/cart" is not of the trust domain "cluster.local"/,
    );
  });
});

Deno.test("server: a client of another CA, or with no certificate at all, fails in TLS", async () => {
  const material = await testMaterial();
  const stranger = await issueWorkload(await testCa(), idOf("shop", "cart"));
  await withReactor(async (reactor) => {
    const { listener, errors } = listenHbone(reactor, material.server, (request) => void request.accept());
    const trusting = { ...stranger, rootsPem: material.server.rootsPem };
    await assert.rejects(
      openTunnel(new HbonePool({ reactor }), {
        ...targetOf(material, listener.port, "10.0.0.1:80"),
        certificate: trusting,
      }),
      { code: /tls_failure|h2_handshake_failure/ },
    );
    await eventually(() => assert.equal(errors.length, 1));
    assert.match(errors[0].message, /TLS handshake with "127.0.0.1" failed: .*verify failed/);
    const socket = await connect(reactor, listener.port);
    socket.write(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    await eventually(() => assert.equal(errors.length, 2));
    const quiet = await connect(reactor, listener.port);
    quiet.close();
    await eventually(() => assert.equal(errors.length, 3));
    socket.close();
  });
});

Deno.test("server: a certificate that comes later is waited for, and one that never comes ends the connection", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const choices = [() => Promise.resolve(material.server), () => Promise.reject(new Error("the CA is away"))];
    const errors: { code: string }[] = [];
    const server = new HboneServer({
      reactor,
      onConnect: (request) => void request.accept(),
      onError: (error) => errors.push(error),
    });
    const front = listenTcp(
      reactor,
      { address: "127.0.0.1", port: 0 },
      (socket) => server.serve(socket, choices.shift()!()),
    );
    const pool = new HbonePool({ reactor });
    const target = targetOf(material, front.port, "10.0.0.1:80");
    await openTunnel(pool, target);
    await assert.rejects(openTunnel(pool, { ...target, bindAddress: "127.0.0.2" }), { code: "tls_failure" });
    assert.deepEqual(errors.map((error) => error.code), ["certificate_unavailable"]);
    assert.equal(server.connections, 1);
  });
});

Deno.test("server: anything but a CONNECT with host and port is a 400", async () => {
  const material = await testMaterial();
  const seen: HboneRequest[] = [];
  await withReactor(async (reactor) => {
    const { listener } = listenHbone(reactor, material.server, (request) => {
      seen.push(request);
      request.accept();
    });
    const socket = await connect(reactor, listener.port);
    const ready = Promise.withResolvers<H2Connection>();
    startTls(socket, new TlsContext("client", material.client, { alpn: ["h2"] }), 5000, (error, transport) => {
      if (error) return ready.reject(error);
      const connection: H2Connection = new H2Connection(reactor, transport!, "client", HBONE_CLIENT_OPTIONS, {
        onReady: () => ready.resolve(connection),
      });
    });
    const connection = await ready.promise;
    const ask = (headers: [string, string][], ended = false) =>
      new Promise<string>((resolve) =>
        connection.request(headers, ended, {
          onHeaders: (stream, response) => {
            resolve(response[0][1]);
            stream.abort();
          },
          onReset: (_stream, code) => resolve(`reset ${code}`),
        })
      );
    const statuses = [
      await ask([[":method", "GET"], [":scheme", "https"], [":authority", "10.0.0.1:80"], [":path", "/"]], true),
      await ask([[":method", "CONNECT"], [":authority", "10.0.0.1"]]),
      await ask([[":method", "CONNECT"], [":authority", "10.0.0.1:0"]]),
      await ask([[":method", "CONNECT"], [":authority", "user@host:80"]]),
      await ask([[":method", "CONNECT"], [":authority", "10.0.0.1:80"]], true),
      await ask([[":method", "CONNECT"], [":authority", "10.0.0.1:80"]]),
    ];
    assert.deepEqual(statuses, ["400", "400", "400", "400", "400", "200"]);
    assert.deepEqual(seen.map((request) => request.authority), ["10.0.0.1:80"]);
    assert.equal(transportAlpn(connection), "h2");
  });
});

function transportAlpn(connection: H2Connection): string {
  return (connection.transport as unknown as { peer: { alpn: string } }).peer.alpn;
}

Deno.test("splitAuthority() takes addresses and names with a port only", () => {
  const cases: [string, { host: string; port: number } | undefined][] = [
    ["10.0.0.1:80", { host: "10.0.0.1", port: 80 }],
    ["[fd00::1]:8080", { host: "fd00::1", port: 8080 }],
    ["stock.depot.svc.cluster.local:443", { host: "stock.depot.svc.cluster.local", port: 443 }],
    ["10.0.0.1", undefined],
    ["fd00::1:80", undefined],
    ["[fd00::1]", undefined],
    ["host:", undefined],
    [":80", undefined],
    ["host:65536", undefined],
    ["host:0", undefined],
    ["host:80:80", undefined],
    ["ho st:80", undefined],
    ["", undefined],
  ];
  for (const [text, expected] of cases) assert.deepEqual(splitAuthority(text), expected, text);
});

Deno.test("responseFlag() names every failure as Istio's metrics do", () => {
  const flags: [HboneErrorCode, string][] = [
    ["connect_refused", "CONNECT"],
    ["connect_timeout", "CONNECT"],
    ["tls_failure", "TLS_FAILURE"],
    ["identity_mismatch", "IDENTITY_ERROR"],
    ["h2_handshake_failure", "H2_HANDSHAKE_FAILURE"],
    ["http_status", "CONNECT"],
    ["stream_reset", "CONNECT"],
  ];
  for (const [code, flag] of flags) assert.equal(responseFlag(hboneError(code, "x")), flag);
});
