// Every way known to us in which one side may take a message to end elsewhere than the other, or to go elsewhere.

import assert from "node:assert/strict";
import { Fields, type RequestHandler, serveHttp1 } from "../../../src/http/mod.ts";
import { Reactor } from "../../../src/net/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { echo, exchange, latin1, MemoryTransport, serve, settled } from "./support.ts";

const HOST = "Host: a.example\r\n";

function get(lines: string, target = "/"): string {
  return `GET ${target} HTTP/1.1\r\n${HOST}${lines}\r\n`;
}

function post(lines: string, body = ""): string {
  return `POST / HTTP/1.1\r\n${HOST}${lines}\r\n${body}`;
}

/** What is sent, and the status that it is answered with before the connection ends. */
const REFUSED: [name: string, request: string, status: number][] = [
  // Length.
  ["CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"), 400],
  [
    "TE.CL",
    post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"),
    400,
  ],
  ["TE.TE", post("Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n", "0\r\n\r\n"), 400],
  ["TE.TE, equal", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400],
  ["TE: xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501],
  ["TE: chunked, identity", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 501],
  ["TE: gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501],
  ["TE: identity", post("Transfer-Encoding: identity\r\n"), 501],
  ["TE: chunked, chunked", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400],
  ["TE: empty", post("Transfer-Encoding:\r\n"), 400],
  ["TE: quoted", post('Transfer-Encoding: "chunked"\r\n', "0\r\n\r\n"), 400],
  ["TE: chunked;q", post("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"), 400],
  ["TE: vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), 400],
  ["TE: beyond ASCII", post("Transfer-Encoding: \xffchunked\r\n", "0\r\n\r\n"), 400],
  ["TE before a tab", post("Transfer-Encoding: chunked\t\r\n", "0\r\n\r\n"), 400],
  ["TE behind a tab", post("Transfer-Encoding:\t chunked\r\n", "0\r\n\r\n"), 400],
  ["CL before a tab", post("Content-Length: 1 \t\r\n", "x"), 400],
  ["TE in HTTP/1.0", `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  ["CL twice, different", post("Content-Length: 1\r\nContent-Length: 2\r\n", "xy"), 400],
  ["CL twice, equal", post("Content-Length: 1\r\nContent-Length: 1\r\n", "x"), 400],
  ["CL list", post("Content-Length: 1, 1\r\n", "x"), 400],
  ["CL with a sign", post("Content-Length: +1\r\n", "x"), 400],
  ["CL negative", post("Content-Length: -1\r\n", "x"), 400],
  ["CL hexadecimal", post("Content-Length: 0x1\r\n", "x"), 400],
  ["CL with white space within", post("Content-Length: 1 1\r\n", "x"), 400],
  ["CL empty", post("Content-Length: \r\n", ""), 400],
  ["CL too large for a number", post("Content-Length: 18446744073709551617\r\n", "x"), 400],
  ["CL fraction", post("Content-Length: 1.0\r\n", "x"), 400],

  // Lines.
  ["obs-fold", get("X: 1\r\n 2\r\n"), 400],
  ["obs-fold with a tab", get("X: 1\r\n\t2\r\n"), 400],
  ["obs-fold of the first line", `GET / HTTP/1.1\r\n Host: a\r\n${HOST}\r\n`, 400],
  ["bare LF after a field", get("X: 1\nY: 2\r\n"), 400],
  ["bare LF after the request line", `GET / HTTP/1.1\n${HOST}\r\n`, 400],
  ["bare LF at the end", `GET / HTTP/1.1\r\n${HOST}\n`, 400],
  ["bare CR in a value", get("X: 1\rY: 2\r\n"), 400],
  ["bare CR in the request line", `GET /\r HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["CR CR LF", get("X: 1\r\r\n"), 400],
  ["space before the colon", get("X : 1\r\n"), 400],
  ["tab before the colon", get("X\t: 1\r\n"), 400],
  ["space before CL's colon", post("Content-Length : 1\r\n", "x"), 400],
  ["no colon", get("X\r\n"), 400],
  ["no name", get(": 1\r\n"), 400],
  ["NUL in a name", get("X\0: 1\r\n"), 400],
  ["NUL in a value", get("X: 1\0\r\n"), 400],
  ["control byte in a value", get("X: \x01\r\n"), 400],
  ["DEL in a value", get("X: \x7f\r\n"), 400],
  ["a name beyond ASCII", get("X\xe4: 1\r\n"), 400],
  ["a pseudo-header", get(":authority: b\r\n"), 400],
  ["parentheses in a name", get("(x): 1\r\n"), 400],

  // Request line.
  ["two spaces", `GET  / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["a tab", `GET\t/ HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["white space before it", ` GET / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["white space behind it", `GET / HTTP/1.1 \r\n${HOST}\r\n`, 400],
  ["no version", `GET /\r\n${HOST}\r\n`, 400],
  ["a lower-case version", `GET / http/1.1\r\n${HOST}\r\n`, 400],
  ["HTTP/1.01", `GET / HTTP/1.01\r\n${HOST}\r\n`, 400],
  ["HTTP/1.2", `GET / HTTP/1.2\r\n${HOST}\r\n`, 505],
  ["HTTP/2.0", `GET / HTTP/2.0\r\n${HOST}\r\n`, 505],
  ["HTTP/0.9", `GET / HTTP/0.9\r\n${HOST}\r\n`, 505],
  ["a method with a colon", `G:T / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["an endless method", `${"G".repeat(70)} / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["NUL in the target", get("", "/\0"), 400],
  ["a fragment", get("", "/#x"), 400],
  ["a target beyond ASCII", get("", "/\xc3\xa4"), 400],
  ["a target without a slash", get("", "x"), 400],
  ["* of GET", get("", "*"), 400],
  ["three empty lines before it", `\r\n\r\n\r\nGET / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["an endless target", get("", `/${"x".repeat(40_000)}`), 414],

  // Authority.
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400],
  ["Host twice", `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`, 400],
  ["Host with user information", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400],
  ["Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400],
  ["Host with white space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400],
  ["Host with a strange port", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", 400],
  ["Host with two ports", "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", 400],
  ["Host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400],
  ["Host with a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400],
  ["absolute-form that Host contradicts", get("", "http://b.example/"), 400],
  ["absolute-form with user information", get("", "http://b@a.example/"), 400],
  ["absolute-form of another scheme", get("", "ftp://a.example/"), 400],
  ["absolute-form without Host", "GET http://a.example/ HTTP/1.1\r\n\r\n", 400],
  ["CONNECT", `CONNECT a.example:80 HTTP/1.1\r\n${HOST}\r\n`, 405],

  // Limits.
  ["101 fields", get("X: 1\r\n".repeat(100)), 431],
  ["an endless field", get(`X: ${"x".repeat(70_000)}\r\n`), 431],
  ["an endless head", get(`X: ${"x".repeat(6000)}\r\n`.repeat(12)), 431],
  ["too many options in Connection", get(`Connection: ${"a,".repeat(40)}\r\n`), 400],
  ["an unknown expectation", post("Expect: 200-ok\r\nContent-Length: 1\r\n", "x"), 417],
  ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],

  // Chunks.
  ["chunk size with a sign", post("Transfer-Encoding: chunked\r\n", "+1\r\nx\r\n0\r\n\r\n"), 400],
  ["chunk size with 0x", post("Transfer-Encoding: chunked\r\n", "0x1\r\nx\r\n0\r\n\r\n"), 400],
  ["chunk size with white space", post("Transfer-Encoding: chunked\r\n", "1 \r\nx\r\n0\r\n\r\n"), 400],
  ["chunk size empty", post("Transfer-Encoding: chunked\r\n", "\r\nx\r\n0\r\n\r\n"), 400],
  ["chunk size that overflows", post("Transfer-Encoding: chunked\r\n", "10000000000000001\r\nx\r\n0\r\n\r\n"), 400],
  ["chunk size ended by LF", post("Transfer-Encoding: chunked\r\n", "1\nx\r\n0\r\n\r\n"), 400],
  ["chunk longer than its size", post("Transfer-Encoding: chunked\r\n", "1\r\nxy\r\n0\r\n\r\n"), 400],
  ["chunk ended by LF", post("Transfer-Encoding: chunked\r\n", "1\r\nx\n0\r\n\r\n"), 400],
  ["chunk extension with LF", post("Transfer-Encoding: chunked\r\n", "1;a\nb\r\nx\r\n0\r\n\r\n"), 400],
  ["chunk extension with a bare CR", post("Transfer-Encoding: chunked\r\n", "1;a\rb\r\nx\r\n0\r\n\r\n"), 400],
  [
    "an endless chunk extension",
    post("Transfer-Encoding: chunked\r\n", `1;${"a".repeat(20_000)}\r\nx\r\n0\r\n\r\n`),
    400,
  ],
  [
    "many chunk extensions",
    post("Transfer-Encoding: chunked\r\n", "1;aaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(2000)),
    400,
  ],
  ["chunk extension with white space", post("Transfer-Encoding: chunked\r\n", "1; a\r\nx\r\n0\r\n\r\n"), 400],
  [
    "chunk extension with bytes behind a quote",
    post("Transfer-Encoding: chunked\r\n", '1;a="b"c\r\nx\r\n0\r\n\r\n'),
    400,
  ],
  ["chunk extension with an open quote", post("Transfer-Encoding: chunked\r\n", '1;a="\r\nx\r\n0\r\n\r\n'), 400],
  ["last chunk ended by LF", post("Transfer-Encoding: chunked\r\n", "0\n\n"), 400],
  ["a folded trailer", post("Transfer-Encoding: chunked\r\n", "0\r\nX: 1\r\n 2\r\n\r\n"), 400],
  ["101 trailers", post("Transfer-Encoding: chunked\r\n", `0\r\n${"X: 1\r\n".repeat(101)}\r\n`), 400],
];

/** What comes of bytes, given in these parts. */
async function read(
  reactor: Reactor,
  parts: Uint8Array[],
): Promise<{ seen: string[]; refused: string[]; output: string; ended: boolean }> {
  const transport = new MemoryTransport(), seen: string[] = [], refused: string[] = [];
  const handler: RequestHandler = {
    ...echo(seen),
    onRefused: (_, status, reason) => refused.push(`${status} ${reason}`),
  };
  const connection = serveHttp1(reactor, transport, { scheme: "http" }, handler);
  for (const part of parts) {
    transport.feed(part);
    await settled();
  }
  const result = { seen, refused, output: transport.output, ended: transport.finished };
  if (connection.open) connection.abort();
  return result;
}

function split(bytes: Uint8Array, at: number): Uint8Array[] {
  return [bytes.subarray(0, at), bytes.subarray(at)];
}

function single(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (byte) => Uint8Array.of(byte));
}

Deno.test("requests that two parsers might read differently are refused with their status, and the connection ends", async (t) => {
  const reactor = new Reactor();
  for (const [name, request, status] of REFUSED) {
    await t.step(name, async () => {
      // Behind it, something that would be a request of its own if the connection went on.
      const bytes = latin1(request + get("", "/smuggled"));
      const inParts = bytes.length < 1000 ? [single(bytes), ...Array.from(bytes, (_, at) => split(bytes, at))] : [];
      for (const parts of [[bytes], ...inParts]) {
        const { seen, refused, output, ended } = await read(reactor, parts);
        assert.match(output, new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(output.slice(0, 200)));
        assert.equal(output.split("HTTP/1.1 ").length, 2, output);
        assert.match(output, /\r\nconnection: close\r\n/);
        assert.deepEqual(seen, []);
        assert.equal(refused.length, 1);
        assert.ok(refused[0].startsWith(String(status)));
        assert.ok(ended);
      }
    });
  }
  await reactor.stop();
});

/** What is sent, and how it is understood. */
const ACCEPTED: [name: string, request: string, understood: string][] = [
  ["as it should be", get("X-A: 1\r\nx-b:2\r\nX-C:  3 \t\r\nX-D:\r\n"), "GET a.example / [x-a=1|x-b=2|x-c=3|x-d=] "],
  ["two empty lines before it", `\r\n\r\n${get("")}`, "GET a.example / [] "],
  ["a length", post("Content-Length: 3\r\n", "abc"), "POST a.example / [content-length=3] abc"],
  ["leading zeros in a length", post("Content-Length: 003\r\n", "abc"), "POST a.example / [content-length=003] abc"],
  ["chunks", post("Transfer-Encoding: chunked\r\n", "1\r\na\r\n02;x=y\r\nbc\r\n0\r\n\r\n"), "POST a.example / [] abc"],
  [
    "chunks, case",
    post("Transfer-Encoding: CHUNKED\r\n", "A\r\n0123456789\r\n0\r\nX: y\r\n\r\n"),
    "POST a.example / [] 0123456789",
  ],
  ["absolute-form", get("", "http://a.example/x?y"), "GET a.example /x?y [] "],
  ["absolute-form without a path", get("", "HTTP://A.example?y"), "GET A.example /?y [] "],
  ["OPTIONS *", `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, "OPTIONS a.example * [] "],
  ["an address of version 6", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET [::1]:80 / [] "],
  [
    "hop-by-hop fields",
    get("Connection: X-Mine , keep-alive\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nX-Other: 2\r\n"),
    "GET a.example / [x-other=2] ",
  ],
  [
    "fields that others rely on, named in Connection",
    get("Connection: x-forwarded-for, host, cookie\r\nX-Forwarded-For: 1\r\nCookie: a\r\n"),
    "GET a.example / [x-forwarded-for=1|cookie=a] ",
  ],
  ["TE: trailers", get("TE: trailers\r\n"), "GET a.example / [te=trailers] "],
  ["TE: gzip", get("TE: gzip\r\n"), "GET a.example / [] "],
  [
    "an upgrade to h2c",
    get("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"),
    "GET a.example / [] ",
  ],
  ["bytes beyond ASCII in a value", get("X: \xc3\xa4\r\n"), "GET a.example / [x=Ã¤] "],
  ["encoded line ends", get("", "/%0d%0aX:%20y"), "GET a.example /%0d%0aX:%20y [] "],
];

Deno.test("requests mean the same however their bytes arrive", async (t) => {
  const reactor = new Reactor();
  for (const [name, request, understood] of ACCEPTED) {
    await t.step(name, async () => {
      const bytes = latin1(request + get("Connection: close\r\n", "/last"));
      for (const parts of [[bytes], single(bytes), ...Array.from(bytes, (_, at) => split(bytes, at))]) {
        const { seen, ended } = await read(reactor, parts);
        assert.deepEqual(seen, [understood, "GET a.example /last [] "]);
        assert.ok(ended);
      }
    });
  }
  await reactor.stop();
});

Deno.test("a value that filters set cannot end a line", async () => {
  const server = serve({
    onRequest: (stream) => stream.reply(200, Fields.of(["x", "a\r\nset-cookie: b"], ["y", "\u010a\u{1f600}"]), "ok"),
  });
  try {
    const received = await exchange(server.port, [get("Connection: close\r\n")]);
    assert.match(received, /\r\nx: a {2}set-cookie: b\r\ny: \?\?\?\r\n/);
  } finally {
    await server.stop();
  }
});

Deno.test("a head that is not complete in time is answered with 408, an idle connection just ends", async () => {
  const server = serve(echo(), { headTimeoutMs: 60, idleTimeoutMs: 150 });
  try {
    const slow = await exchange(server.port, ["GET / HT", "TP/1.1\r\n"]);
    assert.match(slow, /^HTTP\/1\.1 408 /);
    assert.equal(await exchange(server.port, []), "");
    // Idle after a request: the answer, and then the end.
    const idle = await exchange(server.port, [get("")]);
    assert.match(idle, /^HTTP\/1\.1 200 OK\r\n/);
    assert.doesNotMatch(idle, /connection: close/);
  } finally {
    await server.stop();
  }
});

Deno.test("a body that stands still is given up", async () => {
  let aborted = "";
  const server = serve({
    onRequest(stream) {
      stream.handler = { onAborted: (_, error) => aborted = error.message };
    },
  }, { stallTimeoutMs: 60 });
  try {
    assert.equal(await exchange(server.port, [latin1(post("Content-Length: 10\r\n", "abc"))]), "");
    assert.equal(aborted, "the client stands still");
  } finally {
    await server.stop();
  }
});

Deno.test("a client that reads nothing is given up", async () => {
  const aborted: string[] = [], size = 64 * 1024 * 1024;
  let closed = 0;
  const server = serve({
    onRequest(stream) {
      stream.handler = { onAborted: (_, error) => aborted.push(error.message) };
      stream.respond({ version: "HTTP/1.1", status: 200, fields: new Fields(), contentLength: size }, false);
      stream.body.write(new Uint8Array(size));
      stream.body.finish();
    },
    onClosed: () => closed++,
  }, { stallTimeoutMs: 80 });
  try {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    await conn.write(latin1(get("", "/long")));
    await eventually(() => assert.equal(closed, 1));
    assert.deepEqual(aborted, ["the client stands still"]);
    conn.close();
  } finally {
    await server.stop();
  }
});
