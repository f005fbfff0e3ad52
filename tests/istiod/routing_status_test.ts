import assert from "node:assert/strict";
import type { RoutingCondition, RoutingStatus } from "../../src/index/mod.ts";
import { type KubeObject, type Resource, RESOURCES, Store } from "../../src/kube/mod.ts";
import { RoutingStatusWriter, type StatusSource } from "../../src/roles/istiod/routing_status_writer.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { eventually } from "../support/eventually.ts";
import { status, WatchApi } from "../support/watch_api.ts";

const lines: string[] = [];
const logger = new Logger("test", { sink: { write: (line) => void lines.push(line) } });
const ROUTE: Resource = {
  group: "gateway.networking.k8s.io",
  version: "v1",
  resource: "httproutes",
  kind: "HTTPRoute",
  namespaced: true,
};
const GATEWAY: Resource = { ...ROUTE, resource: "gateways", kind: "Gateway" };

function condition(type: string, value: "True" | "False" = "True", observedGeneration = 1): RoutingCondition {
  return { type, status: value, reason: type, message: "m", observedGeneration };
}

const OURS = "istio.io/gateway-controller", OTHERS = "example.com/controller";
const EARLIER = "2025-05-05T05:05:05Z", NOW = "2026-01-01T00:00:00Z";
const parent = (name: string, controllerName: string, conditions: unknown[]) => ({
  parentRef: { name },
  controllerName,
  conditions,
});

function routeStatus(conditions: RoutingCondition[], more: Partial<RoutingStatus> = {}): RoutingStatus {
  return {
    kind: "HTTPRoute",
    namespace: "default",
    name: "r",
    generation: 1,
    fieldManager: OURS,
    parents: [parent("web", OURS, conditions) as any],
    ...more,
  };
}

/** A writer over the objects, which runs until the test ends. */
async function lab(objects: Record<string, KubeObject[]>) {
  const api = await WatchApi.start(), client = api.client();
  api.intercept = () => Response.json({});
  const stores: Record<string, StatusSource & { store: Store }> = {};
  for (
    const kind of [
      "Gateway",
      "GatewayClass",
      "HTTPRoute",
      "GRPCRoute",
      "TCPRoute",
      "TLSRoute",
      "UDPRoute",
      "AuthorizationPolicy",
      "VirtualService",
      "DestinationRule",
      "IstioGateway",
      "BackendTLSPolicy",
      "RequestAuthentication",
    ]
  ) {
    const store = new Store();
    for (const object of objects[kind] ?? []) store.set(object);
    stores[kind] = {
      store,
      type: { Gateway: GATEWAY, HTTPRoute: ROUTE, AuthorizationPolicy: RESOURCES.authorizationPolicies }[kind],
    };
  }
  const writer = new RoutingStatusWriter({ client, sources: stores as any, logger, now: () => Date.parse(NOW) });
  const stop = new AbortController(), done = writer.lead(stop.signal);
  return {
    api,
    writer,
    stores,
    written: () => api.requests.map(({ body }) => body.status),
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await done;
      client.close();
      await api[Symbol.asyncDispose]();
    },
  };
}

const route = (value: unknown): KubeObject => ({
  metadata: { namespace: "default", name: "r", generation: 1, resourceVersion: "7" },
  status: value,
});

Deno.test("routes: other controllers' parents stay, and nothing is written over what they write meanwhile", async () => {
  const foreign = parent("web", OTHERS, [{ type: "Accepted", status: "True" }]);
  const old = parent("web", OURS, [{ ...condition("Accepted"), lastTransitionTime: EARLIER }, {
    ...condition("ResolvedRefs", "False"),
    lastTransitionTime: EARLIER,
  }]);
  await using one = await lab({ HTTPRoute: [route({ parents: [old, foreign] })] });
  one.writer.report([routeStatus([condition("Accepted"), condition("ResolvedRefs")])]);
  await eventually(() => assert.equal(one.api.requests.length, 1));
  const [{ path, query, body }] = one.api.requests;
  assert.equal(path, "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/r/status");
  assert.equal(query.get("fieldManager"), OURS);
  assert.equal(body.metadata.resourceVersion, "7");
  assert.deepEqual(body.status, {
    parents: [
      foreign,
      parent("web", OURS, [
        { ...condition("Accepted"), lastTransitionTime: EARLIER },
        { ...condition("ResolvedRefs"), lastTransitionTime: NOW },
      ]),
    ],
  });
  // Not ours any more: only our entry goes.
  one.stores.HTTPRoute.store.set(route(body.status));
  one.writer.report([routeStatus([], { parents: [] })]);
  await eventually(() => assert.equal(one.api.requests.length, 2));
  assert.deepEqual(one.written()[1], { parents: [foreign] });
});

Deno.test("what an object says already, or what is said of an earlier generation, is not written", async () => {
  const said = { parents: [parent("web", OURS, [{ ...condition("Accepted"), lastTransitionTime: EARLIER }])] };
  await using one = await lab({
    HTTPRoute: [route(said)],
    Gateway: [{ metadata: { namespace: "default", name: "g", generation: 2 } }],
  });
  const gateway: RoutingStatus = {
    kind: "Gateway",
    namespace: "default",
    name: "g",
    generation: 1,
    fieldManager: OURS,
    conditions: [condition("Accepted")],
  };
  one.writer.report([routeStatus([condition("Accepted")]), gateway, {
    ...gateway,
    kind: "GatewayClass",
    namespace: "",
  }]);
  one.writer.report([routeStatus([condition("Accepted")]), { ...gateway, generation: 2 }]);
  await eventually(() => assert.equal(one.api.requests.length, 1));
  assert.deepEqual(one.written(), [{ conditions: [{ ...condition("Accepted"), lastTransitionTime: NOW }] }]);
});

Deno.test("a status that is refused, gone or has changed meanwhile holds up nobody", async () => {
  await using one = await lab({
    HTTPRoute: ["a", "b", "c", "d"].map((name) => ({ metadata: { namespace: "default", name, generation: 1 } })),
  });
  one.api.intercept = ({ path }) =>
    path.includes("/a/")
      ? status(422, "Invalid", "no")
      : path.includes("/b/")
      ? status(404, "NotFound", "no")
      : path.includes("/c/")
      ? status(409, "Conflict", "no")
      : Response.json({});
  one.writer.report(["a", "b", "c", "d"].map((name) => routeStatus([condition("Accepted")], { name })));
  await eventually(() => assert.equal(one.api.requests.length, 4));
  await eventually(() => assert.match(lines.join("\n"), /a status was refused.*HTTPRoute\/default\/a/));
  assert.equal(one.api.requests.length, 4);
});

Deno.test("istio.io's kinds count generations in texts", async () => {
  const policy = { metadata: { namespace: "default", name: "p", generation: 3 } };
  await using one = await lab({ AuthorizationPolicy: [policy] });
  one.writer.report([{
    kind: "AuthorizationPolicy",
    namespace: "default",
    name: "p",
    generation: 3,
    fieldManager: "istio-ambient-waypoint-policy",
    conditions: [condition("WaypointAccepted", "True", 3)],
  }]);
  await eventually(() => assert.equal(one.api.requests.length, 1));
  assert.deepEqual(one.written(), [{
    observedGeneration: "3",
    conditions: [{ ...condition("WaypointAccepted"), observedGeneration: "3", lastTransitionTime: NOW }],
  }]);
});

Deno.test("what was wrong and is no more is taken back, though the object has not changed", async () => {
  const object = (conditions: unknown[]) => ({
    metadata: { namespace: "default", name: "v", generation: 1 },
    status: { conditions, observedGeneration: "1" },
  });
  await using one = await lab({ AuthorizationPolicy: [object([{ type: "Reconciled", status: "False" }])] });
  const status: RoutingStatus = {
    kind: "AuthorizationPolicy",
    namespace: "default",
    name: "v",
    generation: 1,
    fieldManager: "istio-ambient-routing",
    conditions: [],
  };
  one.writer.report([status]);
  await eventually(() => assert.equal(one.api.requests.length, 1));
  assert.deepEqual(one.written(), [{ observedGeneration: "1", conditions: [] }]);
  // Others' conditions are not ours to take.
  one.stores.AuthorizationPolicy.store.set(object([{ type: "Other", status: "False" }]));
  one.writer.report([{ ...status }]);
  one.stores.AuthorizationPolicy.store.set(object([{ type: "Reconciled", status: "False" }]));
  one.writer.report([{ ...status }]);
  await eventually(() => assert.equal(one.api.requests.length, 2));
});
