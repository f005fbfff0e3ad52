import assert from "node:assert/strict";
import { connectTcp, listenTcp, pump, type PumpStats, Reactor, tap, type TcpSocket } from "../../src/net/mod.ts";
import {
  SO_KEEPALIVE,
  SOL_SOCKET,
  SOL_TCP,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from "../../src/sys/constants.ts";
import { getOption } from "../../src/sys/socket.ts";

async function withReactor(run: (reactor: Reactor) => Promise<void>): Promise<void> {
  const reactor = new Reactor();
  reactor.start();
  try {
    await run(reactor);
  } finally {
    await reactor.stop();
  }
}

function connect(reactor: Reactor, port: number): Promise<TcpSocket> {
  return new Promise((resolve, reject) =>
    connectTcp(
      reactor,
      { address: "127.0.0.1", port, timeoutMs: 5000 },
      (error, socket) => error ? reject(error) : resolve(socket!),
    )
  );
}

/** Collects what arrives until the end. */
function readAll(socket: TcpSocket): Promise<number> {
  return new Promise((resolve, reject) => {
    let total = 0;
    tap(socket, {
      onData: (bytes) => total += bytes.length,
      onEnd: () => resolve(total),
      onAbort: () => reject(new Error("aborted")),
    });
  });
}

Deno.test("a relay pumps both ways with half-close and backpressure", async () => {
  await withReactor(async (reactor) => {
    const total = 20_000_000;
    const server = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      // Echoes, after having read everything: the pump must hold back and not lose anything.
      let got = 0;
      const side = tap(socket, {
        onData: (bytes) => {
          got += bytes.length;
        },
        onEnd: () => {
          side.write(new Uint8Array(got).fill(7));
          side.end();
        },
      });
    });
    const done = Promise.withResolvers<PumpStats>();
    const relay = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      connectTcp(reactor, { address: "127.0.0.1", port: server.port, timeoutMs: 5000 }, (error, upstream) => {
        assert.equal(error, null);
        pump(socket, upstream!, { onDone: done.resolve });
      });
    });
    const client = await connect(reactor, relay.port);
    const received = readAll(client);
    client.write(new Uint8Array(total));
    client.finish();
    assert.equal(await received, total);
    assert.deepEqual(await done.promise, { aToB: total, bToA: total });
    server.close();
    relay.close();
  });
});

Deno.test("a refused connection says so, and a stopped reactor leaves nothing behind", async () => {
  await withReactor(async (reactor) => {
    const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, () => {});
    const port = listener.port;
    listener.close();
    await assert.rejects(connect(reactor, port), { code: "connect_refused" });
  });
});

Deno.test("accepted sockets have their listener's keepalive and no delay; what came with the handshake's end is read", async () => {
  await withReactor(async (reactor) => {
    const accepted = Promise.withResolvers<TcpSocket>();
    const keepalive = { idleSeconds: 77, intervalSeconds: 33, probes: 4, userTimeout: true };
    const server = listenTcp(reactor, { address: "127.0.0.1", port: 0, keepalive }, (socket) => {
      socket.write(new Uint8Array(5)); // may arrive before the client has been told that it is connected
      socket.finish();
      accepted.resolve(socket);
    });
    const client = await connect(reactor, server.port);
    const socket = await accepted.promise;
    const options: [number, number, number][] = [
      [SOL_SOCKET, SO_KEEPALIVE, 1],
      [SOL_TCP, TCP_NODELAY, 1],
      [SOL_TCP, TCP_KEEPIDLE, 77],
      [SOL_TCP, TCP_KEEPINTVL, 33],
      [SOL_TCP, TCP_KEEPCNT, 4],
      [SOL_TCP, TCP_USER_TIMEOUT, (77 + 4 * 33) * 1000],
    ];
    for (const [level, option, want] of options) assert.equal(getOption(socket.fd, level, option), want);
    assert.equal(await readAll(client), 5);
    client.abort();
    socket.abort();
    server.close();
  });
});
