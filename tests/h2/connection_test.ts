import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as http2 from "node:http2";
import {
  fieldOf,
  H2Connection,
  type H2Handler,
  type H2Options,
  type H2Stream,
  HBONE_CLIENT_OPTIONS,
  HBONE_SERVER_OPTIONS,
  type HeaderFields,
} from "../../src/h2/mod.ts";
import { connectTcp, listenTcp, Reactor, tap } from "../../src/net/mod.ts";
import { PlainTransport } from "../../src/net/plain_transport.ts";
import { eventually } from "../support/eventually.ts";
import { bytesOf, frame, PREFACE, RawPeer, SETTINGS, withServer, word } from "./support.ts";

/** Both ends of ours, joined by loopback. */
async function withPair(
  server: H2Handler,
  client: H2Handler,
  run: (client: H2Connection, server: H2Connection, reactor: Reactor) => Promise<void>,
  options: Partial<H2Options> = {},
): Promise<void> {
  const reactor = new Reactor();
  reactor.start();
  try {
    const accepted = Promise.withResolvers<H2Connection>(), ready = Promise.withResolvers<void>();
    const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      const transport = new PlainTransport(reactor, socket, socket.remote, socket.local);
      accepted.resolve(new H2Connection(reactor, transport, "server", { ...HBONE_SERVER_OPTIONS, ...options }, server));
      transport.begin();
    });
    const made = Promise.withResolvers<H2Connection>();
    connectTcp(reactor, { address: "127.0.0.1", port: listener.port, timeoutMs: 5000 }, (error, socket) => {
      if (error) return made.reject(error);
      const transport = new PlainTransport(reactor, socket!, socket!.remote, socket!.local);
      const handler = { onReady: ready.resolve, ...client };
      made.resolve(new H2Connection(reactor, transport, "client", { ...HBONE_CLIENT_OPTIONS, ...options }, handler));
      transport.begin();
    });
    const connection = await made.promise;
    await ready.promise;
    await run(connection, await accepted.promise, reactor);
  } finally {
    await reactor.stop();
  }
}

const CONNECT: HeaderFields = [[":method", "CONNECT"], [":authority", "10.0.0.1:80"]];

/** Echoes what it reads, after the end. */
const echo: H2Handler = {
  onRequest(stream) {
    stream.connection.respond(stream, [[":status", "200"]], false);
    const parts: Uint8Array[] = [];
    const side = tap(stream, {
      onData: (bytes) => parts.push(bytes.slice()),
      onEnd: () => {
        for (const part of parts) side.write(part);
        side.end();
      },
    });
  },
};

function pattern(bytes: number, seed: number): Uint8Array {
  const out = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) out[i] = (i * 31 + seed + (i >> 8)) & 255;
  return out;
}

/** Sends `body` on a stream and resolves with what comes back. */
function exchange(stream: H2Stream, body: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    const side = tap(stream, {
      onData: (bytes) => parts.push(bytes.slice()),
      onEnd: () => {
        const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
        let at = 0;
        for (const part of parts) {
          out.set(part, at);
          at += part.length;
        }
        resolve(out);
      },
      onAbort: () => reject(new Error("aborted")),
    });
    side.write(body);
    side.end();
  });
}

for (
  const [name, options] of [
    ["ztunnel's windows", {}],
    ["the smallest windows and frames", { streamWindow: 65535, connectionWindow: 65535, maxFrameSize: 16384 }],
    ["a connection window smaller than two streams'", {
      streamWindow: 100_000,
      connectionWindow: 120_000,
      maxFrameSize: 20_000,
    }],
  ] as [string, Partial<H2Options>][]
) {
  Deno.test(`streams carry every byte in order at the same time, with ${name}`, async () => {
    await withPair(echo, {}, async (client, server) => {
      const sizes = [0, 1, 8, 1000, 16384, 65535, 65536, 200_000, 1_000_000];
      const results = sizes.map((size, i) => {
        const stream = client.request(CONNECT, false, {})!;
        return exchange(stream, pattern(size, i));
      });
      for (const [i, result] of results.entries()) {
        assert.deepEqual(
          Buffer.from(await result).equals(Buffer.from(pattern(sizes[i], i))),
          true,
          `stream of ${sizes[i]}`,
        );
      }
      await eventually(() =>
        assert.deepEqual([client.streams, server.streams, client.held, server.held], [0, 0, 0, 0])
      );
    }, options);
  });
}

Deno.test("a stream that nobody reads stops its own sender and no other", async () => {
  const streams: H2Stream[] = [];
  await withPair(
    {
      onRequest(stream) {
        if (streams.push(stream) > 1) echo.onRequest!(stream, [], false);
      },
    },
    {},
    async (client, server) => {
      const stuck = client.request(CONNECT, false, {})!;
      const side = tap(stuck, { onData() {} });
      side.write(new Uint8Array(1_000_000));
      await eventually(() => assert.equal(server.held, 65535));
      assert.equal(stuck.queued, 1_000_000 - 65535);
      for (let i = 0; i < 20; i++) {
        assert.equal((await exchange(client.request(CONNECT, false, {})!, new Uint8Array(50_000))).length, 50_000);
      }
      // The reader comes at last, and gets everything.
      let got = 0;
      tap(streams[0], { onData: (bytes) => void (got += bytes.length) });
      await eventually(() => assert.equal(got, 1_000_000));
    },
    { streamWindow: 65535, connectionWindow: 200_000 },
  );
});

Deno.test("request(), informational answers, long headers and trailers arrive as they were sent", async () => {
  const long = "z".repeat(30_000);
  await withPair(
    {
      onRequest(stream, headers, ended) {
        assert.equal(ended, true);
        assert.equal(fieldOf(headers, ":path"), "/x?y=1");
        assert.equal(fieldOf(headers, "long"), long);
        const { connection } = stream;
        connection.respond(stream, [[":status", "103"], ["link", "</a>"]], false);
        connection.respond(stream, [[":status", "200"], ["long", long]], false);
        stream.write(new TextEncoder().encode("body"));
        connection.sendTrailers(stream, [["grpc-status", "0"]]);
      },
    },
    {},
    async (client) => {
      const seen: unknown[] = [];
      const trailers = Promise.withResolvers<HeaderFields>();
      const stream = client.request(
        [[":method", "GET"], [":scheme", "http"], [":authority", "a"], [":path", "/x?y=1"], ["long", long]],
        true,
        {
          onHeaders: (_, headers) => void seen.push(fieldOf(headers, ":status")),
          onTrailers: (_, fields) => trailers.resolve(fields),
          onReset: (_stream, _code, error) => trailers.reject(error),
        },
      )!;
      let body = "";
      tap(stream, { onData: (bytes) => void (body += new TextDecoder().decode(bytes)) });
      assert.deepEqual(await trailers.promise, [["grpc-status", "0"]]);
      assert.deepEqual(seen, ["103", "200"]);
      assert.equal(body, "body");
      assert.equal(fieldOf(stream.responseHeaders, "long"), long);
    },
    { maxHeaderListSize: 65536 },
  );
});

Deno.test("drain() lets a server's streams finish, takes no new ones, then ends", async () => {
  const closed = Promise.withResolvers<unknown>(), goaway = Promise.withResolvers<void>();
  let open: H2Stream | undefined;
  await withPair(
    {
      onRequest(stream) {
        open = stream;
        stream.connection.respond(stream, [[":status", "200"]], false);
      },
    },
    { onGoaway: () => goaway.resolve(), onClosed: closed.resolve },
    async (client, server) => {
      const stream = client.request(CONNECT, false, {})!;
      let text = "";
      const ended = Promise.withResolvers<void>();
      const side = tap(stream, {
        onData: (bytes) => void (text += new TextDecoder().decode(bytes)),
        onEnd: ended.resolve,
      });
      await eventually(() => assert.ok(open));
      server.drain();
      await goaway.promise;
      assert.equal(client.capacity, 0);
      assert.equal(client.request(CONNECT, false, {}), null);
      assert.equal(client.closed, false);
      open!.write(new TextEncoder().encode("last words"));
      open!.finish();
      await ended.promise;
      side.end();
      assert.equal(text, "last words");
      assert.equal(await closed.promise, null);
    },
  );
});

Deno.test("a server's drain announces itself before the final GOAWAY", async () => {
  await withServer({ onRequest() {} }, async (peer, connection) => {
    await peer.send(PREFACE, SETTINGS, peer.connect(1));
    await eventually(() => assert.equal(connection.streams, 1));
    connection.drain();
    const first = await peer.expect((f) => f.type === 7, "GOAWAY");
    assert.deepEqual([...first.body.subarray(0, 8)], [127, 255, 255, 255, 0, 0, 0, 0]);
    const last = await peer.expect((f) => f.type === 7, "the second GOAWAY");
    assert.deepEqual([...last.body.subarray(0, 8)], [0, 0, 0, 1, 0, 0, 0, 0]);
    await peer.send(peer.connect(3), frame(3, 0, 1, word(8)));
    await peer.ended();
  });
});

Deno.test("a PING goes out on a quiet connection, and one without answer ends it", async () => {
  const closed = Promise.withResolvers<Error | null>();
  await withServer({ onClosed: closed.resolve }, async (peer) => {
    await peer.send(PREFACE, SETTINGS);
    const ping = await peer.expect((f) => f.type === 6, "PING");
    await peer.send(frame(6, 1, 0, ping.body));
    await peer.expect((f) => f.type === 6, "the next PING");
    assert.equal((await closed.promise as { code?: string } | null)?.code, "h2_ping_timeout");
    await peer.ended();
  }, { pingIntervalMs: 30, pingTimeoutMs: 120 });
});

Deno.test("reset codes: CANCEL reads as the end, others as a reset", async () => {
  const streams: H2Stream[] = [];
  await withServer({
    onRequest(stream) {
      streams.push(stream);
      stream.connection.respond(stream, [[":status", "200"]], false);
    },
  }, async (peer) => {
    await peer.send(PREFACE, SETTINGS, peer.connect(1), peer.connect(3));
    await eventually(() => assert.equal(streams.length, 2));
    const said: string[] = [];
    streams.forEach((stream, i) =>
      tap(stream, { onData: () => {}, onEnd: () => said.push(`${i} end`), onAbort: () => said.push(`${i} abort`) })
    );
    await peer.send(frame(0, 0, 1, bytesOf("x")), frame(3, 0, 1, word(8)), frame(3, 0, 3, word(2)));
    await eventually(() => assert.deepEqual(said, ["0 end", "1 abort"]));
  });
});

Deno.test("node's HTTP/2 client talks to our server", async () => {
  const reactor = new Reactor();
  reactor.start();
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
    const transport = new PlainTransport(reactor, socket, socket.remote, socket.local);
    new H2Connection(reactor, transport, "server", HBONE_SERVER_OPTIONS, echo);
    transport.begin();
  });
  const session = http2.connect(`http://127.0.0.1:${listener.port}`);
  const body = Buffer.from(pattern(3_000_000, 5));
  const received = await new Promise<Buffer>((resolve, reject) => {
    const request = session.request({ ":method": "POST", ":path": "/" });
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => resolve(Buffer.concat(parts)));
    request.on("error", reject);
    request.end(body);
  });
  assert.equal(received.equals(body), true);
  await new Promise<void>((resolve) => session.close(resolve));
  await reactor.stop();
});

Deno.test("our client talks to node's HTTP/2 server", async () => {
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const reactor = new Reactor();
  reactor.start();
  const ready = Promise.withResolvers<H2Connection>();
  connectTcp(reactor, { address: "127.0.0.1", port, timeoutMs: 5000 }, (error, socket) => {
    if (error) return ready.reject(error);
    const transport = new PlainTransport(reactor, socket!, socket!.remote, socket!.local);
    const connection: H2Connection = new H2Connection(reactor, transport, "client", HBONE_CLIENT_OPTIONS, {
      onReady: () => ready.resolve(connection),
    });
    transport.begin();
  });
  const connection = await ready.promise;
  const stream = connection.request(
    [[":method", "POST"], [":scheme", "http"], [":authority", "x"], [":path", "/"]],
    false,
    {},
  )!;
  const body = pattern(3_000_000, 9);
  assert.equal(Buffer.from(await exchange(stream, body)).equals(Buffer.from(body)), true);
  connection.close();
  await reactor.stop();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

Deno.test("a raw peer hears our preface and settings first", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const reactor = new Reactor();
  reactor.start();
  const closed = Promise.withResolvers<unknown>();
  connectTcp(
    reactor,
    { address: "127.0.0.1", port: (listener.addr as Deno.NetAddr).port, timeoutMs: 5000 },
    (_, socket) => {
      const transport = new PlainTransport(reactor, socket!, socket!.remote, socket!.local);
      new H2Connection(reactor, transport, "client", HBONE_CLIENT_OPTIONS, { onClosed: closed.resolve });
      transport.begin();
    },
  );
  const peer = new RawPeer(await listener.accept(), true);
  const settings = await peer.expect((f) => f.type === 4, "SETTINGS");
  const pairs: [number, number][] = [];
  const body = new DataView(settings.body.buffer);
  for (let i = 0; i < settings.body.length; i += 6) pairs.push([body.getUint16(i), body.getUint32(i + 2)]);
  assert.deepEqual(pairs, [[4, 4 << 20], [5, 1 << 20], [6, 16384], [2, 0]]);
  const update = await peer.expect((f) => f.type === 8 && f.id === 0, "WINDOW_UPDATE");
  assert.deepEqual([...update.body], [...word((16 << 20) - 65535)]);
  // A server that pushes is no HTTP/2 server for us.
  await peer.send(SETTINGS, frame(5, 4, 1, word(2)));
  assert.equal(await peer.goaway(), 1);
  await closed.promise;
  await peer.close();
  await reactor.stop();
  listener.close();
});
