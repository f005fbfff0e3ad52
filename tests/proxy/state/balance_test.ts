import assert from "node:assert/strict";
import type { LoadBalancingMode, RoutingScope, Workload } from "../../../src/model/mod.ts";
import { eligible, localityRank, weightedPick } from "../../../src/proxy/state/mod.ts";
import { workload } from "../../support/model.ts";

const at = (name: string, region: string, zone: string, extra: Partial<Workload> = {}) =>
  workload(name, "10.0.0.1", { locality: { region, zone, subzone: "" }, ...extra });
const source = at("source", "r1", "z1");

function names(mode: LoadBalancingMode, scopes: RoutingScope[], workloads: Workload[]): string[] {
  const balancing = { mode, routingPreference: scopes, healthPolicy: "ONLY_HEALTHY" as const };
  return eligible(workloads.map((one) => ({ workload: one })), balancing, source).map((one) => one.workload.name);
}

const near = at("near", "r1", "z1"), mid = at("mid", "r1", "z2"), far = at("far", "r2", "z1");

Deno.test("eligible() by mode", () => {
  const scopes: RoutingScope[] = ["REGION", "ZONE"];
  assert.deepEqual(names("UNSPECIFIED", scopes, [near, mid, far]), ["near", "mid", "far"]);
  assert.deepEqual(names("FAILOVER", scopes, [near, mid, far]), ["near"]);
  assert.deepEqual(names("FAILOVER", scopes, [mid, far]), ["mid"]);
  assert.deepEqual(names("FAILOVER", scopes, [far]), ["far"]);
  assert.deepEqual(names("STRICT", scopes, [near, mid, far]), ["near"]);
  assert.deepEqual(names("STRICT", scopes, [mid, far]), []);
});

Deno.test("localityRank() stops at the first mismatch, except for a leading NETWORK", () => {
  assert.equal(localityRank(["REGION", "ZONE"], source, far), 0, "same zone name in another region counts nothing");
  const scopes: RoutingScope[] = ["NETWORK", "REGION", "ZONE"];
  const remoteNear = at("remote-near", "r1", "z1", { network: "other" });
  const remoteFar = at("remote-far", "r2", "z1", { network: "other" });
  const ranks = [near, far, remoteNear, remoteFar].map((one) => localityRank(scopes, source, one));
  assert.ok(ranks[1] > ranks[2], "any endpoint of this network beats any remote one");
  assert.ok(ranks[0] > ranks[1] && ranks[2] > ranks[3], "each side is ordered in itself");
});

Deno.test("localityRank() knows node, subzone and cluster", () => {
  assert.equal(localityRank(["NODE", "CLUSTER", "SUBZONE"], source, near), 3);
  assert.equal(localityRank(["NODE"], source, { ...near, node: "node-2" }), 0);
  assert.equal(localityRank(["CLUSTER"], source, { ...near, clusterId: "other" }), 0);
});

Deno.test("weightedPick() follows the weights and never picks weight 0", () => {
  const items = [["a", 0], ["b", 1], ["c", 3]] as const;
  const pick = (random: number) => weightedPick(items, (item) => item[1], () => random)?.[0];
  assert.deepEqual([0, 0.24, 0.25, 0.99].map(pick), ["b", "b", "c", "c"]);
  assert.equal(weightedPick([], () => 1, () => 0), undefined);
  assert.equal(weightedPick([1], () => 0, () => 0), undefined);
  assert.equal(weightedPick([1, 2], () => 0, () => 0), undefined);
});
