import assert from "node:assert/strict";
import fc from "fast-check";
import { hpackBound, HpackDecoder, HpackEncoder } from "../../src/h2/hpack.ts";
import { huffmanDecode, huffmanDecodedMax, huffmanEncode, huffmanEncodedLength } from "../../src/h2/hpack_huffman.ts";
import { MeshError } from "../../src/core/errors.ts";

type Headers = (readonly [string, string])[];

function decode(decoder: HpackDecoder, bytes: Uint8Array): Headers {
  const seen: Headers = [];
  decoder.decode(bytes, 0, bytes.length, (name, value) => seen.push([name, value]));
  return seen;
}

function encode(encoder: HpackEncoder, headers: Headers): Uint8Array {
  const out = new Uint8Array(hpackBound(headers));
  return out.slice(0, encoder.encode(headers, out, 0));
}

function code(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    assert.ok(thrown instanceof MeshError, String(thrown));
    return thrown.code;
  }
  return "no error";
}

const byteString = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 120 }).map((codes) =>
  String.fromCharCode(...codes)
);
const name = fc.oneof(
  fc.constantFrom(":authority", ":path", "cookie", "baggage", "traceparent", "content-type", "x-a", "x-b"),
  byteString.filter((text) => text !== ""),
);
const value = fc.oneof(fc.constantFrom("", "200", "/", "gzip, deflate", "10.244.0.7:9080"), byteString);
const block = fc.array(fc.tuple(name, value), { maxLength: 24 });

Deno.test("huffmanDecode() reverses huffmanEncode() for all bytes", () => {
  fc.assert(fc.property(byteString, (text) => {
    const length = huffmanEncodedLength(text);
    const encoded = new Uint8Array(length + 2);
    assert.equal(huffmanEncode(text, encoded, 1, length + 1), length + 1);
    assert.equal(encoded[length + 1], 0);
    const out = new Uint8Array(huffmanDecodedMax(length));
    const written = huffmanDecode(encoded, 1, length + 1, out);
    assert.equal(String.fromCharCode(...out.subarray(0, written)), text);
  }));
});

Deno.test("huffmanEncode() writes each symbol as RFC 7541 Appendix B does", () => {
  const rows: [number, string][] = [
    [0, "1111111111000"],
    [10, "111111111111111111111111111100"],
    [22, "111111111111111111111111111110"],
    [32, "010100"],
    [48, "00000"],
    [97, "00011"],
    [92, "1111111111111110000"],
    [128, "11111111111111100110"],
    [203, "111111111111111111111011110"],
    [249, "1111111111111111111111111110"],
    [255, "11111111111111111111101110"],
  ];
  for (const [symbol, bits] of rows) {
    const out = new Uint8Array(4);
    const end = huffmanEncode(String.fromCharCode(symbol), out, 0, out.length);
    const written = [...out.subarray(0, end)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
    assert.equal(written, bits.padEnd(written.length, "1"), `symbol ${symbol}`);
    assert.ok(written.length - bits.length < 8, `symbol ${symbol}`);
  }
});

Deno.test("HpackDecoder reads what HpackEncoder wrote, block after block, across size changes", () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ headers: block }) },
    { weight: 1, arbitrary: fc.record({ resize: fc.integer({ min: 0, max: 6000 }) }) },
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 20 }), fc.integer({ min: 0, max: 8192 }), (steps, own) => {
    const encoder = new HpackEncoder(own);
    const decoder = new HpackDecoder(4096, 1 << 24);
    for (const step of steps) {
      if ("resize" in step) {
        encoder.setMaxTableSize(step.resize);
        decoder.setMaxTableSize(step.resize);
      } else {
        assert.deepEqual(decode(decoder, encode(encoder, step.headers)), step.headers);
        assert.equal(decoder.tableSize, encoder.tableSize);
      }
    }
  }));
});

Deno.test("HpackDecoder fails only with its own codes on arbitrary bytes, and its table stays bounded", () => {
  const junk = fc.uint8Array({ maxLength: 200 });
  fc.assert(fc.property(fc.array(junk, { maxLength: 8 }), (blocks) => {
    const decoder = new HpackDecoder(512, 400);
    for (const bytes of blocks) {
      const result = code(() => decode(decoder, bytes));
      assert.ok(["no error", "hpack", "hpack_list_too_large"].includes(result), result);
      assert.ok(decoder.tableSize <= 512);
      if (result === "hpack") break;
    }
  }));
});

const HOSTILE: [name: string, bytes: number[]][] = [
  ["index 0", [0x80]],
  ["index past the static table, dynamic table empty", [0xbe]],
  ["name index past the tables", [0x7f, 0x20, 0x00]],
  ["integer without its end", [0xff, 0x80]],
  ["integer of many zero groups", [0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]],
  ["integer beyond 32 bits", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
  ["integer just beyond the limit", [0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
  ["string longer than the block", [0x40, 0x05, 0x61, 0x62]],
  ["string length of 256 MB", [0x40, 0x7f, 0x80, 0xff, 0xff, 0x7f, 0x61]],
  ["name without value", [0x40, 0x01, 0x61]],
  ["literal without name", [0x40]],
  ["Huffman padding of zeros", [0x00, 0x81, 0x18, 0x00]],
  ["Huffman padding of eight bits", [0x00, 0x82, 0x1f, 0xff, 0x00]],
  ["Huffman EOS", [0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00]],
  ["table size above the limit", [0x3f, 0xe2, 0x1f]],
  ["table size update after a header", [0x82, 0x20]],
];

for (const [name, bytes] of HOSTILE) {
  Deno.test(`HpackDecoder refuses: ${name}`, () => {
    assert.equal(code(() => decode(new HpackDecoder(4096, 65536), Uint8Array.from(bytes))), "hpack");
  });
}

Deno.test("HpackDecoder accepts several table size updates at the start of a block", () => {
  const decoder = new HpackDecoder(4096, 65536);
  assert.deepEqual(decode(decoder, Uint8Array.of(0x20, 0x3f, 0xe1, 0x1f, 0x82)), [[":method", "GET"]]);
});

Deno.test("HpackDecoder demands a table size update after its limit was lowered", () => {
  const decoder = new HpackDecoder(4096, 65536);
  decoder.setMaxTableSize(100);
  assert.equal(code(() => decode(decoder, Uint8Array.of(0x82))), "hpack");
  const other = new HpackDecoder(4096, 65536);
  other.setMaxTableSize(100);
  assert.deepEqual(decode(other, Uint8Array.of(0x3f, 0x45, 0x82)), [[":method", "GET"]]);
});

Deno.test("HpackDecoder reads a bomb of references without handing it out, and keeps its table", () => {
  const decoder = new HpackDecoder(4096, 8192);
  const seed = encode(new HpackEncoder(), [["bomb", "x".repeat(3000)]]);
  assert.equal(decode(decoder, seed).length, 1);
  const bomb = new Uint8Array(16384).fill(0xbe);
  let handedOut = 0;
  assert.equal(code(() => decoder.decode(bomb, 0, bomb.length, () => handedOut++)), "hpack_list_too_large");
  assert.equal(handedOut, 2);
  assert.equal(decode(decoder, Uint8Array.of(0xbe))[0][0], "bomb");
});

Deno.test("HpackDecoder keeps its table through a list that is too large", () => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder(4096, 300);
  const large: Headers = [["a", "1".repeat(290)], ["b", "2"], ["c", "3"]];
  assert.equal(code(() => decode(decoder, encode(encoder, large))), "hpack_list_too_large");
  assert.deepEqual(decode(decoder, encode(encoder, [["b", "2"], ["c", "3"]])), [["b", "2"], ["c", "3"]]);
});

Deno.test("HpackDecoder drops an entry larger than its table and empties the table", () => {
  const decoder = new HpackDecoder(64, 65536);
  const literal = (name: string, value: string) =>
    Uint8Array.of(
      0x40,
      name.length,
      ...new TextEncoder().encode(name),
      value.length,
      ...new TextEncoder().encode(value),
    );
  decode(decoder, literal("a", "b"));
  assert.equal(decoder.tableSize, 34);
  decode(decoder, literal("a", "b".repeat(60)));
  assert.equal(decoder.tableSize, 0);
});

Deno.test("HpackEncoder sends secrets as never-indexed literals", () => {
  const encoder = new HpackEncoder();
  for (const name of ["authorization", "cookie", "set-cookie", "proxy-authorization"]) {
    for (let i = 0; i < 2; i++) {
      const bytes = encode(encoder, [[name, "secret"]]);
      assert.equal(bytes[0] & 0xf0, 0x10, name);
    }
  }
  assert.equal(encoder.tableSize, 0);
});

Deno.test("HpackEncoder announces the smallest and the last table size", () => {
  const encoder = new HpackEncoder();
  encoder.setMaxTableSize(0);
  encoder.setMaxTableSize(100);
  assert.deepEqual([...encode(encoder, [[":method", "GET"]])], [0x20, 0x3f, 0x45, 0x82]);
  assert.deepEqual([...encode(encoder, [[":method", "GET"]])], [0x82]);
});

Deno.test("HpackEncoder refuses, unchanged, what does not fit; what is not bytes comes out as question marks", () => {
  const encoder = new HpackEncoder();
  assert.equal(code(() => encoder.encode([["a", "b"]], new Uint8Array(3), 0)), "hpack_encode");
  assert.equal(encoder.tableSize, 0);
  const headers: Headers = [["x", "1"], ["y\u0141", `\u20ac${"\u{1f600}".repeat(100)}`], [
    "traceparent",
    "\u20ac\u20ac",
  ]];
  const decoded: Headers = [["x", "1"], ["y?", `?${"??".repeat(100)}`], ["traceparent", "??"]];
  const decoder = new HpackDecoder();
  for (let i = 0; i < 2; i++) assert.deepEqual(decode(decoder, encode(encoder, headers)), decoded);
});
