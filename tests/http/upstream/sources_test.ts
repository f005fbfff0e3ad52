import assert from "node:assert/strict";
import { ANY_CHANGE, hostAt, hostsOf } from "../../../src/http/upstream/sources.ts";
import type { Destination } from "../../../src/model/mod.ts";
import { MeshState } from "../../../src/proxy/state/mod.ts";
import { gatewayByAddress, gatewayByHost, memberOf, service, workload } from "../../support/model.ts";
import { destination, endpoint } from "./support.ts";

const WEB = "default/web.default.svc.cluster.local";
const HOST = "web.default.svc.cluster.local";
const web = (ports: Record<number, number> = { 80: 8080 }) => memberOf({ [WEB]: ports });

function mesh(...put: (ReturnType<typeof workload> | ReturnType<typeof service>)[]): MeshState {
  const state = new MeshState();
  for (const one of put) "uid" in one ? state.upsertWorkload(one) : state.upsertService(one);
  return state;
}

/** `address:port`, `!` before those reached by HBONE (with the tunnel's authority where that differs), weight where not 1. */
function show(state: MeshState, to: Destination, names: Record<string, string[]> = {}): string {
  const found = hostsOf(to, { mesh: state, network: "", addresses: (name) => names[name] });
  return found.specs.map(({ address, port, tunnel, weight }) => {
    const place = `${address}:${port}`;
    const via = tunnel && tunnel.authority !== place ? `>${tunnel.authority}` : "";
    return `${tunnel ? "!" : ""}${place}${via}${weight === 1 ? "" : `*${weight}`}`;
  }).join(" ");
}

const toService = (extra: Partial<Destination> = {}) =>
  destination("web", { endpoints: { kind: "service", service: WEB }, ...extra });

const svc = (extra: Parameters<typeof service>[3] = {}) => service("web", "10.1.0.1", { 80: 8080, 90: 0 }, extra);
const pod = (name: string, address: string, extra: Parameters<typeof workload>[2] = {}) =>
  workload(name, address, { services: web(), ...extra });

const CASES: [string, MeshState, Destination, string][] = [
  [
    "pods of the service",
    mesh(svc(), pod("a", "10.0.0.1"), pod("b", "10.0.0.2")),
    toService(),
    "!10.0.0.1:8080 !10.0.0.2:8080",
  ],
  ["not in the mesh", mesh(svc(), pod("a", "10.0.0.1", { tunnelProtocol: "NONE" })), toService(), "10.0.0.1:8080"],
  [
    "not ready",
    mesh(svc(), pod("a", "10.0.0.1", { status: "UNHEALTHY" }), pod("b", "10.0.0.2")),
    toService(),
    "!10.0.0.2:8080",
  ],
  [
    "not ready, but the service takes all",
    mesh(
      svc({ loadBalancing: { routingPreference: [], mode: "UNSPECIFIED", healthPolicy: "ALLOW_ALL" } }),
      pod("a", "10.0.0.1", { status: "UNHEALTHY" }),
    ),
    toService(),
    "!10.0.0.1:8080",
  ],
  ["another network", mesh(svc(), pod("a", "10.0.0.1", { network: "far" })), toService(), ""],
  [
    "the workload's own port",
    mesh(svc(), pod("a", "10.0.0.1", { services: web({ 80: 9090 }) })),
    toService(),
    "!10.0.0.1:9090",
  ],
  ["a named port that it has not", mesh(svc(), pod("a", "10.0.0.1")), toService({ port: 90 }), ""],
  ["the service is not known yet", mesh(pod("a", "10.0.0.1")), toService(), ""],
  ["capacity is weight", mesh(svc(), pod("a", "10.0.0.1", { capacity: 3 })), toService(), "!10.0.0.1:8080*3"],
  [
    "a subset by uid",
    mesh(svc(), pod("a", "10.0.0.1"), pod("b", "10.0.0.2")),
    toService({ endpoints: { kind: "service", service: WEB, only: ["Kubernetes//Pod/default/b", "gone"] } }),
    "!10.0.0.2:8080",
  ],
  ["IPv6", mesh(svc(), pod("a", "fd00::1")), toService(), "!fd00::1:8080>[fd00::1]:8080"],
  [
    "by host name",
    mesh(svc(), pod("a", "", { hostname: "vm.example", tunnelProtocol: "NONE" })),
    toService(),
    "1.1.1.1:8080 1.1.1.2:8080",
  ],
  [
    "through the waypoint, by VIP",
    mesh(
      svc({ waypoint: gatewayByHost("default", "wp.default.svc.cluster.local") }),
      service("wp", "10.1.0.9", { 15008: 15008 }),
      workload("wp-1", "10.0.0.9", {
        services: memberOf({ "default/wp.default.svc.cluster.local": { 15008: 15008 } }),
      }),
      pod("a", "10.0.0.1"),
    ),
    toService({ useWaypoint: true }),
    "!10.0.0.9:15008>10.1.0.1:80",
  ],
  [
    "through the waypoint, by host name where there is no VIP",
    mesh(
      service("web", "", { 80: 8080 }, { waypoint: gatewayByAddress("10.0.0.9", 15009) }),
      workload("wp-1", "10.0.0.9"),
      pod("a", "10.0.0.1"),
    ),
    toService({ useWaypoint: true }),
    `!10.0.0.9:15009>${HOST}:80`,
  ],
  [
    "a waypoint that is not there is never gone around",
    mesh(svc({ waypoint: gatewayByHost("default", "wp.default.svc.cluster.local") }), pod("a", "10.0.0.1")),
    toService({ useWaypoint: true }),
    "",
  ],
  [
    "a waypoint forwards to the workloads itself",
    mesh(svc({ waypoint: gatewayByHost("default", "wp.default.svc.cluster.local") }), pod("a", "10.0.0.1")),
    toService(),
    "!10.0.0.1:8080",
  ],
  ["no waypoint bound", mesh(svc(), pod("a", "10.0.0.1")), toService({ useWaypoint: true }), "!10.0.0.1:8080"],
  [
    "fixed addresses; those of meshed workloads by HBONE",
    mesh(pod("a", "10.0.0.1"), pod("n", "10.0.0.2", { tunnelProtocol: "NONE" })),
    destination("fixed", {
      endpoints: {
        kind: "static",
        endpoints: [
          endpoint("192.0.2.1", 443, 5),
          endpoint("10.0.0.1", 8080),
          endpoint("10.0.0.2", 81),
          endpoint("192.0.2.1", 443),
        ],
      },
    }),
    "192.0.2.1:443*5 !10.0.0.1:8080 10.0.0.2:81",
  ],
  [
    "names",
    mesh(),
    destination("named", {
      endpoints: { kind: "dns", endpoints: [endpoint("vm.example", 443), endpoint("none.example", 443)] },
    }),
    "1.1.1.1:443 1.1.1.2:443",
  ],
];

for (const [name, state, to, want] of CASES) {
  Deno.test(`hosts: ${name}`, () => {
    assert.equal(show(state, to, { "vm.example": ["1.1.1.1", "1.1.1.2"], "none.example": [] }), want);
  });
}

Deno.test("hosts: what they depend on", () => {
  const context = (state: MeshState, known = false) => ({
    mesh: state,
    network: "",
    addresses: () => known ? [] : undefined,
  });
  const plain = hostsOf(toService(), context(mesh(svc())));
  assert.deepEqual([...plain.services], [WEB]);
  const through = hostsOf(
    toService({ useWaypoint: true }),
    context(mesh(svc({ waypoint: gatewayByHost("default", "wp.example") }))),
  );
  assert.deepEqual([...through.services], [WEB, ANY_CHANGE]);
  const named = destination("named", { endpoints: { kind: "dns", endpoints: [endpoint("a.example", 443)] } });
  const before = hostsOf(named, context(mesh())), after = hostsOf(named, context(mesh(), true));
  assert.deepEqual([[...before.names], before.unresolved, after.unresolved], [["a.example"], true, false]);
});

Deno.test("hosts: a waypoint expects its own identities, a pod its own", () => {
  const state = mesh(
    svc({
      waypoint: gatewayByHost("default", "wp.default.svc.cluster.local"),
      subjectAltNames: ["spiffe://x/ns/a/sa/b"],
    }),
    service("wp", "10.1.0.9", { 15008: 15008 }),
    workload("wp-1", "10.0.0.9", {
      serviceAccount: "waypoint",
      services: memberOf({ "default/wp.default.svc.cluster.local": { 15008: 15008 } }),
    }),
    pod("a", "10.0.0.1", { serviceAccount: "web" }),
  );
  const ids = (to: Destination) =>
    hostsOf(to, { mesh: state, network: "", addresses: () => [] }).specs[0].tunnel!.expectedIds;
  assert.deepEqual(ids(toService({ useWaypoint: true })), ["spiffe://cluster.local/ns/default/sa/waypoint"]);
  assert.deepEqual(ids(toService()), ["spiffe://cluster.local/ns/default/sa/web", "spiffe://x/ns/a/sa/b"]);
});

Deno.test("hosts: the address that the client asked for", () => {
  const context = { mesh: mesh(pod("a", "10.0.0.1")), network: "", addresses: () => [] };
  assert.equal(hostAt("10.0.0.1", 81, context).tunnel?.authority, "10.0.0.1:81");
  assert.equal(hostAt("192.0.2.7", 81, context).tunnel, undefined);
});
