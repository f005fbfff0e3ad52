// What a waypoint tells the destination's ztunnel of its clients, and which connections they share.

import assert from "node:assert/strict";
import { HboneServer } from "../../../src/hbone/mod.ts";
import type { SpiffeId } from "../../../src/model/mod.ts";
import { connectTcp, listenTcp, pump } from "../../../src/net/mod.ts";
import { loopback } from "../../http/upstream/support.ts";
import { idOf, issueWorkload } from "../../identity/support.ts";
import { eventually } from "../../support/eventually.ts";
import { workload } from "../../support/model.ts";
import { CLIENT_ID, destination, exchange, type Lab, route, serviceListener, virtualHost, withLab } from "./lab.ts";

const WEB = serviceListener("web", "10.96.0.9", 80);
const DB = serviceListener("db", "10.96.0.20", 5432, {
  protocol: "TCP",
  tcp: { destinations: [{ destination: "web", weight: 1 }] },
});
const OTHER_ID = idOf("default", "notsleep");
/** Clients of the mesh: name, service account, address. */
const CLIENTS = [["a", "sleep", "10.244.1.7"], ["b", "sleep", "10.244.1.8"], ["c", "notsleep", "10.244.1.9"]];

/** A workload in the mesh behind the lab's waypoint; `told` are the `forwarded` headers of tunnels to it. */
async function withWorkload(
  hideClients: boolean,
  run: (lab: Lab, told: string[], mirrored: string[]) => Promise<void>,
): Promise<void> {
  await withLab({ waypoint: true, hideClients }, async (lab) => {
    for (const [name, serviceAccount, address] of CLIENTS) {
      lab.state.upsertWorkload(workload(name, address, { serviceAccount }));
    }
    const told: Record<string, string[]> = {}, closers: (() => void)[] = [];
    for (const last of [51, 52]) {
      const address = loopback(last), headers: string[] = told[last] = [];
      const port = lab.backend(() => new Response("ok"));
      const certificate = await issueWorkload(lab.ca, idOf("default", "web"));
      const server = new HboneServer({
        reactor: lab.reactor,
        onConnect: (request) => {
          headers.push(request.header("forwarded") ?? "");
          connectTcp(lab.reactor, { address: "127.0.0.1", port, timeoutMs: 5000 }, (error, socket) => {
            if (error) request.reject(503);
            else pump(request.accept(), socket!, { onDone() {} });
          });
        },
      });
      const listener = listenTcp(lab.reactor, { address, port: 15008 }, (socket) => server.serve(socket, certificate));
      closers.push(() => listener.close(), () => server.close());
      lab.state.upsertWorkload(workload(`web-${last}`, address, { serviceAccount: "web" }));
    }
    lab.state.changed();
    const endpoints = (last: number) => ({
      endpoints: { kind: "static" as const, endpoints: [{ address: loopback(last), port: 80, weight: 1 }] },
    });
    const mirrors = [{ destination: "mirror", millionths: 1_000_000 }];
    lab.apply([
      WEB,
      DB,
      virtualHost(WEB.name, [
        route("web", {
          match: { headers: [], query: [], path: { kind: "prefix", value: "/mirrored", segments: true } },
          action: { kind: "forward", destinations: [{ destination: "web", weight: 1 }], mirrors },
        }),
        route("web"),
      ]),
      destination("web", 0, endpoints(51)),
      destination("mirror", 0, endpoints(52)),
    ]);
    try {
      await run(lab, told[51], told[52]);
    } finally {
      for (const close of closers) close();
    }
  });
}

/** One request on a connection of its own from a client. */
async function request(lab: Lab, id: SpiffeId, forwarded: string | undefined, path = "/"): Promise<void> {
  const connection = await lab.tunnel("10.96.0.9:80", { id, forwarded });
  assert.match(await exchange(connection, `GET ${path} HTTP/1.1\nhost: web`), / 200 /);
  connection.close();
}

Deno.test("a waypoint names each client to the destination, and keeps its connections apart", async () => {
  await withWorkload(false, async (lab, told, mirrored) => {
    for (let round = 0; round < 3; round++) {
      await request(lab, CLIENT_ID, `for="10.244.1.7:4000${round}"`);
      await request(lab, CLIENT_ID, 'for="10.244.1.8:50000"');
      await request(lab, OTHER_ID, 'for="10.244.1.9:60000"');
    }
    assert.deepEqual(told, ['for="10.244.1.7:40000"', 'for="10.244.1.8:50000"', 'for="10.244.1.9:60000"']);
    // Claims that the identity does not bear out, and none: the tunnel's peer, one client for all of these.
    await request(lab, CLIENT_ID, 'for="10.244.1.9:1"');
    await request(lab, OTHER_ID, 'for="10.244.1.7:1"');
    await request(lab, OTHER_ID, 'for="169.254.7.127:1"');
    await request(lab, OTHER_ID, undefined);
    assert.equal(told.length, 4);
    assert.match(told[3], /^for="127\.0\.0\.1:\d+"$/);
    // Copies of requests are the client's, too.
    await request(lab, OTHER_ID, 'for="10.244.1.9:60001"', "/mirrored");
    await eventually(() => assert.deepEqual(mirrored, ['for="10.244.1.9:60001"']));
    // Bytes: a connection each, with its port.
    for (const port of [1001, 1002]) {
      const connection = await lab.tunnel("10.96.0.20:5432", { forwarded: `for="10.244.1.7:${port}"` });
      assert.match(await exchange(connection, "GET / HTTP/1.1\nhost: web\nconnection: close"), / 200 /);
      connection.close();
    }
    assert.deepEqual(told.slice(4), ['for="10.244.1.7:1001"', 'for="10.244.1.7:1002"']);
  });
});

Deno.test("a waypoint that hides its clients names none, and they share connections", async () => {
  await withWorkload(true, async (lab, told) => {
    await request(lab, CLIENT_ID, 'for="10.244.1.7:40000"');
    await request(lab, OTHER_ID, 'for="10.244.1.9:60000"');
    assert.deepEqual(told, [""]);
    const connection = await lab.tunnel("10.96.0.20:5432", { forwarded: 'for="10.244.1.7:40000"' });
    assert.match(await exchange(connection, "GET / HTTP/1.1\nhost: web\nconnection: close"), / 200 /);
    connection.close();
    assert.deepEqual(told, ["", ""]);
  });
});
