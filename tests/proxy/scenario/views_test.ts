import assert from "node:assert/strict";
import { eventually } from "../../support/eventually.ts";
import { MeshLab } from "../../support/mesh_lab.ts";
import { memberOf, service } from "../../support/model.ts";
import { CAN_NETNS } from "../../support/netns.ts";

const WEB = "default/web.default.svc.cluster.local";

Deno.test({
  name: `scenario: states() shows open connections and pooled ones with their TLS${
    CAN_NETNS ? "" : " (ignored: network namespaces cannot be made here)"
  }`,
  ignore: !CAN_NETNS,
  fn: () =>
    MeshLab.run(async (lab) => {
      const one = lab.node("node-1"), two = lab.node("node-2");
      const client = await lab.pod("client", one);
      const web = await lab.pod("web", two, { services: memberOf({ [WEB]: { 80: 8080 } }) });
      lab.services(service("web", "10.96.0.1", { 80: 8080 }));
      lab.serve(web, 8080);
      const connection = await lab.greet(client, "10.96.0.1", 80);
      assert.equal(connection.received, "web");

      const source = one.proxy.states()[client.uid], destination = two.proxy.states()[web.uid];
      assert.deepEqual(source.connections.inbound, []);
      const [outbound] = source.connections.outbound;
      assert.equal(outbound.src.split(":")[0], client.ip);
      assert.deepEqual({ ...outbound, src: "" }, {
        src: "",
        originalDst: "10.96.0.1:80",
        actualDst: `${web.ip}:15008`,
        protocol: "HBONE",
      });
      const [inbound] = destination.connections.inbound;
      assert.equal(inbound.src.split(":")[0], client.ip);
      assert.deepEqual({ ...inbound, src: "" }, {
        src: "",
        originalDst: "web.default.svc.cluster.local",
        actualDst: `${web.ip}:8080`,
        protocol: "HBONE",
      });
      assert.deepEqual(source.hboneConnections, [{
        remote: `${web.ip}:15008`,
        identity: "spiffe://cluster.local/ns/default/sa/web",
        tls: { version: "TLSv1.3", cipher: source.hboneConnections[0].tls.cipher },
      }]);
      assert.match(source.hboneConnections[0].tls.cipher, /^TLS_/);

      connection.end();
      await eventually(() => assert.deepEqual(one.proxy.states()[client.uid].connections.outbound, []));
      await eventually(() => assert.deepEqual(two.proxy.states()[web.uid].connections.inbound, []));
    }),
});
