import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as dns from "dns-packet";
import { answer, failure, parseQuery, RCODE, withId } from "../../../src/proxy/dns/message.ts";
import { TcpFrames } from "../../../src/proxy/dns/tcp_frames.ts";
import { parseResolvConf } from "../../../src/proxy/dns/upstream.ts";

function query(name: string, type: dns.RecordType = "A", extra: Partial<dns.Packet> = {}): Uint8Array {
  return dns.encode({ type: "query", id: 4711, flags: dns.RECURSION_DESIRED, questions: [{ name, type }], ...extra });
}

const decode = (bytes: Uint8Array) => dns.decode(Buffer.from(bytes));

function question(bytes: Uint8Array) {
  const parsed = parseQuery(bytes);
  assert.ok(parsed.kind === "question");
  return parsed.question;
}

Deno.test("parseQuery() reads a question and how large an answer may be", () => {
  assert.deepEqual(question(query("a.b")), { id: 4711, name: "a.b", type: "A", udpBytes: 512 });
  const edns = (udpPayloadSize: number) =>
    query("a.b", "AAAA", {
      additionals: [{
        type: "OPT",
        name: ".",
        udpPayloadSize,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      }],
    });
  assert.equal(question(edns(1232)).udpBytes, 1232);
  assert.equal(question(edns(65535)).udpBytes, 4096);
  assert.equal(question(edns(10)).udpBytes, 512);
});

Deno.test("parseQuery() answers what is no query with its code, and nothing to what has no id", () => {
  const code = (bytes: Uint8Array) => {
    const parsed = parseQuery(bytes);
    assert.ok(parsed.kind === "refuse");
    return parsed.answer && (parsed.answer[3] & 15);
  };
  const good = query("a.b");
  const changed = (at: number, value: number) => Object.assign(new Uint8Array(good), { [at]: value });
  assert.equal(code(changed(2, 0x80)), RCODE.FORMERR, "a response");
  assert.equal(code(changed(2, 0x28)), RCODE.NOTIMP, "an update");
  assert.equal(code(changed(5, 0)), RCODE.FORMERR, "no question");
  assert.equal(code(changed(5, 9)), RCODE.FORMERR, "more questions than there are");
  assert.equal(code(good.slice(0, 14)), RCODE.FORMERR, "cut short");
  assert.equal(code(changed(12, 0xc0)), RCODE.FORMERR, "a name that points at itself");
  assert.equal(
    code(dns.encode({ type: "query", questions: [{ name: "a", type: "A" }, { name: "b", type: "A" }] })),
    RCODE.FORMERR,
  );
  assert.equal(code(new Uint8Array(5)), undefined);
  assert.equal(code(new Uint8Array(0)), undefined);
  for (let i = 0; i < 500; i++) parseQuery(crypto.getRandomValues(new Uint8Array(12 + i % 80)));
});

Deno.test("answer() is authoritative, with a CNAME where the name is another", () => {
  const plain = decode(answer(question(query("a.b")), undefined, ["10.0.0.1", "10.0.0.2"], 512));
  assert.equal(plain.id, 4711);
  assert.equal(plain.flag_aa && plain.flag_qr && plain.flag_ra, true);
  assert.deepEqual(plain.answers!.map((one: any) => [one.type, one.name, one.ttl, one.data]), [
    ["A", "a.b", 30, "10.0.0.1"],
    ["A", "a.b", 30, "10.0.0.2"],
  ]);
  const alias = decode(answer(question(query("a.b.search", "AAAA")), "a.b", ["fd00::1"], 512));
  assert.deepEqual(alias.answers!.map((one: any) => [one.type, one.name, one.data]), [
    ["CNAME", "a.b.search", "a.b"],
    ["AAAA", "a.b", "fd00::1"],
  ]);
  assert.equal(decode(answer(question(query("a.b")), undefined, [], 512)).answers!.length, 0);
  const failed = decode(failure(question(query("a.b")), RCODE.SERVFAIL));
  assert.equal((failed as any).rcode, "SERVFAIL");
  assert.equal(withId(query("a.b"), 258)[1], 2);
});

Deno.test("answer() cuts what does not fit into a datagram and says so", () => {
  const many = Array.from({ length: 200 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  const bytes = answer(question(query("a.b")), undefined, many, 512);
  assert.ok(bytes.length <= 512, `${bytes.length}`);
  const packet = decode(bytes);
  assert.equal(packet.flag_tc, true);
  assert.ok(packet.answers!.length > 5);
  assert.equal(decode(answer(question(query("a.b")), undefined, many, 65_535)).flag_tc, false);
});

Deno.test("TcpFrames takes messages out of any pieces, and refuses nonsense", () => {
  const messages = [query("one"), query("two.example.com"), query("three")];
  const stream = new Uint8Array(messages.flatMap((message) => [...TcpFrames.frame(message)]));
  for (const size of [1, 3, 7, 1000]) {
    const got: Uint8Array[] = [];
    const frames = new TcpFrames((message) => got.push(message));
    for (let at = 0; at < stream.length; at += size) assert.equal(frames.take(stream.slice(at, at + size)), true);
    assert.deepEqual(got.map((message) => [...message]), messages.map((message) => [...message]));
  }
  assert.equal(new TcpFrames(() => {}).take(new Uint8Array([0, 3, 1, 2, 3])), false);
});

Deno.test("parseResolvConf() takes three name servers at most and nothing that is no address", () => {
  const text =
    "# c\nnameserver 10.96.0.10\nsearch a b\n  nameserver\tfd00::1 \nnameserver x\nnameserver 1.1.1.1\nnameserver 2.2.2.2\n";
  assert.deepEqual(parseResolvConf(text), ["10.96.0.10", "fd00::1", "1.1.1.1"]);
});
