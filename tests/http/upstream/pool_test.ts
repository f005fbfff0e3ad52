import assert from "node:assert/strict";
import { Fields } from "../../../src/http/fields.ts";
import type { Destination } from "../../../src/model/mod.ts";
import { listenTcp } from "../../../src/net/mod.ts";
import { eventually } from "../../support/eventually.ts";
import { withReactor } from "../../hbone/support.ts";
import { destination, endpoint, type Lab, lab, lineCodecs, LineServer, Recorder, send, statics } from "./support.ts";

const NAME = "outbound|80||web";

async function withLab(
  run: (parts: Lab & { server: LineServer; apply: (extra?: Partial<Destination>) => void }) => Promise<void>,
  streams?: number,
): Promise<void> {
  await withReactor(async (reactor) => {
    const server = new LineServer(reactor);
    const parts = await lab(reactor, { codecs: lineCodecs(streams) });
    const apply = (extra: Partial<Destination> = {}) =>
      parts.clusters.apply([destination(NAME, { endpoints: statics(server.port), ...extra })], []);
    apply();
    try {
      await run({ ...parts, server, apply });
    } finally {
      parts.clusters.close();
      server.close();
    }
  });
}

const limits = (extra: Partial<Destination["limits"]>): Pick<Destination, "limits"> => ({
  limits: { connectTimeoutMs: 5_000, idleTimeoutMs: 3_600_000, ...extra },
});

/** Begins `count` requests without waiting for them. */
function begin({ clusters }: Lab, count: number, path = "/"): Recorder[] {
  return Array.from({ length: count }, () => {
    const recorder = new Recorder(path);
    clusters.get(NAME)!.attempt(recorder, recorder).begin();
    return recorder;
  });
}

Deno.test("pool: a connection is used again, and the facts of an attempt are there", async () => {
  await withLab(async ({ clusters, server }) => {
    const [first, attempt] = await send(clusters, NAME, new Recorder("/a"));
    assert.deepEqual(first.log, ["sent", "response 200 true", "finished"]);
    assert.equal(attempt.host!.name, `127.0.0.1:${server.port}`);
    assert.equal(attempt.host!.hbone, false);
    assert.equal(attempt.localAddress!.address, "127.0.0.1");
    assert.equal(attempt.reusedConnection, false);
    const [, again] = await send(clusters, NAME, new Recorder("/b"));
    assert.equal(again.reusedConnection, true);
    assert.deepEqual(server.connections.map(({ paths }) => paths), [["/a", "/b"]]);
    const { breakers } = clusters.get(NAME)!;
    assert.deepEqual([breakers.connections, breakers.pending, breakers.requests], [1, 0, 0]);
    assert.equal(attempt.host!.active, 0);
  });
});

Deno.test("pool: requests at once get a connection each; the one used last is used next", async () => {
  await withLab(async (parts) => {
    const { server, clusters } = parts;
    server.answer = () => null;
    const recorders = begin(parts, 3);
    await eventually(() => assert.equal(server.waiting, 3));
    assert.equal(server.connections.length, 3);
    const last = server.connections[1];
    server.connections[0].release();
    server.connections[2].release();
    await eventually(() => assert.equal(recorders.filter(({ finished }) => finished).length, 2));
    last.release();
    await eventually(() => assert.ok(recorders.every(({ finished }) => finished)));
    server.answer = () => 200;
    await send(clusters, NAME);
    assert.equal(last.paths.length, 2);
  });
});

Deno.test("pool: HTTP/2 requests share a connection up to the peer's limit", async () => {
  await withLab(async (parts) => {
    const { server } = parts;
    parts.apply({ protocol: "HTTP2" });
    server.answer = () => null;
    begin(parts, 5);
    await eventually(() => assert.equal(server.waiting, 5));
    assert.deepEqual(server.connections.map(({ paths }) => paths.length).sort(), [2, 3]);
    server.release();
    await eventually(() => assert.equal(parts.clusters.get(NAME)!.breakers.requests, 0));
  }, 3);
});

Deno.test("pool: USE_CLIENT speaks what the client spoke", async () => {
  await withLab(async (parts) => {
    parts.apply({ protocol: "USE_CLIENT" });
    const one = new Recorder(), two = new Recorder();
    two.downstreamVersion = "HTTP/2";
    const [, first] = await send(parts.clusters, NAME, one);
    const [, second] = await send(parts.clusters, NAME, two);
    assert.equal(first.connection!.connection.version, "HTTP/1.1");
    assert.equal(second.connection!.connection.version, "HTTP/2");
  });
});

Deno.test("breakers: requests beyond the limit overflow, those under way do not suffer", async () => {
  await withLab(async (parts) => {
    const { server, clusters } = parts;
    parts.apply({ protocol: "HTTP2", ...limits({ maxRequests: 2 }) });
    await send(clusters, NAME);
    server.answer = () => null;
    const recorders = begin(parts, 3);
    assert.deepEqual(recorders.map(({ error }) => error?.code), [undefined, undefined, "overflow"]);
    await eventually(() => assert.equal(server.waiting, 2));
    server.release();
    await Promise.all(recorders.map(({ done }) => done));
    assert.equal(clusters.get(NAME)!.counters.upstream_rq_pending_overflow, 1);
    const stats = clusters.stats();
    for (const line of ["upstream_rq_pending_overflow: 1", "upstream_rq_total: 3", "membership_healthy: 1"]) {
      assert.ok(stats.includes(`cluster.${NAME}.${line}\n`), stats);
    }
    server.answer = () => 200;
    assert.equal((await send(clusters, NAME))[0].status, 200);
  });
});

Deno.test("breakers: one connection, one waiting request: the third overflows, the second is served after the first", async () => {
  await withLab(async (parts) => {
    const { server } = parts;
    parts.apply(limits({ maxConnections: 1, maxPendingRequests: 1 }));
    server.answer = () => null;
    const [first] = begin(parts, 1, "/first");
    await eventually(() => assert.equal(server.waiting, 1));
    const [second, third] = begin(parts, 2, "/later");
    assert.equal(second.error, null);
    assert.equal(third.error?.code, "overflow");
    server.release();
    await first.done;
    await eventually(() => assert.equal(server.waiting, 1));
    server.release();
    await second.done;
    assert.equal(second.status, 200);
    assert.equal(server.connections.length, 1);
  });
});

Deno.test("breakers: a host without a connection may have one although the cluster is at its limit", async () => {
  await withLab(async (parts) => {
    const other = new LineServer(parts.clusters.get(NAME)!.reactor, () => null);
    parts.apply({ endpoints: statics(parts.server.port, other.port), ...limits({ maxConnections: 1 }) });
    parts.server.answer = () => null;
    const recorders = begin(parts, 4);
    await eventually(() => assert.equal(parts.server.waiting + other.waiting, 2));
    assert.deepEqual([parts.server.connections.length, other.connections.length], [1, 1]);
    for (let i = 0; i < 2; i++) {
      await eventually(() => assert.equal(parts.server.waiting + other.waiting, 2));
      parts.server.release();
      other.release();
    }
    await Promise.all(recorders.map(({ done }) => done));
    other.close();
  });
});

Deno.test("breakers: retries are counted", async () => {
  await withLab(async ({ clusters, apply }) => {
    apply(limits({ maxRetries: 1 }));
    const cluster = clusters.get(NAME)!;
    assert.equal(cluster.acquireRetry(), true);
    assert.equal(cluster.acquireRetry(), false);
    cluster.releaseRetry();
    assert.equal(cluster.acquireRetry(), true);
    assert.deepEqual([cluster.counters.upstream_rq_retry, cluster.counters.upstream_rq_retry_overflow], [2, 1]);
  });
});

Deno.test("pool: after its share of requests a connection is let go", async () => {
  await withLab(async ({ clusters, server, apply }) => {
    apply(limits({ maxRequestsPerConnection: 2 }));
    for (let i = 0; i < 5; i++) assert.equal((await send(clusters, NAME))[0].status, 200);
    assert.deepEqual(server.connections.map(({ paths }) => paths.length), [2, 2, 1]);
    await eventually(() => assert.equal(server.openConnections, 1));
  });
});

Deno.test("pool: connections without requests end after the idle time-out", async () => {
  await withLab(async (parts) => {
    const { clusters, server } = parts;
    parts.apply(limits({ idleTimeoutMs: 60 }));
    server.answer = (path) => path === "/slow" ? null : 200;
    const [slow] = begin(parts, 1, "/slow");
    await send(clusters, NAME);
    assert.equal(server.openConnections, 2);
    await eventually(() => assert.equal(server.openConnections, 1));
    server.release();
    await slow.done;
    assert.equal(slow.status, 200, "a busy one is not idle");
    await eventually(() => assert.equal(server.openConnections, 0));
    await eventually(() => assert.equal(clusters.get(NAME)!.breakers.connections, 0));
  });
});

Deno.test("pool: a connection that is as old as it may get ends with the requests it has", async () => {
  await withLab(async (parts) => {
    const { clusters, server } = parts;
    server.answer = (path) => path === "/slow" ? null : 200;
    const [slow] = begin(parts, 1, "/slow");
    await send(clusters, NAME);
    assert.equal(server.openConnections, 2);
    // For connections that are there, too.
    parts.apply(limits({ maxConnectionDurationMs: 80 }));
    // The idle one goes; the busy one stays until it is not.
    await eventually(() => assert.equal(server.openConnections, 1));
    server.release();
    await slow.done;
    assert.equal(slow.status, 200);
    await eventually(() => assert.equal(server.openConnections, 0));
    await eventually(() => assert.equal(clusters.get(NAME)!.breakers.connections, 0));
    parts.apply({ protocol: "HTTP2", ...limits({ maxConnectionDurationMs: 80 }) });
    const [long] = begin(parts, 1, "/slow");
    await eventually(() => assert.equal(server.waiting, 1));
    const old = server.connections.at(-1)!;
    await eventually(async () => {
      await send(clusters, NAME, new Recorder("/next"));
      assert.notEqual(server.connections.at(-1), old);
    });
    assert.equal(old.open, true);
    server.release();
    await long.done;
    assert.equal(long.status, 200);
    await eventually(() => assert.equal(old.open, false));
  });
});

Deno.test("pool: a kept connection that the host has closed is told apart", async () => {
  await withLab(async (parts) => {
    const { clusters, server } = parts;
    await send(clusters, NAME);
    server.answer = (_path, connection) => {
      connection.socket.abort();
      return null;
    };
    const [recorder, attempt] = await send(clusters, NAME);
    assert.equal(recorder.error?.code, "connection_termination");
    assert.equal(attempt.staleConnection, true);
    const [fresh, first] = await send(clusters, NAME);
    assert.equal(fresh.error?.code, "connection_termination");
    assert.equal(first.staleConnection, false);
    await eventually(() => assert.equal(clusters.get(NAME)!.breakers.connections, 0));
    assert.equal(first.host!.active, 0);
  });
});

Deno.test("pool: a closed connection is not chosen when its end was seen in time", async () => {
  await withLab(async ({ clusters, server }) => {
    await send(clusters, NAME);
    server.connections[0].socket.close();
    await eventually(() => assert.equal(clusters.get(NAME)!.breakers.connections, 0));
    const [recorder] = await send(clusters, NAME);
    assert.equal(recorder.status, 200);
    assert.equal(server.connections.length, 2);
  });
});

Deno.test("pool: refused connections fail everybody who waits", async () => {
  await withLab(async (parts) => {
    const { server } = parts;
    server.close();
    const recorders = begin(parts, 3);
    await Promise.all(recorders.map(({ done }) => done));
    assert.deepEqual(recorders.map(({ error }) => error?.code), new Array(3).fill("connection_failure"));
    const cluster = parts.clusters.get(NAME)!;
    await eventually(() => assert.deepEqual([cluster.breakers.connections, cluster.breakers.pending], [0, 0]));
  });
});

Deno.test("pool: a host that does not answer the connection is given up after the connect time-out", async () => {
  await withReactor(async (reactor) => {
    // A peer that accepts and says nothing to TLS: as silent as a black hole, without help from the kernel.
    const silent = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, () => {});
    const { clusters } = await lab(reactor);
    const tls = { mode: "SIMPLE", sni: "a.example", subjectAltNames: [], insecureSkipVerify: true } as const;
    clusters.apply([
      destination(NAME, { endpoints: statics(silent.port), tls, ...limits({ connectTimeoutMs: 50 }) }),
    ], []);
    const [recorder] = await send(clusters, NAME);
    assert.equal(recorder.error?.code, "connection_timeout");
    clusters.close();
    silent.close();
  });
});

Deno.test("attempt: cancelled while it waits, and while it is under way", async () => {
  await withLab(async (parts) => {
    const { server, clusters } = parts;
    const cluster = clusters.get(NAME)!;
    server.answer = () => null;
    const never = new Recorder(), unbegun = cluster.attempt(never, never);
    unbegun.cancel();
    unbegun.begin();
    assert.deepEqual([never.log, cluster.breakers.requests], [[], 0]);
    const early = new Recorder(), late = new Recorder();
    const waiting = cluster.attempt(early, early);
    waiting.begin();
    waiting.cancel();
    waiting.cancel();
    assert.equal(cluster.breakers.pending, 0);
    const attempt = cluster.attempt(late, late);
    attempt.begin();
    await eventually(() => assert.equal(server.waiting, 1));
    attempt.cancel();
    assert.deepEqual([early.log, late.log], [[], ["sent"]]);
    assert.deepEqual([cluster.breakers.requests, attempt.host!.active], [0, 0]);
    // The connection that was being made for the first serves the next; the second one's is lost with it.
    server.answer = () => 200;
    assert.equal((await send(clusters, NAME))[0].status, 200);
    await eventually(() => assert.equal(cluster.breakers.connections, 1));
  });
});

Deno.test("clusters: a removed destination lets requests end and keeps nothing", async () => {
  await withLab(async (parts) => {
    const { server, clusters } = parts;
    server.answer = (path) => path === "/slow" ? null : 200;
    const [slow] = begin(parts, 1, "/slow");
    await send(clusters, NAME);
    const cluster = clusters.get(NAME)!;
    clusters.apply([], [NAME]);
    assert.equal(clusters.get(NAME), undefined);
    await eventually(() => assert.equal(server.openConnections, 1));
    // A request whose route still names it goes through, on a connection that is not kept.
    const recorder = new Recorder();
    cluster.attempt(recorder, recorder).begin();
    await recorder.done;
    assert.equal(recorder.status, 200);
    server.release();
    await slow.done;
    assert.equal(slow.status, 200);
    // Who sees the end first, the server or the pool, is the network's affair.
    await eventually(() => assert.deepEqual([server.openConnections, cluster.breakers.connections], [0, 0]));
  });
});

Deno.test("clusters: another configuration keeps hosts and connections; another protocol gets connections of its own", async () => {
  await withLab(async ({ clusters, server, apply }) => {
    await send(clusters, NAME);
    const [host] = [...clusters.get(NAME)!.hosts];
    apply({ loadBalancer: { policy: "RANDOM" }, ...limits({ maxRequests: 10 }) });
    await send(clusters, NAME);
    assert.deepEqual([...clusters.get(NAME)!.hosts], [host]);
    assert.equal(server.connections.length, 1);
    apply({ protocol: "HTTP2" });
    const [, attempt] = await send(clusters, NAME);
    assert.equal(attempt.connection!.connection.version, "HTTP/2");
    await eventually(() => assert.equal(server.openConnections, 1));
  });
});

Deno.test("clusters: wider limits let those who wait go on, and a shorter idle time-out holds for connections that are there", async () => {
  await withLab(async (parts) => {
    const { server, clusters, apply } = parts;
    apply(limits({ maxConnections: 1 }));
    server.answer = () => null;
    const recorders = begin(parts, 2);
    await eventually(() => assert.equal(server.waiting, 1));
    assert.equal(server.connections.length, 1);
    apply(limits({ maxConnections: 2 }));
    await eventually(() => assert.equal(server.waiting, 2));
    server.release();
    await Promise.all(recorders.map(({ done }) => done));
    apply(limits({ idleTimeoutMs: 30 }));
    await eventually(() => assert.equal(server.openConnections, 0));
    assert.ok(clusters.get(NAME)!.counters.upstream_cx_overflow > 0);
  });
});

Deno.test("clusters: shutdown ends idle connections and lets active ones end", async () => {
  await withLab(async (parts) => {
    const { server, clusters } = parts;
    server.answer = (path) => path === "/slow" ? null : 200;
    const [slow] = begin(parts, 1, "/slow");
    await send(clusters, NAME);
    clusters.shutdown();
    await eventually(() => assert.equal(server.openConnections, 1));
    server.release();
    await slow.done;
    assert.equal(slow.status, 200);
    await eventually(() => assert.equal(server.openConnections, 0));
  });
});

Deno.test("cluster: nobody to send to", async () => {
  await withLab(async ({ clusters, apply }) => {
    apply({ endpoints: statics() });
    const [recorder, attempt] = await send(clusters, NAME);
    assert.equal(recorder.error?.code, "no_healthy_upstream");
    assert.equal(attempt.host, null);
  });
});

Deno.test("cluster: hosts that fail are ejected; when all are, nobody is left, and they come back", async () => {
  await withLab(async ({ clusters, server, apply }) => {
    const other = new LineServer(clusters.get(NAME)!.reactor, () => 200);
    apply({
      endpoints: statics(server.port, other.port),
      outlierDetection: {
        consecutive5xx: 2,
        consecutiveGatewayErrors: 0,
        consecutiveLocalOriginFailures: 0,
        splitExternalLocalOriginErrors: false,
        intervalMs: 20,
        baseEjectionMs: 300,
        maxEjectionPercent: 100,
        minHealthPercent: 0,
      },
    });
    server.answer = () => 500;
    for (let i = 0; i < 4; i++) await send(clusters, NAME);
    assert.deepEqual(
      clusters.get(NAME)!.view().map(({ outlierCheck }) => outlierCheck),
      ["FAILED", "OK"],
    );
    for (let i = 0; i < 6; i++) assert.equal((await send(clusters, NAME))[0].status, 200);
    other.answer = () => 503;
    await send(clusters, NAME);
    await send(clusters, NAME);
    assert.equal((await send(clusters, NAME))[0].error?.code, "no_healthy_upstream");
    assert.equal(clusters.get(NAME)!.ejected, 2);
    server.answer = other.answer = () => 200;
    await eventually(async () => assert.equal((await send(clusters, NAME))[0].status, 200));
    other.close();
  });
});

Deno.test("cluster: gRPC answers count by their status, in headers or trailers", async () => {
  await withLab(async ({ clusters, apply, server }) => {
    apply({
      endpoints: statics(server.port),
      outlierDetection: {
        consecutive5xx: 2,
        consecutiveGatewayErrors: 0,
        consecutiveLocalOriginFailures: 0,
        splitExternalLocalOriginErrors: false,
        intervalMs: 10_000,
        baseEjectionMs: 30_000,
        maxEjectionPercent: 100,
        minHealthPercent: 0,
      },
    });
    const cluster = clusters.get(NAME)!;
    cluster.refresh();
    const [host] = [...cluster.hosts];
    const answer = (...fields: [string, string][]) =>
      cluster.onResponse(host, { version: "HTTP/2", status: 200, fields: Fields.of(...fields), contentLength: -1 });
    answer(["grpc-status", "14"]);
    answer(["grpc-status", "5"]);
    answer(["grpc-status", "14"]);
    assert.equal(host.ejected, false, "not found is the application's answer");
    const trailed = (status: string) => {
      answer(["content-type", "application/grpc+proto"]);
      cluster.onTrailers(host, Fields.of(["grpc-status", status]));
    };
    trailed("0");
    trailed("13");
    trailed("0");
    trailed("13");
    assert.equal(host.ejected, false);
    trailed("2");
    assert.equal(host.ejected, true);
  });
});

Deno.test("cluster: a retry avoids hosts that were tried, unless hashing says otherwise", async () => {
  await withLab(async ({ clusters, server, apply }) => {
    const others = Array.from({ length: 3 }, () => new LineServer(clusters.get(NAME)!.reactor));
    apply({ endpoints: statics(server.port, ...others.map(({ port }) => port)), loadBalancer: { policy: "RANDOM" } });
    const [first] = [...clusters.get(NAME)!.hosts];
    let same = 0;
    for (let i = 0; i < 200; i++) {
      const recorder = new Recorder();
      recorder.tried = [first];
      if (clusters.get(NAME)!.pick(recorder) === first) same++;
    }
    // One in 4^5.
    assert.ok(same <= 3, `${same} of 200`);
    apply({
      endpoints: statics(server.port, ...others.map(({ port }) => port)),
      loadBalancer: {
        policy: "CONSISTENT_HASH",
        hash: { on: { kind: "sourceIp" }, algorithm: "RING_HASH", size: 1024 },
      },
    });
    const recorder = new Recorder();
    const owner = clusters.get(NAME)!.pick(recorder)!;
    recorder.tried = [owner];
    assert.equal(clusters.get(NAME)!.pick(recorder), owner);
    for (const other of others) other.close();
  });
});

Deno.test("cluster: hosts that come and go under load lose no request", async () => {
  await withLab(async ({ clusters, server, apply }) => {
    const reactor = clusters.get(NAME)!.reactor;
    const servers = [server, new LineServer(reactor), new LineServer(reactor)];
    let stop = false, served = 0;
    const failures: string[] = [];
    const load = Array.from({ length: 8 }, async () => {
      while (!stop) {
        const [recorder] = await send(clusters, NAME);
        if (recorder.status === 200) served++;
        else failures.push(recorder.error?.code ?? String(recorder.status));
      }
    });
    for (let round = 0; round < 12; round++) {
      apply({ endpoints: { kind: "static", endpoints: [endpoint("127.0.0.1", servers[round % 3].port)] } });
      const before = served;
      await eventually(() => assert.ok(served > before + 10));
    }
    stop = true;
    await Promise.all(load);
    assert.deepEqual(failures, []);
    const { breakers } = clusters.get(NAME)!;
    assert.equal(breakers.requests, 0);
    await eventually(() => assert.ok(servers.reduce((sum, one) => sum + one.openConnections, 0) <= 8));
    for (const one of servers.slice(1)) one.close();
  });
});
