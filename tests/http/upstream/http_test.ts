// Upstreams that speak HTTP: the codecs on real connections, against servers that are not ours.

import assert from "node:assert/strict";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { createServer as createSecureServer } from "node:https";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo } from "node:net";
import type { Attempt } from "../../../src/http/upstream/mod.ts";
import { defaultCodecs } from "../../../src/http/upstream/default_codecs.ts";
import { HboneServer } from "../../../src/hbone/mod.ts";
import { listenTcp, tap } from "../../../src/net/mod.ts";
import { forwardTo, testMaterial, withReactor } from "../../hbone/support.ts";
import { testCa } from "../../identity/support.ts";
import { eventually } from "../../support/eventually.ts";
import { workload } from "../../support/model.ts";
import { destination, endpoint, lab, loopback, Recorder, send, statics } from "./support.ts";

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
  server.on("stream", (stream: ServerHttp2Stream) => {
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
  server.on("stream", (stream: ServerHttp2Stream) => {
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

Deno.test("HTTP/2: an upgrade that is not offered is refused also where the destination is gone meanwhile", async () => {
  const server: Http2Server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await withReactor(async (reactor) => {
    const { clusters } = await lab(reactor, { codecs: defaultCodecs });
    const { port } = server.address() as AddressInfo;
    clusters.apply([destination(NAME, { endpoints: statics(port), protocol: "HTTP2" })], []);
    const { breakers } = clusters.get(NAME)!, socket = new Get();
    socket.head.upgrade = "websocket";
    // Its connections end as soon as they are idle, each before it is old enough to be believed.
    const refused = send(clusters, NAME, socket);
    await eventually(() => assert.equal(breakers.connections, 1));
    clusters.apply([], [NAME]);
    assert.equal((await refused)[0].error?.code, "protocol_error");
    await eventually(() => assert.deepEqual([breakers.requests, breakers.pending, breakers.connections], [0, 0, 0]));
    clusters.close();
  });
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

/** A server of Deno's behind TLS, for `shop.example.com`. */
async function secureServer(alpnH2: boolean): Promise<{ port: number; ca: string; close(): Promise<void> }> {
  const ca = await testCa();
  const pair = await ca.servingCertificate([{ dns: "shop.example.com" }], 3600_000, { kind: "EC", curve: "P-256" });
  if (alpnH2) {
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", cert: pair.chainPem, key: pair.keyPem, onListen() {} },
      async (request) => new Response(`${new URL(request.url).protocol} ${(await request.text()).length}`),
    );
    return { port: (server.addr as Deno.NetAddr).port, ca: ca.rootPem, close: () => server.shutdown() };
  }
  const server = createSecureServer({ cert: pair.chainPem, key: pair.keyPem }, (_request, response) => {
    response.end("old");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    ca: ca.rootPem,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

for (const protocol of ["HTTP1", "HTTP2", "USE_CLIENT"] as const) {
  Deno.test(`TLS to a server that is not ours, ${protocol}`, async () => {
    const server = await secureServer(true);
    await withReactor(async (reactor) => {
      const secret = { kind: "secret", name: "ca", certificateChain: "", privateKey: "", ca: server.ca } as const;
      const { clusters } = await lab(reactor, { codecs: defaultCodecs, secret: () => secret });
      clusters.apply([destination(NAME, {
        hostname: "shop.example.com",
        endpoints: statics(server.port),
        protocol,
        tls: { mode: "SIMPLE", sni: "", subjectAltNames: [], secret: "ca", insecureSkipVerify: false },
      })], []);
      const exchange = new Exchange("x".repeat(300_000));
      exchange.downstreamVersion = "HTTP/2";
      const [, attempt] = await send(clusters, NAME, exchange);
      assert.equal(exchange.error, null);
      assert.equal(exchange.body.split(" ")[1], "300000");
      assert.equal(attempt.connection!.connection.version, protocol === "HTTP1" ? "HTTP/1.1" : "HTTP/2");
      clusters.close();
    });
    await server.close();
  });
}

Deno.test("TLS: a server without HTTP/2 is spoken to in HTTP/1.1 where the version was only the client's choice", async () => {
  const server = await secureServer(false);
  await withReactor(async (reactor) => {
    const { clusters } = await lab(reactor, { codecs: defaultCodecs });
    clusters.apply([destination(NAME, {
      hostname: "shop.example.com",
      endpoints: statics(server.port),
      protocol: "USE_CLIENT",
      tls: { mode: "SIMPLE", sni: "", subjectAltNames: [], insecureSkipVerify: true },
    })], []);
    const gets = Array.from({ length: 3 }, () => new Get());
    for (const get of gets) get.downstreamVersion = "HTTP/2";
    await Promise.all(gets.map((get) => send(clusters, NAME, get)));
    assert.deepEqual(gets.map(({ body, error }) => body || error?.message), ["old", "old", "old"]);
    clusters.close();
  });
  await server.close();
});

for (const protocol of ["HTTP1", "HTTP2"] as const) {
  Deno.test(`HBONE: large bodies both ways through a tunnel, ${protocol}`, async () => {
    const material = await testMaterial();
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", onListen() {} },
      async (request) => new Response(await request.bytes()),
    );
    await withReactor(async (reactor) => {
      const hbone = new HboneServer({ reactor, onConnect: forwardTo(reactor) });
      const listener = listenTcp(
        reactor,
        { address: loopback(20), port: 15008 },
        (socket) => hbone.serve(socket, material.server),
      );
      const { clusters, mesh } = await lab(reactor, { codecs: defaultCodecs });
      mesh.upsertWorkload(workload("web-1", loopback(20), { namespace: "depot", serviceAccount: "stock" }));
      const { port } = server.addr as Deno.NetAddr;
      clusters.apply([
        destination(NAME, {
          endpoints: { kind: "static", endpoints: [endpoint(loopback(20), port)] },
          protocol,
        }),
      ], []);
      const upload = "0123456789".repeat(300_000);
      const exchanges = Array.from({ length: 3 }, () => new Exchange(upload));
      await Promise.all(exchanges.map((exchange) => send(clusters, NAME, exchange)));
      for (const exchange of exchanges) {
        assert.ok(exchange.body === upload, `${exchange.error} ${exchange.body.length}`);
      }
      clusters.close();
      listener.close();
      hbone.close();
    });
    await server.shutdown();
  });
}
