import assert from "node:assert/strict";
import { listenTcp, pump, type PumpStats, type Reactor, tap, type TcpSocket } from "../../src/net/mod.ts";
import { TlsContext } from "../../src/net/tls_context.ts";
import { TlsEndpoint } from "../../src/net/tls_endpoint.ts";
import { startTls } from "../../src/net/tls_socket.ts";
import { connect, testMaterial, withReactor } from "../hbone/support.ts";
import { eventually } from "../support/eventually.ts";

/** Two ends of one TLS connection, handshakes done. */
async function pair(reactor: Reactor): Promise<{ client: TlsEndpoint; server: TlsEndpoint; sockets: TcpSocket[] }> {
  const { client, server } = await testMaterial();
  const handshake = (socket: TcpSocket, context: TlsContext) =>
    new Promise<TlsEndpoint>((resolve, reject) =>
      startTls(
        socket,
        context,
        5000,
        (error, transport) => error ? reject(error) : resolve(new TlsEndpoint(transport!)),
      )
    );
  const accepted = Promise.withResolvers<TcpSocket>();
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => accepted.resolve(socket));
  const near = await connect(reactor, listener.port), far = await accepted.promise;
  listener.close();
  const [a, b] = await Promise.all([
    handshake(near, new TlsContext("client", client)),
    handshake(far, new TlsContext("server", server)),
  ]);
  return { client: a, server: b, sockets: [near, far] };
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("TlsEndpoint: bytes both ways; each direction ends by itself", async () => {
  await withReactor(async (reactor) => {
    const { client, server } = await pair(reactor);
    let got = "", answer = "", ended = 0;
    const right = tap(server, { onData: (part) => got += new TextDecoder().decode(part), onEnd: () => ended++ });
    const left = tap(client, { onData: (part) => answer += new TextDecoder().decode(part), onEnd: () => ended++ });
    left.write(bytes("question"));
    left.end();
    await eventually(() => assert.equal(ended, 1));
    assert.equal(got, "question");
    right.write(bytes("answer"));
    right.end();
    await eventually(() => assert.equal(ended, 2));
    assert.equal(answer, "answer");
    await eventually(() => assert.deepEqual([client.open, server.open], [false, false]));
    assert.deepEqual([client.error, server.error], [null, null]);
    assert.deepEqual([client.bytesIn, client.bytesOut, server.bytesIn, server.bytesOut], [6, 8, 8, 6]);
  });
});

Deno.test("TlsEndpoint: what comes before there is a partner waits for it", async () => {
  await withReactor(async (reactor) => {
    const { client, server } = await pair(reactor);
    tap(client, { onData() {} }).write(bytes("early"));
    // Another connection is made meanwhile, so that these bytes have certainly arrived.
    (await pair(reactor)).client.close();
    let got = "";
    tap(server, { onData: (part) => got += new TextDecoder().decode(part) });
    await eventually(() => assert.equal(got, "early"));
    client.close();
  });
});

Deno.test("TlsEndpoint: a peer that is reset resets the other end of the pump", async () => {
  await withReactor(async (reactor) => {
    const first = await pair(reactor), second = await pair(reactor);
    let stats: PumpStats | undefined, ended = "";
    pump(first.server, second.client, { onDone: (result) => stats = result });
    tap(first.client, { onData() {} }).write(bytes("x"));
    let got = "";
    tap(second.server, {
      onData: (part) => got += new TextDecoder().decode(part),
      onAbort: () => ended = "abort",
      onEnd: () => ended = "end",
    });
    await eventually(() => assert.equal(got, "x"));
    first.client.abort();
    await eventually(() => assert.notEqual(stats, undefined));
    assert.ok(stats!.error, "it was no orderly end");
    await eventually(() => assert.equal(ended, "abort"));
    assert.equal(second.client.open, false);
  });
});

Deno.test("TlsEndpoint: a reader that does not read holds its writer back, and nothing is lost", async () => {
  await withReactor(async (reactor) => {
    const { client, server } = await pair(reactor);
    const accepted = Promise.withResolvers<TcpSocket>();
    const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => accepted.resolve(socket));
    const out = await connect(reactor, listener.port), reader = await accepted.promise;
    listener.close();
    let stats: PumpStats | undefined;
    pump(server, out, { onDone: (result) => stats = result });
    // Nobody reads what the pump sends: its socket fills, and after that the records must stay with their sender.
    const total = 24 * 1024 * 1024, part = new Uint8Array(64 * 1024);
    const writer = tap(client, { onData() {} });
    for (let sent = 0; sent < total; sent += part.length) writer.write(part);
    writer.end();
    await eventually(() => assert.ok(out.queued > 0));
    let before = -1;
    await eventually(() => {
      const same = server.bytesIn === before;
      before = server.bytesIn;
      assert.ok(same, "still moving");
    });
    assert.ok(server.bytesIn < total && out.queued <= 1024 * 1024, `${server.bytesIn} read, ${out.queued} queued`);
    let got = 0, ended = false;
    const late = tap(reader, { onData: (some) => got += some.length, onEnd: () => ended = true });
    await eventually(() => assert.equal(ended, true), 20_000);
    assert.equal(got, total);
    late.end();
    await eventually(() => assert.notEqual(stats, undefined));
    assert.equal(stats!.error, undefined);
  });
});
