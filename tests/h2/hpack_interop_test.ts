import assert from "node:assert/strict";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { hpackBound, HpackDecoder, HpackEncoder } from "../../src/h2/hpack.ts";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS = 1, SETTINGS = 4, END_STREAM = 1, END_HEADERS = 4, ACK = 1;

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(9 + payload.length);
  new DataView(bytes.buffer).setUint32(0, payload.length << 8 | type);
  bytes[4] = flags;
  new DataView(bytes.buffer).setUint32(5, stream);
  bytes.set(payload, 9);
  return bytes;
}

/** Frames that arrive on a connection, one at a time. */
async function* frames(conn: Deno.Conn): AsyncGenerator<{ type: number; flags: number; payload: Uint8Array }> {
  let held = new Uint8Array(0);
  const buffer = new Uint8Array(65536);
  while (true) {
    const length = held.length < 9 ? Infinity : (held[0] << 16 | held[1] << 8 | held[2]) + 9;
    if (held.length >= length) {
      yield { type: held[3], flags: held[4], payload: held.slice(9, length) };
      held = held.slice(length);
      continue;
    }
    const read = await conn.read(buffer);
    if (read === null) return;
    const joined = new Uint8Array(held.length + read);
    joined.set(held);
    joined.set(buffer.subarray(0, read), held.length);
    held = joined;
  }
}

Deno.test("HPACK agrees with node:http2 in both directions over many requests of one connection", async () => {
  const seen: Record<string, unknown>[] = [];
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    seen.push({ ...headers });
    stream.respond({
      ":status": 200,
      "x-number": headers["x-number"],
      "x-long": "abcdefghij".repeat(Number(headers["x-number"]) % 7 * 20),
      "x-bytes": '~\\|{}^<>`"',
    }, { endStream: true });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: (server.address() as AddressInfo).port });
  try {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(4096, 1 << 20);
    const write = async (bytes: Uint8Array) => {
      for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
    };
    await write(new TextEncoder().encode(PREFACE));
    await write(frame(SETTINGS, 0, 0, new Uint8Array(0)));
    const incoming = frames(conn);
    for (let i = 0; i < 60; i++) {
      const sent: [string, string][] = [
        [":method", "GET"],
        [":scheme", "http"],
        [":path", `/item/${i}`],
        [":authority", "productpage:9080"],
        ["x-number", String(i)],
        ["x-repeated", "the same each time"],
        [`x-name-${i % 5}`, "v".repeat(i * 20)],
        ["authorization", "Bearer secret"],
      ];
      const out = new Uint8Array(hpackBound(sent));
      await write(frame(HEADERS, END_STREAM | END_HEADERS, i * 2 + 1, out.slice(0, encoder.encode(sent, out, 0))));
      let answer: Map<string, string> | undefined;
      while (!answer) {
        const { value } = await incoming.next();
        assert.ok(value, "the server closed the connection");
        if (value.type === SETTINGS && !(value.flags & ACK)) {
          const limit = settingOf(value.payload, 1);
          if (limit !== undefined) encoder.setMaxTableSize(limit);
          await write(frame(SETTINGS, ACK, 0, new Uint8Array(0)));
        }
        if (value.type !== HEADERS) continue;
        assert.ok(value.flags & END_HEADERS);
        const decoded = new Map<string, string>();
        decoder.decode(value.payload, 0, value.payload.length, (name, text) => decoded.set(name, text));
        answer = decoded;
      }
      assert.equal(answer.get(":status"), "200");
      assert.equal(answer.get("x-number"), String(i));
      assert.equal(answer.get("x-long"), "abcdefghij".repeat(i % 7 * 20));
      assert.equal(answer.get("x-bytes"), '~\\|{}^<>`"');
      assert.equal(seen.length, i + 1);
      for (const [name, value] of sent) assert.equal(seen[i][name], value);
    }
  } finally {
    conn.close();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});

function settingOf(payload: Uint8Array, id: number): number | undefined {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  for (let at = 0; at + 6 <= payload.length; at += 6) if (view.getUint16(at) === id) return view.getUint32(at + 2);
  return undefined;
}
