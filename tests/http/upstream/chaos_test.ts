// Everything at once, from a seed: whatever happens, every attempt has one outcome and every count comes back to zero.

import assert from "node:assert/strict";
import { HboneServer } from "../../../src/hbone/mod.ts";
import type { Attempt } from "../../../src/http/upstream/mod.ts";
import type { Destination, StaticEndpoint } from "../../../src/model/mod.ts";
import { connectTcp, listenTcp, pump, type Reactor } from "../../../src/net/mod.ts";
import type { MeshState } from "../../../src/proxy/state/mod.ts";
import { testMaterial, withReactor } from "../../hbone/support.ts";
import { eventually } from "../../support/eventually.ts";
import { workload } from "../../support/model.ts";
import { destination, endpoint, lab, lineCodecs, LineServer, loopback, Recorder, seeded } from "./support.ts";

const NAME = "web";

/** A workload at an address of ours, whose tunnels lead to the ports of 127.0.0.1. */
function tunnelled(
  reactor: Reactor,
  mesh: MeshState,
  address: string,
  material: Awaited<ReturnType<typeof testMaterial>>,
): { close(): void } {
  mesh.upsertWorkload(workload(address, address, { namespace: "depot", serviceAccount: "stock" }));
  const hbone = new HboneServer({
    reactor,
    onConnect: (request) => {
      const port = Number(request.authority.split(":")[1]);
      connectTcp(reactor, { address: "127.0.0.1", port, timeoutMs: 5000 }, (error, socket) => {
        if (error) request.reject(503);
        else pump(request.accept(), socket!, { onDone() {} });
      });
    },
  });
  const listener = listenTcp(reactor, { address, port: 15008 }, (socket) => hbone.serve(socket, material.server));
  return {
    close() {
      listener.close();
      hbone.close();
    },
  };
}

for (const [seed, hbone] of [[1, false], [2, false], [30, true]] as const) {
  const how = hbone ? "for several clients by HBONE" : `${seed}`;
  Deno.test(`upstream: a seeded storm of answers, resets, refusals, limits, cancellations and changes (${how})`, async () => {
    const random = seeded(seed), material = await testMaterial();
    const pick = <T>(...of: T[]): T => of[Math.floor(random() * of.length)];
    await withReactor(async (reactor) => {
      const servers = Array.from({ length: 4 }, () =>
        new LineServer(reactor, (_path, connection) => {
          const what = random();
          if (what < 0.05) connection.socket.abort();
          else if (what < 0.1) connection.socket.close();
          else if (what < 0.25) reactor.setTimer(random() * 20, () => connection.release(pick(200, 500, 503)));
          else return pick(200, 200, 200, 503);
          return null;
        }));
      const gone = new LineServer(reactor);
      gone.close();
      const { clusters, mesh } = await lab(reactor, { codecs: lineCodecs(3), random });
      const tunnels = hbone ? servers.map((_, i) => tunnelled(reactor, mesh, loopback(41 + i), material)) : [];
      const place = (server: LineServer): StaticEndpoint =>
        endpoint(hbone && server !== gone ? loopback(41 + servers.indexOf(server)) : "127.0.0.1", server.port);
      const configuration = (): Partial<Destination> => ({
        endpoints: { kind: "static", endpoints: [...servers, gone].filter(() => random() < 0.6).map(place) },
        protocol: pick("HTTP1", "HTTP2", "USE_CLIENT"),
        loadBalancer: { policy: pick("LEAST_REQUEST", "ROUND_ROBIN", "RANDOM"), warmupMs: pick(undefined, 50) },
        limits: {
          connectTimeoutMs: 500,
          idleTimeoutMs: pick(10, 1000),
          maxConnections: pick(undefined, 2),
          maxPendingRequests: pick(undefined, 3),
          maxRequests: pick(undefined, 10),
          maxRequestsPerConnection: pick(undefined, 1, 3),
        },
        outlierDetection: pick(undefined, {
          consecutive5xx: 3,
          consecutiveGatewayErrors: 2,
          consecutiveLocalOriginFailures: 2,
          splitExternalLocalOriginErrors: random() < 0.5,
          intervalMs: 10,
          baseEjectionMs: 20,
          maxEjectionPercent: 100,
          minHealthPercent: pick(0, 50),
        }),
      });
      clusters.apply([destination(NAME, configuration())], []);
      const kept = new Set([clusters.get(NAME)!]);
      const recorders: Recorder[] = [], cancelled = new Set<Recorder>(), attempts: Attempt[] = [];
      for (let round = 0; round < 100; round++) {
        for (let i = 0; i < 8; i++) {
          const recorder = new Recorder(`/${round}`);
          recorder.onBehalfOf = hbone ? { address: pick("10.0.0.1", "10.0.0.2", "10.0.0.3"), port: 1 } : null;
          recorder.downstreamVersion = pick("HTTP/1.1", "HTTP/2");
          recorders.push(recorder);
          const attempt = pick(...kept).attempt(recorder, recorder);
          attempts.push(attempt);
          attempt.begin();
          if (random() < 0.15) {
            reactor.setTimer(random() * 10, () => {
              if (attempt.over) return;
              cancelled.add(recorder);
              attempt.cancel(random() < 0.5);
            });
          }
        }
        if (random() < 0.3) clusters.apply([destination(NAME, configuration())], []);
        if (random() < 0.05) {
          clusters.apply([], [NAME]);
          clusters.apply([destination(NAME, configuration())], []);
          kept.add(clusters.get(NAME)!);
        }
        await new Promise((resolve) => setTimeout(resolve, random() < 0.2 ? 5 : 0));
      }
      // Whoever still waits for an answer gets one.
      const settled = (recorder: Recorder) => recorder.finished || recorder.error !== null || cancelled.has(recorder);
      await eventually(() => {
        for (const server of servers) server.release();
        assert.equal(recorders.filter((recorder) => !settled(recorder)).length, 0);
      });
      for (const recorder of recorders) {
        const outcomes = recorder.log.filter((line) => line === "finished" || line.startsWith("failed")).length;
        assert.equal(outcomes, cancelled.has(recorder) ? 0 : 1, recorder.log.join());
      }
      assert.ok(recorders.some(({ status }) => status === 200), "something went well");
      for (const cluster of kept) {
        const { breakers } = cluster;
        assert.deepEqual([breakers.requests, breakers.pending], [0, 0], cluster.name);
      }
      for (const { host } of attempts) assert.equal(host?.active ?? 0, 0);
      // What is not configured any more keeps no connections; the rest end with the proxy.
      const current = clusters.get(NAME)!;
      await eventually(() => {
        for (const cluster of kept) if (cluster !== current) assert.equal(cluster.breakers.connections, 0);
      });
      clusters.close();
      for (const cluster of kept) assert.equal(cluster.breakers.connections, 0);
      for (const { host } of attempts) {
        assert.equal(host?.connections ?? 0, 0);
        assert.deepEqual([host?.pools.clients ?? 0, host?.pools.idle?.size ?? 0], [0, 0]);
      }
      for (const tunnel of tunnels) tunnel.close();
      for (const server of servers) server.close();
    });
  });
}
