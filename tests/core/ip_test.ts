import assert from "node:assert/strict";
import { canonicalIp, hostPort, inCidr, parseCidr, parseIp, splitHostPort } from "../../src/core/ip.ts";

Deno.test("canonicalIp() reads what is an address and nothing else", () => {
  const rows: [string, string | undefined][] = [
    ["10.0.0.1", "10.0.0.1"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["::ffff:0a01:0203", "10.1.2.3"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["", undefined],
    ["1.2.3", undefined],
    ["1.2.3.4.5", undefined],
    ["1..2.3", undefined],
    ["256.0.0.1", undefined],
    ["01.2.3.4", undefined],
    ["1.2.3.4 ", undefined],
    ["1.2.3.", undefined],
    [":1", undefined],
    ["1:2:3:4:5:6:7", undefined],
    ["1:2:3:4:5:6:7:8:9", undefined],
    ["1::2::3", undefined],
    ["1:2:3:4::5:6:7:8", undefined],
    ["::1.2.3.4:1", undefined],
    ["fe80::1%eth0", undefined],
    ["12345::", undefined],
    [":::", undefined],
    ["example.com", undefined],
  ];
  for (const [text, want] of rows) assert.equal(canonicalIp(text), want, text);
});

Deno.test("inCidr() compares prefix bits within one family", () => {
  const rows: [string, string, number, boolean][] = [
    ["10.1.2.3", "10.0.0.0", 8, true],
    ["11.1.2.3", "10.0.0.0", 8, false],
    ["10.1.2.3", "0.0.0.0", 0, true],
    ["10.1.2.3", "10.1.2.3", 32, true],
    ["10.1.2.2", "10.1.2.3", 32, false],
    ["192.168.1.129", "192.168.1.128", 25, true],
    ["192.168.1.127", "192.168.1.128", 25, false],
    ["2001:db8::1", "2001:db8::", 32, true],
    ["2001:db9::1", "2001:db8::", 32, false],
    ["2001:db8::8000:0:0:1", "2001:db8:0:0:8000::", 65, true],
    ["2001:db8::7000:0:0:1", "2001:db8:0:0:8000::", 65, false],
    ["10.0.0.1", "::", 0, false],
    ["::1", "0.0.0.0", 0, false],
    ["10.0.0.1", "::ffff:10.0.0.0", 104, true],
  ];
  for (const [ip, base, length, want] of rows) {
    assert.equal(inCidr(parseIp(ip)!, parseCidr(base, length)!), want, `${ip} in ${base}/${length}`);
  }
  for (const [base, length] of [["10.0.0.0", 33], ["::", 129], ["x", 8], ["10.0.0.0", -1], ["::ffff:1.2.3.4", 95]]) {
    assert.equal(parseCidr(base as string, length as number), undefined);
  }
});

Deno.test("hostPort() and splitHostPort() bracket IPv6 and insist on a port", () => {
  assert.equal(hostPort("::1", 80), "[::1]:80");
  assert.deepEqual(splitHostPort("[::1]:80"), { host: "::1", port: 80 });
  assert.deepEqual(splitHostPort("a.b:65535"), { host: "a.b", port: 65535 });
  for (const bad of ["", "a", "a:", ":80", "a:65536", "::1:80", "[::1]", "a b:80", "a:8 0", "http://a:80", "u@h:80"]) {
    assert.equal(splitHostPort(bad), undefined, bad);
  }
});
