// Hostile clients at a whole proxy: each is refused with its status, has a line in the access log, is counted, and costs little.

import assert from "node:assert/strict";
import { HpackEncoder } from "../../../src/h2/hpack.ts";
import { bytesOf, frame, PREFACE, RawPeer as H2Peer, SETTINGS, word } from "../../h2/support.ts";
import {
  connect,
  destination,
  forward,
  ProxyLab,
  route,
  ScriptedBackend,
  virtualHost,
  withBackend,
} from "./support.ts";

const SHORT = { headTimeoutMs: 150, stallTimeoutMs: 5_000, idleTimeoutMs: 5_000 };

async function withProxy(run: (lab: ProxyLab) => Promise<void>): Promise<void> {
  await withBackend(async (request) => {
    await request.text().catch(() => {});
    return new Response("ok");
  }, async (port) => {
    const lab = new ProxyLab({
      resources: [virtualHost([route(forward(["web"]))])],
      destinations: [destination("web", [port])],
      server: SHORT,
      idleTimeoutMs: 120,
    });
    try {
      await run(lab);
    } finally {
      await lab.close();
    }
  });
}

async function eventually(holds: () => boolean, what: () => string): Promise<void> {
  const end = performance.now() + 10_000;
  while (!holds()) {
    assert.ok(performance.now() < end, what());
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** One more line of the log that says so, and one more request counted with its status and flags. */
async function told(lab: ProxyLab, name: string, run: () => Promise<void>, line: RegExp, count: string): Promise<void> {
  const before = lab.log.length;
  await run();
  await eventually(
    () => lab.log.slice(before).some((one) => line.test(one)),
    () => `${name}: ${lab.log.slice(before).join("\n")}`,
  );
  const [status, flags] = count.split(" ");
  const labels = new RegExp(
    `istio_requests_total\\{[^}]*response_code="${status}",grpc_response_status="",response_flags="${flags}"`,
  );
  assert.match(lab.registry.expose(), labels, name);
}

const HOST = "host: web\r\n";
const H1: readonly (readonly [name: string, sent: string, status: number, line: RegExp, count: string])[] = [
  ["a head that never ends", "GET / HTTP/1.1\r\nhost: w", 408, /"- - -" 408 DPE codec_error\{/, "408 DPE"],
  [
    "a body that never ends",
    `POST / HTTP/1.1\r\n${HOST}content-length: 10\r\n\r\nabc`,
    408,
    /"POST \/ HTTP\/1.1" 408 SI /,
    "408 SI",
  ],
  ["101 headers", `GET / HTTP/1.1\r\n${HOST}${"x: 1\r\n".repeat(101)}\r\n`, 431, /431 DPE/, "431 DPE"],
  ["a head of 70 KiB", `GET / HTTP/1.1\r\n${HOST}x: ${"a".repeat(70_000)}\r\n\r\n`, 431, /431 DPE/, "431 DPE"],
  ["a target of 33 KiB", `GET /${"a".repeat(33_000)} HTTP/1.1\r\n${HOST}\r\n`, 414, /414 DPE/, "414 DPE"],
  ["TLS on a port of plain text", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n", 0, /400 DPE/, "400 DPE"],
  ["CONNECT", `CONNECT web:80 HTTP/1.1\r\n${HOST}\r\n`, 405, /405 DPE/, "405 DPE"],
  [
    "two authorities",
    `GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n`,
    400,
    /400 DPE codec_error\{Host_contradicts/,
    "400 DPE",
  ],
  ["https in plain text", `GET https://web/ HTTP/1.1\r\n${HOST}\r\n`, 403, /403 DPE codec_error\{/, "403 DPE"],
  ["a method misspelt", `get / HTTP/1.1\r\n${HOST}\r\n`, 400, /400 DPE codec_error\{a_method/, "400 DPE"],
  [
    "an unknown expectation",
    `POST / HTTP/1.1\r\n${HOST}expect: x\r\ncontent-length: 1\r\n\r\n`,
    417,
    /417 DPE/,
    "417 DPE",
  ],
];

Deno.test("hostile HTTP/1: each client is refused with its status, logged and counted", async (t) => {
  await withProxy(async (lab) => {
    for (const [name, sent, status, line, count] of H1) {
      await t.step(name, () =>
        told(
          lab,
          name,
          async () => {
            const peer = await connect(lab.port);
            await peer.send(sent);
            await peer.until(({ ended }) => ended, "the end");
            if (status > 0) assert.match(peer.received, new RegExp(`^HTTP/1.1 ${status} `));
            await peer.close();
          },
          line,
          count,
        ));
    }
  });
});

type List = readonly (readonly [string, string])[];
const GET: List = [[":method", "GET"], [":scheme", "http"], [":authority", "web"], [":path", "/"]];
const POST: List = [[":method", "POST"], ...GET.slice(1)];

/** Header blocks of one connection. */
function blocks(): (list: List) => Uint8Array {
  const encoder = new HpackEncoder(4096), out = new Uint8Array(65536);
  return (list) => out.slice(0, encoder.encode(list as [string, string][], out, 0));
}

function many(count: number, of: (i: number) => Uint8Array): Uint8Array {
  return bytesOf(...Array.from({ length: count }, (_, i) => of(i)));
}

type Block = (list: List) => Uint8Array;
const nothing = new Uint8Array(0), CALM = /ENHANCE_YOUR_CALM/;
/** What ends the connection. */
const H2: readonly (readonly [name: string, frames: (block: Block) => Uint8Array, line: RegExp])[] = [
  [
    "rapid reset",
    (block) => many(1200, (i) => bytesOf(frame(1, 5, 2 * i + 1, block(GET)), frame(3, 0, 2 * i + 1, word(8)))),
    CALM,
  ],
  [
    "CONTINUATION without end",
    (block) => bytesOf(frame(1, 1, 1, block(GET)), many(10, () => frame(9, 0, 1, new Uint8Array(16_000)))),
    CALM,
  ],
  [
    "empty CONTINUATION",
    (block) => bytesOf(frame(1, 1, 1, block(GET)), many(5000, () => frame(9, 0, 1, nothing))),
    CALM,
  ],
  ["PING", () => many(6000, () => frame(6, 0, 0, new Uint8Array(8))), CALM],
  ["SETTINGS", () => many(6000, () => frame(4, 0, 0, nothing)), CALM],
  ["PRIORITY", () => many(6000, (i) => frame(2, 0, 1 + 2 * (i % 100), bytesOf(word(0), 1))), CALM],
  ["empty DATA", (block) => bytesOf(frame(1, 4, 1, block(POST)), many(6000, () => frame(0, 0, 1, nothing))), CALM],
  ["a window that overflows", () => many(2, () => frame(8, 0, 0, word(0x7fffffff))), /FLOW_CONTROL_ERROR/],
  ["a WINDOW_UPDATE of nothing", () => frame(8, 0, 0, word(0)), /PROTOCOL_ERROR/],
];

Deno.test("hostile HTTP/2: floods end the connection, are logged once and counted, and memory stays", async (t) => {
  await withProxy(async (lab) => {
    for (const [name, frames, line] of H2) {
      await t.step(name, () =>
        told(
          lab,
          name,
          async () => {
            const peer = new H2Peer(await Deno.connect({ hostname: "127.0.0.1", port: lab.port }), false);
            await peer.send(PREFACE, SETTINGS, frames(blocks()));
            await eventually(() => peer.closed, () => `${name}: the connection goes on`);
            assert.ok(peer.frames.some(({ type }) => type === 7), `${name}: no GOAWAY`);
            await peer.close();
          },
          new RegExp(`"- - -" 0 DPE codec_error\\{\\w*${line.source}`),
          "0 DPE",
        ));
    }
    await eventually(() => lab.exchanges.active === 0, () => `${lab.exchanges.active} requests left`);
  });
});

const LISTS: readonly (readonly [name: string, list: List, reason: RegExp])[] = [
  ["CRLF in a value", [...GET, ["x", "a\r\nevil: 1"]], /400 DPE codec_error\{the_value_of_x/],
  ["CRLF in :path", [...GET.slice(0, 3), [":path", "/ HTTP/1.1\r\nx: y"]], /400 DPE codec_error\{the_value_of_:path/],
  [
    "CRLF in :authority",
    [...GET.slice(0, 2), [":authority", "web\r\nx: y"], GET[3]],
    /400 DPE codec_error\{the_value_of_:authority/,
  ],
  [
    "a method with a space",
    [[":method", "GET / HTTP/1.1"], ...GET.slice(1)],
    /400 DPE codec_error\{a_malformed_:method/,
  ],
  ["a method misspelt", [[":method", "get"], ...GET.slice(1)], /400 DPE codec_error\{a_malformed_:method/],
  ["a name with a colon", [...GET, ["x: y", "1"]], /400 DPE/],
  ["Host against :authority", [...GET, ["host", "evil"]], /400 DPE codec_error\{host_contradicts/],
  ["CONNECT", [[":method", "CONNECT"], [":authority", "web:80"]], /405 DPE codec_error\{CONNECT/],
  ["101 headers", [...GET, ...Array.from({ length: 101 }, (): [string, string] => ["x", "1"])], /431 DPE/],
];

Deno.test("hostile HTTP/2: lists that would be other requests in HTTP/1.1 are refused, logged and counted", async (t) => {
  await withProxy(async (lab) => {
    for (const [name, list, line] of LISTS) {
      await t.step(name, () =>
        told(
          lab,
          name,
          async () => {
            const peer = new H2Peer(await Deno.connect({ hostname: "127.0.0.1", port: lab.port }), false);
            await peer.send(PREFACE, SETTINGS, frame(1, 5, 1, blocks()(list)));
            await eventually(() => peer.frames.some(({ id }) => id === 1), () => `${name}: no answer`);
            await peer.close();
          },
          line,
          `${/\d{3}/.exec(line.source)} DPE`,
        ));
    }
  });
});

Deno.test("forbidden fields in trailers do not reach the backend", async () => {
  const backend = new ScriptedBackend(async (peer) => {
    await peer.until(
      ({ received }) => /0\r\n(.*\r\n)*\r\n$/.test(received) && received.includes("x-ok"),
      "the request",
    );
    await peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  });
  const lab = new ProxyLab({
    resources: [virtualHost([route(forward(["web"]))])],
    destinations: [destination("web", [backend.port])],
  });
  const peer = await connect(lab.port);
  await peer.send(
    `POST / HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\nconnection: close\r\n\r\n1\r\na\r\n0\r\n` +
      "content-length: 5\r\nhost: evil\r\ntransfer-encoding: chunked\r\nx-ok: 1\r\n\r\n",
  );
  await peer.until(({ ended }) => ended, "the answer");
  assert.match(peer.received, /^HTTP\/1.1 200 /);
  const [, trailers] = backend.peers[0].received.split("\r\n0\r\n");
  assert.equal(trailers, "x-ok: 1\r\n\r\n");
  await peer.close();
  await lab.close();
  await backend.close();
});

Deno.test("clients that do not read an endless answer hold it back at its source", async () => {
  let sent = 0;
  const backend = new ScriptedBackend(async (peer) => {
    await peer.until(({ received }) => received.endsWith("\r\n\r\n"), "the request");
    await peer.send("HTTP/1.1 200 OK\r\n\r\n");
    const piece = new Uint8Array(65536);
    for (;;) sent += await peer.conn.write(piece);
  });
  const lab = new ProxyLab({
    resources: [virtualHost([route(forward(["web"]))])],
    destinations: [destination("web", [backend.port])],
  });
  const clients = await Promise.all(
    Array.from({ length: 6 }, () => Deno.connect({ hostname: "127.0.0.1", port: lab.port })),
  );
  for (const client of clients) await client.write(new TextEncoder().encode(`GET / HTTP/1.1\r\n${HOST}\r\n`));
  await eventually(() => backend.peers.length === clients.length, () => "requests that never came");
  // It stands when two looks see the same; buffers of the kernel are all that fills.
  let last = -1;
  await eventually(() => {
    const still = sent === last && sent > 0;
    last = sent;
    return still;
  }, () => `${sent} bytes and more`);
  assert.ok(sent < clients.length * 16 * 1024 * 1024, `${sent} bytes were taken`);
  for (const client of clients) client.close();
  await lab.close();
  await backend.close();
});
