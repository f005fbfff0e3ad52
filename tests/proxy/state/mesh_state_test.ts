import assert from "node:assert/strict";
import { MeshState } from "../../../src/proxy/state/mod.ts";
import { memberOf, service, workload } from "../../support/model.ts";

const WEB = "default/web.default.svc.cluster.local";

function endpointNames(state: MeshState, key: string): string[] {
  return [...state.endpoints(key)].map((endpoint) => endpoint.workload.name).sort();
}

Deno.test("MeshState keeps endpoints of services it has not met", () => {
  const state = new MeshState();
  state.upsertWorkload(workload("a", "10.0.0.1", { services: memberOf({ [WEB]: { 80: 80 } }) }));
  assert.deepEqual(state.stagedServices(), [WEB]);
  state.upsertService(service("web", "10.96.0.1", { 80: 80 }));
  assert.deepEqual(state.stagedServices(), []);
  assert.deepEqual(endpointNames(state, WEB), ["a"]);
});

Deno.test("MeshState replaces and removes every index of a workload", () => {
  const state = new MeshState();
  const a = workload("a", "10.0.0.1", { services: memberOf({ [WEB]: {} }), hostname: "a.example" });
  state.upsertWorkload(a);
  state.upsertWorkload({ ...a, addresses: ["10.0.0.2"], services: new Map(), hostname: "" });
  assert.equal(state.workloadByAddress("", "10.0.0.1"), undefined);
  assert.equal(state.workloadByAddress("", "10.0.0.2")?.name, "a");
  assert.equal(state.workloadByHostname("a.example"), undefined);
  assert.deepEqual(endpointNames(state, WEB), []);
  state.removeAddress(a.uid);
  assert.equal(state.workloadByAddress("", "10.0.0.2"), undefined);
  assert.equal(state.workloadByInfo({ name: "a", namespace: "default", serviceAccount: "default" }), undefined);
  state.removeAddress("no/such");
});

Deno.test("MeshState removes a service by its key and keeps its endpoints for when it returns", () => {
  const state = new MeshState();
  state.upsertWorkload(workload("a", "10.0.0.1", { services: memberOf({ [WEB]: {} }) }));
  state.upsertService(service("web", "10.96.0.1", {}));
  state.removeAddress(WEB);
  assert.equal(state.serviceByVip("", "10.96.0.1", "default"), undefined);
  assert.deepEqual(endpointNames(state, WEB), ["a"]);
});

Deno.test("MeshState prefers pods, then HBONE, where an address has several owners", () => {
  const state = new MeshState();
  const entry = workload("entry", "10.0.0.1", { uid: "c/networking.istio.io/WorkloadEntry/default/entry" });
  state.upsertWorkload(entry);
  state.upsertWorkload(workload("plain", "10.0.0.1", { tunnelProtocol: "NONE" }));
  assert.equal(state.workloadByAddress("", "10.0.0.1")?.name, "plain");
  state.upsertWorkload(workload("meshed", "10.0.0.1"));
  assert.equal(state.workloadByAddress("", "10.0.0.1")?.name, "meshed");
});

Deno.test("MeshState finds a workload by what the CNI agent says, service account included", () => {
  const state = new MeshState();
  state.upsertWorkload(workload("a", "10.0.0.1", { serviceAccount: "x" }));
  assert.equal(state.workloadByInfo({ name: "a", namespace: "default", serviceAccount: "x" })?.name, "a");
  assert.equal(state.workloadByInfo({ name: "a", namespace: "default", serviceAccount: "y" }), undefined);
});

Deno.test("MeshState service lookup: visibility, own namespace, canonical, preferred, first", () => {
  const state = new MeshState();
  const at = (name: string, namespace: string, extra = {}) =>
    state.upsertService(
      service(name, "10.96.0.1", {}, { namespace, hostname: "h.example", canonical: false, ...extra }),
    );
  at("first", "a");
  at("canonical", "b", { canonical: true });
  at("own", "c");
  at("hidden", "d", { visibility: "NAMESPACE" });
  const vip = (namespace: string) => state.serviceByVip("", "10.96.0.1", namespace)?.name;
  assert.deepEqual(["c", "d", "z"].map(vip), ["own", "hidden", "canonical"]);
  state.removeAddress("b/h.example");
  assert.equal(vip("z"), "first");
  assert.equal(state.serviceByHostname("h.example", "z", "c")?.name, "own");
  assert.equal(state.serviceByHostname("h.example", "z", "d")?.name, "first", "hidden services are never preferred");
});

Deno.test("MeshState asks CIDR addresses only when no exact one matches, longest first", () => {
  const state = new MeshState();
  const cidr = (name: string, address: string, length: number) =>
    state.upsertService(service(name, "", {}, { hostname: name, addresses: [{ network: "", address, length }] }));
  cidr("wide", "10.0.0.0", 8);
  cidr("narrow", "10.1.0.0", 16);
  state.upsertService(service("exact", "10.1.2.3", {}));
  const vip = (ip: string) => state.serviceByVip("", ip, "z")?.name;
  assert.deepEqual(["10.1.2.3", "10.1.2.4", "10.2.0.0", "11.0.0.0"].map(vip), ["exact", "narrow", "wide", undefined]);
  state.removeAddress("default/narrow");
  assert.equal(vip("10.1.2.4"), "wide");
});

Deno.test("MeshState.onChange() tells of applied updates until it is called off", () => {
  const state = new MeshState();
  let calls = 0;
  const off = state.onChange(() => calls++);
  state.changed();
  off();
  state.changed();
  assert.equal(calls, 1);
});
