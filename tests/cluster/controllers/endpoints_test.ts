import assert from "node:assert/strict";
import type { KubeObject } from "../../../src/cluster/contracts.ts";
import { packSlices } from "../../../src/cluster/controllers/endpoints/pack.ts";
import { ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES } from "../../../src/cluster/controllers/kit/types.ts";
import { type Harness, withHarness } from "./harness.ts";

function service(name: string, spec: Record<string, unknown> = {}): any {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default", labels: { team: "a" } },
    spec: {
      clusterIP: "10.96.3.4",
      type: "ClusterIP",
      selector: { app: name },
      ports: [{ name: "http", port: 80, targetPort: 8080, protocol: "TCP" }],
      ...spec,
    },
  };
}

function pod(name: string, app: string, spec: Record<string, unknown> = {}): any {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app } },
    spec: { containers: [{ name: "c", image: "busybox", ports: [{ name: "web", containerPort: 9000 }] }], ...spec },
  };
}

function slices(harness: Harness, name: string): KubeObject[] {
  return harness.api.list(ENDPOINT_SLICES, { namespace: "default" }).filter((slice) =>
    slice.metadata.labels?.["kubernetes.io/service-name"] === name
  );
}

Deno.test("a Service with a selector has a slice with the facts of its pods, and an Endpoints object", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    harness.api.patch(NODES, undefined, "node-0", "merge", {
      metadata: { labels: { "topology.kubernetes.io/zone": "z1" } },
    });
    harness.api.create(SERVICES, service("web"));
    await harness.settle();
    assert.deepEqual(slices(harness, "web")[0].endpoints, [], "a Service without pods has an empty slice");
    const created = harness.api.create(PODS, pod("one", "web"));
    harness.api.create(PODS, pod("elsewhere", "other"));
    await harness.settle();
    harness.report(harness.api.get(PODS, "default", "one")!, { ip: "10.244.0.7" });
    await harness.settle();
    const [slice] = slices(harness, "web");
    assert.match(slice.metadata.name, /^web-/);
    assert.deepEqual(slice.metadata.labels, {
      team: "a",
      "kubernetes.io/service-name": "web",
      "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    });
    assert.equal(slice.metadata.ownerReferences![0].kind, "Service");
    assert.equal(slice.addressType, "IPv4");
    assert.deepEqual(slice.ports, [{ name: "http", port: 8080, protocol: "TCP" }]);
    assert.deepEqual(slice.endpoints, [{
      addresses: ["10.244.0.7"],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: "node-0",
      zone: "z1",
      targetRef: { kind: "Pod", name: "one", namespace: "default", uid: created.metadata.uid },
    }]);
    const legacy = harness.api.get(ENDPOINTS, "default", "web")!;
    assert.deepEqual(legacy.subsets[0].ports, [{ name: "http", port: 8080, protocol: "TCP" }]);
    assert.equal(legacy.subsets[0].addresses[0].ip, "10.244.0.7");
  });
});

Deno.test("conditions follow the pod from not ready over ready and terminating to gone", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    harness.api.create(SERVICES, service("web"));
    harness.api.create(PODS, pod("one", "web"));
    await harness.settle();
    const conditions = () => slices(harness, "web")[0].endpoints.map((endpoint: any) => endpoint.conditions);
    harness.report(harness.api.get(PODS, "default", "one")!, { ready: false });
    await harness.settle();
    assert.deepEqual(conditions(), [{ ready: false, serving: false, terminating: false }]);
    assert.equal(harness.api.get(ENDPOINTS, "default", "web")!.subsets[0].notReadyAddresses.length, 1);
    harness.report(harness.api.get(PODS, "default", "one")!);
    await harness.settle();
    assert.deepEqual(conditions(), [{ ready: true, serving: true, terminating: false }]);
    harness.api.delete(PODS, "default", "one");
    await harness.settle();
    assert.deepEqual(conditions(), [{ ready: false, serving: true, terminating: true }]);
    await harness.run();
    assert.deepEqual(conditions(), []);
    assert.deepEqual(harness.api.get(ENDPOINTS, "default", "web")!.subsets, []);
  });
});

Deno.test("named target ports resolve per pod, publishNotReadyAddresses and headless do as they say", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    harness.api.create(
      SERVICES,
      service("web", {
        clusterIP: "None",
        publishNotReadyAddresses: true,
        ports: [{ name: "http", port: 80, targetPort: "web", protocol: "TCP", appProtocol: "http" }],
      }),
    );
    harness.api.create(PODS, pod("a", "web", { hostname: "host-a", subdomain: "web" }));
    const other = pod("b", "web");
    other.spec.containers[0].ports[0].containerPort = 9001;
    harness.api.create(PODS, other);
    await harness.settle();
    for (const name of ["a", "b"]) harness.report(harness.api.get(PODS, "default", name)!, { ready: false });
    await harness.settle();
    const found = slices(harness, "web");
    assert.deepEqual(found.map((slice) => slice.ports[0].port).sort(), [9000, 9001]);
    assert.ok(found.every((slice) => slice.endpoints[0].conditions.ready && !slice.endpoints[0].conditions.serving));
    assert.ok(found.every((slice) => slice.metadata.labels!["service.kubernetes.io/headless"] === ""));
    const a = found.find((slice) => slice.ports[0].port === 9000)!;
    assert.equal(a.endpoints[0].hostname, "host-a");
    assert.equal(a.ports[0].appProtocol, "http");
  });
});

Deno.test("slices go with the selector, with the Service, and come back when they are deleted", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    harness.api.create(SERVICES, service("web"));
    await harness.settle();
    harness.api.delete(ENDPOINT_SLICES, "default", slices(harness, "web")[0].metadata.name);
    await harness.settle();
    assert.equal(slices(harness, "web").length, 1);
    harness.api.patch(SERVICES, "default", "web", "merge", { spec: { selector: null } });
    await harness.settle();
    assert.equal(slices(harness, "web").length, 0);
    harness.api.patch(SERVICES, "default", "web", "merge", { spec: { selector: { app: "web" } } });
    await harness.settle();
    assert.equal(slices(harness, "web").length, 1);
    harness.api.delete(SERVICES, "default", "web");
    await harness.settle();
    assert.equal(slices(harness, "web").length, 0);
    assert.equal(harness.api.get(ENDPOINTS, "default", "web"), undefined);
  });
});

Deno.test("slices that somebody else made stay as they are", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    harness.api.create(SERVICES, service("outside", { selector: undefined }));
    const own = {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "mine", namespace: "default", labels: { "kubernetes.io/service-name": "outside" } },
      addressType: "IPv4",
      endpoints: [{ addresses: ["192.0.2.1"] }],
      ports: [],
    };
    const before = harness.api.create(ENDPOINT_SLICES, own);
    harness.api.patch(SERVICES, "default", "outside", "merge", { metadata: { labels: { x: "y" } } });
    await harness.settle();
    assert.deepEqual(slices(harness, "outside"), [before]);
  });
});

Deno.test("packSlices() keeps endpoints where they are and opens a slice only when all are full", () => {
  const ports = [{ name: "http", port: 80, protocol: "TCP" }];
  const endpoint = (i: number): any => ({
    addresses: [`10.0.0.${i}`],
    conditions: {},
    targetRef: { uid: `u${i}`, name: `p${i}` },
  });
  const many = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => endpoint(from + i));
  const slice = (name: string, endpoints: any[]): any => ({ metadata: { name }, ports, endpoints });

  const fresh = packSlices([], [{ ports, endpoints: many(0, 250) }]);
  assert.deepEqual(fresh.create.map(({ endpoints }) => endpoints.length), [100, 100, 50]);

  const [a, b] = [slice("a", many(0, 100)), slice("b", many(100, 150))];
  const grown = packSlices([a, b], [{ ports, endpoints: many(0, 160) }]);
  assert.deepEqual(grown.keep.map((kept) => [kept.slice.metadata.name, kept.endpoints.length]), [["a", 100], [
    "b",
    60,
  ]]);
  assert.equal(grown.create.length + grown.drop.length, 0);

  const shrunk = packSlices([a, b], [{ ports, endpoints: many(100, 110) }]);
  assert.deepEqual(shrunk.keep.map((kept) => kept.slice.metadata.name), ["b"]);
  assert.deepEqual(shrunk.drop, [a]);

  const empty = packSlices([a, b], []);
  assert.equal(empty.keep.length, 1);
  assert.equal(empty.drop.length, 1);

  const newPorts = [{ name: "http", port: 81, protocol: "TCP" }];
  const moved = packSlices([a], [{ ports: newPorts, endpoints: many(0, 100) }]);
  assert.deepEqual([moved.keep[0].slice, moved.keep[0].ports, moved.create.length], [a, newPorts, 0]);
});
