import assert from "node:assert/strict";
import fc from "fast-check";
import { type Baggage, formatBaggage, parseBaggage } from "../../src/hbone/baggage.ts";

Deno.test("formatBaggage() writes members in ztunnel's order and leaves empty ones out", () => {
  assert.equal(
    formatBaggage({
      clusterId: "Kubernetes",
      namespace: "shop",
      workloadType: "deployment",
      workloadName: "cart",
      serviceName: "cart",
      revision: "v1",
      region: "r1",
      zone: "z1",
    }),
    "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,k8s.deployment.name=cart,service.name=cart,service.version=v1," +
      "cloud.region=r1,cloud.availability_zone=z1",
  );
  assert.equal(formatBaggage({ workloadName: "cart", namespace: "" }), "k8s.pod.name=cart");
  assert.equal(formatBaggage({}), "");
});

Deno.test("parseBaggage() reads what others write, and skips what it does not know", () => {
  const cases: [string, Baggage][] = [
    ["", {}],
    ["nonsense", {}],
    ["=x,a=,service.name=cart", { serviceName: "cart" }],
    ["k8s.cluster.name=c1 , service.name = cart;prop=1", { clusterId: "c1", serviceName: "cart" }],
    ["k8s.job.name=nightly", { workloadType: "job", workloadName: "nightly" }],
    ["k8s.unicorn.name=x,k8s.pod.name=p", { workloadType: "pod", workloadName: "p" }],
    ["service.name=a,service.name=b", { serviceName: "b" }],
  ];
  for (const [text, expected] of cases) assert.deepEqual(parseBaggage(text), expected, text);
});

Deno.test("baggage survives the way there and back", () => {
  const value = fc.stringMatching(/^[A-Za-z0-9._-]{1,20}$/);
  fc.assert(fc.property(
    fc.record({
      clusterId: value,
      namespace: value,
      workloadType: fc.constantFrom("pod", "deployment", "job", "cronjob"),
      workloadName: value,
      serviceName: value,
      revision: value,
      region: value,
      zone: value,
    }),
    (baggage) => assert.deepEqual(parseBaggage(formatBaggage(baggage)), { ...baggage }),
  ));
});
