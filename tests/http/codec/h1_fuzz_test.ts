// Random messages, most of them broken, read by our parser and by llhttp. Ours may refuse what llhttp takes, for it is stricter; what ours takes
// must be taken by llhttp too, and read the same, byte for byte: whatever two parsers read differently can be smuggled.

import assert from "node:assert/strict";
import { Fields, type RequestHandler, serveHttp1 } from "../../../src/http/mod.ts";
import { connectHttp1 } from "../../../src/http/mod.ts";
import { Reactor, tap } from "../../../src/net/mod.ts";
import { llhttp, type LlhttpMessage } from "./llhttp.ts";
import { latin1, MemoryTransport, settled, text } from "./support.ts";

/** More, and others, by the environment. */
const ROUNDS = Number(Deno.env.get("FUZZ_ROUNDS") ?? 6000);
const SEED = Number(Deno.env.get("FUZZ_SEED") ?? 20261121);

/** Deterministic: a failure prints its round, which is enough to repeat it. */
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

const FIELDS = [
  "Accept: */*",
  "User-Agent: curl/8.0",
  "X-Empty:",
  "X-Wide:  \t a b \t",
  "x-lower: 1",
  "X-Obs: \xe4\xff",
  "Cookie: a=b; c=d",
  "Cookie: e",
  "TE: trailers",
  "Connection: keep-alive",
  "Accept-Encoding: gzip, deflate",
];
const CHUNKED = [
  "5\r\nhello\r\n0\r\n\r\n",
  "3\r\nabc\r\nA;x=y\r\n0123456789\r\n00\r\n\r\n",
  "1\r\na\r\n0\r\nX-Trailer: 1\r\n\r\n",
  "0\r\n\r\n",
];

function fieldsOf(next: Random): string {
  let lines = "";
  for (let i = next(5); i > 0; i--) lines += `${pick(next, FIELDS)}\r\n`;
  return lines;
}

function bodyOf(next: Random): [lines: string, body: string] {
  switch (next(4)) {
    case 0:
      return ["Content-Length: 5\r\n", "hello"];
    case 1:
      return ["Transfer-Encoding: chunked\r\n", pick(next, CHUNKED)];
    case 2:
      return ["Content-Length: 0\r\n", ""];
  }
  return ["", ""];
}

function validRequest(next: Random): string {
  const [lines, body] = bodyOf(next);
  const method = pick(next, ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]);
  const target = pick(next, ["/", "/a?b=c", "/%2e%2e/x", "/a/b/c", "http://a.example/x"]);
  const version = next(12) === 0 && !lines.startsWith("T") ? "1.0" : "1.1";
  const before = fieldsOf(next), after = fieldsOf(next);
  return `${method} ${target} HTTP/${version}\r\nHost: a.example\r\n${before}${lines}${after}\r\n${body}`;
}

function validResponse(next: Random): string {
  const [lines, body] = bodyOf(next);
  const status = pick(next, ["200 OK", "200", "404 Not Found", "503 \xe4", "204 No Content", "304 Not Modified"]);
  const bodiless = status.startsWith("204") || status.startsWith("304");
  const before = fieldsOf(next), after = fieldsOf(next);
  return bodiless
    ? `HTTP/1.1 ${status}\r\n${before}\r\n`
    : `HTTP/1.1 ${status}\r\n${before}${lines}${after}\r\n${lines === "" ? "until the end" : body}`;
}

const INSERTED = [
  ...[
    "\r",
    "\n",
    "\r\n",
    "\n\r",
    "\0",
    " ",
    "\t",
    "\x0b",
    "\x0c",
    ":",
    ",",
    ";",
    "\x7f",
    "\x80",
    "\xa0",
    "\xff",
    "0",
    "1",
    "f",
    "x",
  ],
  ...[
    "\r\n ",
    "\r\n\t",
    " :",
    "Content-Length: 5\r\n",
    "Content-Length: 6\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: b\r\n",
  ],
  ...[
    "Transfer-Encoding: identity\r\n",
    "\r\n\r\n",
    "0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: c\r\n\r\n",
    "HTTP/1.1",
    "chunked",
    "+",
    "-",
    "0x",
  ],
];

function broken(next: Random, message: string): string {
  for (let count = next(4); count > 0; count--) {
    const at = next(message.length + 1), length = next(3);
    switch (next(5)) {
      case 0:
        message = message.slice(0, at) + message.slice(at + length + 1);
        break;
      case 1:
        message = message.slice(0, at) + pick(next, INSERTED) + message.slice(at + length);
        break;
      case 2:
        message = message.slice(0, at) + String.fromCharCode(next(256)) + message.slice(at + 1);
        break;
      case 3:
        message = message.slice(0, at) + pick(next, INSERTED) + message.slice(at);
        break;
      case 4: {
        const end = Math.min(message.length, at + next(30));
        message = message.slice(0, end) + message.slice(at, end) + message.slice(end);
      }
    }
  }
  return message;
}

interface OwnMessage {
  method: string;
  target: string;
  status: number;
  fields: [string, string][];
  body: string;
}

function fieldList(fields: Fields): [string, string][] {
  const list = Array.from({ length: fields.size }, (_, i): [string, string] => [fields.nameAt(i), fields.valueAt(i)]);
  return list.filter(([name]) => name !== "te"); // made anew
}

/** Requests that were complete, and how the first that was refused was refused. */
async function readRequests(
  reactor: Reactor,
  parts: Uint8Array[],
): Promise<{ messages: OwnMessage[]; refused: string }> {
  const transport = new MemoryTransport(), messages: OwnMessage[] = [];
  let refused = "";
  const handler: RequestHandler = {
    onRequest(stream) {
      const { method, path, fields } = stream.request;
      const message = { method, target: path, status: 0, fields: fieldList(fields), body: "" };
      tap(stream.body, {
        onData: (bytes) => message.body += text(bytes),
        onEnd: () => {
          messages.push(message);
          // Not from here: `tap()` has not returned yet where there is no body.
          queueMicrotask(() => stream.reply(200, new Fields(), ""));
        },
      });
    },
    onRefused: (_, status, reason) => refused = `${status} ${reason}`,
  };
  const connection = serveHttp1(reactor, transport, { scheme: "http" }, handler);
  for (const part of parts) {
    transport.feed(part);
    await settled();
  }
  for (let i = 0; i < 5; i++) await settled();
  if (transport.output.startsWith("HTTP/1.1 4") && refused === "") refused = transport.output.slice(9, 12);
  if (connection.open) connection.abort();
  return { messages, refused };
}

async function readResponse(
  reactor: Reactor,
  parts: Uint8Array[],
): Promise<{ message: OwnMessage | null; complete: boolean; failed: string }> {
  const transport = new MemoryTransport();
  const client = connectHttp1(reactor, transport);
  let message: OwnMessage | null = null, complete = false, failed = "";
  const head = {
    ...{ version: "HTTP/1.1", method: "GET", scheme: "http", authority: "a", path: "/", fields: new Fields() } as const,
    ...{ upgrade: "", contentLength: 0, expectContinue: false },
  };
  const stream = client.request(head, true, {
    onResponse(_, response) {
      message = { method: "", target: "", status: response.status, fields: fieldList(response.fields), body: "" };
    },
    onFinished: () => complete = true,
    onFailed: (_, error) => failed = error.code,
  })!;
  tap(stream.body, { onData: (bytes) => message!.body += text(bytes) });
  for (const part of parts) {
    transport.feed(part);
    await settled();
  }
  transport.end();
  await settled();
  if (client.open) client.abort();
  return { message, complete, failed };
}

/** Random cuts. */
function cut(next: Random, bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = next(3) === 0 ? 1 : 1 + next(40);
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  return parts;
}

/** All fields that we hand out are among llhttp's, in the same order. */
function includesInOrder(theirs: [string, string][], ours: [string, string][]): boolean {
  let at = 0;
  for (const [name, value] of ours) {
    while (at < theirs.length && (theirs[at][0] !== name || theirs[at][1] !== value)) at++;
    if (at++ >= theirs.length) return false;
  }
  return true;
}

/** What llhttp refuses although it is no danger: methods that it does not know, what follows `Connection: close`, lengths in trailers (we drop them). */
const HARMLESS = new Set([
  "HPE_INVALID_METHOD",
  "HPE_CLOSED_CONNECTION",
  "HPE_INVALID_CONSTANT",
  "HPE_INVALID_CONTENT_LENGTH",
  "HPE_INVALID_TRANSFER_ENCODING",
]);

Deno.test("what we take as requests, llhttp takes and reads the same", async () => {
  const reactor = new Reactor();
  let taken = 0, refusals = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const next = random(SEED + round);
    const message = broken(next, validRequest(next) + (next(3) === 0 ? validRequest(next) : ""));
    const bytes = latin1(message);
    const at = `round ${round}: ${JSON.stringify(message)}`;
    const ours = await readRequests(reactor, [bytes]);
    const inParts = await readRequests(reactor, cut(next, bytes));
    assert.deepEqual(inParts.messages, ours.messages, at);
    // What breaks off within a broken line may be waited for.
    if (inParts.refused !== "") assert.equal(inParts.refused, ours.refused, at);
    taken += ours.messages.length;
    if (ours.refused !== "") refusals++;
    const theirs = llhttp.read("request", bytes, false);
    for (const [i, own] of ours.messages.entries()) {
      const other: LlhttpMessage | undefined = theirs.messages[i];
      if (!other?.complete && HARMLESS.has(theirs.error)) break;
      assert.ok(other?.complete, `${at} llhttp: ${theirs.error}`);
      assert.deepEqual([own.method, own.body], [other.method, other.body], at);
      if (other.target.startsWith("/")) assert.equal(own.target, other.target, at);
      assert.ok(
        includesInOrder(other.fields, own.fields),
        `${at} ${JSON.stringify(own.fields)} ${JSON.stringify(other.fields)}`,
      );
    }
  }
  // That it is a test at all: much is taken, and much is not.
  assert.ok(taken > ROUNDS / 3 && refusals > ROUNDS / 5, `${taken} taken, ${refusals} refused`);
  await reactor.stop();
});

Deno.test("what we take as responses, llhttp takes and reads the same", async () => {
  const reactor = new Reactor();
  let taken = 0, refusals = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const next = random(SEED + 1_000_000 + round);
    const message = broken(next, validResponse(next));
    const bytes = latin1(message);
    const at = `round ${round}: ${JSON.stringify(message)}`;
    const ours = await readResponse(reactor, [bytes]);
    const inParts = await readResponse(reactor, cut(next, bytes));
    // Of an answer that fails within its body, more or less may have been passed on by then, and one that breaks off within a broken line is
    // malformed or incomplete.
    if (ours.complete) assert.deepEqual(inParts, ours, at);
    else assert.ok(!inParts.complete && inParts.failed !== "", at);
    if (ours.complete) taken++;
    else refusals++;
    if (!ours.complete) continue;
    const own = ours.message!;
    const theirs = llhttp.read("response", bytes, true);
    const other = theirs.messages.find((message) => message.status >= 200 || message.status === 101);
    if (other?.body === own.body && HARMLESS.has(theirs.error)) continue;
    assert.ok(other?.complete, `${at} llhttp: ${theirs.error} ${JSON.stringify(theirs.messages)}`);
    assert.deepEqual([own.status, own.body], [other.status, other.body], at);
    assert.ok(
      includesInOrder(other.fields, own.fields),
      `${at} ${JSON.stringify(own.fields)} ${JSON.stringify(other.fields)}`,
    );
  }
  assert.ok(taken > ROUNDS / 5 && refusals > ROUNDS / 5, `${taken} taken, ${refusals} refused`);
  await reactor.stop();
});

Deno.test("requests as they should be are all taken", async () => {
  const reactor = new Reactor();
  for (let round = 0; round < 500; round++) {
    const next = random(SEED + 2_000_000 + round);
    const message = validRequest(next);
    const { messages, refused } = await readRequests(reactor, [latin1(message)]);
    assert.equal(messages.length, 1, `${refused} ${JSON.stringify(message)}`);
  }
  await reactor.stop();
});
