// HTTP/2 as requests and answers: what a list of headers means, what is refused, and every crossing of versions.

import assert from "node:assert/strict";
import http2 from "node:http2";
import { Fields, HTTP_SERVER_OPTIONS, serveHttp2, type ServerStream } from "../../../src/http/mod.ts";
import { listenTcp, Reactor, tap } from "../../../src/net/mod.ts";
import { PlainTransport } from "../../../src/net/plain_transport.ts";
import { eventually } from "../../support/eventually.ts";
import { bytesOf, frame, PREFACE, RawPeer, SETTINGS, word } from "../../h2/support.ts";
import { connect, describe, echo, exchange, proxy, response, serve, type TestServer, text } from "./support.ts";

type List = [string, string][];

const BASE: List = [[":method", "GET"], [":scheme", "http"], [":authority", "a.example"], [":path", "/x"]];

function but(name: string, value: string | null): List {
  return BASE.flatMap(([key, old]): List => key !== name ? [[key, old]] : value === null ? [] : [[key, value]]);
}

async function withPeer(server: TestServer, run: (peer: RawPeer) => Promise<void>): Promise<void> {
  const peer = new RawPeer(await Deno.connect({ hostname: "127.0.0.1", port: server.port }), false);
  try {
    await peer.send(PREFACE, SETTINGS);
    await run(peer);
  } finally {
    await peer.close();
  }
}

/** Lists that are refused, each with RST_STREAM(PROTOCOL_ERROR). */
const REFUSED: [string, List][] = [
  ["no :method", but(":method", null)],
  ["no :scheme", but(":scheme", null)],
  ["no :path", but(":path", null)],
  ["an empty :path", but(":path", "")],
  ["a :path that is no path", but(":path", "x")],
  ["a :path with white space", but(":path", "/a b")],
  ["a :path with a line end", but(":path", "/ HTTP/1.1\r\nHost: b\r\n\r\nGET /")],
  ["a :path with a fragment", but(":path", "/a#b")],
  ["a :path beyond ASCII", but(":path", "/\xe4")],
  ["* of GET", but(":path", "*")],
  ["a :method with white space", but(":method", "GET / HTTP/1.1")],
  ["a :method with a line end", but(":method", "GET\r\n")],
  ["an empty :method", but(":method", "")],
  ["a strange :scheme", but(":scheme", "ftp")],
  ["no authority", but(":authority", null)],
  ["an empty :authority", but(":authority", "")],
  ["user information", but(":authority", "a@b")],
  ["an :authority with a path", but(":authority", "a/b")],
  ["host that contradicts", [...BASE, ["host", "b.example"]]],
  ["two hosts", [...BASE, ["host", "a.example"], ["host", "a.example"]]],
  ["two paths", [...BASE, [":path", "/y"]]],
  ["a pseudo-header of a response", [...BASE, [":status", "200"]]],
  ["an unknown pseudo-header", [...BASE, [":x", "y"]]],
  ["a pseudo-header behind others", [["x", "y"], ...BASE]],
  ["a line end in a value", [...BASE, ["x", "a\r\nb: c"]]],
  ["LF in a value", [...BASE, ["x", "a\nb"]]],
  ["NUL in a value", [...BASE, ["x", "a\0b"]]],
  ["a control byte in a value", [...BASE, ["x", "a\x01b"]]],
  ["white space around a value", [...BASE, ["x", " a"]]],
  ["an upper-case name", [...BASE, ["X", "a"]]],
  ["a name with a colon", [...BASE, ["x:y", "a"]]],
  ["a name with a line end", [...BASE, ["x\r\ny", "a"]]],
  ["connection", [...BASE, ["connection", "close"]]],
  ["keep-alive", [...BASE, ["keep-alive", "5"]]],
  ["upgrade", [...BASE, ["upgrade", "websocket"]]],
  ["transfer-encoding", [...BASE, ["transfer-encoding", "chunked"]]],
  ["te: gzip", [...BASE, ["te", "gzip"]]],
  ["two lengths", [...BASE, ["content-length", "0"], ["content-length", "0"]]],
  ["a length that is no number", [...BASE, ["content-length", "+1"]]],
  ["a length without a body", [...BASE, ["content-length", "1"]]],
  [":protocol without CONNECT", [...BASE, [":protocol", "websocket"]]],
  ["CONNECT with a path", [[":method", "CONNECT"], [":authority", "a:1"], [":path", "/"]]],
];

Deno.test("lists that are no request are reset, and the connection lives", async (t) => {
  const seen: string[] = [];
  const server = serve(echo(seen));
  try {
    await withPeer(server, async (peer) => {
      let id = 1;
      for (const [name, list] of REFUSED) {
        await t.step(name, async () => {
          await peer.send(frame(1, 5, id, peer.block(list)));
          assert.equal(await peer.reset(id), 1);
          id += 2;
        });
      }
      assert.deepEqual(seen, []);
      assert.equal(server.refused.length, REFUSED.length);
      await peer.send(frame(1, 5, id, peer.block([[":method", "CONNECT"], [":authority", "a:1"]])));
      assert.equal(await peer.status(id), "405");
      await peer.send(
        frame(1, 5, id + 2, peer.block([...BASE, ...Array.from({ length: 101 }, (): [string, string] => ["x", "y"])])),
      );
      assert.equal(await peer.status(id + 2), "431");
      await peer.alive();
    });
  } finally {
    await server.stop();
  }
});

Deno.test("lists become what the same request is in HTTP/1.1", async () => {
  const seen: string[] = [];
  const server = serve(echo(seen));
  try {
    await withPeer(server, async (peer) => {
      await peer.send(
        frame(1, 5, 1, peer.block([...BASE, ["cookie", "a=1"], ["x", "y"], ["cookie", "b=2"], ["te", "trailers"]])),
      );
      assert.equal(await peer.status(1), "200");
      await peer.send(frame(1, 5, 3, peer.block([...but(":authority", null), ["host", "b.example"]])));
      assert.equal(await peer.status(3), "200");
      await peer.send(frame(1, 5, 5, peer.block([...BASE, ["host", "A.example"]])));
      assert.equal(await peer.status(5), "200");
    });
    assert.deepEqual(seen, [
      "GET a.example /x [x=y|te=trailers|cookie=a=1; b=2] ",
      "GET b.example /x [] ",
      "GET a.example /x [] ",
    ]);
  } finally {
    await server.stop();
  }
});

Deno.test("a body that contradicts its length is reset", async () => {
  const aborted: string[] = [];
  const server = serve({
    onRequest: (stream) => {
      stream.handler = { onAborted: (_, error) => aborted.push(error.code) };
      tap(stream.body, { onData: () => {} });
    },
  });
  try {
    await withPeer(server, async (peer) => {
      const head = (id: number) => frame(1, 4, id, peer.block([...BASE, ["content-length", "3"]]));
      await peer.send(head(1), frame(0, 1, 1, bytesOf("abcd")));
      assert.equal(await peer.reset(1), 1);
      await peer.send(head(3), frame(0, 1, 3, bytesOf("ab")));
      assert.equal(await peer.reset(3), 1);
      await peer.send(head(5), frame(0, 0, 5, bytesOf("ab")), frame(1, 5, 5, peer.block([["x", "y"]])));
      assert.equal(await peer.reset(5), 1);
      await peer.send(head(7), frame(0, 0, 7, bytesOf("ab")), frame(3, 0, 7, word(8)));
      await peer.alive();
    });
    assert.deepEqual(aborted, ["protocol_error", "protocol_error", "protocol_error", "reset"]);
  } finally {
    await server.stop();
  }
});

Deno.test("a stream that depends on itself is an error", async () => {
  for (
    const bytes of [
      (peer: RawPeer) => frame(1, 0x25, 1, bytesOf(word(1), 5, peer.block(BASE))),
      () => frame(2, 0, 1, bytesOf(word(1), 5)),
    ]
  ) {
    const server = serve(echo());
    await withPeer(server, async (peer) => {
      await peer.send(bytes(peer));
      assert.equal(await peer.goaway(), 1);
    });
    await server.stop();
  }
});

Deno.test("an answer before the end of the request ends the stream with NO_ERROR", async () => {
  const finished: string[] = [];
  const server = serve({
    onRequest(stream) {
      stream.handler = { onFinished: () => finished.push(stream.request.path) };
      stream.reply(413, new Fields(), "too much");
    },
  });
  try {
    await withPeer(server, async (peer) => {
      await peer.send(frame(1, 4, 1, peer.block(BASE)));
      assert.equal(await peer.status(1), "413");
      assert.equal(await peer.reset(1), 0);
      await peer.send(frame(0, 1, 1, bytesOf("late")));
      await peer.alive();
    });
    assert.deepEqual(finished, ["/x"]);
  } finally {
    await server.stop();
  }
});

/** What is sent again and again; none of it is ever a request. */
const FLOODS: [string, (peer: RawPeer, id: number) => Uint8Array][] = [
  ["refused lists", (peer, id) => frame(1, 5, id, peer.block(but(":path", "x")))],
  ["malformed lists", (peer, id) => frame(1, 5, id, peer.block(but(":path", null)))],
  ["too many fields", (peer, id) => frame(1, 5, id, bytesOf(peer.block(BASE), new Uint8Array(101).fill(0x90)))],
  ["requests that are reset", (peer, id) => bytesOf(frame(1, 4, id, peer.block(BASE)), frame(3, 0, id, word(8)))],
];

Deno.test("floods of what is refused, or reset, end the connection", async (t) => {
  for (const [name, make] of FLOODS) {
    await t.step(name, async () => {
      const server = serve({ onRequest: () => {} });
      await withPeer(server, async (peer) => {
        const parts: Uint8Array[] = [];
        for (let id = 1; id < 12_000; id += 2) parts.push(make(peer, id));
        await peer.send(bytesOf(...parts));
        assert.equal(await peer.goaway(), 11);
      });
      await server.stop();
    });
  }
});

Deno.test("idle and standing streams are given up", async () => {
  const aborted: string[] = [];
  const server = serve({
    onRequest: (stream) => {
      stream.handler = { onAborted: (_, error) => aborted.push(error.message) };
      tap(stream.body, { onData: () => {} });
    },
  }, { stallTimeoutMs: 50, idleTimeoutMs: 100 });
  try {
    await withPeer(server, async (peer) => {
      await peer.send(frame(1, 4, 1, peer.block(BASE)));
      assert.equal(await peer.reset(1), 1);
      assert.equal(await peer.goaway(), 0);
    });
    assert.match(aborted[0], /stands still/);
  } finally {
    await server.stop();
  }
});

// --- crossings

const VERSIONS = [["h1", "h1"], ["h1", "h2"], ["h2", "h1"], ["h2", "h2"]] as const;

/** A request by node's client of either version; the answer as text, with its trailers. */
async function nodeRequest(port: number, version: "h1" | "h2", path: string, body: string): Promise<string> {
  if (version === "h1") {
    const head = body === "" ? `GET ${path} HTTP/1.1\r\n` : `POST ${path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n`;
    const rest = body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n0\r\nx-up: 1\r\n\r\n`;
    const received = await exchange(port, [`${head}Host: a\r\nConnection: close\r\n\r\n${rest}`]);
    const [, status] = received.split(" ");
    const trailer = /\r\n0\r\n(.*)\r\n\r\n$/s.exec(received);
    return `${status} ${/\r\n\r\n(?:[0-9a-f]+\r\n)?(.*?)(?:\r\n0\r\n|$)/s.exec(received)![1]} ${trailer?.[1] ?? ""}`;
  }
  const session = http2.connect(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request(
      { ":method": body === "" ? "GET" : "POST", ":path": path, ":authority": "a" },
      { endStream: body === "", waitForTrailers: true } as http2.ClientSessionRequestOptions,
    );
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-up": "1" }));
    if (body !== "") stream.end(body);
    return await new Promise((resolve, reject) => {
      let status = 0, all = "", trailers = "";
      stream.on("response", (headers) => status = headers[":status"]!);
      stream.on(
        "trailers",
        (headers) => trailers = Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join(),
      );
      stream.on("data", (chunk) => all += chunk);
      stream.on("error", reject);
      stream.on("close", () => resolve(`${status} ${all} ${trailers}`));
    });
  } finally {
    session.close();
  }
}

Deno.test("every crossing of versions keeps heads, bodies, trailers and failures", async (t) => {
  const upstream = serve({
    onRequest(stream: ServerStream) {
      const { path } = stream.request;
      if (path === "/reset") return stream.reset();
      let body = "", trailers = "";
      stream.handler = { onRequestTrailers: (_, fields) => trailers = fields.valueAt(0) };
      const answer = () => {
        stream.respond(response(200, path === "/length" ? body.length : -1), false);
        stream.body.write(new TextEncoder().encode(body));
        if (path === "/trailers") stream.sendTrailers(Fields.of(["x-down", trailers]));
        else stream.body.finish();
      };
      if (stream.requestEnded) stream.reply(200, new Fields(), describe(stream));
      else tap(stream.body, { onData: (bytes) => body += text(bytes), onEnd: answer });
    },
  });
  for (const [down, up] of VERSIONS) {
    await t.step(`${down} to ${up}`, async () => {
      const front = serve(proxy(() => connect(front.reactor, upstream.port, up)));
      try {
        assert.equal(await nodeRequest(front.port, down, "/get", ""), "200 GET a /get []  ");
        assert.equal(await nodeRequest(front.port, down, "/length", "hello"), "200 hello ");
        assert.equal(await nodeRequest(front.port, down, "/trailers", "hello"), "200 hello x-down: 1");
        assert.match(await nodeRequest(front.port, down, "/reset", ""), /^503 /);
      } finally {
        await front.stop();
      }
    });
  }
  await upstream.stop();
});

Deno.test("WebSocket crosses versions by extended CONNECT (RFC 8441)", async (t) => {
  const seen: string[] = [];
  const upstream = serve({
    onRequest(stream) {
      seen.push(`${stream.request.version} ${stream.request.method} ${stream.request.upgrade}`);
      stream.respond(response(101, -1), false);
      const side = tap(stream.body, {
        onData: (bytes) => side.write(new TextEncoder().encode(text(bytes).toUpperCase())),
        onEnd: () => side.end(),
      });
    },
  });
  for (const [down, up] of VERSIONS) {
    await t.step(`${down} to ${up}`, async () => {
      seen.length = 0;
      let ready = false;
      const front = serve(proxy(async () => {
        const client = await connect(front.reactor, upstream.port, up);
        // An HTTP/2 upstream says that it takes extended CONNECT in its SETTINGS.
        if (up === "h2") {
          await new Promise<void>((resolve) => client.owner = { onCapacity: () => resolve(), onClosed: () => {} });
        }
        ready = true;
        return client;
      }));
      try {
        if (down === "h1") {
          const received = await exchange(
            front.port,
            [
              "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
              "hello",
            ],
            (all) => all.endsWith("HELLO"),
          );
          assert.match(received, /^HTTP\/1.1 101 /);
          if (up === "h2") assert.match(received, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
        } else {
          await withPeer(front, async (peer) => {
            const list: List = [[":method", "CONNECT"], [":protocol", "websocket"], ...BASE.slice(1)];
            await peer.send(frame(1, 4, 1, peer.block(list)));
            assert.equal(await peer.status(1), "200");
            await peer.send(frame(0, 0, 1, bytesOf("hello")));
            const data = await peer.expect((f) => f.type === 0 && f.id === 1, "DATA");
            assert.equal(text(data.body), "HELLO");
            await peer.send(frame(0, 1, 1, bytesOf("bye")));
            await peer.expect((f) => f.type === 0 && (f.flags & 1) === 1, "the end");
          });
        }
        assert.ok(ready);
        assert.deepEqual(seen, [`${up === "h1" ? "HTTP/1.1" : "HTTP/2"} GET websocket`]);
      } finally {
        await front.stop();
      }
    });
  }
  await upstream.stop();
});

Deno.test("a path that filters have made of anything cannot break out of its line", async () => {
  const seen: string[] = [];
  const upstream = serve(echo(seen));
  for (const up of ["h1", "h2"] as const) {
    const forward = proxy(() => connect(front.reactor, upstream.port, up));
    const front = serve({
      onRequest(stream) {
        stream.request.path = "/a b\r\nHost: c\r\n\r\n\u00e4\u0141";
        stream.request.authority = "b.example";
        forward.onRequest(stream);
      },
    });
    const received = await exchange(front.port, ["GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]);
    assert.match(received, /^HTTP\/1.1 200 /);
    await front.stop();
  }
  const path = "/a%20b%0D%0AHost:%20c%0D%0A%0D%0A%E4%3F";
  assert.deepEqual(seen, [`GET b.example ${path} [] `, `GET b.example ${path} [] `]);
  await upstream.stop();
});

Deno.test("what a client cancels is given up upstream", async () => {
  let aborted = 0;
  const upstream = serve({
    onRequest: (stream) => stream.handler = { onAborted: () => aborted++ },
  });
  for (const up of ["h1", "h2"] as const) {
    const front = serve(proxy(() => connect(front.reactor, upstream.port, up)));
    aborted = 0;
    await withPeer(front, async (peer) => {
      const before = upstream.connections.length;
      await peer.send(frame(1, 5, 1, peer.block(BASE)));
      await eventually(() =>
        assert.ok(upstream.connections.length > before && upstream.connections.at(-1)!.streams === 1)
      );
      await peer.send(frame(3, 0, 1, word(8)));
      await eventually(() => assert.equal(aborted, 1));
    });
    await front.stop();
  }
  await upstream.stop();
});

Deno.test("a stream that the peer never took is told as refused, others as ended", async () => {
  const reactor = new Reactor();
  reactor.start();
  const connections: ReturnType<typeof serveHttp2>[] = [];
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
    const transport = new PlainTransport(reactor, socket, socket.remote, socket.local);
    connections.push(serveHttp2(reactor, transport, { scheme: "http" }, { onRequest: () => {} }, {
      ...HTTP_SERVER_OPTIONS,
      h2: { ...HTTP_SERVER_OPTIONS.h2, maxConcurrentStreams: 1 },
    }));
    transport.begin();
  });
  const client = await connect(reactor, listener.port, "h2");
  const failed: string[] = [];
  const head = {
    version: "HTTP/1.1",
    method: "GET",
    scheme: "http",
    authority: "a",
    path: "/",
    fields: new Fields(),
    upgrade: "",
    contentLength: 0,
    expectContinue: false,
  } as const;
  // Before the peer's SETTINGS, as many as we like.
  for (let i = 0; i < 2; i++) {
    client.request(head, true, { onResponse: () => {}, onFailed: (_, error) => failed.push(`${i} ${error.code}`) });
  }
  await eventually(() => assert.deepEqual(failed, ["1 refused"]));
  connections[0].abort();
  await eventually(() => assert.equal(failed.length, 2));
  assert.match(failed[1], /^0 (reset|connection_termination)$/);
  await reactor.stop();
});
