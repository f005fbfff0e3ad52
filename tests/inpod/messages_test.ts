import assert from "node:assert/strict";
import {
  decodeAck,
  decodeHello,
  decodeRequest,
  encodeAck,
  encodeHello,
  encodeRequest,
  type ZdsRequest,
} from "../../src/inpod/mod.ts";

const REQUESTS: ZdsRequest[] = [
  { kind: "add", uid: "u-1", info: { name: "a", namespace: "b", serviceAccount: "c" } },
  { kind: "add", uid: "u-1", info: undefined },
  { kind: "keep", uid: "u-2" },
  { kind: "del", uid: "u-3" },
  { kind: "snapshotSent" },
];

Deno.test("requests survive the wire", () => {
  for (const request of REQUESTS) assert.deepEqual(decodeRequest(encodeRequest(request)), request);
});

Deno.test("the bytes are those of Istio's agent", () => {
  assert.deepEqual([...encodeHello()], [0x08, 0x01]);
  assert.deepEqual([...encodeRequest({ kind: "snapshotSent" })], [0x1a, 0x00]);
  assert.deepEqual(
    [...encodeRequest({ kind: "del", uid: "x" })],
    [0x12, 0x03, 0x12, 0x01, 0x78],
    "uid is field 2 of del",
  );
  assert.deepEqual([...encodeRequest({ kind: "keep", uid: "x" })], [0x2a, 0x03, 0x0a, 0x01, 0x78]);
  assert.deepEqual([...encodeAck("")], [0x0a, 0x00]);
  assert.deepEqual([...encodeAck("x")], [0x0a, 0x03, 0x0a, 0x01, 0x78]);
});

Deno.test("acks survive the wire, long errors are cut to fit", () => {
  assert.equal(decodeAck(encodeAck("")), "");
  assert.equal(decodeAck(encodeAck("no such namespace")), "no such namespace");
  for (const text of ["x".repeat(5000), "é".repeat(5000), "😀".repeat(3000)]) {
    const bytes = encodeAck(text);
    assert.ok(bytes.length <= 1024, `${bytes.length}`);
    assert.ok(decodeAck(bytes).length > 200);
  }
});

Deno.test("hostile packets are refused with a clear error", () => {
  const rows: [string, () => unknown, RegExp][] = [
    ["hello of version 0", () => decodeHello(new Uint8Array()), /version "0"/],
    ["hello of version 9", () => decodeHello(new Uint8Array([8, 9])), /version "9"/],
    ["hello garbage", () => decodeHello(new Uint8Array([0xff, 0xff])), /cannot decode/],
    ["empty request", () => decodeRequest(new Uint8Array()), /without a payload/],
    ["truncated request", () => decodeRequest(new Uint8Array([0x0a, 0x7f, 0x01])), /cannot decode/],
    ["request without uid", () => decodeRequest(new Uint8Array([0x2a, 0x00])), /without a uid/],
    ["huge request", () => decodeRequest(new Uint8Array(1025)), /1025 bytes/],
    ["ack without payload", () => decodeAck(new Uint8Array()), /without an ack/],
    ["ack garbage", () => decodeAck(new Uint8Array([0xff])), /cannot decode/],
    ["name too long to send", () =>
      encodeRequest({
        kind: "add",
        uid: "u",
        info: { name: "n".repeat(1100), namespace: "", serviceAccount: "" },
      }), /cannot send/],
  ];
  for (const [name, act, error] of rows) assert.throws(act, error, name);
});
