import assert from "node:assert/strict";
import {
  bindUdp,
  connectTcp,
  listenTcp,
  pump,
  type PumpStats,
  Reactor,
  tap,
  type TcpSocket,
} from "../../src/net/mod.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { eventually } from "../support/eventually.ts";

async function withReactor(run: (reactor: Reactor, lines: string[]) => Promise<void>): Promise<void> {
  const lines: string[] = [];
  const reactor = new Reactor({ logger: new Logger("reactor", { sink: { write: (line) => lines.push(line) } }) });
  reactor.start();
  try {
    await run(reactor, lines);
  } finally {
    await reactor.stop();
  }
}

function connect(reactor: Reactor, port: number, address = "127.0.0.1"): Promise<TcpSocket> {
  return new Promise((resolve, reject) =>
    connectTcp(reactor, { address, port, timeoutMs: 5000 }, (error, socket) => error ? reject(error) : resolve(socket!))
  );
}

/** Two connected sockets. */
async function socketPair(reactor: Reactor): Promise<[TcpSocket, TcpSocket]> {
  const accepted = Promise.withResolvers<TcpSocket>();
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, accepted.resolve);
  const client = await connect(reactor, listener.port);
  const server = await accepted.promise;
  listener.close();
  return [client, server];
}

Deno.test("what callbacks throw ends nothing, and is logged, however often, within bounds", async () => {
  await withReactor(async (reactor, lines) => {
    for (let i = 0; i < 40; i++) {
      await new Promise<void>((resolve) =>
        reactor.again({
          run: () => {
            resolve();
            throw new Error(`thing ${i}`);
          },
        })
      );
    }
    await eventually(() => assert.ok(lines.some((line) => line.includes("more of these were not logged"))));
    assert.ok(lines.some((line) => line.includes("deferred work failed") && line.includes("thing 0")));
    assert.ok(lines.filter((line) => line.includes("deferred work failed")).length < 40);
  });
});

Deno.test("an idle reactor stands still, and wakes for sockets, timers and calls from outside", async () => {
  await withReactor(async (reactor) => {
    const [client, server] = await socketPair(reactor);
    let got = "";
    tap(server, { onData: (bytes) => void (got += new TextDecoder().decode(bytes)) });
    await eventually(async () => {
      const before = reactor.batches;
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal(reactor.batches, before);
    });
    client.write(new TextEncoder().encode("wake"));
    await eventually(() => assert.equal(got, "wake"));
    await new Promise((resolve) => setTimeout(resolve, 60));
    await new Promise<void>((resolve) => void reactor.setTimer(20, resolve));
    await new Promise((resolve) => setTimeout(resolve, 60));
    await new Promise<void>((resolve) => reactor.again({ run: resolve }));
    await new Promise<void>((resolve) => reactor.afterBatch({ run: resolve }));
  });
});

Deno.test("Deno's own event loop keeps turning while the reactor is busy", async () => {
  await withReactor(async (reactor) => {
    const [a, b] = await socketPair(reactor);
    // Ping-pong without end.
    for (const end of [a, b]) {
      const side = tap(end, { onData: (bytes) => side.write(bytes.slice()) });
    }
    a.write(new Uint8Array(1));
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => new Response("hello"));
    for (let i = 0; i < 20; i++) {
      assert.equal(await (await fetch(`http://127.0.0.1:${server.addr.port}`)).text(), "hello");
    }
    await server.shutdown();
  });
});

Deno.test("a handler that throws loses its own connection and no other", async () => {
  await withReactor(async (reactor, lines) => {
    const [bad, badPeer] = await socketPair(reactor);
    const [good, goodPeer] = await socketPair(reactor);
    tap(badPeer, {
      onData() {
        throw new Error("handler trouble");
      },
    });
    let aborted = false, got = 0;
    tap(bad, { onData() {}, onEnd: () => aborted = true, onAbort: () => aborted = true });
    tap(goodPeer, { onData: (bytes) => void (got += bytes.length) });
    bad.write(new Uint8Array(1));
    await eventually(() => assert.equal(aborted, true));
    good.write(new Uint8Array(5));
    await eventually(() => assert.equal(got, 5));
    assert.ok(lines.some((line) => line.includes("handler trouble")));
  });
});

Deno.test("a listener outlives a callback that throws", async () => {
  await withReactor(async (reactor, lines) => {
    let accepted = 0;
    const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, () => {
      if (accepted++ === 0) throw new Error("first one");
    });
    // The first one is reset, perhaps before we have seen that it is connected.
    const first = await connect(reactor, listener.port).catch(() => null);
    await connect(reactor, listener.port);
    await eventually(() => assert.deepEqual([accepted, first?.open ?? false], [2, false]));
    assert.ok(lines.some((line) => line.includes("first one")));
  });
});

Deno.test("promise chains begun in a callback go on while the reactor is busy", async () => {
  await withReactor(async (reactor) => {
    const steps: number[] = [];
    const done = Promise.withResolvers<void>();
    const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, async (socket) => {
      for (let i = 0; i < 40; i++) {
        await undefined;
        steps.push(i);
      }
      socket.close();
      done.resolve();
    });
    await connect(reactor, listener.port);
    await done.promise;
    assert.equal(steps.length, 40);
  });
});

Deno.test("pump: a reset on one side resets the other and is reported", async () => {
  await withReactor(async (reactor) => {
    const [client, a] = await socketPair(reactor);
    const [b, server] = await socketPair(reactor);
    const stats = Promise.withResolvers<PumpStats>();
    pump(a, b, { onDone: stats.resolve });
    let ending = "";
    tap(server, { onData() {}, onEnd: () => ending = "end", onAbort: () => ending = "reset" });
    client.write(new Uint8Array(10));
    await eventually(() => assert.equal(server.bytesIn, 10));
    client.reset();
    const { aToB, bToA, error } = await stats.promise;
    assert.deepEqual([aToB, bToA, error?.code], [10, 0, "reset"]);
    await eventually(() => assert.equal(ending, "reset"));
  });
});

Deno.test("pump: abort() ends both sides at once", async () => {
  await withReactor(async (reactor) => {
    const [client, a] = await socketPair(reactor);
    const [b, server] = await socketPair(reactor);
    const stats = Promise.withResolvers<PumpStats>();
    const running = pump(a, b, { onDone: stats.resolve });
    running.abort();
    assert.equal((await stats.promise).error?.code, "aborted");
    await eventually(() => assert.deepEqual([client.open, server.open], [false, false]));
  });
});

Deno.test("pump: an end that failed before it was joined ends the pump at once", async () => {
  await withReactor(async (reactor) => {
    const [client, a] = await socketPair(reactor);
    const [b] = await socketPair(reactor);
    client.reset();
    await eventually(() => assert.equal(a.open, false));
    let stats: PumpStats | undefined;
    pump(a, b, { onDone: (result) => stats = result });
    assert.equal(stats?.error?.code, "reset");
    assert.equal(b.open, false);
  });
});

Deno.test("pump: a slow reader holds back the writer with bounded memory", async () => {
  await withReactor(async (reactor) => {
    const [client, a] = await socketPair(reactor);
    const [b, server] = await socketPair(reactor);
    pump(a, b, { onDone() {} });
    client.write(new Uint8Array(64 * 1024 * 1024));
    // Nobody reads the server's end: what is not in the kernel stays with the client.
    let last = -1;
    await eventually(() => {
      const now = a.bytesIn;
      const still = now === last;
      last = now;
      assert.ok(still && now > 0);
    });
    assert.ok(b.queued <= 256 * 1024);
    assert.ok(client.queued > 16 * 1024 * 1024);
    let got = 0;
    tap(server, { onData: (bytes) => void (got += bytes.length) });
    await eventually(() => assert.equal(got, 64 * 1024 * 1024));
  });
});

Deno.test("a dual-stack listener shows IPv4 peers by their IPv4 address", async () => {
  await withReactor(async (reactor) => {
    const accepted: TcpSocket[] = [];
    const listener = listenTcp(reactor, { address: "::", port: 0 }, (socket) => accepted.push(socket));
    await connect(reactor, listener.port, "127.0.0.1");
    await connect(reactor, listener.port, "::1");
    await eventually(() => assert.equal(accepted.length, 2));
    assert.deepEqual(accepted.map((socket) => [socket.remote.address, socket.local]), [
      ["127.0.0.1", { address: "127.0.0.1", port: listener.port }],
      ["::1", { address: "::1", port: listener.port }],
    ]);
    assert.equal(accepted[0].originalDestination(), null);
  });
});

Deno.test("ports can be shared with reusePort and not without", async () => {
  await withReactor(async (reactor) => {
    const first = listenTcp(reactor, { address: "127.0.0.1", port: 0, reusePort: true }, () => {});
    listenTcp(reactor, { address: "127.0.0.1", port: first.port, reusePort: true }, () => {});
    assert.throws(() => listenTcp(reactor, { address: "127.0.0.1", port: first.port }, () => {}), {
      code: "system",
      message: new RegExp(`cannot listen on "127.0.0.1:${first.port}": address in use`),
    });
    assert.throws(() => listenTcp(reactor, { address: "nowhere", port: 1 }, () => {}), { code: "bad_address" });
    assert.equal(reactor.watched, 2);
  });
});

Deno.test("UDP datagrams come and go, whole", async () => {
  await withReactor(async (reactor) => {
    const got: string[] = [];
    const server = bindUdp(reactor, { address: "127.0.0.1", port: 0 }, (bytes, from) => {
      server.send(new TextEncoder().encode(`echo ${new TextDecoder().decode(bytes)}`), from);
    });
    const client = bindUdp(reactor, { address: "127.0.0.1", port: 0 }, (bytes, from) => {
      got.push(`${new TextDecoder().decode(bytes)} from ${from.port === server.local.port}`);
    });
    assert.equal(client.send(new TextEncoder().encode("a"), server.local), true);
    client.send(new Uint8Array(0), server.local);
    await eventually(() => assert.deepEqual(got, ["echo a from true", "echo  from true"]));
    assert.throws(() => client.send(new Uint8Array(70_000), server.local), { code: "message_too_long" });
  });
});
