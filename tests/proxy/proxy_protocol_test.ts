import assert from "node:assert/strict";
import type { SpiffeId } from "../../src/model/mod.ts";
import { proxyHeader } from "../../src/proxy/proxy_protocol.ts";

const hex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const SIGNATURE = "0d0a0d0a000d0a515549540a";

Deno.test("proxyHeader() writes PROXY v2 with addresses, ports and the source's identity", () => {
  const v4 = proxyHeader({ address: "10.0.0.1", port: 41000 }, { ip: "10.96.0.1", port: 80 }, undefined);
  assert.equal(hex(v4), `${SIGNATURE}2111000c` + "0a000001" + "0a600001" + "a028" + "0050");
  const id = "spiffe://td/ns/a/sa/b" as SpiffeId;
  const withId = proxyHeader({ address: "10.0.0.1", port: 41000 }, { ip: "10.96.0.1", port: 80 }, id);
  assert.equal(withId.length, v4.length + 3 + id.length);
  assert.equal(hex(withId.slice(28, 31)), `d000${id.length.toString(16)}`);
  assert.equal(new TextDecoder().decode(withId.slice(31)), id);
  const mixed = proxyHeader({ address: "10.0.0.1", port: 1 }, { ip: "fd00::1", port: 2 }, undefined);
  assert.equal(
    hex(mixed),
    `${SIGNATURE}21210024` + "00000000000000000000ffff0a000001" + "fd000000000000000000000000000001" + "00010002",
  );
});
