// Random frames, most of them broken: whatever comes, the connection answers or ends, and nothing is thrown, held or left behind.

import assert from "node:assert/strict";
import { HpackEncoder } from "../../../src/h2/hpack.ts";
import { Fields, type RequestHandler, serveHttp2 } from "../../../src/http/mod.ts";
import { connectHttp2 } from "../../../src/http/mod.ts";
import { Reactor, tap } from "../../../src/net/mod.ts";
import { bytesOf, frame, PREFACE, SETTINGS, word } from "../../h2/support.ts";
import { MemoryTransport, settled } from "./support.ts";

const ROUNDS = Number(Deno.env.get("FUZZ_ROUNDS") ?? 2500);
const SEED = Number(Deno.env.get("FUZZ_SEED") ?? 20261121);

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

type Random = ReturnType<typeof random>;

function pick<T>(next: Random, from: readonly T[]): T {
  return from[next(from.length)];
}

type List = [string, string][];
const REQUESTS: List[] = [
  [[":method", "GET"], [":scheme", "http"], [":authority", "a"], [":path", "/"], ["x", "y"]],
  [[":method", "POST"], [":scheme", "http"], [":authority", "a"], [":path", "/p"], ["content-length", "5"]],
  [[":method", "CONNECT"], [":protocol", "websocket"], [":scheme", "http"], [":authority", "a"], [":path", "/"]],
  [[":method", "HEAD"], [":scheme", "https"], [":authority", "b:1"], [":path", "/?"], ["cookie", "a"], ["cookie", "b"]],
];
const RESPONSES: List[] = [
  [[":status", "200"], ["content-length", "5"]],
  [[":status", "200"]],
  [[":status", "103"], ["link", "x"]],
  [[":status", "204"]],
  [[":status", "101"]],
];
const TRAILERS: List[] = [[["x-sum", "1"]], [["content-length", "9"]], [[":path", "/"]]];

/** Frames that might come on a few streams, in an order that is sometimes right. */
function script(next: Random, heads: readonly List[], ids: readonly number[]): Uint8Array {
  const encoder = new HpackEncoder(4096), out = new Uint8Array(4096);
  const block = (list: List) => out.slice(0, encoder.encode(list, out, 0));
  const parts: Uint8Array[] = [];
  let newest = -1;
  for (let count = 3 + next(12); count > 0; count--) {
    const kind = next(12), end = next(2);
    // A client's streams have growing numbers, as a rule.
    if (ids.length === 0 && kind < 5) newest += 2;
    const id = ids.length > 0
      ? pick(next, ids)
      : next(12) === 0
      ? next(6)
      : kind < 5
      ? newest
      : Math.max(1, newest - 2 * next(3));
    switch (kind) {
      case 0:
      case 1:
      case 2:
      case 3:
        parts.push(frame(1, 4 | end, id, block(pick(next, heads))));
        break;
      case 4: {
        const whole = block(pick(next, heads));
        parts.push(frame(1, end, id, whole.subarray(0, 3)), frame(9, 4, id, whole.subarray(3)));
        break;
      }
      case 5:
      case 6:
        parts.push(frame(0, end, id, bytesOf("hello")));
        break;
      case 7:
        parts.push(frame(0, end | 8, id, bytesOf(3, "hello", 0, 0, 0)));
        break;
      case 8:
        parts.push(frame(1, 5, id, block(pick(next, TRAILERS))));
        break;
      case 9:
        parts.push(frame(3, 0, id, word(next(14))));
        break;
      case 10:
        parts.push(frame(8, 0, next(2) === 0 ? 0 : id, word(1 + next(100_000))));
        break;
      case 11:
        parts.push(pick(next, [
          frame(4, 0, 0, bytesOf(0, 4, word(next(70_000)))),
          frame(4, 0, 0, bytesOf(0, 1, word(next(5000)))),
          frame(6, 0, 0, bytesOf("12345678")),
          frame(7, 0, 0, bytesOf(word(next(6)), word(0))),
          frame(2, 0, id, bytesOf(word(0), 5)),
          frame(99, 0, id, bytesOf("what")),
        ]));
    }
  }
  return bytesOf(...parts);
}

function broken(next: Random, bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  for (let count = next(3); count > 0 && copy.length > 0; count--) {
    const at = next(copy.length);
    if (next(2) === 0) copy[at] = next(256);
    else copy[at] ^= 1 << next(8);
  }
  return next(4) === 0 ? copy.subarray(0, next(copy.length + 1)) : copy;
}

async function feed(next: Random, transport: MemoryTransport, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const length = 1 + next(60);
    transport.feed(bytes.subarray(at, at + length));
    at += length;
    await settled();
  }
}

Deno.test("a server bears whatever frames come", async () => {
  const reactor = new Reactor();
  let requests = 0, over = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const next = random(SEED + round);
    const transport = new MemoryTransport();
    const handler: RequestHandler = {
      onRequest(stream) {
        requests++;
        stream.handler = { onAborted: () => over++, onFinished: () => over++ };
        if (next(3) === 0) return stream.reply(403, new Fields(), "no");
        tap(stream.body, {
          onData: () => {},
          onEnd: () => queueMicrotask(() => stream.reply(200, new Fields(), "hello")),
        });
      },
    };
    const connection = serveHttp2(reactor, transport, { scheme: "http" }, handler);
    await feed(next, transport, bytesOf(PREFACE, SETTINGS, broken(next, script(next, REQUESTS, []))));
    transport.end();
    await settled();
    if (connection.open) connection.abort();
    await settled();
    assert.equal(connection.streams, 0, `round ${round}`);
    assert.equal(over, requests, `round ${round}: every request is told how it ended`);
  }
  assert.ok(requests > ROUNDS / 2);
  await reactor.stop();
});

Deno.test("a client bears whatever frames come", async () => {
  const reactor = new Reactor();
  let answers = 0, over = 0, asked = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const next = random(SEED + 1_000_000 + round);
    const transport = new MemoryTransport();
    const client = connectHttp2(reactor, transport);
    for (const [i, method] of ["GET", "POST", "HEAD"].entries()) {
      const head = {
        ...{
          version: "HTTP/1.1",
          scheme: "http",
          authority: "a",
          path: "/",
          fields: new Fields(),
          upgrade: "",
        } as const,
        ...{ method, contentLength: -1, expectContinue: false },
      };
      const stream = client.request(head, i !== 1, {
        onResponse: () => answers++,
        onFailed: () => over++,
        onFinished: () => over++,
      })!;
      asked++;
      const side = tap(stream.body, { onData: () => {} });
      if (i === 1) side.write(bytesOf("body"));
      if (next(2) === 0) side.end();
    }
    await feed(next, transport, bytesOf(SETTINGS, broken(next, script(next, RESPONSES, [1, 1, 3, 3, 5, 7]))));
    transport.end();
    await settled();
    if (client.open) client.abort();
    await settled();
    assert.equal(client.streams, 0, `round ${round}`);
    assert.equal(over, asked, `round ${round}: every request is told how it ended`);
  }
  assert.ok(answers > ROUNDS / 4);
  await reactor.stop();
});
