import assert from "node:assert/strict";
import { candidateNames } from "../../../src/proxy/dns/names.ts";

/** Names without wildcards, in order, each with what was stripped. */
function names(asked: string): string[] {
  return [...candidateNames(asked, "shop", "cluster.local")].filter((one) => !one.wildcard)
    .map((one) => one.stripped === undefined ? one.name : `${one.name} (${one.stripped})`);
}

const ROWS: [string, string[]][] = [
  ["cart", ["cart", "cart.shop.svc.cluster.local"]],
  ["cart.depot", ["cart.depot", "cart.depot.svc.cluster.local", "cart.depot.shop.svc.cluster.local"]],
  ["cart.depot.svc", ["cart.depot.svc", "cart.depot.svc.cluster.local", "cart.depot.svc.svc.cluster.local"]],
  ["pod-0.cart.depot", ["pod-0.cart.depot", "pod-0.cart.depot.svc.cluster.local"]],
  ["pod-0.cart.depot.svc", ["pod-0.cart.depot.svc", "pod-0.cart.depot.svc.cluster.local"]],
  ["a.b.c.example.com", ["a.b.c.example.com"]],
  // What a resolver asks first for "example.com" with the pod's search list.
  ["example.com.shop.svc.cluster.local", [
    "example.com.shop.svc.cluster.local",
    "example.com (example.com)",
    "example.com.svc.cluster.local (example.com)",
    "example.com.shop (example.com.shop)",
    "example.com.shop.svc (example.com.shop.svc)",
  ]],
  ["CART.Shop", ["cart.shop", "cart.shop.svc.cluster.local", "cart.shop.shop.svc.cluster.local"]],
];

for (const [asked, want] of ROWS) {
  Deno.test(`candidateNames(): ${asked}`, () => assert.deepEqual(names(asked), want));
}

Deno.test("candidateNames() follows each name with its wildcards, most specific first, and repeats none", () => {
  const all = [...candidateNames("a.example.com", "shop", "cluster.local")].map((one) => one.name);
  assert.deepEqual(all.slice(0, 4), ["a.example.com", "*.example.com", "*.com", "a.example.com.svc.cluster.local"]);
  assert.equal(new Set(all).size, all.length);
});

Deno.test("candidateNames() stays small for the longest of names", () => {
  const long = Array.from({ length: 127 }, () => "a").join(".");
  assert.ok([...candidateNames(long, "shop", "cluster.local")].length < 400);
  assert.deepEqual(names(""), ["", ".shop.svc.cluster.local"]);
});
