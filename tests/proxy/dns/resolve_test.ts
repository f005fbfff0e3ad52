import assert from "node:assert/strict";
import { type Resolution, resolveName } from "../../../src/proxy/dns/resolve.ts";
import { MeshState } from "../../../src/proxy/state/mod.ts";
import { memberOf, service, workload } from "../../support/model.ts";

const client = workload("client", "10.0.0.1", { namespace: "shop" });

function mesh(): MeshState {
  const state = new MeshState();
  const headless = "shop/peers.shop.svc.cluster.local";
  const dual = [{ network: "", address: "10.96.0.2" }, { network: "", address: "fd96::2" }];
  state.upsertWorkload(client);
  state.upsertWorkload(workload("p1", "10.0.0.11", { namespace: "shop", services: memberOf({ [headless]: {} }) }));
  state.upsertWorkload(
    workload("p2", "10.0.0.12", { namespace: "shop", services: memberOf({ [headless]: {} }), status: "UNHEALTHY" }),
  );
  for (
    const one of [
      service("cart", "10.96.0.1", {}, { namespace: "shop" }),
      service("cart", "10.96.0.9", {}, { namespace: "depot" }),
      service("dual", "", {}, { namespace: "shop", addresses: dual }),
      service("only6", "", {}, { namespace: "shop", addresses: dual, ipFamilies: "IPV6_ONLY" }),
      service("peers", "", {}, { namespace: "shop" }),
      service("far", "", {}, { namespace: "shop", addresses: [{ network: "other", address: "10.96.0.3" }] }),
      service("ext", "192.0.2.1", {}, { namespace: "shop", hostname: "api.example.com" }),
      service("bare", "", {}, { namespace: "shop", hostname: "nowhere.example.com" }),
      service("wild", "192.0.2.2", {}, { namespace: "shop", hostname: "*.wild.example.com" }),
      service("hidden", "192.0.2.3", {}, {
        namespace: "depot",
        hostname: "hidden.example.com",
        visibility: "NAMESPACE",
      }),
    ]
  ) state.upsertService(one);
  return state;
}

function short(found: Resolution): string {
  if (found.kind === "forward") return "forward";
  return `${found.alias ? `${found.alias}: ` : ""}${found.addresses.join(",")}`;
}

const ROWS: [string, string, 4 | 6, string][] = [
  ["own namespace, short", "cart", 4, "10.96.0.1"],
  ["other namespace", "cart.depot", 4, "10.96.0.9"],
  ["full", "cart.depot.svc.cluster.local", 4, "10.96.0.9"],
  ["both families: A", "dual", 4, "10.96.0.2"],
  ["both families: AAAA", "dual", 6, "fd96::2"],
  ["known, without this family", "cart", 6, ""],
  ["one family only", "only6", 4, ""],
  ["headless: healthy endpoints", "peers", 4, "10.0.0.11"],
  ["only on another network", "far", 4, ""],
  ["an outside name the mesh knows", "api.example.com", 4, "192.0.2.1"],
  [
    "the same with a search domain behind it",
    "api.example.com.shop.svc.cluster.local",
    4,
    "api.example.com: 192.0.2.1",
  ],
  ["wildcard", "x.wild.example.com", 4, "192.0.2.2"],
  ["wildcard, search domain", "x.wild.example.com.svc.cluster.local", 4, "192.0.2.2"],
  ["an outside name without address", "nowhere.example.com", 4, "forward"],
  ["not visible from here", "hidden.example.com", 4, "forward"],
  ["unknown", "nobody.example.com", 4, "forward"],
  ["unknown in the cluster", "nobody.shop.svc.cluster.local", 4, "forward"],
];

for (const [title, name, family, want] of ROWS) {
  Deno.test(`resolveName(): ${title}`, () => {
    const options = { clusterDomain: "cluster.local", network: "", ipv6: true };
    assert.equal(short(resolveName(mesh(), client, name, family, options)), want);
  });
}

Deno.test("resolveName() answers AAAA without addresses where IPv6 is not wanted", () => {
  const options = { clusterDomain: "cluster.local", network: "", ipv6: false };
  assert.equal(short(resolveName(mesh(), client, "dual", 6, options)), "");
});
