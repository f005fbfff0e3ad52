import assert from "node:assert/strict";
import { HbonePool, type HboneRequest, type HboneStream, openInnerTunnel } from "../../src/hbone/mod.ts";
import { connectTcp, listenTcp, pump, type PumpStats, tap } from "../../src/net/mod.ts";
import { eventually } from "../support/eventually.ts";
import { issueWorkload, testCa } from "../identity/support.ts";
import {
  CLIENT_ID,
  connect,
  forwardTo,
  listenHbone,
  openTunnel,
  SERVER_ID,
  targetOf,
  testMaterial,
  withReactor,
} from "./support.ts";

await testMaterial();

Deno.test("a tunnel carries megabytes both ways with half-close, and says who is at either end", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const total = 30_000_000;
    const app = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      let got = 0;
      const side = tap(socket, {
        onData: (bytes) => void (got += bytes.length),
        onEnd: () => {
          side.write(new Uint8Array(got).fill(7));
          side.end();
        },
      });
    });
    const seen: HboneRequest[] = [];
    const forward = forwardTo(reactor);
    const { listener, server, errors } = listenHbone(reactor, material.server, (request) => {
      seen.push(request);
      forward(request);
    });
    const pool = new HbonePool({ reactor });
    const stats = Promise.withResolvers<PumpStats>();
    const outbound = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      pool.connect(targetOf(material, listener.port, `127.0.0.1:${app.port}`), (error, stream) => {
        assert.equal(error, null);
        assert.deepEqual(stream!.peer.ids, [SERVER_ID]);
        assert.deepEqual(stream!.peer.tls, { version: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384" });
        assert.deepEqual(stream!.responseHeaders, [[":status", "200"], ["baggage", "service.name=stock"]]);
        pump(socket, stream!, { onDone: stats.resolve });
      });
    });
    const client = await connect(reactor, outbound.port);
    const ended = Promise.withResolvers<void>();
    let received = 0;
    tap(client, {
      onData: (bytes) => void (received += bytes.length),
      onEnd: ended.resolve,
      onAbort: () => ended.reject(new Error("aborted")),
    });
    client.write(new Uint8Array(total));
    client.finish();
    await ended.promise;
    assert.equal(received, total);
    assert.deepEqual(await stats.promise, { aToB: total, bToA: total });
    assert.equal(seen[0].header("forwarded"), 'for="127.0.0.1:9"');
    assert.deepEqual(seen[0].peer.ids, [CLIENT_ID]);
    assert.equal(server.connections, 1);
    assert.deepEqual(errors, []);
  });
});

Deno.test("failures before a tunnel have their own codes", async () => {
  const material = await testMaterial();
  const stranger = await issueWorkload(await testCa(), CLIENT_ID);
  await withReactor(async (reactor) => {
    const { listener } = listenHbone(reactor, material.server, (request) => request.reject(401));
    const pool = new HbonePool({ reactor });
    const target = targetOf(material, listener.port, "10.0.0.1:80");
    await assert.rejects(openTunnel(pool, target), {
      code: "http_status",
      details: { status: 401, peerIds: undefined },
    });
    await assert.rejects(openTunnel(pool, { ...target, expectedIds: [CLIENT_ID] }), { code: "identity_mismatch" });
    await assert.rejects(openTunnel(new HbonePool({ reactor }), { ...target, certificate: stranger }), {
      code: "tls_failure",
    });
    await assert.rejects(openTunnel(pool, { ...target, port: 1 }), { code: "connect_refused" });
  });
});

Deno.test("double HBONE: a complete second connection runs inside a tunnel", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const total = 5_000_000;
    const app = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      let got = 0;
      const side = tap(socket, {
        onData: (bytes) => void (got += bytes.length),
        onEnd: () => {
          side.write(new Uint8Array(got).fill(7));
          side.end();
        },
      });
    });
    const inner = listenHbone(reactor, material.server, forwardTo(reactor));
    // The gateway: terminates the outer layer only and forwards the bytes.
    const gateway = listenHbone(reactor, material.server, (request) => {
      assert.equal(request.authority, "stock.depot.svc.cluster.local:80");
      connectTcp(reactor, { address: "127.0.0.1", port: inner.listener.port, timeoutMs: 5000 }, (error, socket) => {
        assert.equal(error, null);
        pump(request.accept(), socket!, { onDone: () => {} });
      });
    });
    const pool = new HbonePool({ reactor });
    const target = targetOf(material, gateway.listener.port, "stock.depot.svc.cluster.local:80");
    const open = async (expectedIds = [SERVER_ID]) => {
      const outer = await openTunnel(pool, target);
      return await new Promise<HboneStream>((resolve, reject) =>
        openInnerTunnel(
          reactor,
          outer,
          { ...target, expectedIds, authority: `127.0.0.1:${app.port}` },
          5000,
          (error, stream) => error ? reject(error) : resolve(stream!),
        )
      );
    };
    const stream = await open();
    const ended = Promise.withResolvers<void>();
    let received = 0;
    const side = tap(stream, { onData: (bytes) => void (received += bytes.length), onEnd: ended.resolve });
    side.write(new Uint8Array(total));
    side.end();
    await ended.promise;
    assert.equal(received, total);
    await assert.rejects(open([CLIENT_ID]), { code: "identity_mismatch" });
    await eventually(() => assert.equal(inner.server.connections, 0));
    assert.equal(pool.connections, 1);
  });
});
