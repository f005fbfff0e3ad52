import assert from "node:assert/strict";
import type { Service, Workload } from "../../../src/model/mod.ts";
import { MeshState, type NextHop, nextHop } from "../../../src/proxy/state/mod.ts";
import { gatewayByAddress, gatewayByHost, memberOf, service, workload } from "../../support/model.ts";

const WEB = "default/web.default.svc.cluster.local";
const client = workload("client", "10.0.0.1", { serviceAccount: "client" });

function mesh(workloads: Workload[], services: Service[]): MeshState {
  const state = new MeshState();
  for (const one of workloads) state.upsertWorkload(one);
  for (const one of services) state.upsertService(one);
  return state;
}

/** The hop in one line: what a reader of the table wants to compare. */
function short(hop: NextHop): string {
  if (hop.kind === "drop") return `drop ${hop.code}`;
  const address = "ip" in hop.address ? hop.address.ip : `dns:${hop.address.hostname}`;
  const who = hop.workload?.name ?? "-";
  const service = hop.service?.name ?? "-";
  if (hop.kind === "plaintext") return `plaintext ${address}:${hop.port} ${who} ${service}`;
  return `${hop.waypoint ? "waypoint" : "hbone"} ${address}:${hop.port} ${hop.authority ?? "?"} ${who} ${service}`;
}

const web1 = workload("web-1", "10.0.0.2", { serviceAccount: "web", services: memberOf({ [WEB]: { 80: 8080 } }) });
const webService = service("web", "10.96.0.1", { 80: 8080, 90: 0 });
const wpKey = "default/wp.default.svc.cluster.local";
const wp = workload("wp-1", "10.0.0.9", { serviceAccount: "wp", services: memberOf({ [wpKey]: { 15008: 15008 } }) });
const wpService = service("wp", "10.96.0.9", { 15008: 15008 });
const byHost = gatewayByHost("default", "wp.default.svc.cluster.local");

const ROWS: [string, Workload[], Service[], string, number, string][] = [
  ["nothing known", [], [], "192.0.2.1", 443, "plaintext 192.0.2.1:443 - -"],
  ["service, meshed endpoint", [web1], [webService], "10.96.0.1", 80, "hbone 10.0.0.2:15008 10.0.0.2:8080 web-1 web"],
  [
    "service, endpoint out of the mesh",
    [{ ...web1, tunnelProtocol: "NONE" }],
    [webService],
    "10.96.0.1",
    80,
    "plaintext 10.0.0.2:8080 web-1 web",
  ],
  ["service without endpoints", [], [webService], "10.96.0.1", 80, "drop no_healthy_upstream"],
  ["service, unknown port", [web1], [webService], "10.96.0.1", 81, "drop no_healthy_upstream"],
  ["service, named port nobody maps", [web1], [webService], "10.96.0.1", 90, "drop no_healthy_upstream"],
  [
    "service, unhealthy endpoint",
    [{ ...web1, status: "UNHEALTHY" }],
    [webService],
    "10.96.0.1",
    80,
    "drop no_healthy_upstream",
  ],
  [
    "service, unhealthy endpoint allowed",
    [{ ...web1, status: "UNHEALTHY" }],
    [{ ...webService, loadBalancing: { routingPreference: [], mode: "UNSPECIFIED", healthPolicy: "ALLOW_ALL" } }],
    "10.96.0.1",
    80,
    "hbone 10.0.0.2:15008 10.0.0.2:8080 web-1 web",
  ],
  [
    "service, passthrough",
    [web1],
    [{ ...webService, loadBalancing: { routingPreference: [], mode: "PASSTHROUGH", healthPolicy: "ONLY_HEALTHY" } }],
    "10.96.0.1",
    80,
    "plaintext 10.96.0.1:80 - web",
  ],
  [
    "service, endpoint known by host name only",
    [workload("ext", "", { hostname: "ext.example.com", tunnelProtocol: "NONE", services: memberOf({ [WEB]: {} }) })],
    [webService],
    "10.96.0.1",
    80,
    "plaintext dns:ext.example.com:8080 ext web",
  ],
  [
    "service, endpoint on another network",
    [{ ...web1, network: "far" }],
    [webService],
    "10.96.0.1",
    80,
    "drop other_network",
  ],
  [
    "service waypoint",
    [web1, wp],
    [{ ...webService, waypoint: byHost }, wpService],
    "10.96.0.1",
    80,
    [
      "waypoint 10.0.0.9:15008",
      "10.96.0.1:80 wp-1 web",
    ].join(" "),
  ],
  [
    "service waypoint by address",
    [web1, wp],
    [{ ...webService, waypoint: gatewayByAddress("10.96.0.9") }, wpService],
    "10.96.0.1",
    80,
    "waypoint 10.0.0.9:15008 10.96.0.1:80 wp-1 web",
  ],
  [
    "service waypoint unknown",
    [web1],
    [{ ...webService, waypoint: byHost }],
    "10.96.0.1",
    80,
    "drop unknown_waypoint",
  ],
  [
    "service waypoint without endpoints",
    [web1],
    [{ ...webService, waypoint: byHost }, wpService],
    "10.96.0.1",
    80,
    "drop no_healthy_upstream",
  ],
  [
    "weighted waypoints override, those without weight do not",
    [web1, wp],
    [{
      ...webService,
      waypoint: gatewayByHost("default", "gone"),
      weightedWaypoints: [{ destination: gatewayByHost("default", "gone"), weight: 0 }, {
        destination: byHost,
        weight: 5,
      }],
    }, wpService],
    "10.96.0.1",
    80,
    "waypoint 10.0.0.9:15008 10.96.0.1:80 wp-1 web",
  ],
  [
    "weighted waypoints of no weight fall back",
    [web1, wp],
    [
      { ...webService, waypoint: byHost, weightedWaypoints: [{ destination: gatewayByHost("x", "y"), weight: 0 }] },
      wpService,
    ],
    "10.96.0.1",
    80,
    "waypoint 10.0.0.9:15008 10.96.0.1:80 wp-1 web",
  ],
  ["pod address", [web1], [webService], "10.0.0.2", 8080, "hbone 10.0.0.2:15008 10.0.0.2:8080 web-1 -"],
  ["pod address, any port", [web1], [], "10.0.0.2", 1, "hbone 10.0.0.2:15008 10.0.0.2:1 web-1 -"],
  [
    "pod address, pod out of the mesh",
    [{ ...web1, tunnelProtocol: "NONE" }],
    [],
    "10.0.0.2",
    8080,
    "plaintext 10.0.0.2:8080 web-1 -",
  ],
  [
    "workload waypoint",
    [{ ...web1, waypoint: byHost }, wp],
    [wpService],
    "10.0.0.2",
    8080,
    [
      "waypoint 10.0.0.9:15008",
      "10.0.0.2:8080 wp-1 -",
    ].join(" "),
  ],
  [
    "workload waypoint by workload address",
    [{ ...web1, waypoint: gatewayByAddress("10.0.0.9") }, wp],
    [],
    "10.0.0.2",
    8080,
    "waypoint 10.0.0.9:15008 10.0.0.2:8080 wp-1 -",
  ],
  [
    "workload waypoint unknown",
    [{ ...web1, waypoint: byHost }],
    [],
    "10.0.0.2",
    8080,
    "drop unknown_waypoint",
  ],
  [
    "service-addressed traffic ignores the workload's waypoint",
    [{ ...web1, waypoint: byHost }, wp],
    [webService, wpService],
    "10.96.0.1",
    80,
    "hbone 10.0.0.2:15008 10.0.0.2:8080 web-1 web",
  ],
  [
    "a workload in the host's network is not found by address",
    [{ ...web1, networkMode: "HOST_NETWORK" }],
    [],
    "10.0.0.2",
    8080,
    "plaintext 10.0.0.2:8080 - -",
  ],
];

for (const [name, workloads, services, ip, port, want] of ROWS) {
  Deno.test(`nextHop(): ${name}`, () => {
    const hop = nextHop(mesh([client, ...workloads], services), {
      source: client,
      ip,
      port,
      network: "",
      random: () => 0,
    });
    assert.equal(short(hop), want, hop.because);
    assert.ok(hop.because.length > 0);
  });
}

Deno.test("nextHop(): the waypoint itself reaches the workload without another round", () => {
  const state = mesh([{ ...web1, waypoint: byHost }, wp], [wpService]);
  const hop = nextHop(state, { source: wp, ip: "10.0.0.2", port: 8080, network: "", random: () => 0 });
  assert.equal(short(hop), "hbone 10.0.0.2:15008 10.0.0.2:8080 web-1 -");
});

Deno.test("nextHop(): expected identities are the workload's own and the service's well-formed names", () => {
  const sans = ["spiffe://other.test/ns/x/sa/y", "not-spiffe", "spiffe://cluster.local/ns/default/sa/web"];
  const state = mesh([client, web1], [{ ...webService, subjectAltNames: sans }]);
  const hop = nextHop(state, { source: client, ip: "10.96.0.1", port: 80, network: "", random: () => 0 });
  assert.ok(hop.kind === "hbone");
  assert.deepEqual(hop.expectedIds, ["spiffe://cluster.local/ns/default/sa/web", "spiffe://other.test/ns/x/sa/y"]);
});

Deno.test("nextHop(): a pod of a headless service gets exactly the address that was asked for", () => {
  const dual = workload("dual", "", { addresses: ["10.0.0.7", "fd00::7"], services: memberOf({ [WEB]: {} }) });
  const state = mesh([client, dual], [service("web", "fd96::1", { 80: 8080 })]);
  const ask = (ip: string) => short(nextHop(state, { source: client, ip, port: 80, network: "", random: () => 0 }));
  assert.equal(ask("fd00::7"), "hbone fd00::7:15008 [fd00::7]:80 dual -");
  assert.equal(ask("fd96::1"), "hbone fd00::7:15008 [fd00::7]:8080 dual web");
});
