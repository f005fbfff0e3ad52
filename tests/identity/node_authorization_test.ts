import assert from "node:assert/strict";
import { authorizeImpersonation, type PodFacts, type PodLookup } from "../../src/identity/node_authorization.ts";
import type { KubernetesCaller } from "../../src/identity/types.ts";

function pod(namespace: string, name: string, serviceAccount: string, nodeName: string, phase = "Running"): PodFacts {
  return { namespace, name, serviceAccount, nodeName, phase, uid: `uid-${name}` };
}

function lookup(pods: PodFacts[]): PodLookup {
  return {
    pod: (namespace, name) => pods.find((p) => p.namespace === namespace && p.name === name),
    podsOfServiceAccount: (namespace, account) =>
      pods.filter((p) => p.namespace === namespace && p.serviceAccount === account),
  };
}

const PODS = [
  pod("istio-system", "zt-1", "ztunnel", "node1"),
  pod("istio-system", "zt-2", "ztunnel", "node2"),
  pod("istio-system", "zt-0", "ztunnel", ""),
  pod("shop", "cart-1", "cart", "node1"),
  pod("shop", "stock-1", "stock", "node2"),
  pod("shop", "failed-1", "failed", "node1", "Failed"),
  pod("shop", "pending-1", "pending", ""),
];
const CALLER: KubernetesCaller = {
  clusterId: "",
  namespace: "istio-system",
  serviceAccount: "ztunnel",
  podName: "zt-1",
  podUid: "uid-zt-1",
};
const CART = "spiffe://cluster.local/ns/shop/sa/cart";
const TRUSTED = new Set(["istio-system/ztunnel"]);

Deno.test("authorizeImpersonation() follows Istio's node authorizer", async (t) => {
  const cases: [
    name: string,
    caller: KubernetesCaller | undefined,
    requested: string,
    trusted: Set<string>,
    pods: PodLookup | undefined,
    denied?: RegExp,
  ][] = [
    ["a pod on the node", CALLER, CART, TRUSTED, lookup(PODS)],
    ["the trust domain is not compared", CALLER, "spiffe://other.test/ns/shop/sa/cart", TRUSTED, lookup(PODS)],
    ["its own account", CALLER, "spiffe://cluster.local/ns/istio-system/sa/ztunnel", TRUSTED, lookup(PODS)],
    ["no token", undefined, CART, TRUSTED, lookup(PODS), /Kubernetes token/],
    ["nobody is trusted by default", CALLER, CART, new Set(), lookup(PODS), /not a trusted node account/],
    [
      "another account",
      { ...CALLER, serviceAccount: "other" },
      CART,
      TRUSTED,
      lookup(PODS),
      /not a trusted node account/,
    ],
    ["another namespace", { ...CALLER, namespace: "shop" }, CART, TRUSTED, lookup(PODS), /not a trusted node account/],
    ["not a SPIFFE id", CALLER, "cart", TRUSTED, lookup(PODS), /not a SPIFFE identity/],
    ["an empty part", CALLER, "spiffe://cluster.local/ns//sa/cart", TRUSTED, lookup(PODS), /not a SPIFFE identity/],
    ["an unknown cluster's pods", CALLER, CART, TRUSTED, undefined, /not known/],
    ["a token bound to no pod", { ...CALLER, podName: undefined }, CART, TRUSTED, lookup(PODS), /not bound to a pod/],
    ["an unknown pod", { ...CALLER, podName: "zt-9" }, CART, TRUSTED, lookup(PODS), /not known/],
    ["a recreated pod", { ...CALLER, podUid: "old" }, CART, TRUSTED, lookup(PODS), /another UID/],
    [
      "a pod of another account",
      { ...CALLER, podName: "x", podUid: "uid-x" },
      CART,
      TRUSTED,
      lookup([...PODS, pod("istio-system", "x", "istiod", "node1")]),
      /another service account/,
    ],
    [
      "a caller that is not scheduled",
      { ...CALLER, podName: "zt-0", podUid: "uid-zt-0" },
      "spiffe://cluster.local/ns/shop/sa/pending",
      TRUSTED,
      lookup(PODS),
      /not on a node/,
    ],
    [
      "an account of another node",
      CALLER,
      "spiffe://cluster.local/ns/shop/sa/stock",
      TRUSTED,
      lookup(PODS),
      /runs on node "node1"/,
    ],
    ["a failed pod", CALLER, "spiffe://cluster.local/ns/shop/sa/failed", TRUSTED, lookup(PODS), /runs on node/],
    ["a pod without node", CALLER, "spiffe://cluster.local/ns/shop/sa/pending", TRUSTED, lookup(PODS), /runs on node/],
  ];
  for (const [name, caller, requested, trusted, pods, denied] of cases) {
    await t.step(name, () => {
      const decision = authorizeImpersonation(caller, requested, trusted, pods);
      if (denied) assert.match("denied" in decision ? decision.denied : "allowed", denied);
      else assert.deepEqual(decision, { allowed: requested });
    });
  }
});
