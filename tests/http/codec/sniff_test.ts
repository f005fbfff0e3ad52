import assert from "node:assert/strict";
import { HTTP_SERVER_OPTIONS, serveHttp, type SniffedProtocol, sniffProtocol } from "../../../src/http/mod.ts";
import { readClientHello } from "../../../src/http/codec/client_hello.ts";
import { H2Connection, type H2Stream, HBONE_SERVER_OPTIONS } from "../../../src/h2/mod.ts";
import { listenTcp, Reactor, tap, type TcpSocket } from "../../../src/net/mod.ts";
import { PlainTransport } from "../../../src/net/plain_transport.ts";
import { bytesOf, frame, PREFACE, RawPeer, SETTINGS } from "../../h2/support.ts";
import { echo, latin1, text } from "./support.ts";

/** A ClientHello with this server name and these protocols; the parts that nobody reads are short. */
function clientHello(serverName: string, alpn: string[]): Uint8Array<ArrayBuffer> {
  const word = (value: number) => String.fromCharCode(value >> 8, value & 255);
  const vector = (body: string) => word(body.length) + body;
  const sni = serverName === "" ? "" : word(0) + vector(vector("\0" + vector(serverName)));
  const protocols = alpn.map((name) => String.fromCharCode(name.length) + name).join("");
  const extensions = word(43) + vector("\x02\x03\x04") + sni +
    (alpn.length > 0 ? word(16) + vector(vector(protocols)) : "");
  const body = "\x03\x03" + "r".repeat(32) + "\x20" + "s".repeat(32) + vector("\x13\x01") + "\x01\0" +
    vector(extensions);
  return latin1("\x16\x03\x01" + vector("\x01\0" + vector(body)));
}

/** Bytes; what they are; how many of them are enough to tell. */
const CASES: [string, string | Uint8Array, SniffedProtocol, string][] = [
  ["a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http1", ""],
  ["a request of HTTP/1.0", "POST /x?y HTTP/1.0\r\n\r\n", "http1", ""],
  ["a request of an unknown method", "BREW /pot HTTP/1.1\r\n\r\n", "http1", ""],
  ["the preface of HTTP/2", PREFACE, "http2", ""],
  ["almost that preface", PREFACE.replace("SM", "SX"), "other", ""],
  ["a ClientHello", clientHello("Shop.example.com", ["h2", "http/1.1"]), "tls", "shop.example.com h2,http/1.1"],
  ["a ClientHello without a name", clientHello("", []), "tls", " "],
  ["no ClientHello", "\x16\x03\x01\x00\x05\x02\0\0\x01x", "other", ""],
  ["MySQL's client", "\x20\0\0\x01\x85\xa6\xff\x01", "other", ""],
  ["Redis", "*1\r\n$4\r\nPING\r\n", "other", ""],
  ["SSH", "SSH-2.0-OpenSSH_9.2\r\n", "other", ""],
  ["a line of text", "HELLO WORLD\r\n", "other", ""],
  ["HTTP/0.9", "GET /\r\n", "other", ""],
];

interface Sniffed {
  protocol: SniffedProtocol;
  detail: string;
  /** What came afterwards, to whoever was joined. */
  bytes: string;
}

async function withSniffer(
  timeoutMs: number,
  run: (port: number, next: () => Promise<Sniffed>) => Promise<void>,
): Promise<void> {
  const reactor = new Reactor();
  reactor.start();
  let done = Promise.withResolvers<Sniffed>();
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
    const mine = done;
    sniffProtocol(reactor, socket, timeoutMs, (protocol, serverName, alpn) => {
      const detail = protocol === "tls" ? `${serverName} ${alpn}` : "";
      if (protocol === "closed") return mine.resolve({ protocol, detail, bytes: "" });
      let bytes = "";
      tap(socket, {
        onData: (part) => bytes += text(part),
        onEnd: () => {
          mine.resolve({ protocol, detail, bytes });
          socket.close();
        },
      });
    });
  });
  try {
    await run(listener.port, () => (done = Promise.withResolvers()).promise);
  } finally {
    await reactor.stop();
  }
}

Deno.test("the first bytes tell the protocol, however they arrive, and stay where they are", async (t) => {
  await withSniffer(5000, async (port, next) => {
    for (const [name, bytes, protocol, detail] of CASES) {
      await t.step(name, async () => {
        const all = typeof bytes === "string" ? latin1(bytes) : bytes;
        for (const cut of [0, 1, 5, all.length - 1]) {
          const sniffed = next();
          const conn = await Deno.connect({ hostname: "127.0.0.1", port });
          conn.setNoDelay(true);
          if (cut > 0) {
            await conn.write(all.subarray(0, cut));
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
          await conn.write(all.subarray(cut));
          await conn.closeWrite();
          assert.deepEqual(await sniffed, { protocol, detail, bytes: text(all) });
          conn.close();
        }
      });
    }
  });
});

Deno.test("a client that waits for the server, or leaves, is no secret", async () => {
  await withSniffer(50, async (port, next) => {
    for (
      const [bytes, end, protocol] of [["", false, "none"], ["GET", false, "other"], ["", true, "none"], [
        "GE",
        true,
        "other",
      ]] as const
    ) {
      const sniffed = next();
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      if (bytes !== "") await conn.write(latin1(bytes));
      if (end) await conn.closeWrite();
      else setTimeout(() => conn.closeWrite(), 100);
      const result = await sniffed;
      assert.deepEqual([result.protocol, result.bytes], [protocol, bytes]);
      conn.close();
    }
  });
});

Deno.test("a ClientHello cut anywhere asks for more, and broken ones are none", () => {
  const hello = clientHello("a.example", ["h2"]);
  for (let length = 0; length < hello.length; length++) {
    assert.equal(readClientHello(hello.subarray(0, length)), "more", String(length));
  }
  assert.deepEqual(readClientHello(hello), { serverName: "a.example", alpn: ["h2"] });
  // In two records.
  const body = hello.subarray(5);
  const record = (part: Uint8Array) => bytesOf(22, 3, 1, part.length >> 8, part.length & 255, part);
  const split = bytesOf(record(body.subarray(0, 40)), record(body.subarray(40)));
  assert.deepEqual(readClientHello(split), { serverName: "a.example", alpn: ["h2"] });
  // Whatever byte is wrong, there is an answer.
  for (let at = 0; at < hello.length; at++) {
    for (const value of [0, 1, 0x7f, 0xff]) {
      const broken = hello.slice();
      broken[at] = value;
      const result = readClientHello(broken);
      assert.ok(result === "more" || result === "bad" || /^[a-z0-9._-]*$/.test(result.serverName));
    }
  }
});

/** An HBONE-like server whose tunnels are sniffed and then served as HTTP, and a raw client of it. */
async function withTunnel(seen: string[], run: (peer: RawPeer) => Promise<void>): Promise<void> {
  const reactor = new Reactor();
  reactor.start();
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket: TcpSocket) => {
    const outer = new PlainTransport(reactor, socket, socket.remote, socket.local);
    new H2Connection(reactor, outer, "server", HBONE_SERVER_OPTIONS, {
      onRequest(stream: H2Stream) {
        stream.connection.respond(stream, [[":status", "200"]], false);
        sniffProtocol(reactor, stream, 5000, (protocol) => {
          seen.push(protocol);
          const inner = new PlainTransport(reactor, stream, socket.remote, socket.local);
          serveHttp(reactor, inner, { scheme: "http" }, echo(seen), HTTP_SERVER_OPTIONS);
          inner.begin();
        });
      },
    });
    outer.begin();
  });
  const peer = new RawPeer(await Deno.connect({ hostname: "127.0.0.1", port: listener.port }), false);
  try {
    await peer.send(PREFACE, SETTINGS);
    await run(peer);
  } finally {
    await peer.close();
    await reactor.stop();
  }
}

Deno.test("HTTP in tunnels, cut anywhere between interleaved frames, is read without a byte lost", async () => {
  const seen: string[] = [];
  await withTunnel(seen, async (peer) => {
    const request = (n: number) =>
      latin1(
        `POST /${n} HTTP/1.1\r\nHost: a\r\nX-Long: ${
          "x".repeat(300)
        }\r\nContent-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz`,
      );
    await peer.send(peer.connect(1), peer.connect(3));
    const one = request(1), two = request(2);
    // Each cut as one write, so that both streams' halves lie in one buffer of the connection outside.
    const parts: Uint8Array[] = [];
    for (let at = 1; at < one.length; at += 7) {
      parts.push(
        frame(0, 0, 1, one.subarray(0, at)),
        frame(0, 0, 3, two.subarray(0, at)),
        frame(0, 0, 1, one.subarray(at)),
        frame(0, 0, 3, two.subarray(at)),
      );
    }
    const rounds = parts.length / 4;
    for (let i = 0; i < rounds; i++) {
      await peer.send(...parts.slice(i * 4, i * 4 + 4));
      await peer.expect((f) => f.type === 0 && f.id === 1 && f.body.length > 0, `answer ${i} on 1`);
      await peer.expect((f) => f.type === 0 && f.id === 3 && f.body.length > 0, `answer ${i} on 3`);
    }
    assert.deepEqual(seen.filter((line) => line === "http1").length, 2);
    const x = "x".repeat(300), body = "abcdefghijklmnopqrstuvwxyz";
    for (const n of [1, 2]) {
      const line = `POST a /${n} [x-long=${x}|content-length=26] ${body}`;
      assert.equal(seen.filter((entry) => entry === line).length, rounds);
    }
    assert.equal(seen.length, 2 + rounds * 2);
  });
});

Deno.test("requests that come at once in a tunnel wait in bounded memory", async () => {
  const seen: string[] = [];
  await withTunnel(seen, async (peer) => {
    await peer.send(peer.connect(1));
    const many = latin1(Array.from({ length: 300 }, (_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`).join(""));
    for (let at = 0; at < many.length; at += 1000) await peer.send(frame(0, 0, 1, many.subarray(at, at + 1000)));
    let answers = "";
    while (answers.split("HTTP/1.1 200").length <= 300) {
      answers += text((await peer.expect((f) => f.type === 0 && f.id === 1 && f.body.length > 0, "answers")).body);
    }
    assert.deepEqual(seen.slice(1), Array.from({ length: 300 }, (_, i) => `GET a /${i} [] `));
  });
});
