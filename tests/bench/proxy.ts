// The bare proxy of the bench: `proxy.ts outbound|inbound <certificate.json> <peer id>`. No policy, no lookups, no log.

import { HbonePool, HboneServer } from "../../src/hbone/mod.ts";
import type { WorkloadCertificate } from "../../src/identity/types.ts";
import { connectTcp, listenTcp, pump, Reactor } from "../../src/net/mod.ts";
import { SERVER_IP } from "./lab.ts";

const MARK = 0x539;
const nothing = { onDone(): void {} };

const [direction, file, peerId] = Deno.args;
const certificate: WorkloadCertificate = JSON.parse(await Deno.readTextFile(file));
const reactor = new Reactor();
reactor.start();

if (direction === "outbound") {
  const pool = new HbonePool({ reactor, mark: MARK });
  listenTcp(reactor, { address: "0.0.0.0", port: 15001 }, (socket) => {
    const destination = socket.originalDestination();
    if (destination === null) return socket.abort();
    pool.connect({
      certificate,
      address: SERVER_IP,
      expectedIds: [peerId as never],
      authority: `${destination.address}:${destination.port}`,
      headers: [[
        "baggage",
        "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.pod.name=client,service.name=client",
      ], [
        "forwarded",
        `for="${socket.remote.address}:${socket.remote.port}"`,
      ]],
    }, (error, stream) => {
      if (error !== null) {
        console.error(error.message);
        socket.abort();
      } else pump(socket, stream!, nothing);
    });
  });
} else {
  const server = new HboneServer({
    reactor,
    onConnect(request) {
      const port = Number(request.authority.slice(request.authority.lastIndexOf(":") + 1));
      connectTcp(reactor, { address: SERVER_IP, port, timeoutMs: 5000, mark: MARK }, (error, socket) => {
        if (error !== null) request.reject(503);
        else if (request.aborted) socket!.abort();
        else pump(request.accept(), socket!, nothing);
      });
    },
    onError: (error) => console.error(error.message),
  });
  listenTcp(reactor, { address: "0.0.0.0", port: 15008 }, (socket) => server.serve(socket, certificate));
}
console.log("ready");
