import "reflect-metadata";
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { altNames, certificateFacts, parseCertificate, peerSpiffeIds } from "../../src/identity/certificate.ts";
import {
  bitString,
  boolean,
  element,
  integer,
  octetString,
  oid,
  sequence,
  tagged,
  time,
} from "../../src/identity/der_write.ts";
import { certificatesOf } from "../../src/identity/pem.ts";
import { idOf, issueWorkload, testCa } from "./support.ts";

const ascii = (text: string) => new TextEncoder().encode(text);
const uri = (text: string) => tagged(6, false, ascii(text));

/** An unsigned certificate with these extensions: what a parser must survive. */
function certificateWith(extensions: Uint8Array[], overrides: { notBefore?: Uint8Array } = {}): Uint8Array {
  const algorithm = sequence(oid("1.2.840.10045.4.3.2"));
  const now = overrides.notBefore ?? time(new Date(Date.UTC(2031, 0, 1)));
  const spki = sequence(algorithm, bitString(new Uint8Array(65)));
  const tbs = sequence(
    tagged(0, true, integer(2n)),
    integer(7n),
    algorithm,
    sequence(),
    sequence(now, time(new Date(Date.UTC(2055, 5, 6, 7, 8, 9)))),
    sequence(),
    spki,
    tagged(3, true, sequence(...extensions)),
  );
  return sequence(tbs, algorithm, bitString(new Uint8Array(70)));
}

const san = (...names: Uint8Array[]) => sequence(oid("2.5.29.17"), boolean(true), octetString(sequence(...names)));

Deno.test("peerSpiffeIds() reads the identities of a certificate", async (t) => {
  const a = "spiffe://cluster.local/ns/shop/sa/cart", b = "spiffe://other.test/ns/x/sa/y";
  const cases: [name: string, extensions: Uint8Array[], expected: string[]][] = [
    ["one", [san(uri(a))], [a]],
    ["several, in order", [san(uri(b), uri(a))], [b, a]],
    ["beside other names", [san(tagged(2, false, ascii("a.test")), uri("https://x.test/"), uri(a))], [a]],
    ["none", [san(tagged(2, false, ascii("a.test")))], []],
    ["no extension", [], []],
    ["a longer path is not an identity", [san(uri(a + "/x"))], []],
    ["a NUL inside is not an identity", [san(uri("spiffe://cluster.local/ns/shop/sa/cart\0.evil"))], []],
    ["a newline at the end is not an identity", [san(uri(a + "\n"))], []],
    ["another scheme", [san(uri("SPIFFE://cluster.local/ns/shop/sa/cart"))], []],
    ["an empty part", [san(uri("spiffe://cluster.local/ns//sa/cart"))], []],
    ["an identity in a DNS name does not count", [san(tagged(2, false, ascii(a)))], []],
    ["two SAN extensions are refused whole", [san(uri(a)), san(uri(b))], []],
    ["bytes after the names are refused", [
      sequence(oid("2.5.29.17"), octetString(Uint8Array.of(...sequence(uri(a)), 0))),
    ], []],
    ["a byte that is not ASCII", [san(tagged(6, false, Uint8Array.of(...ascii(a), 0xff)))], []],
    ["names that are not a sequence", [sequence(oid("2.5.29.17"), octetString(ascii("x")))], []],
  ];
  for (const [name, extensions, expected] of cases) {
    await t.step(name, () => assert.deepEqual(peerSpiffeIds(certificateWith(extensions)), expected));
  }
});

Deno.test("peerSpiffeIds() survives every truncation and every flipped byte", async () => {
  const der = (await issueWorkload(await testCa(), idOf("shop", "cart"))).leafDer;
  assert.deepEqual(peerSpiffeIds(der), ["spiffe://cluster.local/ns/shop/sa/cart"]);
  for (let length = 0; length < der.length; length++) assert.deepEqual(peerSpiffeIds(der.subarray(0, length)), []);
  for (let at = 0; at < der.length; at++) {
    for (const bit of [0x01, 0x20, 0x80]) {
      const hostile = der.slice();
      hostile[at] ^= bit;
      assert.ok(peerSpiffeIds(hostile).length <= 1);
    }
  }
});

Deno.test("peerSpiffeIds() refuses malformed DER", async (t) => {
  const deep = (depth: number) => {
    let inner: Uint8Array = new Uint8Array(0);
    for (let i = 0; i < depth; i++) inner = sequence(inner);
    return inner;
  };
  const good = certificateWith([san(uri("spiffe://a/ns/b/sa/c"))]);
  const cases: [string, Uint8Array][] = [
    ["nothing", new Uint8Array(0)],
    ["one byte", Uint8Array.of(0x30)],
    ["indefinite length", Uint8Array.of(0x30, 0x80, 0, 0)],
    ["a length of nine bytes", Uint8Array.of(0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1)],
    ["a length of 4 GiB", Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)],
    ["a length that is not minimal", Uint8Array.of(0x30, 0x81, 0x01, 0x00)],
    ["a tag of several bytes", Uint8Array.of(0x3f, 0x81, 0x01, 0x00)],
    ["another tag", Uint8Array.of(0x31, 0x00)],
    ["deep nesting", deep(5000)],
    ["bytes behind the certificate", Uint8Array.of(...good, 0)],
    ["100 KiB", sequence(new Uint8Array(100 * 1024))],
    [
      "February 30",
      certificateWith([san(uri("spiffe://a/ns/b/sa/c"))], { notBefore: element(0x17, ascii("310230000000Z")) }),
    ],
    [
      "a time with an offset",
      certificateWith([san(uri("spiffe://a/ns/b/sa/c"))], { notBefore: element(0x17, ascii("3101300000+0100")) }),
    ],
  ];
  for (const [name, der] of cases) await t.step(name, () => assert.deepEqual(peerSpiffeIds(der), []));
});

Deno.test("certificateFacts() agrees with node's X509Certificate and @peculiar/x509", async () => {
  const { X509Certificate: Peculiar } = await import("@peculiar/x509");
  const ca = await testCa();
  for (const pem of [ca.rootPem, (await issueWorkload(ca, idOf("shop", "cart"))).chainPem]) {
    const der = certificatesOf(pem)[0], facts = certificateFacts(der);
    const theirs = new X509Certificate(pem), second = new Peculiar(pem);
    assert.equal(BigInt(facts.serial), BigInt(`0x${theirs.serialNumber}`));
    assert.equal(facts.notBefore.getTime(), new Date(theirs.validFrom).getTime());
    assert.equal(facts.notAfter.getTime(), second.notAfter.getTime());
    assert.equal(facts.notAfter.getTime() % 1000, 0);
  }
});

Deno.test("parseCertificate() reads GeneralizedTime, serial and names", () => {
  const der = certificateWith([san(tagged(2, false, ascii("a.test")), tagged(7, false, Uint8Array.of(10, 0, 0, 1)))]);
  const certificate = parseCertificate(der);
  assert.equal(certificate.notAfter.toISOString(), "2055-06-06T07:08:09.000Z");
  assert.equal(certificate.serial, 7n);
  assert.deepEqual(altNames(certificate.extensions).dns, ["a.test"]);
  assert.deepEqual([...altNames(certificate.extensions).ips[0]], [10, 0, 0, 1]);
});
