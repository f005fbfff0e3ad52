// Everything at once, from a seed: whatever happens, every attempt has one outcome and every count comes back to zero.

import assert from "node:assert/strict";
import type { Attempt } from "../../../src/http/upstream/mod.ts";
import type { Destination } from "../../../src/model/mod.ts";
import { withReactor } from "../../hbone/support.ts";
import { eventually } from "../../support/eventually.ts";
import { destination, lab, lineCodecs, LineServer, Recorder, seeded, statics } from "./support.ts";

const NAME = "web";

for (const seed of [1, 2]) {
  Deno.test(`upstream: a seeded storm of answers, resets, refusals, limits, cancellations and changes (${seed})`, async () => {
    const random = seeded(seed);
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
      const { clusters } = await lab(reactor, { codecs: lineCodecs(3), random });
      const configuration = (): Partial<Destination> => ({
        endpoints: statics(...[...servers, gone].filter(() => random() < 0.6).map(({ port }) => port)),
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
      for (const { host } of attempts) assert.equal(host?.connections ?? 0, 0);
      for (const server of servers) server.close();
    });
  });
}
