import assert from "node:assert/strict";
import { Fields } from "../../../src/http/fields.ts";
import { cookieValue, hashOf, queryParameter } from "../../../src/http/upstream/hash_source.ts";
import { hashText } from "../../../src/http/upstream/balancer/mod.ts";
import type { ConsistentHash } from "../../../src/model/mod.ts";
import { Recorder, seeded } from "./support.ts";

const config = (on: ConsistentHash["on"]): ConsistentHash => ({ on, algorithm: "RING_HASH", size: 0 });
const cookie = (ttlSeconds = 60, path = "/shop") => config({ kind: "cookie", name: "sid", path, ttlSeconds });

const CASES: [string, ConsistentHash, Recorder, string | undefined][] = [
  ["source address", config({ kind: "sourceIp" }), new Recorder(), "10.9.9.9"],
  ["header", config({ kind: "header", name: "X-User" }), new Recorder("/", Fields.of(["x-user", "ann"])), "ann"],
  ["no such header", config({ kind: "header", name: "x-user" }), new Recorder(), undefined],
  ["query", config({ kind: "query", name: "user" }), new Recorder("/a?x=1&user=bob"), "bob"],
  ["no such parameter", config({ kind: "query", name: "user" }), new Recorder("/a?username=bob"), undefined],
  ["cookie", cookie(), new Recorder("/", Fields.of(["cookie", "a=b; sid=s1"])), "s1"],
];

for (const [name, on, request, want] of CASES) {
  Deno.test(`hash: ${name}`, () => {
    hashOf(on, request, seeded());
    if (want !== undefined) return assert.equal(request.hash, hashText(want));
    // Without anything to hash, a draw: not always the same.
    const first = request.hash;
    hashOf(on, request, seeded(99));
    assert.notEqual(request.hash, first);
  });
}

Deno.test("hash: a missing cookie is made up, told to the client, and hashes to the same when it comes back", () => {
  const request = new Recorder();
  hashOf(cookie(), request, seeded());
  const [, value] = /^sid="([0-9a-f]{16})"; Max-Age=60; Path=\/shop; HttpOnly$/.exec(request.setCookie!)!;
  const next = new Recorder("/", Fields.of(["cookie", `sid="${value}"`]));
  hashOf(cookie(), next, seeded(5));
  assert.equal(next.hash, request.hash);
  assert.equal(next.setCookie, null);
  const session = new Recorder();
  hashOf(cookie(0, ""), session, seeded());
  assert.match(session.setCookie!, /^sid="[0-9a-f]{16}"; HttpOnly$/);
});

Deno.test("hash: cookies and parameters as they are written", () => {
  const cookies: [string | undefined, string | undefined][] = [
    [undefined, undefined],
    ["", undefined],
    ["sid", undefined],
    ["xsid=1", undefined],
    ["sid=", ""],
    ["sid=a=b", "a=b"],
    ["x=1;sid=2,sid=3", "2"],
    ['sid="q"', "q"],
  ];
  for (const [header, want] of cookies) assert.equal(cookieValue(header, "sid"), want, header);
  const paths: [string, string | undefined][] = [
    ["/", undefined],
    ["/?", undefined],
    ["/?u", ""],
    ["/?a&u=1&u=2", "1"],
    [
      "/?u=a%20b=c",
      "a%20b=c",
    ],
  ];
  for (const [path, want] of paths) assert.equal(queryParameter(path, "u"), want, path);
});
