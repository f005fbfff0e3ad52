import assert from "node:assert/strict";
import { balancerFor, hashText } from "../../../src/http/upstream/balancer/mod.ts";
import type { Host } from "../../../src/http/upstream/mod.ts";
import type { LoadBalancer } from "../../../src/model/mod.ts";
import { hosts, seeded, shares } from "./support.ts";

const CLOCK = { now: 0 };

function make(config: LoadBalancer, among: readonly Host[], seed = 7) {
  return balancerFor(config, among, CLOCK, seeded(seed));
}

const hashing = (algorithm: "RING_HASH" | "MAGLEV", size: number): LoadBalancer => ({
  policy: "CONSISTENT_HASH",
  hash: { on: { kind: "sourceIp" }, algorithm, size },
});

const DISTRIBUTIONS: [string, LoadBalancer, number[], number[], number][] = [
  ["round robin, equal", { policy: "ROUND_ROBIN" }, [1, 1, 1, 1], [0.25, 0.25, 0.25, 0.25], 0.001],
  ["round robin, weighted", { policy: "ROUND_ROBIN" }, [1, 2, 5], [0.125, 0.25, 0.625], 0.002],
  ["random", { policy: "RANDOM" }, [1, 1, 8], [1 / 3, 1 / 3, 1 / 3], 0.03],
  ["least request, all idle", { policy: "LEAST_REQUEST" }, [1, 1, 1], [1 / 3, 1 / 3, 1 / 3], 0.03],
  ["least request, weighted and idle", { policy: "LEAST_REQUEST" }, [1, 3], [0.25, 0.75], 0.002],
  ["ring hash, equal", hashing("RING_HASH", 8192), [1, 1, 1, 1], [0.25, 0.25, 0.25, 0.25], 0.05],
  ["ring hash, weighted", hashing("RING_HASH", 8192), [1, 3], [0.25, 0.75], 0.05],
  ["Maglev, equal", hashing("MAGLEV", 0), [1, 1, 1, 1], [0.25, 0.25, 0.25, 0.25], 0.02],
  ["Maglev, weighted", hashing("MAGLEV", 0), [1, 3, 4], [0.125, 0.375, 0.5], 0.02],
  ["one host", { policy: "LEAST_REQUEST" }, [5], [1], 0],
];

for (const [name, config, weights, want, tolerance] of DISTRIBUTIONS) {
  Deno.test(`balancer: ${name}`, () => {
    const among = hosts(...weights);
    const balancer = make(config, among);
    let i = 0;
    const got = shares(among, () => balancer.choose(hashText(`client-${i++}`)));
    got.forEach((share, at) => assert.ok(Math.abs(share - want[at]) <= tolerance, `${got} is not ${want}`));
  });
}

Deno.test("balancer: nobody to choose", () => {
  const policies: LoadBalancer[] = [
    { policy: "ROUND_ROBIN" },
    { policy: "RANDOM" },
    { policy: "LEAST_REQUEST" },
    { policy: "PASSTHROUGH" },
    hashing("RING_HASH", 0),
    hashing("MAGLEV", 0),
  ];
  for (const config of policies) assert.equal(make(config, []).choose(5), null);
});

Deno.test("balancer: weighted round robin is smooth", () => {
  const among = hosts(1, 3);
  const balancer = make({ policy: "ROUND_ROBIN" }, among);
  const picks = Array.from({ length: 400 }, () => balancer.choose(0));
  for (let i = 0; i + 8 <= picks.length; i += 4) {
    const light = picks.slice(i, i + 8).filter((host) => host === among[0]).length;
    assert.ok(light >= 1 && light <= 3, `${light} of 8`);
  }
});

Deno.test("balancer: least request goes to the less busy of two", () => {
  const among = hosts(1, 1, 1, 1);
  among[0].active = 100;
  const [busy, ...others] = shares(
    among,
    (() => {
      const balancer = make({ policy: "LEAST_REQUEST" }, among);
      return () => balancer.choose(0);
    })(),
  );
  assert.equal(busy, 0, "it always meets a less busy one");
  for (const share of others) assert.ok(Math.abs(share - 1 / 3) < 0.03);
});

Deno.test("balancer: least request with weights divides a weight by the load", () => {
  const among = hosts(1, 2);
  among[1].active = 9;
  const balancer = make({ policy: "LEAST_REQUEST" }, among);
  const [first, second] = shares(among, () => balancer.choose(0));
  // 1 / 1 against 2 / 10.
  assert.ok(Math.abs(first - 1 / 1.2) < 0.01 && Math.abs(second - 0.2 / 1.2) < 0.01, `${first} ${second}`);
});

for (const algorithm of ["RING_HASH", "MAGLEV"] as const) {
  Deno.test(`balancer: ${algorithm} is stable, and moves few when a host goes`, () => {
    const among = hosts(1, 1, 1, 1, 1);
    const config = hashing(algorithm, algorithm === "MAGLEV" ? 65537 : 4096);
    const before = make(config, among, 1), same = make(config, among, 2), after = make(config, among.slice(1));
    let moved = 0, total = 0;
    for (let i = 0; i < 10_000; i++) {
      const hash = hashText(`user-${i}`);
      const host = before.choose(hash)!;
      assert.equal(same.choose(hash), host);
      if (host === among[0]) continue;
      total++;
      if (after.choose(hash) !== host) moved++;
    }
    assert.ok(moved / total < (algorithm === "MAGLEV" ? 0.1 : 0.15), `${moved} of ${total} moved`);
  });
}

Deno.test("balancer: a new host warms up", () => {
  const among = hosts(1, 1);
  among[0].since = -100_000;
  among[1].since = 0;
  const clock = { now: 0 };
  const config: LoadBalancer = { policy: "ROUND_ROBIN", warmupMs: 10_000 };
  const table: [number, number][] = [[0, 0.1 / 1.1], [5_000, 0.5 / 1.5], [9_000, 0.9 / 1.9]];
  for (const [now, want] of table) {
    clock.now = now;
    const balancer = balancerFor(config, among, clock, seeded());
    const [, share] = shares(among, () => balancer.choose(0));
    assert.ok(Math.abs(share - want) < 0.01, `${share} is not ${want} after ${now} ms`);
  }
});
