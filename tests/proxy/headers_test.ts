import assert from "node:assert/strict";
import {
  baggageOf,
  encodeBaggage,
  encodeForwarded,
  forwardedHost,
  newTraceparent,
  parseTraceparent,
} from "../../src/proxy/headers.ts";
import { workload } from "../support/model.ts";

Deno.test("encodeBaggage() says what is known, in ztunnel's order", () => {
  const cart = workload("cart-5f6d", "10.0.0.1", {
    namespace: "shop",
    workloadName: "cart",
    canonicalName: "cart",
    canonicalRevision: "v1",
    clusterId: "east1",
    workloadType: "DEPLOYMENT",
    locality: { region: "r", zone: "z", subzone: "" },
  });
  assert.equal(
    encodeBaggage(cart),
    "k8s.cluster.name=east1,k8s.namespace.name=shop,k8s.deployment.name=cart,service.name=cart,service.version=v1," +
      "cloud.region=r,cloud.availability_zone=z",
  );
  assert.equal(
    encodeBaggage({ ...cart, locality: undefined, canonicalRevision: "", canonicalName: "a,b;c", clusterId: "é" }),
    "k8s.namespace.name=shop,k8s.deployment.name=cart",
    "empty members and such as would break the header are left out",
  );
});

Deno.test("baggageOf() reads what encodeBaggage() wrote, and survives anything", () => {
  const cart = workload("cart", "10.0.0.1", { canonicalName: "c", workloadName: "w" });
  assert.equal(baggageOf(encodeBaggage(cart)).serviceName, "c");
  for (const text of [undefined, "", ",,,", "=".repeat(9000)]) assert.deepEqual(baggageOf(text), {});
  assert.ok(baggageOf(`service.name=${"x".repeat(9000)}`).serviceName!.length < 4096);
});

Deno.test("encodeForwarded() and forwardedHost()", () => {
  assert.equal(encodeForwarded("10.0.0.1", 41000, undefined), 'for="10.0.0.1:41000"');
  assert.equal(encodeForwarded("fd00::1", 1, "web.x"), 'for="[fd00::1]:1";host=web.x');
  assert.equal(encodeForwarded("10.0.0.1", 1, 'a"b,c'), 'for="10.0.0.1:1"');
  const rows: [string | undefined, string | undefined][] = [
    ['for="10.0.0.1:1";host=web.x', "web.x"],
    ['for="[fd00::1]:1"; Host="web.x"', "web.x"],
    ["for=unknown", undefined],
    ["host=", undefined],
    [undefined, undefined],
    ["host=" + "x".repeat(2000), "x".repeat(1019)],
  ];
  for (const [header, want] of rows) assert.equal(forwardedHost(header), want);
});

Deno.test("traceparent: made, recognised, refused", () => {
  const made = newTraceparent();
  assert.match(made, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  assert.equal(parseTraceparent(made), made);
  assert.equal(parseTraceparent(made + "0"), undefined);
  assert.equal(parseTraceparent(undefined), undefined);
});
