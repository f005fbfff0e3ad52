import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { listenTcp, type Reactor } from "../../src/net/mod.ts";
import { TlsContext, type TlsMaterial } from "../../src/net/tls_context.ts";
import { startTls, type TlsSocket } from "../../src/net/tls_socket.ts";
import { openssl } from "../../src/sys/openssl.ts";
import { testCa } from "../identity/support.ts";
import { eventually } from "../support/eventually.ts";
import { allocate, U8, view } from "../../src/sys/memory.ts";
import { connect, testMaterial, withReactor } from "../hbone/support.ts";

/** Of `SSL_CTX_ctrl`. */
const SET_SIGNATURE_ALGORITHMS = 98, SET_MAX_VERSION = 124;

Deno.test("TLS material that cannot be used says what is wrong with it", async () => {
  const { server, client } = await testMaterial();
  const cases: [string, Partial<TlsMaterial>, RegExp][] = [
    ["no certificate", { chainPem: "" }, /cannot find a certificate in the chain/],
    ["a chain that is no PEM", { chainPem: "hello" }, /cannot find a certificate/],
    ["no key", { keyPem: "" }, /cannot find a private key/],
    ["another's key", { keyPem: client.keyPem }, /cannot use the private key|does not belong to the certificate/],
    ["no roots", { rootsPem: "" }, /cannot find a root certificate/],
  ];
  for (const [name, change, message] of cases) {
    assert.throws(() => new TlsContext("server", { ...server, ...change }), { code: "tls_material", message }, name);
  }
});

/** Shakes hands over loopback; errors of both sides. */
async function shake(
  reactor: Reactor,
  server: TlsContext,
  client: TlsContext,
): Promise<{ server: TlsSocket | Error; client: TlsSocket | Error }> {
  const accepted = Promise.withResolvers<TlsSocket | Error>(), connected = Promise.withResolvers<TlsSocket | Error>();
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
    startTls(socket, server, 5000, (error, transport) => accepted.resolve(error ?? transport!));
  });
  const socket = await connect(reactor, listener.port);
  startTls(socket, client, 5000, (error, transport) => connected.resolve(error ?? transport!));
  const result = { server: await accepted.promise, client: await connected.promise };
  listener.close();
  return result;
}

Deno.test("a handshake agrees on TLS 1.3, AES-256-GCM and the protocol, and gives each side the other's leaf", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const server = new TlsContext("server", material.server, { alpn: ["h2", "http/1.1"] });
    for (
      const [offer, chosen] of [[["h2"], "h2"], [["http/1.1", "h2"], "h2"], [["http/1.1"], "http/1.1"], [
        [],
        "",
      ]] as const
    ) {
      const ends = await shake(reactor, server, new TlsContext("client", material.client, { alpn: offer }));
      assert.ok(!(ends.server instanceof Error) && !(ends.client instanceof Error));
      assert.deepEqual(ends.client.peer.leafDer, material.server.leafDer);
      assert.deepEqual(ends.server.peer.leafDer, material.client.leafDer);
      const { version, cipher, alpn } = ends.server.peer;
      assert.deepEqual([version, cipher, alpn], ["TLSv1.3", "TLS_AES_256_GCM_SHA384", chosen]);
    }
    const stranger = await shake(reactor, server, new TlsContext("client", material.client, { alpn: ["spdy/1"] }));
    assert.match((stranger.server as Error).message, /no application protocol|no suitable/);
    assert.ok(stranger.client instanceof Error);
  });
});

Deno.test("of several certificates a peer gets the one whose signatures it can verify; of one kind of key the first", async () => {
  const ca = await testCa(), rootsPem = ca.rootPem;
  const issue = (kind: "EC" | "RSA", dns: string) =>
    ca.servingCertificate([{ dns }], 3600_000, kind === "EC" ? { kind, curve: "P-256" } : { kind, bits: 2048 });
  const [rsa, ec, later] = await Promise.all([issue("RSA", "rsa"), issue("EC", "ec"), issue("EC", "later")]);
  const leaf = ({ chainPem }: { chainPem: string }) => new Uint8Array(new X509Certificate(chainPem).raw);
  // What follows a leaf is sent with it, and with no other.
  const material = { ...rsa, chainPem: rsa.chainPem + ec.chainPem, others: [ec, later], rootsPem };
  await withReactor(async (reactor) => {
    for (const minVersion of ["TLSv1_2", "TLSv1_3"] as const) {
      const server = new TlsContext("server", material, { mutual: false, minVersion: "TLSv1_2" });
      for (
        const [algorithms, expected] of [
          ["RSA-PSS+SHA256:RSA+SHA256", rsa],
          ["ECDSA+SHA256", ec],
          ["RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256", ec],
          ["ed25519", undefined],
        ] as const
      ) {
        const client = new TlsContext("client", { chainPem: "", keyPem: "", rootsPem }, { minVersion });
        const text = new TextEncoder().encode(`${algorithms}\0`);
        assert.equal(openssl().SSL_CTX_ctrl(client.handle, SET_SIGNATURE_ALGORITHMS, 0n, text), 1n);
        if (minVersion === "TLSv1_2") openssl().SSL_CTX_ctrl(client.handle, SET_MAX_VERSION, 0x303n, null);
        const ends = await shake(reactor, server, client);
        if (expected === undefined) assert.ok(ends.client instanceof Error);
        else {
          assert.ok(!(ends.client instanceof Error), `${minVersion} ${algorithms}: ${ends.client}`);
          assert.deepEqual(ends.client.peer.leafDer, leaf(expected), `${minVersion} ${algorithms}`);
        }
      }
    }
  });
  assert.throws(() => new TlsContext("server", { ...rsa, others: [{ ...ec, keyPem: rsa.keyPem }], rootsPem }), {
    code: "tls_material",
  });
});

Deno.test("bytes that the peer does not read are queued up to a bound, and then the transport dies", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const ends = await shake(
      reactor,
      new TlsContext("server", material.server),
      new TlsContext("client", material.client),
    );
    assert.ok(!(ends.server instanceof Error) && !(ends.client instanceof Error));
    const writer = ends.server;
    let closed: Error | null = null, writable = 0;
    writer.consumer = {
      onInput: (_at, bytes) => bytes,
      onInputEnd() {},
      onWritable: () => writable++,
      onTransportClosed: (error) => closed = error,
    };
    // The client is deaf for now: its descriptor is not watched while it has no consumer and its handshake is done.
    const at = allocate(65536);
    U8.fill(9, at, at + 65536);
    let written = 0;
    while (writer.writable) {
      writer.write(at, 65536);
      written += 65536;
    }
    let got = 0;
    ends.client.consumer = {
      onInput: (from, bytes) => {
        assert.ok(view(from, bytes).every((byte) => byte === 9));
        got += bytes;
        return bytes;
      },
      onInputEnd() {},
      onWritable() {},
      onTransportClosed() {},
    };
    await eventually(() => assert.equal(got, written));
    await eventually(() => assert.equal(writable, 1));
    assert.equal(writer.writable, true);
    // Within one turn nobody reads: past the bound it gives up.
    for (let i = 0; i < 2000 && writer.open; i++) writer.write(at, 65536);
    assert.equal(writer.open, false);
    assert.match(String(closed), /the peer does not read/);
  });
});

Deno.test("finish() lets everything arrive before the end", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const ends = await shake(
      reactor,
      new TlsContext("server", material.server),
      new TlsContext("client", material.client),
    );
    assert.ok(!(ends.server instanceof Error) && !(ends.client instanceof Error));
    let got = 0, ended = false, closed: unknown = "open";
    ends.client.consumer = {
      onInput: (_at, bytes) => {
        got += bytes;
        return bytes;
      },
      onInputEnd: () => ended = true,
      onWritable() {},
      onTransportClosed() {},
    };
    ends.server.consumer = {
      onInput: (_at, bytes) => bytes,
      onInputEnd() {},
      onWritable() {},
      onTransportClosed: (error) => closed = error,
    };
    const at = allocate(65536);
    let written = 0;
    while (ends.server.writable) {
      ends.server.write(at, 65536);
      written += 65536;
    }
    ends.server.finish();
    await eventually(() => assert.deepEqual([got, ended], [written, true]));
    ends.client.abort();
    await eventually(() => assert.equal(closed, null));
  });
});
