// Everything that can go wrong at once, for a while: nothing may be left over, and the proxy must still serve.

import assert from "node:assert/strict";
import http2 from "node:http2";
import { DEFAULT_RETRY } from "../../../src/model/mod.ts";
import {
  connect,
  destination,
  forward,
  get,
  route,
  ScriptedBackend,
  virtualHost,
  withBackend,
  withLab,
} from "./support.ts";

function seeded(seed: number): () => number {
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
}

Deno.test("chaos: nothing is left over of requests that ended in any way", async () => {
  const random = seeded(11);
  const pause = (most: number) => new Promise<void>((go) => setTimeout(go, Math.floor(random() * most)));
  // A backend that does anything but what it should.
  const http1 = new ScriptedBackend(async (peer) => {
    while (!peer.ended) {
      await peer.until(({ received, ended }) => ended || received.includes("\r\n\r\n"));
      if (peer.ended) return;
      peer.received = "";
      await pause(5);
      const draw = random();
      if (draw < 0.15) return void await peer.close();
      if (draw < 0.25) {
        await peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\npart");
        return void await peer.close();
      }
      if (draw < 0.35) await peer.send("HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nbusy");
      else if (draw < 0.45) await peer.send("garbage\r\n\r\n");
      else if (draw < 0.55) {
        await peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nmore\r\n0\r\nx-t: 1\r\n\r\n");
      } else if (draw < 0.6) return void await peer.until(({ ended }) => ended);
      else await peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
  });
  const server = http2.createServer();
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.on("error", () => {});
    const draw = random();
    if (draw < 0.2) return stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    if (draw < 0.3) return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    if (draw < 0.4) {
      stream.respond({ ":status": 200 });
      stream.write("part");
      return void setTimeout(() => stream.destroyed || stream.close(http2.constants.NGHTTP2_CANCEL), 3);
    }
    stream.resume();
    stream.on("end", () => {
      if (stream.destroyed || stream.closed) return;
      stream.respond({ ":status": draw < 0.5 ? 503 : 200 });
      stream.end("fine");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const retry = { ...DEFAULT_RETRY, on: ["5xx", "reset", "refused-stream"], perTryTimeoutMs: 60, backoffMs: 1 };
  const action = (name: string) =>
    forward([name], { retry, timeoutMs: 300, mirrors: [{ destination: "h1", millionths: 100_000 }] });
  const match = (value: string) => ({
    headers: [],
    query: [],
    path: { kind: "prefix" as const, value, segments: false },
  });
  try {
    await withLab({
      resources: [virtualHost([
        route(action("h1"), { match: match("/h1") }),
        route(action("h2"), { match: match("/h2") }),
        route(forward(["h1"], { timeoutMs: 300 }), { match: match("/plain") }),
      ])],
      destinations: [
        destination("h1", [http1.port]),
        destination("h2", [(server.address() as { port: number }).port], { protocol: "HTTP2" }),
      ],
    }, async (lab) => {
      const paths = ["/h1", "/h2", "/plain"];
      const overHttp1 = async () => {
        const client = await connect(lab.port);
        const body = "b".repeat(Math.floor(random() * 3000));
        const path = paths[Math.floor(random() * 3)];
        const draw = random();
        if (draw < 0.3) await client.send(`GET ${path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n`);
        else if (draw < 0.7) {
          await client.send(
            `POST ${path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
          );
        } else {await client.send(
            `POST ${path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\ncontent-length: 999999\r\n\r\n${body}`,
          );}
        if (draw > 0.85 || random() < 0.2) await pause(10);
        else for (const end = performance.now() + 400; !client.ended && performance.now() < end;) await pause(5);
        await client.close();
      };
      const overHttp2 = async () => {
        const session = http2.connect(lab.url);
        session.on("error", () => {});
        await Promise.all(Array.from({ length: 6 }, () =>
          new Promise<void>((resolve) => {
            const stream = session.request({ ":method": "POST", ":path": paths[Math.floor(random() * 3)] });
            stream.on("error", () => {});
            stream.on("close", resolve);
            stream.resume();
            stream.write("x".repeat(Math.floor(random() * 2000)));
            if (random() < 0.3) {
              setTimeout(() => stream.destroyed || stream.close(http2.constants.NGHTTP2_CANCEL), random() * 10);
            } else stream.end();
          })));
        session.destroy();
      };
      for (let round = 0; round < 12; round++) {
        await Promise.all([overHttp1(), overHttp1(), overHttp1(), overHttp2(), overHttp1(), overHttp2()]);
      }
      const clean = () =>
        lab.exchanges.active === 0 &&
        [...lab.clusters.all()].every((cluster) =>
          cluster.breakers.requests === 0 && cluster.breakers.retries === 0 && cluster.breakers.pending === 0 &&
          [...cluster.hosts].every((host) => host.active === 0)
        );
      const deadline = performance.now() + 10_000;
      while (!clean() && performance.now() < deadline) await new Promise((go) => setTimeout(go, 10));
      assert.deepEqual(
        [...lab.clusters.all()].map(({ name, breakers, hosts }) => [
          name,
          breakers.requests,
          breakers.retries,
          breakers.pending,
          [...hosts].map(({ active }) => active).join(),
        ]),
        [["h1", 0, 0, 0, "0"], ["h2", 0, 0, 0, "0"]],
      );
      assert.equal(lab.exchanges.active, 0);
      const flags = new Set(lab.log.map((line) => / \d{1,3} (\S+) /.exec(line)?.[1]));
      assert.ok(flags.size >= 3, [...flags].join());
      await withBackend(() => new Response("alive"), async (port) => {
        lab.clusters.apply([destination("h1", [port])], []);
        assert.match(await get(lab.port, "/plain"), /alive$/);
      });
    });
  } finally {
    await http1.close();
    for (const session of sessions) session.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});
