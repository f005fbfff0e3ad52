// Waypoints and application tunnels with real sockets: what a later waypoint leans on.

import assert from "node:assert/strict";
import { HboneServer } from "../../../src/hbone/server.ts";
import { listenTcp, pump } from "../../../src/net/mod.ts";
import type { SpiffeId } from "../../../src/model/mod.ts";
import { idOf, issueWorkload, testCa } from "../../identity/support.ts";
import { eventually } from "../../support/eventually.ts";
import { MeshLab } from "../../support/mesh_lab.ts";
import { gatewayByHost, memberOf, service } from "../../support/model.ts";
import { CAN_NETNS } from "../../support/netns.ts";
import { connectTcp } from "../../../src/net/mod.ts";

function scenario(name: string, fn: (lab: MeshLab) => Promise<void>): void {
  const why = CAN_NETNS ? "" : " (ignored: network namespaces cannot be made here)";
  Deno.test({ name: `tunnel: ${name}${why}`, ignore: !CAN_NETNS, fn: () => MeshLab.run(fn) });
}

const WP = "wp.default.svc.cluster.local";

scenario("traffic for a service with a waypoint goes there by HBONE with the original address", async (lab) => {
  const ca = await testCa();
  const node = lab.node("node-1", ca);
  const client = await lab.pod("client", node);
  const wp = await lab.pod("wp", node, {
    captured: false,
    tunnelProtocol: "HBONE",
    services: memberOf({ [`default/${WP}`]: { 15008: 15008 } }),
  });
  const backend = await lab.net.pod("backend");
  lab.serve(backend, 80, "backend");
  lab.services(
    service("wp", "10.96.0.9", { 15008: 15008 }),
    service("web", "10.96.0.1", { 80: 80 }, { waypoint: gatewayByHost("default", WP) }),
  );
  const certificate = await issueWorkload(ca, idOf("default", "wp"));
  const asked: { authority: string; peer: SpiffeId; forwarded: string | undefined }[] = [];
  const server = new HboneServer({
    reactor: lab.reactor,
    onConnect: (request) => {
      asked.push({ authority: request.authority, peer: request.peer.ids[0], forwarded: request.header("forwarded") });
      connectTcp(lab.reactor, { netns: wp.netns, address: backend.ip, port: 80, timeoutMs: 5000 }, (error, socket) => {
        if (error) return request.reject(503);
        pump(request.accept(), socket!, { onDone: () => {} });
      });
    },
  });
  const listener = listenTcp(lab.reactor, { netns: wp.netns, address: "::", port: 15008 }, (socket) => {
    server.serve(socket, certificate);
  });
  try {
    const connection = await lab.greet(client, "10.96.0.1", 80);
    assert.equal(connection.received, "backend");
    await connection.echo("ping");
    connection.end();
    assert.equal(asked[0].authority, "10.96.0.1:80", "the waypoint decides where it goes");
    assert.equal(asked[0].peer, idOf("default", "client"));
    assert.match(asked[0].forwarded!, new RegExp(`^for="${client.ip}:\\d+";host=web.default.svc.cluster.local$`));
    await eventually(() => assert.match(node.access.join("\n"), /dst.hbone_addr=10.96.0.1:80 dst.service="web/));
  } finally {
    listener.close();
    server.close();
  }
});

scenario("an application tunnel is reached on loopback with a PROXY header in front", async (lab) => {
  const node = lab.node("node-1");
  const client = await lab.pod("client", node);
  const gateway = await lab.pod("gateway", node, { applicationTunnel: { protocol: "PROXY", port: 15088 } });
  const server = lab.serve(gateway, 15088, "");
  const connection = await lab.dial(client, gateway.ip, 80);
  connection.send("hello");
  await connection.until((c) => c.received.endsWith("hello"));
  assert.deepEqual([...connection.received.slice(0, 4)].map((c) => c.charCodeAt(0)), [13, 10, 13, 10]);
  assert.ok(connection.received.includes("spiffe://cluster.local/ns/default/sa/client"));
  assert.equal(server.clients[0].from, "127.0.0.1");
});
