import assert from "node:assert/strict";
import { buildGraph, type GraphOptions, MAX_NODES } from "../../src/console/graph.ts";
import type { Graph } from "../../src/console/graph_model.ts";
import type { Source } from "../../src/console/history.ts";
import type { Objects } from "../../src/console/objects.ts";
import {
  bookinfo,
  connections,
  GATEWAY,
  gatewayPod,
  historyOf,
  pod,
  refusal,
  requests,
  START,
  WAYPOINT,
  ZTUNNEL,
} from "./support.ts";

const OPTIONS: GraphOptions = {
  namespaces: new Set(["default"]),
  grouping: "versioned-app",
  idle: false,
  waypoints: false,
  seconds: 10,
};

function graph(objects: Objects, told: [Source, string][], options: Partial<GraphOptions> = {}): Graph {
  return buildGraph(historyOf(...told).active(60_000, START + 10_000), objects, { ...OPTIONS, ...options });
}

/** Edges as `source -> target`, by names. */
function drawn({ nodes, edges }: Graph): string[] {
  const name = (id: string) => {
    const node = nodes.find((one) => one.id === id)!;
    return [node.name, node.version === "latest" ? "" : node.version].filter(Boolean).join(" ");
  };
  return edges.map((edge) => `${name(edge.source)} -> ${name(edge.target)}`).sort();
}

function edge(of: Graph, text: string) {
  const index = of.edges.findIndex((one) => drawn({ ...of, edges: [one] })[0] === text);
  assert.ok(index >= 0, `no edge ${text} among ${drawn(of).join(", ")}`);
  return of.edges[index];
}

const WITH_WAYPOINT = bookinfo(true, {
  pods: [gatewayPod("waypoint", true)],
  namespaces: [{
    name: "default",
    labels: { "istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "waypoint" },
  }],
  gateways: [{ namespace: "default", name: "waypoint", className: "istio-waypoint", programmed: true }],
  policies: [{
    namespace: "default",
    name: "viewer",
    action: "ALLOW",
    selector: undefined,
    targets: [{ kind: "Service", name: "productpage", namespace: "default" }],
  }],
});

Deno.test("graph: before enrolment only the gateway tells of its requests, which go out in plain text", () => {
  const told = requests({
    reporter: "source",
    from: "bookinfo-gateway-istio",
    to: "productpage-v1 v1",
    service: "productpage",
    named: false,
  }, 20);
  const found = graph(bookinfo(false), [[GATEWAY, told]], { idle: true });
  assert.deepEqual(drawn(found), ["bookinfo-gateway-istio -> productpage v1"]);
  const only = found.edges[0];
  assert.equal(only.mtls, false);
  assert.equal(only.mtlsShare, 0);
  assert.equal(only.http!.requests, 2);
  assert.equal(only.http!.meanMs, 8);
  assert.equal(found.nodes.length, 9);
  assert.equal(found.nodes.filter(({ membership }) => membership === "out").length, 8);
  assert.equal(found.nodes.filter(({ idle }) => idle).length, 7);
});

Deno.test("graph: enrolled, each connection is told by both ends and drawn once, with a padlock", () => {
  const calls = [
    ["sleep", "productpage-v1 v1", "productpage"],
    ["productpage-v1 v1", "reviews-v1 v1", "reviews"],
    ["productpage-v1 v1", "reviews-v2 v2", "reviews"],
    ["productpage-v1 v1", "reviews-v3 v3", "reviews"],
    ["reviews-v3 v3", "ratings-v1 v1", "ratings"],
  ].flatMap(([from, to, service]) =>
    (["source", "destination"] as const).map((reporter) => connections({ reporter, from, to, service }, 10))
  );
  const found = graph(bookinfo(true), [[ZTUNNEL, calls.join("\n")]]);
  assert.deepEqual(drawn(found), [
    "productpage v1 -> reviews v1",
    "productpage v1 -> reviews v2",
    "productpage v1 -> reviews v3",
    "reviews v3 -> ratings v1",
    "sleep -> productpage v1",
  ]);
  for (const one of found.edges) {
    assert.equal(one.mtls, true);
    assert.equal(one.tcp!.connections, 1);
    assert.equal(one.tcp!.bytesSent, 1000);
    assert.equal(one.health, "ok");
  }
  const { share, sourcePrincipals, targetPrincipals, http } = edge(found, "productpage v1 -> reviews v2");
  assert.ok(Math.abs(share! - 1 / 3) < 1e-9);
  assert.deepEqual(sourcePrincipals, ["spiffe://cluster.local/ns/default/sa/productpage"]);
  assert.deepEqual(targetPrincipals, ["spiffe://cluster.local/ns/default/sa/reviews"]);
  assert.equal(http, undefined);
});

Deno.test("graph: groupings join versions, or tell workloads apart", () => {
  const calls = ["reviews-v1 v1", "reviews-v2 v2"].map((to) =>
    connections({ reporter: "destination", from: "productpage-v1 v1", to, service: "reviews" }, 10)
  ).join("\n");
  const app = graph(bookinfo(true), [[ZTUNNEL, calls]], { grouping: "app" });
  assert.deepEqual(drawn(app), ["productpage -> reviews"]);
  assert.equal(app.edges[0].tcp!.connections, 2);
  assert.deepEqual(app.nodes.find(({ name }) => name === "reviews")!.workloads.toSorted(), [
    "reviews-v1",
    "reviews-v2",
    "reviews-v3",
  ]);
  const workload = graph(bookinfo(true), [[ZTUNNEL, calls]], { grouping: "workload" });
  assert.deepEqual(drawn(workload), ["productpage-v1 -> reviews-v1", "productpage-v1 -> reviews-v2"]);
  assert.equal(workload.edges[0].share, 0.5);
});

Deno.test("graph: ztunnel names the policy that refused a connection", () => {
  const call = { from: "notsleep", to: "productpage-v1 v1", service: "productpage" };
  const told = [
    connections({ ...call, reporter: "destination", flags: "DENY" }, 5),
    connections({ ...call, reporter: "source", flags: "CONNECT" }, 5),
    refusal("default/productpage-viewer", "notsleep", "productpage-v1", 5),
    refusal("default/other", "sleep", "productpage-v1", 5),
  ].join("\n");
  const found = graph(bookinfo(true), [[ZTUNNEL, told]]).edges[0];
  assert.equal(found.health, "denied");
  assert.equal(found.denied, 0.5);
  assert.equal(found.tcp!.failures, 0);
  assert.deepEqual(found.deniedBy, [
    { namespace: "default", name: "productpage-viewer", action: "", at: "workload", certain: true },
  ]);
});

Deno.test("graph: another maker's ztunnel names no policy; those that select the workload are given as possible", () => {
  const objects = bookinfo(true, {
    policies: [
      { namespace: "default", name: "viewer", action: "ALLOW", selector: { app: "productpage" }, targets: [] },
      { namespace: "default", name: "elsewhere", action: "DENY", selector: { app: "ratings" }, targets: [] },
      { namespace: "istio-system", name: "everywhere", action: "DENY", selector: undefined, targets: [] },
    ],
  });
  const told = connections({
    reporter: "destination",
    from: "notsleep",
    to: "productpage-v1 v1",
    service: "productpage",
    flags: "DENY",
  }, 5);
  assert.deepEqual(graph(objects, [[ZTUNNEL, told]]).edges[0].deniedBy.map(({ name, certain }) => [name, certain]), [
    ["everywhere", false],
    ["viewer", false],
  ]);
});

Deno.test("graph: a connection that failed before the server saw it is a failure", () => {
  const call = { from: "sleep", to: "productpage-v1 v1", service: "productpage" };
  const told = [
    connections({ ...call, reporter: "source", flags: "CONNECT" }, 4),
    connections({ ...call, reporter: "destination" }, 1),
  ].join("\n");
  const found = graph(bookinfo(true), [[ZTUNNEL, told]]).edges[0];
  assert.equal(found.tcp!.failures, 0.4);
  assert.equal(found.health, "failing");
});

Deno.test("graph: requests through a waypoint are edges from client to backend, marked with it", () => {
  const call = { from: "sleep", to: "productpage-v1 v1", service: "productpage" };
  const told: [Source, string][] = [
    [WAYPOINT, requests({ ...call, reporter: "waypoint" }, 30)],
    [
      ZTUNNEL,
      connections({ ...call, to: "waypoint", reporter: "source" }, 30) + "\n" +
      connections({ ...call, from: "waypoint", reporter: "destination" }, 1),
    ],
  ];
  const found = graph(WITH_WAYPOINT, told);
  assert.deepEqual(drawn(found), ["sleep -> productpage v1"]);
  assert.equal(found.edges[0].http!.requests, 3);
  assert.equal(found.edges[0].mtls, true);
  assert.deepEqual(found.edges[0].waypoints, ["default/waypoint"]);
  assert.equal(found.nodes.find(({ name }) => name === "productpage")!.waypoint, "default/waypoint");
  const apart = graph(WITH_WAYPOINT, told, { waypoints: true });
  assert.deepEqual(drawn(apart), ["sleep -> waypoint", "waypoint -> productpage v1"]);
  for (const one of apart.edges) assert.equal(one.mtls, true);
});

Deno.test("graph: a waypoint's refusals go to what is behind the Service, with the policy that targets it", () => {
  const refused = requests({ reporter: "waypoint", from: "notsleep", to: "", service: "productpage", code: "403" }, 5);
  const own = requests({
    reporter: "waypoint",
    from: "sleep",
    to: "productpage-v1 v1",
    service: "productpage",
    code: "403",
  }, 5);
  const found = graph(WITH_WAYPOINT, [[WAYPOINT, `${refused}\n${own}`]]);
  assert.deepEqual(drawn(found), ["notsleep -> productpage v1", "sleep -> productpage v1"]);
  const by = edge(found, "notsleep -> productpage v1");
  assert.equal(by.health, "denied");
  assert.equal(by.mtls, true);
  assert.deepEqual(by.deniedBy, [{
    namespace: "default",
    name: "viewer",
    action: "ALLOW",
    at: "waypoint",
    certain: false,
  }]);
  assert.equal(edge(found, "sleep -> productpage v1").denied, 0, "the application's own 403 is its answer");
});

Deno.test("graph: what came to none of several versions goes to the Service", () => {
  const told = requests(
    { reporter: "waypoint", from: "sleep", to: "", service: "reviews", code: "503", flags: "UH" },
    5,
  );
  const found = graph(WITH_WAYPOINT, [[WAYPOINT, told]]);
  assert.equal(found.nodes.find(({ kind }) => kind === "service")?.name, "reviews");
  assert.equal(found.edges[0].health, "failing");
  assert.deepEqual(found.edges[0].http!.outcomes, [{ name: "503 UH", rate: 0.5, kind: "failed" }]);
});

Deno.test("graph: a policy that refuses the waypoint itself shows the waypoint", () => {
  const told = connections({
    reporter: "destination",
    from: "waypoint",
    to: "productpage-v1 v1",
    service: "productpage",
    flags: "DENY",
  }, 5);
  assert.deepEqual(drawn(graph(WITH_WAYPOINT, [[ZTUNNEL, told]])), ["waypoint -> productpage v1"]);
});

Deno.test("graph: the padlock of an edge that was enrolled within the window is a part", () => {
  const call = {
    reporter: "source",
    from: "bookinfo-gateway-istio",
    to: "productpage-v1 v1",
    service: "productpage",
  } as const;
  const told = `${requests({ ...call, named: false }, 5)}\n${requests({ ...call, named: true }, 15)}`;
  const found = graph(bookinfo(true), [[GATEWAY, told]]).edges[0];
  assert.equal(found.mtls, false);
  assert.equal(found.mtlsShare, 0.75);
});

Deno.test("graph: plain clients from outside the mesh have no padlock", () => {
  const told = connections({
    reporter: "destination",
    from: "",
    to: "productpage-v1 v1",
    service: "productpage",
    mtls: false,
  }, 5);
  const found = graph(bookinfo(true), [[ZTUNNEL, told]]);
  assert.deepEqual(drawn(found), ["outside -> productpage v1"]);
  assert.equal(found.edges[0].mtls, false);
});

Deno.test("graph: other namespaces are shown as far as they talk with those asked for", () => {
  const objects = bookinfo(true, {
    pods: [pod("other", { namespace: "elsewhere" })],
    namespaces: [{ name: "default", labels: {} }, { name: "elsewhere", labels: {} }],
  });
  const told = connections(
    { reporter: "destination", from: "sleep", to: "productpage-v1 v1", service: "productpage" },
    5,
  );
  const found = graph(objects, [[ZTUNNEL, told]], { namespaces: new Set(["elsewhere"]), idle: true });
  assert.deepEqual(found.nodes.map(({ name }) => name), ["other"]);
  assert.deepEqual(found.edges, []);
});

Deno.test("graph: who talked and is gone is still drawn; proxies' own answers are nobody's", () => {
  const gone = connections(
    { reporter: "destination", from: "gone", to: "productpage-v1 v1", service: "productpage" },
    5,
  );
  const own = requests({ reporter: "source", from: "bookinfo-gateway-istio", to: "", code: "404", flags: "NR" }, 5);
  const found = graph(bookinfo(true), [[ZTUNNEL, gone], [GATEWAY, own]]);
  assert.deepEqual(drawn(found), ["gone -> productpage v1"]);
  assert.equal(found.nodes.find(({ name }) => name === "gone")!.membership, "unknown");
});

Deno.test("graph: a mesh of thousands is cut to what can be drawn", () => {
  const pods = Array.from({ length: 1000 }, (_, i) => pod(`w${i}`));
  const found = graph(bookinfo(true, { pods }), [], { idle: true });
  assert.equal(found.nodes.length, MAX_NODES);
  assert.equal(found.truncated, true);
});
