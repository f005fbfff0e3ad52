// Whom the application sees behind a waypoint, with real sockets: the waypoint here says what it likes.

import assert from "node:assert/strict";
import { HbonePool, type HboneStream } from "../../../src/hbone/mod.ts";
import type { SpiffeId } from "../../../src/model/mod.ts";
import type { TcpSocket } from "../../../src/net/tcp_socket.ts";
import { idOf, issueWorkload, testCa } from "../../identity/support.ts";
import { eventually } from "../../support/eventually.ts";
import { MeshLab, type MeshPod } from "../../support/mesh_lab.ts";
import { gatewayByHost, memberOf, service } from "../../support/model.ts";
import { CAN_NETNS } from "../../support/netns.ts";
import { TestConnection } from "../../support/tcp.ts";

const WP = "wp.default.svc.cluster.local", WEB = "default/web.default.svc.cluster.local";

Deno.test({
  name: `source: the application sees the client that its own waypoint names, within bounds${
    CAN_NETNS ? "" : " (ignored: network namespaces cannot be made here)"
  }`,
  ignore: !CAN_NETNS,
  fn: () =>
    MeshLab.run(async (lab) => {
      const ca = await testCa();
      const node = lab.node("node-1", ca);
      const web = await lab.pod("web", node, { services: memberOf({ [WEB]: { 80: 8080 } }) });
      const wp = await lab.pod("wp", node, {
        captured: false,
        tunnelProtocol: "HBONE",
        services: memberOf({ [`default/${WP}`]: { 15008: 15008 } }),
      });
      lab.services(
        service("wp", "10.96.0.9", { 15008: 15008 }),
        service("web", "10.96.0.1", { 80: 8080 }, { waypoint: gatewayByHost("default", WP) }),
      );
      const server = lab.serve(web, 8080, "hello");
      const pool = new HbonePool({ reactor: lab.reactor, netns: wp.netns });
      /** Whom the application saw behind a tunnel with this header. */
      const seen = async (id: SpiffeId, forwarded: string, ip = web.ip): Promise<string> => {
        const before = server.clients.length;
        const certificate = await issueWorkload(ca, id);
        const stream = await new Promise<HboneStream>((resolve, reject) =>
          pool.connect({
            certificate,
            address: ip,
            port: 15008,
            expectedIds: [idOf("default", "web")],
            authority: ip.includes(":") ? `[${ip}]:8080` : `${ip}:8080`,
            headers: [["forwarded", forwarded]],
          }, (error, stream) => error ? reject(error) : resolve(stream!))
        );
        const connection = new TestConnection(stream as unknown as TcpSocket);
        await connection.until(({ received }) => received === "hello");
        await connection.echo(" there and back");
        connection.close();
        assert.equal(server.clients.length, before + 1);
        return server.clients[before].from;
      };
      try {
        const own = idOf("default", "wp"), other = idOf("default", "client");
        // A client that exists, one that nobody knows, and the next one over the same tunnel.
        assert.equal(await seen(own, 'for="10.77.1.7:41000";host=web.default.svc.cluster.local'), "10.77.1.7");
        assert.equal(await seen(own, 'for="192.0.2.9:1"'), "192.0.2.9");
        assert.equal(await seen(own, 'for="[fd00:77::7]:41000"', web.ip6), "fd00:77::7");
        // Not its waypoint: the tunnel's peer, whatever it says.
        assert.equal(await seen(other, 'for="10.77.1.7:41000"'), wp.ip);
        const hostile = [
          "127.0.0.1:1",
          "169.254.7.127:1",
          "169.254.169.254:80",
          "0.0.0.0:1",
          "224.0.0.1:1",
          "255.255.255.255:1",
          `${web.ip}:8080`,
          `[::ffff:${web.ip}]:1`,
          "[fd00:77::7]:1",
          "[::1]:1",
          "nonsense",
        ];
        for (const claim of hostile) assert.equal(await seen(own, `for="${claim}"`), wp.ip, claim);
        for (const claim of ["[::1]:1", "[fe80::1]:1", "[fd16:9254:7127:1337:ffff:ffff:ffff:ffff]:1", "10.77.1.7:1"]) {
          assert.equal(await seen(own, `for="${claim}"`, web.ip6), wp.ip6, claim);
        }
        await speaksOfTheWaypoint(node.access, wp);
      } finally {
        pool.close();
      }
    }),
});

/** Log and metrics are about the tunnel's peer, whoever the application saw. */
async function speaksOfTheWaypoint(access: readonly string[], wp: MeshPod): Promise<void> {
  await eventually(() => {
    const inbound = access.filter((line) => line.includes('direction="inbound"'));
    assert.ok(inbound.length >= 10);
    for (const line of inbound) {
      assert.ok(line.includes(`src.addr=${wp.ip}:`) || line.includes(`src.addr=[${wp.ip6}]:`), line);
    }
    assert.ok(inbound[0].includes('src.workload="wp"') && !inbound[0].includes("10.77.1.7"), inbound[0]);
  });
}
