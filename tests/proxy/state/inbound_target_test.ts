import assert from "node:assert/strict";
import type { Service, Workload } from "../../../src/model/mod.ts";
import { guessService, inboundTarget, MeshState } from "../../../src/proxy/state/mod.ts";
import { gatewayByHost, memberOf, service, workload } from "../../support/model.ts";

const WEB = "default/web.default.svc.cluster.local";
const web = workload("web-1", "10.0.0.2", { services: memberOf({ [WEB]: { 80: 8080 } }) });
const webService = service("web", "10.96.0.1", { 80: 8080, 90: 0 });
const wpHost = "wp.default.svc.cluster.local";
const wp = workload("wp", "10.0.0.9", { services: memberOf({ [`default/${wpHost}`]: { 15008: 15008 } }) });
const behindWp = service("api", "10.96.0.5", { 80: 80 }, { waypoint: gatewayByHost("default", wpHost) });

function mesh(): MeshState {
  const state = new MeshState();
  for (const one of [web, wp]) state.upsertWorkload(one);
  for (const one of [webService, behindWp, service("wp", "10.96.0.9", { 15008: 15008 })]) state.upsertService(one);
  return state;
}

const proxied: Workload = { ...web, applicationTunnel: { protocol: "PROXY", port: 15088 } };

const ROWS: [string, Workload, string, string][] = [
  ["own address", web, "10.0.0.2:8080", "10.0.0.2:8080"],
  ["own address, mapped", web, "[::ffff:10.0.0.2]:8080", "10.0.0.2:8080"],
  ["another address", web, "10.0.0.3:8080", "400"],
  ["a VIP without being its waypoint", web, "10.96.0.1:80", "400"],
  ["no port", web, "10.0.0.2", "400"],
  ["bad port", web, "10.0.0.2:99999", "400"],
  ["nonsense", web, "?", "400"],
  ["empty", web, "", "400"],
  ["IPv6 without brackets", web, "fd00::1:80", "400"],
  ["own service by host name", web, "web.default.svc.cluster.local:80", "10.0.0.2:8080"],
  ["unknown host name", web, "nobody.example:80", "503"],
  ["host name, unknown port", web, "web.default.svc.cluster.local:81", "503"],
  ["host name, named port without mapping", web, "web.default.svc.cluster.local:90", "503"],
  ["waypoint for a service", wp, "10.96.0.5:80", "10.0.0.9:80"],
  ["application tunnel takes any address", proxied, "192.0.2.1:80", "10.0.0.2:15088 for 192.0.2.1:80"],
  ["application tunnel by host name", proxied, "web.default.svc.cluster.local:80", "10.0.0.2:15088 for 10.96.0.1:80"],
  [
    "application tunnel that only sets a port",
    {
      ...web,
      applicationTunnel: { protocol: "NONE", port: 9 },
    },
    "192.0.2.1:80",
    "10.0.0.2:9",
  ],
];

for (const [name, local, authority, want] of ROWS) {
  Deno.test(`inboundTarget(): ${name}`, () => {
    const target = inboundTarget(mesh(), local, local.addresses[0], authority, "");
    const got = target.kind === "reject"
      ? String(target.status)
      : `${target.ip}:${target.port}${
        target.proxyHeader ? ` for ${target.proxyHeader.ip}:${target.proxyHeader.port}` : ""
      }`;
    assert.equal(got, want, target.kind === "reject" ? target.because : "");
  });
}

Deno.test("guessService() believes the client only about services the workload is part of", () => {
  const state = mesh();
  const name = (service: Service | undefined) => service?.name;
  assert.equal(name(guessService(state, web, 8080, undefined)), "web");
  assert.equal(name(guessService(state, web, 9999, "web.default.svc.cluster.local")), "web");
  assert.equal(name(guessService(state, web, 9999, "api.default.svc.cluster.local")), undefined);
  assert.equal(name(guessService(state, web, 9999, undefined)), undefined);
});
