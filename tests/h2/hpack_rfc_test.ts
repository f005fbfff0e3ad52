import assert from "node:assert/strict";
import { HpackDecoder, HpackEncoder } from "../../src/h2/hpack.ts";

type Headers = readonly (readonly [string, string])[];

interface Vector {
  hex: string;
  headers: Headers;
  /** Size of the dynamic table afterwards. */
  size: number;
}

const requests: Headers[] = [
  [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "www.example.com"]],
  [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "www.example.com"],
    ["cache-control", "no-cache"],
  ],
  [
    [":method", "GET"],
    [":scheme", "https"],
    [":path", "/index.html"],
    [":authority", "www.example.com"],
    ["custom-key", "custom-value"],
  ],
];

const responses: Headers[] = [
  [
    [":status", "302"],
    ["cache-control", "private"],
    ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
    ["location", "https://www.example.com"],
  ],
  [
    [":status", "307"],
    ["cache-control", "private"],
    ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
    ["location", "https://www.example.com"],
  ],
  [
    [":status", "200"],
    ["cache-control", "private"],
    ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
    ["location", "https://www.example.com"],
    ["content-encoding", "gzip"],
    ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
  ],
];

/** RFC 7541, Appendix C: the blocks of a section share one decoder. */
const SECTIONS: { name: string; tableSize: number; vectors: Vector[] }[] = [
  {
    name: "C.2.1 literal with indexing",
    tableSize: 4096,
    vectors: [{
      hex: "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
      headers: [["custom-key", "custom-header"]],
      size: 55,
    }],
  },
  {
    name: "C.2.2 literal without indexing",
    tableSize: 4096,
    vectors: [{ hex: "040c2f73616d706c652f70617468", headers: [[":path", "/sample/path"]], size: 0 }],
  },
  {
    name: "C.2.3 literal never indexed",
    tableSize: 4096,
    vectors: [{ hex: "100870617373776f726406736563726574", headers: [["password", "secret"]], size: 0 }],
  },
  { name: "C.2.4 indexed", tableSize: 4096, vectors: [{ hex: "82", headers: [[":method", "GET"]], size: 0 }] },
  {
    name: "C.3 requests without Huffman",
    tableSize: 4096,
    vectors: [
      { hex: "828684410f7777772e6578616d706c652e636f6d", headers: requests[0], size: 57 },
      { hex: "828684be58086e6f2d6361636865", headers: requests[1], size: 110 },
      { hex: "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", headers: requests[2], size: 164 },
    ],
  },
  {
    name: "C.4 requests with Huffman",
    tableSize: 4096,
    vectors: [
      { hex: "828684418cf1e3c2e5f23a6ba0ab90f4ff", headers: requests[0], size: 57 },
      { hex: "828684be5886a8eb10649cbf", headers: requests[1], size: 110 },
      { hex: "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", headers: requests[2], size: 164 },
    ],
  },
  {
    name: "C.5 responses without Huffman, table of 256 bytes",
    tableSize: 256,
    vectors: [
      {
        hex: "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54" +
          "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        headers: responses[0],
        size: 222,
      },
      { hex: "4803333037c1c0bf", headers: responses[1], size: 222 },
      {
        hex: "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d" +
          "4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        headers: responses[2],
        size: 215,
      },
    ],
  },
  {
    name: "C.6 responses with Huffman, table of 256 bytes",
    tableSize: 256,
    vectors: [
      {
        hex:
          "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        headers: responses[0],
        size: 222,
      },
      { hex: "4883640effc1c0bf", headers: responses[1], size: 222 },
      {
        hex:
          "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af" +
          "27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        headers: responses[2],
        size: 215,
      },
    ],
  },
];

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g)!, (pair) => parseInt(pair, 16));
}

for (const { name, tableSize, vectors } of SECTIONS) {
  Deno.test(`HpackDecoder decodes RFC 7541 ${name}`, () => {
    const decoder = new HpackDecoder(tableSize, 65536);
    for (const { hex, headers, size } of vectors) {
      const bytes = bytesOf(hex);
      const seen: [string, string][] = [];
      decoder.decode(bytes, 0, bytes.length, (name, value) => seen.push([name, value]));
      assert.deepEqual(seen, headers);
      assert.equal(decoder.tableSize, size);
    }
  });
}

Deno.test("HpackEncoder writes exactly the blocks of RFC 7541 C.4", () => {
  const encoder = new HpackEncoder();
  const out = new Uint8Array(512);
  for (const { hex, headers } of SECTIONS.find(({ name }) => name.startsWith("C.4"))!.vectors) {
    const end = encoder.encode(headers, out, 7);
    assert.deepEqual(out.slice(7, end), bytesOf(hex));
  }
});
