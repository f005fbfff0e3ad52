import assert from "node:assert/strict";
import fc from "fast-check";
import { AF_INET, AF_INET6 } from "../../src/sys/constants.ts";
import { allocate } from "../../src/sys/memory.ts";
import {
  familyOf,
  formatSocketAddress,
  readSocketAddress,
  SOCKADDR_BYTES,
  writeSocketAddress,
  writeUnixAddress,
} from "../../src/sys/socket_address.ts";
import { errnoName, errnoText, sysError } from "../../src/sys/errno.ts";

const at = allocate(SOCKADDR_BYTES);

function roundTrip(family: number, address: string, port: number): string {
  writeSocketAddress(at, family, address, port);
  return formatSocketAddress(readSocketAddress(at));
}

Deno.test("socket addresses survive the way to the kernel's form and back, in canonical text", () => {
  const cases: [family: number, address: string, port: number, text: string][] = [
    [AF_INET, "10.1.2.3", 80, "10.1.2.3:80"],
    [AF_INET, "255.255.255.255", 65535, "255.255.255.255:65535"],
    [AF_INET6, "10.1.2.3", 80, "10.1.2.3:80"],
    [AF_INET6, "::ffff:10.1.2.3", 80, "10.1.2.3:80"],
    [AF_INET6, "::", 0, "[::]:0"],
    [AF_INET6, "::1", 1, "[::1]:1"],
    [AF_INET6, "fd00:0:0:1:0:0:0:1", 443, "[fd00:0:0:1::1]:443"],
    [AF_INET6, "2001:db8:0:1:1:1:1:1", 1, "[2001:db8:0:1:1:1:1:1]:1"],
    [AF_INET6, "FE80::A:0", 1, "[fe80::a:0]:1"],
    [AF_INET6, "1::", 1, "[1::]:1"],
  ];
  for (const [family, address, port, text] of cases) assert.equal(roundTrip(family, address, port), text);
});

Deno.test("any IPv6 address comes back meaning the same", () => {
  fc.assert(fc.property(fc.ipV6(), (address) => {
    const once = roundTrip(AF_INET6, address, 1);
    const bare = once.startsWith("[") ? once.slice(1, once.indexOf("]")) : once.split(":")[0];
    assert.equal(roundTrip(AF_INET6, bare, 1), once);
  }));
});

Deno.test("what is no address is refused", () => {
  for (const text of ["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.x", "host"]) {
    assert.throws(() => writeSocketAddress(at, AF_INET, text, 1), { code: "bad_address" }, text);
  }
  for (const text of [":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "g::", "::1.2.3.400", "12345::"]) {
    assert.throws(() => writeSocketAddress(at, AF_INET6, text, 1), { code: "bad_address" }, text);
  }
  for (const port of [-1, 65536, 1.5, NaN]) {
    assert.throws(() => writeSocketAddress(at, AF_INET, "1.2.3.4", port), { code: "bad_address" });
  }
  assert.throws(() => writeUnixAddress(at, "x".repeat(108)), { code: "bad_address" });
  assert.equal(familyOf("1.2.3.4"), AF_INET);
  assert.equal(familyOf("::1"), AF_INET6);
});

Deno.test("errno numbers have names, and an error says what was attempted", () => {
  assert.equal(errnoName(111), "ECONNREFUSED");
  assert.equal(errnoText(4242), "errno 4242");
  const error = sysError('cannot open "x"', 2);
  assert.equal(error.message, 'cannot open "x": no such file or directory (ENOENT)');
  assert.deepEqual(error.details, { errno: 2, name: "ENOENT" });
});
