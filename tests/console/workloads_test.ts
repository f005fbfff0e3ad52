import assert from "node:assert/strict";
import { gatewayFacts, podFacts, policyFacts } from "../../src/console/objects.ts";
import { proxyKind, scrapeTargets } from "../../src/console/targets.ts";
import { applications, namespaceViews, workloadViews } from "../../src/console/workloads.ts";
import { bookinfo, gatewayPod, pod } from "./support.ts";

Deno.test("podFacts() takes from a pod what is asked about it", () => {
  const facts = podFacts({
    metadata: {
      name: "reviews-v1-abc-x",
      namespace: "default",
      uid: "u",
      labels: { app: "reviews", "pod-template-hash": "abc" },
      annotations: { "ambient.istio.io/redirection": "enabled" },
      ownerReferences: [{
        apiVersion: "apps/v1",
        kind: "ReplicaSet",
        name: "reviews-v1-abc",
        uid: "r",
        controller: true,
      }],
    },
    spec: { containers: [{ name: "reviews" }], serviceAccountName: "bookinfo-reviews", nodeName: "n" },
    status: {
      phase: "Running",
      podIP: "10.0.0.7",
      conditions: [{ type: "Ready", status: "True" }],
      containerStatuses: [{ state: { running: { startedAt: "2026-01-01T00:00:00Z" } } }, { state: { waiting: {} } }],
    },
  });
  assert.deepEqual(
    [facts.workload, facts.captured, facts.sidecar, facts.running, facts.ready, facts.ip, facts.startedAtMs],
    ["reviews-v1", true, false, true, true, "10.0.0.7", Date.parse("2026-01-01T00:00:00Z")],
  );
  const bare = podFacts({ metadata: { name: "p" }, spec: { containers: [{ name: "istio-proxy" }] } });
  assert.deepEqual([bare.running, bare.ready, bare.ip, bare.sidecar, bare.startedAtMs], [false, false, "", true, 0]);
});

Deno.test("gatewayFacts() and policyFacts() read objects with little in them", () => {
  assert.equal(gatewayFacts({ metadata: { name: "g" } }).programmed, false);
  assert.deepEqual(policyFacts({ metadata: { name: "p", namespace: "n" } }), {
    namespace: "n",
    name: "p",
    action: "ALLOW",
    selector: undefined,
    targets: [],
  });
  assert.deepEqual(
    policyFacts({ metadata: { name: "p" }, spec: { targetRef: { kind: "Gateway", name: "w" } } }).targets,
    [
      { kind: "Gateway", name: "w", namespace: "default" },
    ],
  );
});

Deno.test("proxyKind(): a label alone makes no ztunnel outside of the mesh's namespace", () => {
  const labels = { app: "ztunnel" };
  assert.equal(proxyKind(pod("z", { labels, namespace: "istio-system" }), "istio-system"), "ztunnel");
  assert.equal(proxyKind(pod("z", { labels }), "istio-system"), undefined);
  assert.equal(proxyKind(gatewayPod("g-istio"), "istio-system"), "gateway");
  assert.equal(proxyKind(gatewayPod("w", true), "istio-system"), "waypoint");
  assert.equal(proxyKind(pod("i", { labels: { istio: "ingressgateway" } }), "istio-system"), "gateway");
  assert.equal(proxyKind(pod("s", { sidecar: true }), "istio-system"), "sidecar");
});

Deno.test("scrapeTargets(): proxies that run, at addresses of their own", () => {
  const pods = [
    gatewayPod("a"),
    { ...gatewayPod("b"), running: false },
    { ...gatewayPod("c"), ip: "" },
    { ...gatewayPod("d"), hostNetwork: true },
    pod("e"),
    pod("ztunnel", { namespace: "istio-system", labels: { app: "ztunnel" } }),
  ];
  const { targets, omitted } = scrapeTargets({ ...bookinfo(true), pods });
  assert.deepEqual(targets.map(({ kind, proxy }) => `${kind} ${proxy}`), [
    "ztunnel istio-system/ztunnel",
    "gateway default/a",
  ]);
  assert.equal(omitted, 0);
});

Deno.test("applications(): out of mesh before enrolment, not after; gateways never", () => {
  const before = applications(bookinfo(false)), after = applications(bookinfo(true));
  const summary = (list: typeof before) =>
    list.map(({ app, membership, outOfMesh, pods }) => `${app} ${membership} ${outOfMesh}/${pods}`);
  assert.deepEqual(
    summary(before),
    [
      "bookinfo-gateway-istio proxy 0/1",
      "details out 1/1",
      "notsleep out 1/1",
      "productpage out 1/1",
      "ratings out 1/1",
      "reviews out 3/3",
      "sleep out 1/1",
    ],
  );
  assert.ok(after.every(({ outOfMesh }) => outOfMesh === 0));
  assert.deepEqual(before.find(({ app }) => app === "reviews")!.workloads.map(({ name }) => name), [
    "reviews-v1",
    "reviews-v2",
    "reviews-v3",
  ]);
});

Deno.test("applications(): half of a workload's pods are a part; the system's namespaces are left out unless asked for", () => {
  const objects = bookinfo(true, {
    pods: [
      pod("reviews-v1", { name: "second", captured: false }),
      pod("coredns", { namespace: "kube-system", captured: false }),
    ],
  });
  const reviews = applications(objects).find(({ app }) => app === "reviews")!;
  assert.equal(reviews.membership, "part");
  assert.deepEqual(reviews.workloads[0].outOfMesh, ["second"]);
  assert.equal(applications(objects).some(({ namespace }) => namespace === "kube-system"), false);
  const [dns, ...more] = applications(objects, new Set(["kube-system"]));
  assert.deepEqual([dns.app, dns.membership, dns.outOfMesh, more], ["coredns", "system", 0, []]);
});

Deno.test("workloadViews(): a waypoint by the Service's label, the pod's, the namespace's; only one that exists", () => {
  const gateway = (name: string, namespace = "default") => ({
    namespace,
    name,
    className: "istio-waypoint",
    programmed: true,
  });
  const base = bookinfo(true, {
    gateways: [gateway("waypoint"), gateway("own"), gateway("far", "infra"), {
      ...gateway("ingress"),
      className: "istio",
    }],
    namespaces: [{ name: "default", labels: { "istio.io/use-waypoint": "waypoint" } }],
  });
  const labelled = (name: string, labels: Record<string, string>) => ({
    ...base,
    services: base.services.map((service) => service.name === name ? { ...service, labels } : service),
  });
  const of = (objects: typeof base, name: string) => workloadViews(objects).get(`default/${name}`)!.waypoint;
  assert.equal(of(base, "ratings-v1"), "default/waypoint");
  assert.equal(of(labelled("ratings", { "istio.io/use-waypoint": "own" }), "ratings-v1"), "default/own");
  assert.equal(of(labelled("ratings", { "istio.io/use-waypoint": "none" }), "ratings-v1"), undefined);
  assert.equal(of(labelled("ratings", { "istio.io/use-waypoint": "ingress" }), "ratings-v1"), undefined);
  assert.equal(of(labelled("ratings", { "istio.io/use-waypoint": "absent" }), "ratings-v1"), undefined);
  assert.equal(
    of(
      labelled("ratings", { "istio.io/use-waypoint": "far", "istio.io/use-waypoint-namespace": "infra" }),
      "ratings-v1",
    ),
    "infra/far",
  );
  assert.equal(
    of({ ...base, pods: base.pods.map((one) => ({ ...one, captured: false })) }, "ratings-v1"),
    undefined,
    "out of mesh",
  );
});

Deno.test("namespaceViews(): what is enrolled, with counts, users' namespaces first", () => {
  const objects = bookinfo(false, {
    namespaces: [{ name: "istio-system", labels: {} }, {
      name: "default",
      labels: { "istio.io/dataplane-mode": "ambient" },
    }],
  });
  assert.deepEqual(namespaceViews(objects), [
    {
      name: "default",
      ambient: true,
      waypoint: undefined,
      system: false,
      workloads: 9,
      pods: 9,
      inMesh: 1,
      policies: 0,
    },
    {
      name: "istio-system",
      ambient: false,
      waypoint: undefined,
      system: true,
      workloads: 0,
      pods: 0,
      inMesh: 0,
      policies: 0,
    },
  ]);
});
