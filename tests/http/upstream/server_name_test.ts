import assert from "node:assert/strict";
import { certifies, sniOf } from "../../../src/http/upstream/server_name.ts";
import type { AltNames } from "../../../src/identity/certificate.ts";
import type { UpstreamTls } from "../../../src/model/mod.ts";

const NAMES: AltNames = {
  dns: ["shop.example.com", "*.shop.example.com", "*.com", "UPPER.example.com"],
  uris: ["spiffe://cluster.local/ns/a/sa/b"],
  ips: [Uint8Array.of(10, 0, 0, 1), Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)],
};

const CASES: [string, boolean][] = [
  ["shop.example.com", true],
  ["SHOP.Example.com", true],
  ["upper.example.com", true],
  ["www.shop.example.com", true],
  ["a.www.shop.example.com", false],
  [".shop.example.com", false],
  ["example.com", false],
  ["shop.example.com.", false],
  ["xshop.example.com", false],
  ["spiffe://cluster.local/ns/a/sa/b", true],
  ["spiffe://cluster.local/ns/a/sa/c", false],
  ["10.0.0.1", true],
  ["10.0.0.2", false],
  ["fd00::1", true],
  ["a.com", false],
];

for (const [name, want] of CASES) {
  Deno.test(`certifies(): "${name}" ${want}`, () => assert.equal(certifies(NAMES, name), want));
}

Deno.test("sniOf(): the configured name, else the host's; never an address or a wildcard", () => {
  const tls = (sni: string): UpstreamTls => ({ mode: "SIMPLE", sni, subjectAltNames: [], insecureSkipVerify: false });
  assert.equal(sniOf({ hostname: "a.example", tls: tls("") }), "a.example");
  assert.equal(sniOf({ hostname: "a.example", tls: tls("b.example") }), "b.example");
  assert.equal(sniOf({ hostname: "10.0.0.1", tls: tls("") }), "");
  assert.equal(sniOf({ hostname: "*.example", tls: tls("") }), "");
});
