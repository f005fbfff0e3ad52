// HTTP/1.1 from end to end: one connection's life, bodies, answers of every kind; against raw sockets, node's client and server, and our own.

import assert from "node:assert/strict";
import { fieldName, Fields, type ServerStream } from "../../../src/http/mod.ts";
import { tap } from "../../../src/net/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { connect, echo, exchange, latin1, proxy, response, serve, text } from "./support.ts";

const GET = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

Deno.test("requests that come at once are answered one after another, in order", async () => {
  let running = 0, most = 0;
  const server = serve({
    onRequest(stream) {
      most = Math.max(most, ++running);
      setTimeout(() => {
        running--;
        stream.reply(200, new Fields(), stream.request.path);
      }, 2);
    },
  });
  try {
    const many = Array.from({ length: 40 }, (_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`).join("");
    const received = await exchange(server.port, [many + LAST]);
    const paths = [...received.matchAll(/\r\n\r\n(\/[^H]*)/g)].map((match) => match[1]);
    assert.deepEqual(paths, [...Array.from({ length: 40 }, (_, i) => `/${i}`), "/last"]);
    assert.equal(most, 1);
  } finally {
    await server.stop();
  }
});

Deno.test("a client that sends requests without end, and reads nothing, is held back", async () => {
  const server = serve({ onRequest: () => {} });
  try {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    let written = 0, blocked = false;
    const chunk = latin1(GET.repeat(2000));
    const writing = (async () => {
      for (;;) {
        const count = await conn.write(chunk).catch(() => -1);
        if (count < 0) return;
        written += count;
      }
    })();
    await eventually(async () => {
      const before = written;
      await new Promise((resolve) => setTimeout(resolve, 50));
      blocked = before === written && written > 0;
      assert.ok(blocked);
    });
    assert.ok(written < 16 * 1024 * 1024, `${written} bytes were taken`);
    conn.close();
    await writing;
  } finally {
    await server.stop();
  }
});

/** version, its Connection, what the answer says of the connection, whether a second request is served. */
const CONNECTIONS: [string, string, RegExp, boolean][] = [
  ["1.1", "", /^(?!.*connection:)/s, true],
  ["1.1", "Connection: close\r\n", /connection: close/, false],
  ["1.1", "Connection: Close, TE\r\n", /connection: close/, false],
  ["1.0", "", /connection: close/, false],
  ["1.0", "Connection: keep-alive\r\n", /connection: keep-alive/, true],
  ["1.0", "Connection: Keep-Alive, close\r\n", /connection: close/, false],
];

Deno.test("connections go on, or end, as version and Connection say", async () => {
  const server = serve(echo());
  try {
    for (const [version, connection, says, goesOn] of CONNECTIONS) {
      const request = `GET / HTTP/${version}\r\nHost: a\r\n${connection}\r\n`;
      const received = await exchange(server.port, [request + LAST]);
      assert.match(received.split("\r\n\r\n")[0], says, `${version} ${connection}`);
      assert.equal(received.includes("GET a /last"), goesOn, `${version} ${connection}`);
    }
    assert.match(await exchange(server.port, ["GET /x HTTP/1.0\r\n\r\n"]), /\r\n\r\nGET {2}\/x \[\] $/);
  } finally {
    await server.stop();
  }
});

/** An answer by its head and what its body is, and how it looks to a client of HTTP/1.1 and of HTTP/1.0. */
const ANSWERS: [string, string, number, number, string | null, RegExp, RegExp][] = [
  [
    "a length",
    "GET",
    200,
    3,
    "abc",
    /^HTTP\/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc$/,
    /\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc$/,
  ],
  [
    "no length",
    "GET",
    200,
    -1,
    "abc",
    /\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n$/,
    /OK\r\nconnection: close\r\n\r\nabc$/,
  ],
  ["no body", "GET", 200, -1, null, /OK\r\ncontent-length: 0\r\n\r\n$/, /content-length: 0\r\n/],
  ["length 0", "GET", 200, 0, "", /OK\r\ncontent-length: 0\r\n\r\n$/, /content-length: 0\r\n/],
  ["204", "GET", 204, -1, null, /^HTTP\/1.1 204 No Content\r\n\r\n$/, /No Content\r\nconnection/],
  [
    "304 with a length",
    "GET",
    304,
    7,
    null,
    /^HTTP\/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n$/,
    /content-length: 7/,
  ],
  ["HEAD with a length", "HEAD", 200, 7, null, /OK\r\ncontent-length: 7\r\n\r\n$/, /content-length: 7/],
  ["HEAD without a length", "HEAD", 200, -1, "", /OK\r\ntransfer-encoding: chunked\r\n\r\n$/, /transfer-encoding/],
  ["HEAD with a body that must not be", "HEAD", 200, 3, "abc", /OK\r\ncontent-length: 3\r\n\r\n$/, /content-length: 3/],
  ["an unknown status", "GET", 799, 0, null, /^HTTP\/1.1 799 Unknown\r\n/, /799/],
];

Deno.test("answers are framed as their head, the method and the version ask", async () => {
  let answer: (stream: ServerStream) => void = () => {};
  const server = serve({ onRequest: (stream) => answer(stream) });
  try {
    for (const [name, method, status, length, body, now, old] of ANSWERS) {
      answer = (stream) => {
        stream.respond(response(status, length), body === null);
        if (body === null) return;
        stream.body.write(latin1(body));
        stream.body.finish();
      };
      for (const [version, expected] of [["1.1", now], ["1.0", old]] as const) {
        const line = `${method} / HTTP/${version}\r\nHost: a\r\n\r\n`;
        const received = await exchange(server.port, [line], (all) => version === "1.1" && expected.test(all));
        assert.match(received, expected, `${name} HTTP/${version}`);
      }
    }
  } finally {
    await server.stop();
  }
});

Deno.test("an answer shorter or longer than its length ends the connection, so that nothing else is taken for its rest", async () => {
  for (const body of ["ab", "abcd"]) {
    const server = serve({
      onRequest(stream) {
        stream.respond(response(200, 3), false);
        stream.body.write(latin1(body));
        stream.body.finish();
      },
    });
    const received = await exchange(server.port, [GET + LAST]);
    assert.ok(received.split("HTTP/1.1 200").length <= 2, received);
    await server.stop();
  }
});

Deno.test("100-continue is said when somebody wants the body, and not when the request is refused", async () => {
  const server = serve({
    onRequest(stream) {
      if (stream.request.path === "/no") return stream.reply(403, new Fields(), "no");
      echo().onRequest(stream);
    },
  });
  try {
    const head = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n`;
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    await conn.write(latin1(head("/yes")));
    const buffer = new Uint8Array(4096);
    const first = text(buffer.subarray(0, (await conn.read(buffer))!));
    assert.equal(first, "HTTP/1.1 100 Continue\r\n\r\n");
    await conn.write(latin1("abc"));
    assert.match(
      text(buffer.subarray(0, (await conn.read(buffer))!)),
      /^HTTP\/1.1 200 OK\r\n.*POST a \/yes \[content-length=3\] abc$/s,
    );
    conn.close();
    // The client may or may not send the body after this, so the connection cannot go on.
    const refused = await exchange(server.port, [head("/no") + LAST]);
    assert.match(refused, /^HTTP\/1.1 403 Forbidden\r\n.*connection: close\r\n\r\nno$/s);
  } finally {
    await server.stop();
  }
});

Deno.test("an answer may come before the request is complete: a little of the rest is read, much of it is not", async () => {
  const finished: string[] = [];
  const server = serve({
    onRequest(stream) {
      stream.handler = { onFinished: () => finished.push(stream.request.path) };
      stream.reply(200, new Fields(), "early");
    },
  });
  try {
    const head = (path: string, length: number) =>
      `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;
    const short = await exchange(server.port, [head("/short", 5), "hello", LAST]);
    assert.equal(short.split("HTTP/1.1 200").length, 3, short);
    assert.doesNotMatch(short.split("early")[0], /connection: close/);
    const long = await exchange(server.port, [head("/long", 1e9), "hello"]);
    assert.match(long, /connection: close\r\n\r\nearly$/);
    const chunked = "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    assert.match(await exchange(server.port, [chunked, "0\r\n\r\n"]), /connection: close\r\n\r\nearly$/);
    assert.deepEqual(finished, ["/short", "/last", "/long", "/chunked"]);
  } finally {
    await server.stop();
  }
});

Deno.test("a client that ends its side before its answer is complete is gone; what was answered already goes out", async () => {
  const aborted: string[] = [], finished: string[] = [];
  const server = serve({
    onRequest(stream) {
      const path = stream.request.path;
      stream.handler = {
        onAborted: (_, error) => aborted.push(`${path} ${error.code} ${error.source}`),
        onFinished: () => finished.push(path),
      };
      if (path === "/now") stream.reply(200, new Fields(), "now");
      else if (path === "/begun") stream.respond(response(200, 100), false);
    },
  });
  try {
    const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
    assert.match(await exchange(server.port, [get("/now")], undefined, true), /\r\n\r\nnow$/);
    const expected: string[] = [];
    for (
      const request of [
        get("/waiting"),
        get("/begun"),
        "POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
      ]
    ) {
      await exchange(server.port, [request], undefined, true);
      expected.push(`${request.split(" ")[1]} connection_termination downstream`);
      await eventually(() => assert.deepEqual(aborted, expected));
    }
    assert.deepEqual(finished, ["/now"]);
  } finally {
    await server.stop();
  }
});

Deno.test("drain() finishes what runs and says so; idle connections end after a moment for what may be under way", async () => {
  const waiting = Promise.withResolvers<ServerStream>();
  const server = serve({
    onRequest: (stream) => {
      if (stream.request.path === "/late") stream.reply(200, new Fields(), "late");
      else waiting.resolve(stream);
    },
  });
  try {
    const idle = exchange(server.port, []);
    const crossing = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    await eventually(() => assert.equal(server.connections.length, 2));
    const busy = exchange(server.port, [GET]);
    const stream = await waiting.promise;
    for (const connection of server.connections) connection.drain();
    await crossing.write(latin1("GET /late HTTP/1.1\r\nHost: a\r\n\r\n"));
    const answer = new Uint8Array(1000);
    const late = text(answer.subarray(0, (await crossing.read(answer))!));
    assert.match(late, /^HTTP\/1.1 200 OK\r\n.*connection: close\r\n\r\nlate$/s);
    crossing.close();
    assert.equal(await idle, "");
    stream.reply(200, new Fields(), "done");
    assert.match(await busy, /connection: close\r\n\r\ndone$/);
  } finally {
    await server.stop();
  }
});

Deno.test("an upgrade carries raw bytes both ways, through a proxy of ours", async () => {
  const upgrade = (stream: ServerStream) => {
    assert.equal(stream.request.upgrade, "websocket");
    stream.respond(response(101, -1, Fields.of(["sec-websocket-accept", "x"])), false);
    const side = tap(stream.body, {
      onData: (bytes) => side.write(latin1(text(bytes).toUpperCase())),
      onEnd: () => side.end(),
    });
  };
  const upstream = serve({ onRequest: upgrade });
  const front = serve(proxy(() => connect(front.reactor, upstream.port)));
  try {
    const request = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
    for (const port of [upstream.port, front.port]) {
      // Bytes may come right behind the head.
      const received = await exchange(port, [request + "early ", "late"], (all) => all.endsWith("LATE"), false);
      assert.match(
        received,
        /^HTTP\/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nEARLY LATE$/,
      );
    }
  } finally {
    await front.stop();
    await upstream.stop();
  }
});

Deno.test("trailers go through, both ways, where the body is chunked", async () => {
  const upstream = serve({
    onRequest(stream) {
      let trailers = "", body = "";
      stream.handler = {
        onRequestTrailers: (_, fields) => {
          for (let i = 0; i < fields.size; i++) trailers += `${fields.nameAt(i)}=${fields.valueAt(i)};`;
        },
      };
      tap(stream.body, {
        onData: (bytes) => body += text(bytes),
        onEnd: () => {
          stream.respond(response(200, -1), false);
          stream.body.write(latin1(`${body} ${trailers}`));
          stream.sendTrailers(Fields.of(["x-checksum", "42"], ["content-length", "7"]));
        },
      });
    },
  });
  const front = serve(proxy(() => connect(front.reactor, upstream.port)));
  try {
    const request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" +
      "X-Up: 1\r\nContent-Length: 5\r\nHost: b\r\nTransfer-Encoding: x\r\n\r\n";
    for (const port of [upstream.port, front.port]) {
      const received = await exchange(port, [request + LAST], (all) => all.split("HTTP/1.1").length > 2);
      assert.match(received, /\r\n\r\nb\r\nabc x-up=1;\r\n0\r\nx-checksum: 42\r\n\r\nHTTP\/1\.1/, received);
    }
  } finally {
    await front.stop();
    await upstream.stop();
  }
});

/** What an upstream says, and what becomes of it: the status that the proxy's client sees. */
const BAD_ANSWERS: [string, string][] = [
  ["no status line", "hello\r\n\r\n"],
  ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n"],
  ["HTTP/2", "HTTP/2.0 200 OK\r\n\r\n"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
  ["a status below 100", "HTTP/1.1 099 OK\r\n\r\n"],
  ["bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"],
  ["a bare CR", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok"],
  ["obs-fold", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"],
  ["space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"],
  ["length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  ["an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok"],
  ["NUL", "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"],
  ["an upgrade that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"],
  ["101 fields", `HTTP/1.1 200 OK\r\n${"X: 1\r\n".repeat(101)}\r\n`],
  ["an endless head", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}\r\n\r\n`],
  ["too many informational answers", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40)],
];

Deno.test("an upstream that breaks the rules is told to the owner as a protocol error", async (t) => {
  let answer = "";
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const upstream = (async () => {
    for await (const conn of listener) {
      await conn.read(new Uint8Array(4096));
      await conn.write(latin1(answer)).catch(() => {});
      await conn.read(new Uint8Array(4096)).catch(() => {});
      conn.close();
    }
  })();
  const front = serve(proxy(() => connect(front.reactor, listener.addr.port)));
  try {
    for (const [name, bytes] of BAD_ANSWERS) {
      await t.step(name, async () => {
        answer = bytes;
        const received = await exchange(front.port, [LAST]);
        assert.match(received.replace(/^(HTTP\/1.1 103 .*\r\n\r\n)*/g, ""), /^HTTP\/1\.1 502 /, received);
      });
    }
    await t.step("bytes behind an answer are not taken for the next one", async () => {
      answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
      const client = await connect(front.reactor, listener.addr.port);
      const done = Promise.withResolvers<string>();
      let body = "";
      const stream = client.request(
        {
          version: "HTTP/1.1",
          method: "GET",
          scheme: "http",
          authority: "a",
          path: "/",
          fields: new Fields(),
          upgrade: "",
          contentLength: 0,
          expectContinue: false,
        },
        true,
        {
          onResponse: () => {},
          onFailed: (_, error) => done.reject(error),
          onFinished: () => done.resolve(body),
        },
      );
      tap(stream!.body, { onData: (bytes) => body += text(bytes) });
      assert.equal(await done.promise, "ok");
      assert.equal(client.capacity, 0);
    });
  } finally {
    await front.stop();
    listener.close();
    await upstream;
  }
});

Deno.test("an upstream that answers until its end, or in HTTP/1.0, is understood", async () => {
  let answer = "";
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const upstream = (async () => {
    for await (const conn of listener) {
      await conn.read(new Uint8Array(4096));
      await conn.write(latin1(answer));
      conn.close();
    }
  })();
  const front = serve(proxy(() => connect(front.reactor, listener.addr.port)));
  try {
    for (
      const [bytes, seen] of [
        [
          "HTTP/1.1 200\r\n\r\nto the end",
          /transfer-encoding: chunked\r\nconnection: close\r\n\r\na\r\nto the end\r\n0\r\n\r\n$/,
        ],
        ["HTTP/1.0 200 Fine\r\nX: y\r\n\r\nold", /x: y\r\n.*\r\n3\r\nold\r\n0\r\n\r\n$/s],
        [
          "HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
          /^HTTP\/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP\/1.1 200 OK\r\n.*ok$/s,
        ],
        ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", /^HTTP\/1.1 200 OK\r\n.*short$/s],
      ] as const
    ) {
      answer = bytes;
      assert.match(await exchange(front.port, [LAST]), seen);
    }
  } finally {
    await front.stop();
    listener.close();
    await upstream;
  }
});

Deno.test("a reader that stops holds its upstream back, in bounded memory", async () => {
  const size = 64 * 1024 * 1024;
  let sent = 0;
  const upstream = serve({
    onRequest(stream) {
      stream.respond(response(200, size), false);
      const chunk = new Uint8Array(64 * 1024);
      const side = tap(stream.body, { onData: () => {} });
      side.resume = () => {
        while (sent < size && stream.body.queued < 256 * 1024) {
          sent += chunk.length;
          side.write(chunk);
        }
        if (sent === size) side.end();
      };
      side.resume();
    },
  });
  const front = serve(proxy(() => connect(front.reactor, upstream.port)));
  try {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: front.port });
    await conn.write(latin1(LAST));
    await eventually(async () => {
      const before = sent;
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.ok(sent > 0 && sent === before);
    });
    assert.ok(sent < 32 * 1024 * 1024, `${sent} bytes are under way`);
    let received = 0;
    const buffer = new Uint8Array(256 * 1024);
    for (;;) {
      const count = await conn.read(buffer);
      if (count === null) break;
      received += count;
    }
    assert.ok(received > size && received < size + 1000, String(received));
    conn.close();
  } finally {
    await front.stop();
    await upstream.stop();
  }
});

Deno.test("fields keep bytes until somebody asks, and say the same when the input has gone", async () => {
  const name = fieldName("x-set"), late = "x-Known-Later";
  let fields: Fields | null = null;
  const server = serve({
    onRequest(stream) {
      fields = stream.request.fields;
      fields.set(name, "new");
      setTimeout(() => stream.reply(200, stream.request.fields.clone(), "ok"), 5);
    },
  });
  try {
    const head =
      `GET / HTTP/1.1\r\nHost: a\r\nX-One:  1 \r\nX-Set: old\r\nX-Two: \xe4\r\nX-Set: older\r\n${late}: 3\r\nConnection: close\r\n\r\n`;
    const received = await exchange(server.port, [head]);
    assert.match(
      received,
      /OK\r\nx-one: 1\r\nx-set: new\r\nx-two: \xe4\r\nx-known-later: 3\r\ncontent-type: text\/plain\r\n/,
    );
    assert.equal(fields!.get(fieldName(late)), "3");
  } finally {
    await server.stop();
  }
});
