import assert from "node:assert/strict";
import { HbonePool, type HboneRequest, type HboneStream } from "../../src/hbone/mod.ts";
import { listenTcp, tap } from "../../src/net/mod.ts";
import { eventually } from "../support/eventually.ts";
import { idOf, issueWorkload } from "../identity/support.ts";
import { listenHbone, openTunnel, targetOf, testMaterial, withReactor } from "./support.ts";

const accept = (request: HboneRequest): void => void request.accept();

Deno.test("pool: requests that come while a connection is being made share it", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const { listener, server } = listenHbone(reactor, material.server, accept);
    const pool = new HbonePool({ reactor });
    const target = targetOf(material, listener.port, "10.0.0.1:80");
    const streams = await Promise.all(Array.from({ length: 20 }, () => openTunnel(pool, target)));
    assert.equal(new Set(streams).size, 20);
    assert.equal(pool.connections, 1);
    assert.equal(server.connections, 1);
  });
});

Deno.test("pool: a second connection is made when streams run out, by our limit or the peer's", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const { listener } = listenHbone(reactor, material.server, accept, { h2: { maxConcurrentStreams: 3 } });
    const target = targetOf(material, listener.port, "10.0.0.1:80");
    const ours = new HbonePool({ reactor, maxStreamsPerConnection: 2 });
    for (let i = 0; i < 5; i++) await openTunnel(ours, target);
    assert.equal(ours.connections, 3);
    const theirs = new HbonePool({ reactor });
    const streams: HboneStream[] = [];
    for (let i = 0; i < 4; i++) streams.push(await openTunnel(theirs, target));
    assert.equal(theirs.connections, 2);
    // A stream that ends makes room on the oldest connection.
    streams[0].abort();
    await openTunnel(theirs, target);
    assert.equal(theirs.connections, 2);
  });
});

Deno.test("pool: another identity, destination or expectation gets a connection of its own", async () => {
  const material = await testMaterial();
  const other = await issueWorkload(material.ca, idOf("shop", "other"));
  await withReactor(async (reactor) => {
    const seen: string[] = [];
    const { listener } = listenHbone(reactor, material.server, (request) => {
      seen.push(request.peer.ids[0]);
      request.accept();
    });
    const pool = new HbonePool({ reactor });
    const target = targetOf(material, listener.port, "10.0.0.1:80");
    await openTunnel(pool, target);
    await openTunnel(pool, { ...target, certificate: other });
    await openTunnel(pool, { ...target, expectedIds: [...target.expectedIds, idOf("a", "b")] });
    await openTunnel(pool, { ...target, expectedIds: [idOf("a", "b"), ...target.expectedIds] });
    await openTunnel(pool, { ...target, bindAddress: "127.0.0.9" });
    assert.equal(pool.connections, 4);
    assert.deepEqual(seen.map((id) => id.split("/").at(-1)), ["cart", "other", "cart", "cart", "cart"]);
  });
});

Deno.test("pool: a connection that goes away is replaced, and its streams live on until they end", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const first = listenHbone(reactor, material.server, accept);
    const pool = new HbonePool({ reactor });
    const target = targetOf(material, first.listener.port, "10.0.0.1:80");
    const stream = await openTunnel(pool, target);
    first.server.drain();
    await eventually(() => assert.equal(pool.connections, 0));
    assert.equal(stream.open, true);
    first.listener.close();
    const second = listenTcp(
      reactor,
      { address: "127.0.0.1", port: target.port! },
      (socket) => again.server.serve(socket, material.server),
    );
    const again = listenHbone(reactor, material.server, accept);
    await openTunnel(pool, target);
    assert.equal(pool.connections, 1);
    let ended = false;
    tap(stream, { onData() {}, onEnd: () => ended = true, onAbort: () => ended = true });
    first.server.close();
    await eventually(() => assert.equal(ended, true));
    second.close();
  });
});

Deno.test("pool: an unused connection is released after its time", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const { listener, server } = listenHbone(reactor, material.server, accept);
    const pool = new HbonePool({ reactor, unusedReleaseMs: 50 });
    const target = targetOf(material, listener.port, "10.0.0.1:80");
    const stream = await openTunnel(pool, target);
    assert.equal(pool.connections, 1);
    stream.abort();
    await eventually(() => assert.equal(pool.connections, 0));
    await eventually(() => assert.equal(server.connections, 0));
    await openTunnel(pool, target);
    assert.equal(pool.connections, 1);
  });
});

Deno.test("pool: failures reach everybody who waits, and the next request tries again", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const pool = new HbonePool({ reactor });
    const closed = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, () => {});
    const port = closed.port;
    closed.close();
    const target = targetOf(material, port, "10.0.0.1:80");
    const results = await Promise.allSettled([openTunnel(pool, target), openTunnel(pool, target)]);
    assert.deepEqual(results.map((result) => result.status === "rejected" && result.reason.code), [
      "connect_refused",
      "connect_refused",
    ]);
    const { server } = listenHbone(reactor, material.server, accept);
    const listener = listenTcp(
      reactor,
      { address: "127.0.0.1", port },
      (socket) => server.serve(socket, material.server),
    );
    await openTunnel(pool, target);
    assert.equal(pool.connections, 1);
    listener.close();
  });
});

Deno.test("pool: peers that are silent, or speak something else, are given up with the right code", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const silent = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, () => {});
    const rude = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      socket.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    const hangup = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => socket.abort());
    const pool = new HbonePool({ reactor, connectTimeoutMs: 1100 });
    const codes = await Promise.all(
      [silent, rude, hangup].map((listener) =>
        openTunnel(pool, targetOf(material, listener.port, "10.0.0.1:80")).then(() => "", (error) => error.code)
      ),
    );
    assert.deepEqual(codes.slice(0, 2), ["tls_failure", "tls_failure"]);
    // The reset may overtake the handshake, or even our own look at the connection.
    assert.match(codes[2], /^(tls_failure|connect_failed)$/);
    // A black hole: TEST-NET-1 is not routed, or refused at once where there is no network at all.
    const error = await openTunnel(pool, { ...targetOf(material, 15008, "10.0.0.1:80"), address: "192.0.2.1" }).catch((
      thrown,
    ) => thrown);
    assert.match(error.code, /^connect_(timeout|unreachable|failed|refused)$/);
    if (error.code === "connect_timeout") assert.match(error.message, /a NetworkPolicy may block this port/);
  });
});

Deno.test("pool: cancel() before the connection, and before the answer, leaves nothing behind", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const requests: HboneRequest[] = [];
    let aborted = 0;
    const { listener } = listenHbone(reactor, material.server, (request) => {
      request.onAbort = () => aborted++;
      requests.push(request);
    });
    const pool = new HbonePool({ reactor });
    const target = targetOf(material, listener.port, "10.0.0.1:80");
    const never = () => assert.fail("a cancelled request was answered");
    pool.connect(target, never).cancel();
    const kept = openTunnel(pool, target);
    const late = pool.connect(target, never);
    await eventually(() => assert.equal(requests.length, 2));
    late.cancel();
    await eventually(() => assert.equal(aborted, 1));
    assert.deepEqual(requests.map((request) => request.aborted), [false, true]);
    requests[0].accept();
    requests[1].accept();
    assert.equal((await kept).open, true);
  });
});

Deno.test("pool: drain() ends with the last stream, close() at once", async () => {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const { listener, server } = listenHbone(reactor, material.server, accept);
    const target = targetOf(material, listener.port, "10.0.0.1:80");
    const draining = new HbonePool({ reactor });
    const stream = await openTunnel(draining, target);
    draining.drain();
    await assert.rejects(openTunnel(draining, target), { code: "pool_closed" });
    assert.equal(stream.open, true);
    assert.equal(server.connections, 1);
    stream.abort();
    await eventually(() => assert.equal(server.connections, 0));
    const closing = new HbonePool({ reactor });
    const lost = await openTunnel(closing, target);
    const waiting = openTunnel(closing, { ...target, authority: "10.0.0.2:80" });
    closing.close();
    await assert.rejects(waiting);
    await eventually(() => assert.equal(lost.open, false));
    await eventually(() => assert.equal(server.connections, 0));
  });
});
