import assert from "node:assert/strict";
import type { GatewayAddress, Workload } from "../../src/model/mod.ts";
import { clientToShow, isWaypointOf, mayBeShown } from "../../src/proxy/inbound_source.ts";
import { MeshState } from "../../src/proxy/state/mod.ts";
import { idOf } from "../identity/support.ts";
import { gatewayByHost, memberOf, service, workload } from "../support/model.ts";

const WEB = "default/web.default.svc.cluster.local", WP_HOST = "wp.default.svc.cluster.local";
const WAYPOINT = idOf("default", "wp"), OTHER = idOf("default", "other-wp"), CLIENT = idOf("default", "client");
const WP_IP = "10.0.1.9", POD = "10.0.1.1", POD6 = "fd00:1::1";
const BY_NAME = gatewayByHost("default", WP_HOST);
const byAddress = (address: string): GatewayAddress => ({
  destination: { address: { network: "", address } },
  hboneMtlsPort: 15008,
});

/** A mesh with two waypoints, and the pod `web-1` as `pod` and its service as `web` say. */
function mesh(
  pod: Partial<Workload> = {},
  web: Parameters<typeof service>[3] | undefined = { waypoint: BY_NAME },
): { state: MeshState; local: Workload } {
  const state = new MeshState();
  const instance = (name: string, ip: string, host: string) => {
    state.upsertService(service(name, `10.96.1.${ip.split(".")[3]}`, { 15008: 15008 }));
    state.upsertWorkload(workload(`${name}-1`, ip, {
      serviceAccount: name,
      services: memberOf({ [`default/${host}`]: { 15008: 15008 } }),
    }));
  };
  instance("wp", WP_IP, WP_HOST);
  instance("other-wp", "10.0.1.8", "other-wp.default.svc.cluster.local");
  const local = workload("web-1", POD, {
    addresses: [POD, POD6],
    serviceAccount: "web",
    services: memberOf({ [WEB]: { 80: 8080 } }),
    ...pod,
  });
  state.upsertWorkload(local);
  state.upsertService(service("web", "10.96.0.1", { 80: 8080 }, web));
  return { state, local };
}

Deno.test("isWaypointOf(): the waypoints that the workload and its services really have", () => {
  const weighted = (weight: number) => ({
    waypoint: BY_NAME,
    weightedWaypoints: [{ destination: gatewayByHost("default", "other-wp.default.svc.cluster.local"), weight }],
  });
  const rows: [string, ReturnType<typeof mesh>, boolean, boolean][] = [
    ["the service's, by name", mesh(), true, false],
    [
      "the service's, by address of the waypoint's service",
      mesh({}, { waypoint: byAddress("10.96.1.9") }),
      true,
      false,
    ],
    ["the service's, by address of an instance", mesh({}, { waypoint: byAddress(WP_IP) }), true, false],
    ["no waypoint", mesh({}, {}), false, false],
    ["the workload's", mesh({ waypoint: BY_NAME }, {}), true, false],
    ["both", mesh({ waypoint: gatewayByHost("default", "other-wp.default.svc.cluster.local") }), true, true],
    ["of a service that it does not belong to", mesh({ services: new Map() }), false, false],
    ["of a service that is not known yet", mesh({ services: memberOf({ "default/late": {} }) }), false, false],
    ["a waypoint that is not known yet", mesh({}, { waypoint: gatewayByHost("default", "late") }), false, false],
    ["weighted ones replace the plain one", mesh({}, weighted(1)), false, true],
    ["unless they have no weight", mesh({}, weighted(0)), true, false],
  ];
  for (const [name, { state, local }, first, second] of rows) {
    assert.equal(isWaypointOf(state, local, WAYPOINT), first, name);
    assert.equal(isWaypointOf(state, local, OTHER), second, name);
    assert.equal(isWaypointOf(state, local, CLIENT), false, name);
    // The same names in another trust domain are somebody else.
    assert.equal(isWaypointOf(state, local, idOf("default", "wp", "other.domain")), false, name);
  }
});

Deno.test("clientToShow(): a client's address is believed from its own waypoint alone", () => {
  const { state, local } = mesh();
  const ask = (peerIdentity: typeof WAYPOINT | undefined, forwarded: string | undefined, ip = POD) =>
    clientToShow(state, { local, ip, peerIdentity, peer: { address: WP_IP, port: 4444 }, forwarded });
  const good = 'for="10.0.0.7:41000";host=web.default.svc.cluster.local';
  assert.deepEqual(ask(WAYPOINT, good), { address: "10.0.0.7", port: 41000 });
  const peer = { address: WP_IP, port: 4444 };
  for (const who of [OTHER, CLIENT, undefined]) assert.deepEqual(ask(who, good), peer);
  const shown: [string | undefined, string][] = [
    ["for=10.0.0.7:41000", "10.0.0.7"],
    ['host=web;For="10.0.0.7:1"', "10.0.0.7"],
    ['for="[::ffff:10.0.0.7]:1"', "10.0.0.7"],
    ['for="10.0.0.7:1", for="10.0.0.8:1"', "10.0.0.7"],
    // An address that nobody in the mesh has: a client may be newer than what we know.
    ['for="192.0.2.1:1"', "192.0.2.1"],
    [undefined, WP_IP],
    ["", WP_IP],
    ["host=web", WP_IP],
    ["for=unknown", WP_IP],
    ['for="_hidden"', WP_IP],
    ['for="10.0.0.7"', WP_IP],
    ['for="10.0.0.7:99999"', WP_IP],
    ['for="010.0.0.7:1"', WP_IP],
    ['for="10.0.0.256:1"', WP_IP],
    ['for="10.0.0.7:1', WP_IP],
    ['for="web.default:80"', WP_IP],
    ['for="[fd00::7]:1"', WP_IP],
    ['for="[fe80::1%eth0]:1"', WP_IP],
    [`for="${"1".repeat(5000)}:1"`, WP_IP],
    [`${"x=1;".repeat(400)}for="10.0.0.7:1"`, WP_IP],
    ['xfor="10.0.0.7:1"', WP_IP],
  ];
  for (const [header, want] of shown) assert.equal(ask(WAYPOINT, header).address, want, `${header}`.slice(0, 80));
  assert.equal(ask(WAYPOINT, 'for="[fd00::7]:1"', POD6).address, "fd00::7");
  assert.equal(ask(WAYPOINT, good, POD6).address, WP_IP);
});

Deno.test("mayBeShown(): no address that an application may trust for where it sits", () => {
  const { local } = mesh();
  const never = [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.7.127",
    "169.254.169.254",
    "169.254.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    POD,
    "::ffff:10.0.1.1",
    "::ffff:127.0.0.1",
    "",
    "localhost",
    "10.0.0.7:80",
  ];
  for (const address of never) assert.equal(mayBeShown(address, local, POD), false, address);
  for (const address of ["10.0.0.7", "172.31.0.1", "8.8.8.8", "169.253.255.255", "169.255.0.0", "223.255.255.255"]) {
    assert.equal(mayBeShown(address, local, POD), true, address);
    assert.equal(mayBeShown(address, local, POD6), false, address);
  }
  const never6 = [
    "::",
    "::1",
    "::7f00:1",
    "::10.0.0.1",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "ffff::1",
    "fd16:9254:7127:1337:ffff:ffff:ffff:ffff",
    POD6,
    "fd00:1:0::1",
    "::ffff:10.0.0.7",
  ];
  for (const address of never6) assert.equal(mayBeShown(address, local, POD6), false, address);
  for (const address of ["fd00::7", "2001:db8::1", "fec0::1", "fd16:9254:7127:1337::1"]) {
    assert.equal(mayBeShown(address, local, POD6), true, address);
    assert.equal(mayBeShown(address, local, POD), false, address);
  }
});
