// Upstreams that speak HTTP: the codecs on real connections, against servers that are not ours.

import assert from "node:assert/strict";
import { createServer, type Http2Server } from "node:http2";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo } from "node:net";
import type { Attempt } from "../../../src/http/upstream/mod.ts";
import { defaultCodecs } from "../../../src/http/upstream/default_codecs.ts";
import { tap } from "../../../src/net/mod.ts";
import { withReactor } from "../../hbone/support.ts";
import { eventually } from "../../support/eventually.ts";
import { destination, lab, Recorder, send, statics } from "./support.ts";

const NAME = "web";

/** Sends a body and gathers the answer's. */
class Exchange extends Recorder {
  body = "";

  constructor(readonly upload: string) {
    super("/echo", undefined, { method: "POST", contentLength: upload.length });
    this.bodyEnded = false;
  }

  override onSent(attempt: Attempt): void {
    super.onSent(attempt);
    const side = tap(attempt.stream!.body, { onData: (bytes) => this.body += new TextDecoder().decode(bytes) });
    side.write(new TextEncoder().encode(this.upload));
    side.end();
  }
}

/** Takes the answer's body and drops it. */
class Get extends Recorder {
  body = "";
  override onSent(attempt: Attempt): void {
    super.onSent(attempt);
    tap(attempt.stream!.body, { onData: (bytes) => this.body += new TextDecoder().decode(bytes) });
  }
}

Deno.test("HTTP/1.1: bodies both ways, connections kept, on a server of Deno's", async () => {
  let connections = 0;
  const seen = new Set<number>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request, info) => {
    if (!seen.has(info.remoteAddr.port)) {
      seen.add(info.remoteAddr.port);
      connections++;
    }
    return new Response(`${request.method} ${await request.text()}`);
  });
  await withReactor(async (reactor) => {
    const { clusters } = await lab(reactor, { codecs: defaultCodecs });
    clusters.apply([destination(NAME, { endpoints: statics((server.addr as Deno.NetAddr).port) })], []);
    for (let i = 0; i < 3; i++) {
      const upload = `${i}`.repeat(50_000);
      const exchange = new Exchange(upload);
      await send(clusters, NAME, exchange);
      assert.equal(exchange.error, null);
      assert.equal(exchange.body, `POST ${upload}`);
      const get = new Get();
      await send(clusters, NAME, get);
      assert.equal(get.body, "GET ");
    }
    assert.equal(connections, 1);
    clusters.close();
  });
  await server.shutdown();
});

Deno.test("HTTP/2 with prior knowledge: requests share a connection of node's", async () => {
  let sessions = 0;
  const server: Http2Server = createServer();
  server.on("session", () => sessions++);
  server.on("stream", (stream) => {
    let body = "";
    stream.on("data", (bytes) => body += bytes);
    stream.on("end", () => {
      stream.respond({ ":status": 200 });
      stream.end(`echo ${body.length}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await withReactor(async (reactor) => {
    const { clusters } = await lab(reactor, { codecs: defaultCodecs });
    const { port } = server.address() as AddressInfo;
    clusters.apply([destination(NAME, { endpoints: statics(port), protocol: "HTTP2" })], []);
    const exchanges = Array.from({ length: 20 }, (_, i) => new Exchange("x".repeat(i * 1000 + 1)));
    await Promise.all(exchanges.map((exchange) => send(clusters, NAME, exchange)));
    exchanges.forEach((exchange, i) => assert.equal(exchange.body, `echo ${i * 1000 + 1}`));
    assert.equal(sessions, 1);
    assert.equal(clusters.get(NAME)!.breakers.requests, 0);
    clusters.close();
  });
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

Deno.test("HTTP/1.1: a kept connection that the server closes while the request is written", async () => {
  // Answers once per connection, then closes at the second request's first byte, as a server whose keep-alive has run out.
  const server = createTcpServer((socket) => {
    let count = 0;
    socket.on("error", () => {});
    socket.on("data", () => {
      if (++count > 1) return socket.destroy();
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await withReactor(async (reactor) => {
    const { clusters } = await lab(reactor, { codecs: defaultCodecs });
    clusters.apply([destination(NAME, { endpoints: statics((server.address() as AddressInfo).port) })], []);
    const first = new Get();
    await send(clusters, NAME, first);
    assert.equal(first.body, "ok");
    const [second, attempt] = await send(clusters, NAME, new Get());
    assert.ok(["connection_termination", "reset"].includes(second.error!.code), second.error!.code);
    assert.equal(attempt.staleConnection, true);
    const third = new Get();
    await send(clusters, NAME, third);
    assert.equal(third.status, 200);
    clusters.close();
  });
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

Deno.test("HTTP/1.1: connection: close is not used again; an idle one that the server closes is dropped", async () => {
  let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", open = 0, total = 0;
  const sockets = new Set<{ end(): void }>();
  const server = createTcpServer((socket) => {
    open++;
    total++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => open--);
    socket.on("data", () => socket.write(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await withReactor(async (reactor) => {
    const { clusters } = await lab(reactor, { codecs: defaultCodecs });
    clusters.apply([destination(NAME, { endpoints: statics((server.address() as AddressInfo).port) })], []);
    assert.equal((await send(clusters, NAME, new Get()))[0].status, 200);
    answer = "HTTP/1.1 204 No Content\r\n\r\n";
    assert.equal((await send(clusters, NAME, new Get()))[0].status, 204);
    assert.equal(total, 2);
    await eventually(() => assert.equal(open, 1));
    for (const socket of sockets) socket.end();
    await eventually(() => assert.equal(clusters.get(NAME)!.breakers.connections, 0));
    assert.equal((await send(clusters, NAME, new Get()))[0].status, 204);
    assert.equal(total, 3);
    clusters.close();
  });
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

Deno.test("HTTP/2: an upgrade that the peer does not offer is refused, and others go on", async () => {
  const server: Http2Server = createServer();
  server.on("stream", (stream) => {
    stream.respond({ ":status": 200 }, { endStream: true });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await withReactor(async (reactor) => {
    const { clusters } = await lab(reactor, { codecs: defaultCodecs });
    const { port } = server.address() as AddressInfo;
    clusters.apply([destination(NAME, { endpoints: statics(port), protocol: "HTTP2" })], []);
    const socket = new Get();
    socket.head.upgrade = "websocket";
    const [[upgrade], [other]] = await Promise.all([send(clusters, NAME, socket), send(clusters, NAME, new Get())]);
    assert.equal(upgrade.error?.code, "protocol_error");
    assert.equal(other.status, 200);
    const { breakers } = clusters.get(NAME)!;
    assert.deepEqual([breakers.requests, breakers.pending], [0, 0]);
    clusters.close();
  });
  await new Promise<void>((resolve) => server.close(() => resolve()));
});
