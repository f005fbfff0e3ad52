// Bodies both ways: streaming, trailers, 100-continue, upgrades, early answers, mirrors.

import assert from "node:assert/strict";
import http2 from "node:http2";
import { DEFAULT_RETRY } from "../../../src/model/mod.ts";
import {
  type ClientConnection,
  type ClientStream,
  connectHttp2,
  Fields,
  type ResponseHead,
} from "../../../src/http/mod.ts";
import { connectTcp, type Tap, tap } from "../../../src/net/mod.ts";
import { PlainTransport } from "../../../src/net/plain_transport.ts";
import {
  connect,
  destination,
  forward,
  get,
  policy,
  type ProxyLab,
  raw,
  route,
  ScriptedBackend,
  virtualHost,
  withBackend,
  withLab,
} from "./support.ts";

const toWeb = (extra: object = {}) => [virtualHost([route(forward(["web"], extra))])];
const RETRY = { retry: DEFAULT_RETRY };

for (const extra of [{}, RETRY]) {
  const kind = "retry" in extra ? "with retries" : "without retries";

  Deno.test(`bodies: large bodies pass both ways ${kind}`, async () => {
    await withBackend(async (request) => new Response(await request.arrayBuffer()), async (port) => {
      await withLab({ resources: toWeb(extra), destinations: [destination("web", [port])] }, async (lab) => {
        const body = crypto.getRandomValues(new Uint8Array(60_000));
        const big = new Uint8Array(3_000_000);
        for (let i = 0; i < big.length; i += 60_000) big.set(body, i);
        for (const sent of [new Uint8Array(1), body, big]) {
          const response = await fetch(`${lab.url}/echo`, { method: "POST", body: sent });
          assert.equal(response.status, 200);
          assert.deepEqual(new Uint8Array(await response.arrayBuffer()), sent);
        }
        // Without a length.
        const stream = new ReadableStream({
          async start(controller) {
            for (let i = 0; i < 20; i++) {
              controller.enqueue(body);
              await new Promise((go) => setTimeout(go, 0));
            }
            controller.close();
          },
        });
        const response = await fetch(`${lab.url}/echo`, { method: "POST", body: stream });
        assert.equal((await response.arrayBuffer()).byteLength, 1_200_000);
      });
    });
  });

  Deno.test(`bodies: 100-continue ${kind}`, async () => {
    const backend = new ScriptedBackend(async (peer) => {
      await peer.until(({ received }) => received.endsWith("hello"));
      await peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    try {
      await withLab({
        resources: [
          ...toWeb(extra),
          policy("default/no-put", {
            action: "DENY",
            rules: [{ from: [], to: [{ methods: [{ kind: "exact", value: "PUT" }] }], when: [] }],
          }),
        ],
        destinations: [destination("web", [backend.port])],
      }, async (lab) => {
        const client = await connect(lab.port);
        await client.send(
          "POST / HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n",
        );
        await client.until(({ received }) => received === "HTTP/1.1 100 Continue\r\n\r\n", "100");
        await client.send("hello");
        await client.until(({ ended }) => ended);
        assert.match(client.received, /HTTP\/1.1 200 [\s\S]*ok$/);
        assert.doesNotMatch(backend.peers[0].received, /expect/i);
        await client.close();
        // Who is refused is not asked for the body.
        const refused = await connect(lab.port);
        await refused.send(
          "PUT / HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n",
        );
        await refused.until(({ ended }) => ended);
        assert.match(refused.received, /^HTTP\/1.1 403 /);
        await refused.close();
      });
    } finally {
      await backend.close();
    }
  });

  Deno.test(`bodies: trailers of both sides ${kind}`, async () => {
    const backend = new ScriptedBackend(async (peer) => {
      await peer.until(({ received }) => received.includes("x-sum: 7"));
      await peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-tail: 1\r\n\r\n");
    });
    try {
      await withLab({ resources: toWeb(extra), destinations: [destination("web", [backend.port])] }, async (lab) => {
        const client = await connect(lab.port);
        await client.send(
          "POST / HTTP/1.1\r\nhost: web\r\nte: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n",
        );
        await client.until(({ received }) => received.includes("x-tail: 1\r\n\r\n"), "trailers");
        await client.close();
      });
    } finally {
      await backend.close();
    }
  });

  Deno.test(`bodies: an answer before the request's end ${kind}`, async () => {
    const backend = new ScriptedBackend(async (peer) => {
      await peer.until(({ received }) => received.includes("\r\n\r\n"));
      await peer.send("HTTP/1.1 413 X\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig");
      await peer.close();
    });
    try {
      await withLab({ resources: toWeb(extra), destinations: [destination("web", [backend.port])] }, async (lab) => {
        const client = await connect(lab.port);
        await client.send("POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 1000000\r\n\r\nsome");
        await client.until(({ received }) => received.endsWith("big"), "the answer");
        assert.match(client.received, /^HTTP\/1.1 413 /);
        await client.close();
        const deadline = performance.now() + 5000;
        while (lab.exchanges.active > 0 && performance.now() < deadline) await new Promise((go) => setTimeout(go, 2));
        assert.equal(lab.exchanges.active, 0);
      });
    } finally {
      await backend.close();
    }
  });

  Deno.test(`bodies: an upgrade carries bytes both ways ${kind}`, async () => {
    const backend = new ScriptedBackend(async (peer) => {
      await peer.until(({ received }) => received.includes("\r\n\r\n"));
      await peer.send("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nready");
      await peer.until(({ received }) => received.endsWith("ping"));
      await peer.send("pong");
      await peer.until(({ ended }) => ended);
    });
    try {
      await withLab({
        resources: toWeb({ ...extra, timeoutMs: 100 }),
        destinations: [destination("web", [backend.port])],
      }, async (lab) => {
        const client = await connect(lab.port);
        await client.send(
          "GET /ws HTTP/1.1\r\nhost: web\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n",
        );
        await client.until(({ received }) => received.endsWith("ready"), "ready");
        assert.match(client.received, /^HTTP\/1.1 101 /);
        assert.match(client.received, /\r\nupgrade: websocket\r\n/i);
        assert.match(backend.peers[0].received, /\r\nupgrade: websocket\r\n/i);
        // The time-out of the request does not end what was agreed on.
        await new Promise((go) => setTimeout(go, 200));
        await client.send("ping");
        await client.until(({ received }) => received.endsWith("pong"), "pong");
        await client.close();
      });
    } finally {
      await backend.close();
    }
  });
}

Deno.test("bodies: HTTP/2 from the client, HTTP/1.1 to the backend", async () => {
  await withBackend(async (request) => new Response(`${request.method} ${await request.text()}`), async (port) => {
    await withLab({ resources: toWeb(RETRY), destinations: [destination("web", [port])] }, async (lab) => {
      const session = http2.connect(lab.url);
      try {
        const answers = await Promise.all(
          Array.from({ length: 10 }, (_, i) =>
            new Promise<string>((resolve, reject) => {
              const stream = session.request({ ":method": "POST", ":path": `/${i}` });
              let text = "";
              stream.setEncoding("utf8");
              stream.on("data", (part) => text += part);
              stream.on("end", () => resolve(text));
              stream.on("error", reject);
              stream.end(`body ${i}`);
            })),
        );
        assert.deepEqual(answers, Array.from({ length: 10 }, (_, i) => `POST body ${i}`));
      } finally {
        session.destroy();
      }
      assert.match(lab.log[0], /"POST \/\d HTTP\/2" 200 - via_upstream /);
    });
  });
});

Deno.test("bodies: gRPC keeps its trailers, and its status is counted", async () => {
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "5", "grpc-message": "nobody" }));
    stream.resume();
    stream.on("end", () => stream.end(new Uint8Array([0, 0, 0, 0, 1, 7])));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  try {
    await withLab(
      { resources: toWeb(RETRY), destinations: [destination("web", [port], { protocol: "HTTP2" })] },
      async (lab) => {
        const session = http2.connect(lab.url);
        try {
          const trailers = await new Promise<http2.IncomingHttpHeaders>((resolve, reject) => {
            const stream = session.request({
              ":method": "POST",
              ":path": "/s/M",
              "content-type": "application/grpc",
              te: "trailers",
            });
            stream.on("trailers", resolve);
            stream.on("error", reject);
            stream.resume();
            stream.end(new Uint8Array([0, 0, 0, 0, 1, 7]));
          });
          assert.equal(trailers["grpc-status"], "5");
          assert.equal(trailers["grpc-message"], "nobody");
        } finally {
          session.destroy();
        }
        const deadline = performance.now() + 5000;
        while (lab.log.length === 0 && performance.now() < deadline) await new Promise((go) => setTimeout(go, 2));
        assert.match(
          lab.registry.expose(),
          /istio_requests_total\{[^}]*request_protocol="grpc",response_code="200",grpc_response_status="5",response_flags="-"/,
        );
      },
    );
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});

Deno.test("bodies: a mirror gets a copy, and what it does about it does not matter", async () => {
  const copies: string[] = [];
  const mirror = new ScriptedBackend(async (peer) => {
    await peer.until(({ received }) => received.endsWith("hello"));
    copies.push(peer.received);
    await peer.send("HTTP/1.1 500 X\r\ncontent-length: 4\r\n\r\nboom");
  });
  try {
    await withBackend(async (request) => new Response(await request.text()), async (port) => {
      await withLab({
        resources: toWeb({
          mirrors: [{ destination: "copy", millionths: 1_000_000 }, { destination: "copy", millionths: 0 }, {
            destination: "missing",
            millionths: 1_000_000,
          }],
        }),
        destinations: [destination("web", [port]), destination("copy", [mirror.port])],
      }, async (lab) => {
        const answer = await raw(
          lab.port,
          "POST /m HTTP/1.1\r\nhost: shop\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
        );
        assert.match(answer, /^HTTP\/1.1 200 [\s\S]*hello$/);
        const deadline = performance.now() + 5000;
        while (copies.length === 0 && performance.now() < deadline) await new Promise((go) => setTimeout(go, 2));
        assert.match(copies[0], /^POST \/m HTTP\/1.1\r\nhost: shop\r\n/);
        assert.equal(copies.length, 1);
      });
    });
  } finally {
    await mirror.close();
  }
});

Deno.test("bodies: HEAD and 304 and 204 have none", async () => {
  await withBackend((request) => {
    const { pathname } = new URL(request.url);
    return new Response(pathname === "/head" ? "body" : null, {
      status: pathname === "/head" ? 200 : Number(pathname.slice(1)),
    });
  }, async (port) => {
    await withLab({ resources: toWeb(RETRY), destinations: [destination("web", [port])] }, async (lab) => {
      const head = await raw(lab.port, "HEAD /head HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
      assert.match(head, /^HTTP\/1.1 200 [\s\S]*content-length: 4\r\n[\s\S]*\r\n\r\n$/);
      assert.match(await get(lab.port, "/204"), /^HTTP\/1.1 204 [\s\S]*\r\n\r\n$/);
      assert.match(await get(lab.port, "/304"), /^HTTP\/1.1 304 [\s\S]*\r\n\r\n$/);
    });
  });
});

Deno.test("bodies: a WebSocket over HTTP/2 reaches a backend of HTTP/1.1", async () => {
  const backend = new ScriptedBackend(async (peer) => {
    await peer.until(({ received }) => received.includes("\r\n\r\n"));
    await peer.send("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nready");
    await peer.until(({ received }) => received.endsWith("ping"));
    await peer.send("pong");
    await peer.until(({ ended }) => ended);
  });
  try {
    await withLab({ resources: toWeb(RETRY), destinations: [destination("web", [backend.port])] }, async (lab) => {
      let received = "";
      const socket = await connectPlain(lab);
      const handler = {
        onResponse: (stream: ClientStream, head: ResponseHead) => {
          received += `${head.status} `;
          client = tap(stream.body, { onData: (bytes) => received += new TextDecoder().decode(bytes) });
        },
        onFailed: (_stream: ClientStream, error: Error) => received += error.message,
      };
      let client: Tap | undefined;
      const until = async (text: string) => {
        const deadline = performance.now() + 5000;
        while (!received.endsWith(text)) {
          if (performance.now() > deadline) throw new Error(`waited for ${text}; got ${received}`);
          await new Promise((go) => setTimeout(go, 2));
        }
      };
      const head = {
        version: "HTTP/2" as const,
        method: "GET",
        scheme: "http",
        authority: "web",
        path: "/ws",
        fields: new Fields(),
        upgrade: "websocket",
        contentLength: -1,
        expectContinue: false,
      };
      const deadline = performance.now() + 5000;
      // The server must have said that it takes extended CONNECT.
      while (socket.request(head, false, handler) === null && performance.now() < deadline) {
        await new Promise((go) => setTimeout(go, 2));
      }
      await until("ready");
      assert.match(received, /^101 /);
      client!.write(new TextEncoder().encode("ping"));
      await until("pong");
      assert.match(backend.peers[0].received, /^GET \/ws HTTP\/1.1\r\n[\s\S]*upgrade: websocket\r\n/i);
      socket.abort();
    });
  } finally {
    await backend.close();
  }
});

/** An HTTP/2 connection of our own codec to the proxy, on its reactor. */
function connectPlain(lab: ProxyLab): Promise<ClientConnection> {
  return new Promise((resolve, reject) => {
    connectTcp(lab.reactor, { address: "127.0.0.1", port: lab.port, timeoutMs: 5000 }, (error, socket) => {
      if (error !== null) return reject(error);
      const transport = new PlainTransport(lab.reactor, socket!, socket!.remote, socket!.local);
      const connection = connectHttp2(lab.reactor, transport);
      transport.begin();
      resolve(connection);
    });
  });
}
