import assert from "node:assert/strict";
import { H2Connection, type H2Handler, type H2Stream } from "../../src/h2/mod.ts";
import { eventually } from "../support/eventually.ts";
import { bytesOf, frame, PREFACE, type RawPeer, SETTINGS, withServer, word } from "./support.ts";

const PROTOCOL_ERROR = 1, FLOW_CONTROL_ERROR = 3, STREAM_CLOSED = 5, FRAME_SIZE_ERROR = 6, REFUSED_STREAM = 7;
const COMPRESSION_ERROR = 9, ENHANCE_YOUR_CALM = 11;

/** Answers every request with 200 and keeps the stream open. */
const accepting: H2Handler = {
  onRequest: (stream) => stream.connection.respond(stream, [[":status", "200"]], false),
};

function setting(id: number, value: number): Uint8Array {
  return bytesOf(0, id, word(value));
}

function repeat(bytes: Uint8Array, count: number): Uint8Array {
  const out = new Uint8Array(bytes.length * count);
  for (let i = 0; i < count; i++) out.set(bytes, i * bytes.length);
  return out;
}

/** name, what is sent after preface and SETTINGS, error code of the GOAWAY. */
const CONNECTION_ERRORS: [string, (peer: RawPeer) => Uint8Array, number][] = [
  ["DATA on stream 0", () => frame(0, 0, 0, bytesOf("x")), PROTOCOL_ERROR],
  ["DATA on an idle stream", () => frame(0, 0, 5, bytesOf("x")), PROTOCOL_ERROR],
  [
    "padding as long as its DATA frame",
    (peer) => bytesOf(peer.connect(1), frame(0, 8, 1, bytesOf(4, "abc"))),
    PROTOCOL_ERROR,
  ],
  ["padded DATA without a padding length", (peer) => bytesOf(peer.connect(1), frame(0, 8, 1)), FRAME_SIZE_ERROR],
  ["padding longer than its HEADERS frame", () => frame(1, 12, 1, bytesOf(200, "abc")), PROTOCOL_ERROR],
  ["HEADERS on stream 0", (peer) => peer.connect(0), PROTOCOL_ERROR],
  ["HEADERS on an even stream", (peer) => peer.connect(2), PROTOCOL_ERROR],
  ["HEADERS on a lower stream than before", (peer) => bytesOf(peer.connect(5), peer.connect(3)), STREAM_CLOSED],
  ["PRIORITY on stream 0", () => frame(2, 0, 0, bytesOf(word(0), 0)), PROTOCOL_ERROR],
  ["RST_STREAM on an idle stream", () => frame(3, 0, 7, word(8)), PROTOCOL_ERROR],
  ["RST_STREAM on stream 0", () => frame(3, 0, 0, word(8)), PROTOCOL_ERROR],
  [
    "RST_STREAM of the wrong length",
    (peer) => bytesOf(peer.connect(1), frame(3, 0, 1, bytesOf("abc"))),
    FRAME_SIZE_ERROR,
  ],
  ["SETTINGS on a stream", () => frame(4, 0, 1), PROTOCOL_ERROR],
  ["SETTINGS of the wrong length", () => frame(4, 0, 0, bytesOf("abcde")), FRAME_SIZE_ERROR],
  ["an acknowledgement of SETTINGS with content", () => frame(4, 1, 0, setting(1, 0)), FRAME_SIZE_ERROR],
  ["SETTINGS_ENABLE_PUSH of 2", () => frame(4, 0, 0, setting(2, 2)), PROTOCOL_ERROR],
  ["SETTINGS_INITIAL_WINDOW_SIZE too large", () => frame(4, 0, 0, setting(4, 0x80000000)), FLOW_CONTROL_ERROR],
  ["SETTINGS_MAX_FRAME_SIZE too small", () => frame(4, 0, 0, setting(5, 16383)), PROTOCOL_ERROR],
  ["SETTINGS_MAX_FRAME_SIZE too large", () => frame(4, 0, 0, setting(5, 0x1000000)), PROTOCOL_ERROR],
  [
    "a stream window pushed over the limit by SETTINGS",
    (peer) => bytesOf(peer.connect(1), frame(8, 0, 1, word(0x7fff0000)), frame(4, 0, 0, setting(4, 0x7fffffff))),
    FLOW_CONTROL_ERROR,
  ],
  ["PUSH_PROMISE", () => frame(5, 4, 1, bytesOf(word(2))), PROTOCOL_ERROR],
  ["PING on a stream", () => frame(6, 0, 1, bytesOf("12345678")), PROTOCOL_ERROR],
  ["PING of the wrong length", () => frame(6, 0, 0, bytesOf("1234567")), FRAME_SIZE_ERROR],
  ["GOAWAY on a stream", () => frame(7, 0, 1, bytesOf(word(0), word(0))), PROTOCOL_ERROR],
  ["GOAWAY of the wrong length", () => frame(7, 0, 0, word(0)), FRAME_SIZE_ERROR],
  ["a connection WINDOW_UPDATE of 0", () => frame(8, 0, 0, word(0)), PROTOCOL_ERROR],
  ["a connection window over the limit", () => frame(8, 0, 0, word(0x7fffffff)), FLOW_CONTROL_ERROR],
  ["WINDOW_UPDATE on an idle stream", () => frame(8, 0, 9, word(1)), PROTOCOL_ERROR],
  ["WINDOW_UPDATE of the wrong length", () => frame(8, 0, 0, bytesOf("abc")), FRAME_SIZE_ERROR],
  ["CONTINUATION without HEADERS", () => frame(9, 4, 1), PROTOCOL_ERROR],
  [
    "another frame within a header block",
    (peer) => bytesOf(peer.connect(1, 0), frame(6, 0, 0, bytesOf("12345678"))),
    PROTOCOL_ERROR,
  ],
  ["CONTINUATION of another stream", (peer) => bytesOf(peer.connect(1, 0), frame(9, 4, 3)), PROTOCOL_ERROR],
  [
    "a header block that is no HPACK",
    () => frame(1, 4, 1, bytesOf(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
    COMPRESSION_ERROR,
  ],
  ["a frame longer than advertised", () => bytesOf(0x10, 0, 1, 0, 0, word(1)), FRAME_SIZE_ERROR],
  ["a control frame of a megabyte", () => bytesOf(0x0f, 0, 0, 1, 4, word(1)), ENHANCE_YOUR_CALM],
  ["a flood of PING", () => repeat(frame(6, 0, 0, bytesOf("12345678")), 8000), ENHANCE_YOUR_CALM],
  ["a flood of SETTINGS", () => repeat(frame(4, 0, 0, setting(3, 1)), 8000), ENHANCE_YOUR_CALM],
  ["a flood of PRIORITY", () => repeat(frame(2, 0, 1, bytesOf(word(0), 0)), 8000), ENHANCE_YOUR_CALM],
  ["a flood of unknown frames", () => repeat(frame(99, 0, 1, bytesOf("junk")), 8000), ENHANCE_YOUR_CALM],
  ["a flood of empty DATA", (peer) => bytesOf(peer.connect(1), repeat(frame(0, 0, 1), 8000)), ENHANCE_YOUR_CALM],
  ["a flood of WINDOW_UPDATE", () => repeat(frame(8, 0, 0, word(1)), 16000), ENHANCE_YOUR_CALM],
  ["a flood of CONTINUATION", (peer) => bytesOf(peer.connect(1, 0), repeat(frame(9, 0, 1), 100)), ENHANCE_YOUR_CALM],
  [
    "an endless header block",
    (peer) => bytesOf(peer.connect(1, 0), repeat(frame(9, 0, 1, new Uint8Array(16000)), 8)),
    ENHANCE_YOUR_CALM,
  ],
];

for (const [name, attack, code] of CONNECTION_ERRORS) {
  Deno.test(`hostile HTTP/2: ${name} ends the connection with its code`, async () => {
    const closed = Promise.withResolvers<unknown>();
    await withServer({ ...accepting, onClosed: closed.resolve }, async (peer, connection) => {
      await peer.send(PREFACE, SETTINGS, attack(peer));
      assert.equal(await peer.goaway(), code);
      await peer.ended();
      assert.equal(connection.closed, true);
      assert.equal(connection.streams, 0);
      await closed.promise;
    });
  });
}

/** name, what is sent, the stream, error code of the RST_STREAM; the connection lives on. */
const STREAM_ERRORS: [string, (peer: RawPeer) => Uint8Array, number, number][] = [
  ["a stream WINDOW_UPDATE of 0", (peer) => bytesOf(peer.connect(1), frame(8, 0, 1, word(0))), 1, PROTOCOL_ERROR],
  [
    "a stream window over the limit",
    (peer) => bytesOf(peer.connect(1), frame(8, 0, 1, word(0x7fffffff))),
    1,
    FLOW_CONTROL_ERROR,
  ],
  [
    "DATA after END_STREAM",
    (peer) => bytesOf(peer.connect(1), frame(0, 1, 1, bytesOf("bye")), frame(0, 0, 1, bytesOf("more"))),
    1,
    STREAM_CLOSED,
  ],
  [
    "DATA on a stream that is closed",
    (peer) => bytesOf(peer.connect(1), frame(3, 0, 1, word(8)), frame(0, 0, 1, bytesOf("late"))),
    1,
    STREAM_CLOSED,
  ],
  [
    "PRIORITY of the wrong length",
    (peer) => bytesOf(peer.connect(1), frame(2, 0, 1, bytesOf("abc"))),
    1,
    FRAME_SIZE_ERROR,
  ],
  [
    "trailers without END_STREAM",
    (peer) => bytesOf(peer.connect(1), frame(1, 4, 1, peer.block([["a", "b"]]))),
    1,
    PROTOCOL_ERROR,
  ],
  ["a name in upper case", (peer) => peer.connect(1, 4, [["Upper", "x"]]), 1, PROTOCOL_ERROR],
  ["a connection-specific field", (peer) => peer.connect(1, 4, [["connection", "close"]]), 1, PROTOCOL_ERROR],
  ["a line break in a value", (peer) => peer.connect(1, 4, [["x", "a\r\nb: c"]]), 1, PROTOCOL_ERROR],
  [
    "a pseudo-header twice",
    (peer) => frame(1, 4, 1, peer.block([[":method", "CONNECT"], [":method", "CONNECT"]])),
    1,
    PROTOCOL_ERROR,
  ],
  ["a pseudo-header that is unknown", (peer) => peer.connect(1, 4, [[":nonsense", "1"]]), 1, PROTOCOL_ERROR],
  [
    "a pseudo-header after a field",
    (peer) => frame(1, 4, 1, peer.block([[":method", "CONNECT"], ["a", "b"], [":authority", "a:1"]])),
    1,
    PROTOCOL_ERROR,
  ],
  [
    "CONNECT with a path",
    (peer) =>
      peer.connect(1, 4).length > 0
        ? frame(1, 4, 1, peer.block([[":method", "CONNECT"], [":authority", "a:1"], [":path", "/"]]))
        : SETTINGS,
    1,
    PROTOCOL_ERROR,
  ],
  [
    "one stream more than allowed",
    (peer) => bytesOf(...[1, 3, 5, 7, 9].map((id) => peer.connect(id))),
    9,
    REFUSED_STREAM,
  ],
];

for (const [name, attack, id, code] of STREAM_ERRORS) {
  Deno.test(`hostile HTTP/2: ${name} resets the stream with its code, and the connection lives`, async () => {
    await withServer(accepting, async (peer) => {
      await peer.send(PREFACE, SETTINGS, attack(peer));
      assert.equal(await peer.reset(id), code);
      await peer.alive();
    }, { maxConcurrentStreams: 4 });
  });
}

Deno.test("hostile HTTP/2: a stranger's protocol is refused at its first bytes", async () => {
  await withServer(accepting, async (peer) => {
    await peer.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert.equal(await peer.goaway(), PROTOCOL_ERROR);
    await peer.ended();
  });
});

Deno.test("hostile HTTP/2: something before SETTINGS is refused", async () => {
  await withServer(accepting, async (peer) => {
    await peer.send(PREFACE, frame(6, 0, 0, bytesOf("12345678")));
    assert.equal(await peer.goaway(), PROTOCOL_ERROR);
  });
});

Deno.test("hostile HTTP/2: rapid reset ends with ENHANCE_YOUR_CALM and leaves no stream", async () => {
  await withServer({ onRequest() {} }, async (peer, connection) => {
    await peer.send(PREFACE, SETTINGS);
    for (let id = 1; id < 4000; id += 2) await peer.send(peer.connect(id), frame(3, 0, id, word(8)));
    assert.equal(await peer.goaway(), ENHANCE_YOUR_CALM);
    await peer.ended();
    assert.equal(connection.streams, 0);
  });
});

Deno.test("hostile HTTP/2: an HPACK bomb costs its stream a 431 and no more", async () => {
  await withServer(accepting, async (peer) => {
    // One entry of 4000 bytes in the dynamic table, then referred to 1000 times.
    const value = "x".repeat(4000);
    const entry = bytesOf(0x40, 1, "b", 0x7f, 0xa1, 0x1e, value);
    const request = bytesOf(0x02, 7, "CONNECT", 0x01, 3, "a:1");
    const bomb = bytesOf(request, entry, new Uint8Array(1000).fill(0xbe));
    await peer.send(PREFACE, SETTINGS, frame(1, 4, 1, bomb));
    assert.equal(await peer.status(1), "431");
    await peer.alive();
  });
});

Deno.test("hostile HTTP/2: a sender that ignores the stream's window loses the stream", async () => {
  await withServer(accepting, async (peer) => {
    // Nobody reads the stream, so nothing is credited.
    await peer.send(PREFACE, SETTINGS, peer.connect(1), repeat(frame(0, 0, 1, new Uint8Array(16384)), 5));
    assert.equal(await peer.reset(1), FLOW_CONTROL_ERROR);
    await peer.alive();
  }, { streamWindow: 65535 });
});

Deno.test("hostile HTTP/2: a sender that ignores the connection's window loses the connection", async () => {
  await withServer(accepting, async (peer, connection) => {
    await peer.send(PREFACE, SETTINGS);
    for (let id = 1; id < 9; id += 2) {
      await peer.send(peer.connect(id), repeat(frame(0, 0, id, new Uint8Array(16000)), 12));
    }
    assert.equal(await peer.goaway(), FLOW_CONTROL_ERROR);
    assert.equal(connection.held, 0);
  }, { streamWindow: 200_000, connectionWindow: 200_000 });
});

Deno.test("hostile HTTP/2: a peer that asks and never reads is given up, with memory bounded", async () => {
  await withServer({
    onRequest(stream) {
      // 400 bytes of headers for some 30 of request.
      stream.connection.respond(stream, [[":status", "200"], ["x", "y".repeat(4000)]], true);
    },
  }, async (peer, connection) => {
    await peer.send(PREFACE, SETTINGS);
    for (let id = 1; id < 200_000 && !connection.closed; id += 2) await peer.send(peer.connect(id, 5));
    await eventually(() => assert.equal(connection.closed, true));
  }, { maxConcurrentStreams: 100_000 });
});

Deno.test("unknown frames, unknown settings, PRIORITY and padding are taken in stride", async () => {
  const got: Uint8Array[] = [];
  const streams: H2Stream[] = [];
  await withServer({
    onRequest(stream) {
      streams.push(stream);
      stream.connection.respond(stream, [[":status", "200"]], false);
    },
  }, async (peer) => {
    await peer.send(
      PREFACE,
      frame(4, 0, 0, bytesOf(setting(77, 1), setting(3, 10))),
      frame(42, 255, 3, bytesOf("what")),
    );
    await peer.send(
      frame(2, 0, 1, bytesOf(word(0), 7)),
      frame(
        1,
        4 | 8 | 32,
        1,
        bytesOf(3, word(0), 9, peer.block([[":method", "CONNECT"], [":authority", "a:1"]]), 0, 0, 0),
      ),
    );
    assert.equal(await peer.status(1), "200");
    await peer.send(frame(0, 8 | 1, 1, bytesOf(5, "hello", 0, 0, 0, 0, 0)));
    await peer.alive();
    const { tap } = await import("../../src/net/mod.ts");
    const ended = Promise.withResolvers<void>();
    tap(streams[0], { onData: (bytes) => got.push(bytes.slice()), onEnd: ended.resolve });
    await ended.promise;
    assert.equal(new TextDecoder().decode(bytesOf(...got)), "hello");
  });
});

Deno.test("frames may arrive byte by byte", async () => {
  await withServer(accepting, async (peer) => {
    for (
      const byte of bytesOf(
        PREFACE,
        SETTINGS,
        peer.connect(1),
        frame(0, 8, 1, bytesOf(2, "ab", 0, 0)),
        frame(6, 0, 0, bytesOf("12345678")),
      )
    ) {
      await peer.send(new Uint8Array([byte]));
    }
    assert.equal(await peer.status(1), "200");
    await peer.expect((f) => f.type === 6 && f.flags === 1, "the answer to PING");
  });
});

Deno.test("connection errors are told to the owner", async () => {
  const closed = Promise.withResolvers<Error | null>();
  await withServer({ onClosed: closed.resolve }, async (peer, connection) => {
    assert.ok(connection instanceof H2Connection);
    await peer.send(PREFACE, SETTINGS, frame(0, 0, 0));
    assert.match(
      (await closed.promise)!.message,
      /HTTP\/2 with "127.0.0.1" failed: DATA on stream 0 \(PROTOCOL_ERROR\)/,
    );
  });
});
