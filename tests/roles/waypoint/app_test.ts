import assert from "node:assert/strict";
import { readWaypointConfig } from "../../../src/roles/waypoint/config.ts";
import { startWaypoint, type Waypoint } from "../../../src/roles/waypoint/app.ts";
import { Logger } from "../../../src/telemetry/logger.ts";
import { grpcTimersFired, LogLines } from "../../identity/support.ts";
import { TestControlPlane } from "../../support/control_plane.ts";
import { eventually } from "../../support/eventually.ts";
import { workload } from "../../support/model.ts";
import { destination, listener, route, virtualHost } from "./lab.ts";

const SETTINGS = {
  kind: "settings",
  name: "mesh",
  trustDomain: "cluster.local",
  pathNormalization: "BASE",
  trustedProxies: 0,
} as const;

interface Running {
  readonly plane: TestControlPlane;
  readonly waypoint: Waypoint;
  readonly log: LogLines;
  /** Set when the role was asked to end. */
  ended: boolean;
}

async function withWaypoint(args: string[], run: (running: Running) => Promise<void>): Promise<void> {
  const plane = await TestControlPlane.start([]);
  const env = plane.proxyEnv(), log = new LogLines();
  const logger = new Logger("waypoint", { sink: log });
  // What no istiod is without.
  plane.workloads(workload("waypoint-1", "127.0.0.1", { serviceAccount: "waypoint" }));
  plane.configure([SETTINGS]);
  const running = { plane, log, ended: false } as { -readonly [K in keyof Running]: Running[K] };
  try {
    running.waypoint = await startWaypoint({
      config: readWaypointConfig((name) => env[name], args),
      env,
      logger,
      onEnd: () => running.ended = true,
    });
    await run(running);
  } finally {
    await running.waypoint?.shutdown(0, 0);
    await plane.close();
    await grpcTimersFired();
  }
}

function freePort(): number {
  const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = probe.addr;
  probe.close();
  return port;
}

async function fetchText(port: number, path: string, init?: RequestInit): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, init);
  return { status: response.status, text: await response.text() };
}

Deno.test("the role is ready when configuration has come, shows what it was told without its secrets, and ends when asked", async () => {
  await withWaypoint(["proxy", "waypoint", "--domain", "default.svc.cluster.local"], async (running) => {
    const { plane, waypoint } = running;
    const { ports } = waypoint;
    const ready = () => fetchText(ports.readiness, "/healthz/ready");
    await eventually(async () => assert.equal((await ready()).status, 200));
    assert.equal((await fetchText(ports.readiness, "/other")).status, 404);
    assert.equal((await fetchText(ports.readiness, "/healthz/ready", { method: "POST" })).status, 405);

    const { chainPem, keyPem } = await plane.ca.servingCertificate([{ dns: "a.test" }], 3600_000, {
      kind: "EC",
      curve: "P-256",
    });
    plane.configure([
      SETTINGS,
      { kind: "secret", name: "kubernetes://default/cert", certificateChain: chainPem, privateKey: keyPem },
      listener("http", 18080, {
        binding: { kind: "service", service: "default/a", hostname: "a", addresses: [], port: 1 },
      }),
      virtualHost("http", [route("web")]),
      destination("web", 9),
    ]);
    const dump = await eventually(async () => {
      const found = JSON.parse((await fetchText(ports.admin, "/config_dump")).text);
      assert.equal(found.listeners.length, 1);
      return found;
    });
    const text = JSON.stringify(dump) + running.log.lines.join("\n");
    const secret = keyPem.split("\n")[1];
    assert.ok(secret.length > 20 && !text.includes(secret));
    assert.equal(dump.secrets[0].privateKey, "[redacted]");
    assert.equal(dump.secrets[0].certChain.length, 1);
    assert.equal(dump.node.id, "waypoint~127.0.0.1~waypoint-1.default~default.svc.cluster.local");
    assert.equal(dump.certificates[0].identity, "spiffe://cluster.local/ns/default/sa/waypoint");
    assert.deepEqual(dump.endpoints.map(({ endpoint, cluster }: any) => [endpoint, cluster]), [["127.0.0.1:9", "web"]]);

    for (const port of [ports.stats, ports.proxyStats]) {
      const { status, text } = await fetchText(port, "/stats/prometheus");
      assert.equal(status, 200);
      assert.match(text, /^istio_build\{component="proxy",tag="[^"]+"\} 1$/m);
      // Dashboards ask whether proxies are connected to istiod.
      assert.match(text, /^envoy_cluster_upstream_cx_active\{cluster_name="xds-grpc"\} 1$/m);
      assert.match(text, /^envoy_server_live 1$/m);
    }
    assert.equal((await fetchText(ports.stats, "/metrics")).status, 200);
    assert.match((await fetchText(ports.admin, "/clusters")).text, /^web::127\.0\.0\.1:9::cx_active::0$/m);
    assert.equal((await fetchText(ports.admin, "/ready")).text, "LIVE\n");
    // A destination that leads to the proxy's own pages reaches nothing.
    const name = "http.81", gateway = freePort();
    plane.configure([
      SETTINGS,
      listener(name, gateway),
      virtualHost(name, [route("own")]),
      destination("own", ports.admin),
    ]);
    await eventually(async () => {
      const { status, text } = await fetchText(gateway, "/config_dump");
      assert.equal(status, 503);
      assert.match(text, /remote connection failure/);
    });
    const level = await fetchText(ports.admin, "/logging?level=proxy:debug", { method: "POST" });
    assert.match(level.text, /current log level is info,proxy=debug/);
    assert.equal((await fetchText(ports.admin, "/logging?level=loud", { method: "POST" })).status, 400);
    assert.equal((await fetchText(ports.admin, "/logging")).status, 405);
    assert.equal((await fetchText(ports.admin, "/quitquitquit")).status, 405);
    assert.equal((await fetchText(ports.admin, "/nothing")).status, 404);
    assert.equal(running.ended, false);
    assert.equal((await fetchText(ports.admin, "/quitquitquit", { method: "POST" })).status, 200);
    assert.equal(running.ended, true);
    const ending = waypoint.shutdown(200, 0);
    assert.equal((await ready()).status, 503);
    await ending;
  });
});

Deno.test("a gateway has no port for tunnels and is ready without one of its own listeners", async () => {
  await withWaypoint(["router"], async ({ waypoint }) => {
    await eventually(() => assert.ok(waypoint.readiness.ready, waypoint.readiness.pending().join()));
    assert.equal(waypoint.ports.hbone, 0);
    assert.deepEqual(waypoint.proxy.ports, []);
    const { node, mode } = JSON.parse((await fetchText(waypoint.ports.admin, "/config_dump")).text);
    assert.equal(mode, "router");
    assert.match(node.id, /^router~127\.0\.0\.1~waypoint-1\.default~/);
  });
});
