import assert from "node:assert/strict";
import type { AuthorizationPolicy, PolicyScope } from "../../src/model/mod.ts";
import { PolicyStore } from "../../src/policy/mod.ts";

function policy(namespace: string, name: string, scope: PolicyScope): AuthorizationPolicy {
  return { namespace, name, scope, action: "ALLOW", rules: [], dryRun: false };
}

function keys(store: PolicyStore, namespace: string, names: string[] = []): string[] {
  return store.applicable({ namespace, authorizationPolicies: names }).policies.map((p) => p.key).sort();
}

Deno.test("PolicyStore.applicable() joins namespace, global and named policies", () => {
  const store = new PolicyStore();
  store.upsert(policy("istio-system", "mesh", "GLOBAL"));
  store.upsert(policy("shop", "all", "NAMESPACE"));
  store.upsert(policy("shop", "picked", "WORKLOAD_SELECTOR"));
  store.upsert(policy("depot", "all", "NAMESPACE"));
  assert.deepEqual(keys(store, "shop"), ["istio-system/mesh", "shop/all"]);
  assert.deepEqual(keys(store, "shop", ["shop/picked", "shop/all"]), ["istio-system/mesh", "shop/all", "shop/picked"]);
  assert.deepEqual(keys(store, "empty"), ["istio-system/mesh"]);
  assert.deepEqual(store.applicable({ namespace: "shop", authorizationPolicies: ["shop/gone"] }).missing, [
    "shop/gone",
  ]);
});

Deno.test("PolicyStore.upsert() moves a policy whose scope changed, remove() forgets it everywhere", () => {
  const store = new PolicyStore();
  store.upsert(policy("shop", "p", "GLOBAL"));
  assert.deepEqual(keys(store, "elsewhere"), ["shop/p"]);
  store.upsert(policy("shop", "p", "NAMESPACE"));
  assert.deepEqual(keys(store, "elsewhere"), []);
  assert.deepEqual(keys(store, "shop"), ["shop/p"]);
  assert.equal(store.remove("shop/p"), true);
  assert.equal(store.remove("shop/p"), false);
  assert.deepEqual(keys(store, "shop"), []);
  assert.equal(store.size, 0);
});
