// Behind a waypoint the application sees its clients' addresses: over HBONE each client has connections of its own.

import assert from "node:assert/strict";
import { type HboneRequest, HboneServer } from "../../../src/hbone/mod.ts";
import { IdleBudget, IdleConnections, type IdleLink, MOST_IDLE } from "../../../src/http/upstream/idle.ts";
import type { Destination } from "../../../src/model/mod.ts";
import { connectTcp, listenTcp, pump, type Reactor } from "../../../src/net/mod.ts";
import { testMaterial, withReactor } from "../../hbone/support.ts";
import { eventually } from "../../support/eventually.ts";
import { memberOf, service, workload } from "../../support/model.ts";
import {
  destination,
  type Lab,
  lab,
  lineCodecs,
  LineServer,
  loopback,
  meshedDestination,
  Recorder,
  send,
} from "./support.ts";

const NAME = "outbound|80||web";

interface Parts extends Lab {
  readonly reactor: Reactor;
  readonly server: LineServer;
  /** The `forwarded` headers of the tunnels so far. */
  readonly forwarded: (string | undefined)[];
  apply(extra?: Partial<Destination>): void;
}

/** A service of one workload, reached by HBONE. */
async function withHbone(run: (parts: Parts) => Promise<void>, streams?: number): Promise<void> {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const server = new LineServer(reactor), address = loopback(31), forwarded: (string | undefined)[] = [];
    const hbone = new HboneServer({
      reactor,
      onConnect: (request: HboneRequest) => {
        forwarded.push(request.header("forwarded"));
        connectTcp(reactor, { address: "127.0.0.1", port: server.port, timeoutMs: 5000 }, (error, socket) => {
          if (error) request.reject(503);
          else pump(request.accept(), socket!, { onDone() {} });
        });
      },
    });
    const listener = listenTcp(reactor, { address, port: 15008 }, (socket) => hbone.serve(socket, material.server));
    const parts = await lab(reactor, { codecs: lineCodecs(streams) });
    const apply = meshedDestination(parts, NAME, address, server.port);
    try {
      await run({ ...parts, reactor, server, forwarded, apply });
    } finally {
      parts.clusters.close();
      server.close();
      listener.close();
      hbone.close();
    }
  });
}

function from(address: string, path = "/", port = 4000): Recorder {
  const recorder = new Recorder(path);
  recorder.onBehalfOf = { address, port };
  return recorder;
}

function begin({ clusters }: Lab, recorder: Recorder): Recorder {
  clusters.get(NAME)!.attempt(recorder, recorder).begin();
  return recorder;
}

const limits = (extra: Partial<Destination["limits"]>): Pick<Destination, "limits"> => ({
  limits: { connectTimeoutMs: 5_000, idleTimeoutMs: 3_600_000, ...extra },
});

function host({ clusters }: Lab) {
  const [only] = clusters.get(NAME)!.hosts;
  return only;
}

Deno.test("per client: each has a connection of its own, which names it, and keeps it", async () => {
  await withHbone(async (parts) => {
    const { clusters, server, forwarded } = parts;
    for (let round = 0; round < 3; round++) {
      for (const address of ["10.0.0.1", "10.0.0.2", "fd00::3"]) {
        const [recorder, attempt] = await send(clusters, NAME, from(address, `/${address}`, 4000 + round));
        assert.equal(recorder.status, 200, recorder.error?.message);
        assert.equal(attempt.reusedConnection, round > 0);
      }
    }
    assert.deepEqual(forwarded, [
      'for="10.0.0.1:4000";host=web.depot.svc.cluster.local',
      'for="10.0.0.2:4000";host=web.depot.svc.cluster.local',
      'for="[fd00::3]:4000";host=web.depot.svc.cluster.local',
    ]);
    for (const { paths } of server.connections) assert.equal(new Set(paths).size, 1, "no client uses another's");
    // Whoever is nobody's proxy shares connections, and names no client.
    await send(clusters, NAME, new Recorder("/any"));
    await send(clusters, NAME, new Recorder("/any"));
    assert.deepEqual(forwarded.slice(3), ["host=web.depot.svc.cluster.local"]);
    assert.equal(clusters.get(NAME)!.breakers.connections, 4);
    assert.equal(host(parts).connections, 4);
  });
});

Deno.test("per client: HTTP/2 connections are each client's own, too", async () => {
  await withHbone(async (parts) => {
    const { clusters, server, forwarded, apply } = parts;
    apply({ protocol: "HTTP2" });
    server.answer = () => null;
    const all = ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.2"].map((ip) => begin(parts, from(ip, `/${ip}`)));
    await eventually(() => assert.equal(server.waiting, 4));
    server.answer = () => 200;
    server.release();
    await Promise.all(all.map((recorder) => recorder.done));
    assert.equal(forwarded.length, 2);
    for (const { paths } of server.connections) assert.equal(new Set(paths).size, 1);
    assert.equal(host(parts).pools.idle!.size, 2);
    await send(clusters, NAME, from("10.0.0.2"));
    assert.equal(forwarded.length, 2);
  });
});

Deno.test("per client: a pool ends with its last connection, and with a request that never got one", async () => {
  await withHbone(async (parts) => {
    const { clusters, server, apply } = parts;
    apply(limits({ idleTimeoutMs: 30 }));
    await Promise.all(["10.0.0.1", "10.0.0.2"].map((ip) => send(clusters, NAME, from(ip))));
    const { pools } = host(parts);
    await eventually(() => assert.equal(pools.clients, 0));
    assert.equal(pools.idle!.size, 0);
    assert.equal(pools.empty, true);
    // Cancelled while it waits for its connection: what is made for it is kept a while, and goes.
    const given = from("10.0.0.3");
    const attempt = clusters.get(NAME)!.attempt(given, given);
    attempt.begin();
    assert.equal(pools.clients, 1);
    attempt.cancel();
    await eventually(() => assert.equal(pools.clients, 0));
    // Refused at once, and nobody waits: nothing is left.
    apply(limits({ maxPendingRequests: 0 }));
    const [refused] = await send(clusters, NAME, from("10.0.0.4"));
    assert.equal(refused.error?.code, "overflow");
    assert.equal(pools.clients, 0);
    // The host closes connections: the same.
    apply();
    await send(clusters, NAME, from("10.0.0.5"));
    assert.equal(pools.clients, 1);
    for (const { socket } of server.connections) socket.abort();
    await eventually(() => assert.equal(pools.clients, 0));
    const { breakers } = clusters.get(NAME)!;
    assert.deepEqual([breakers.connections, breakers.pending, breakers.requests], [0, 0, 0]);
    assert.equal(clusters.get(NAME)!.pools.size, 0);
  });
});

Deno.test("per client: a host keeps so many idle connections for all clients; the oldest end", async () => {
  await withHbone(async (parts) => {
    const { clusters, server } = parts;
    const ip = (i: number) => `10.1.${i >> 8}.${i & 255}`;
    await send(clusters, NAME, from(ip(0)));
    // It is busy, and no idle one.
    server.answer = (path) => path === "/busy" ? null : 200;
    const busy = begin(parts, from("10.9.9.9", "/busy"));
    await eventually(() => assert.equal(server.waiting, 1));
    await send(clusters, NAME, from(ip(1)));
    await Promise.all(Array.from({ length: MOST_IDLE - 2 }, (_, i) => send(clusters, NAME, from(ip(i + 2)))));
    assert.equal(host(parts).pools.idle!.size, MOST_IDLE);
    // The first has just been used again: the second goes.
    assert.equal((await send(clusters, NAME, from(ip(0))))[1].reusedConnection, true);
    await send(clusters, NAME, from(ip(MOST_IDLE)));
    await eventually(() => assert.equal(host(parts).connections, MOST_IDLE + 1));
    assert.equal(host(parts).pools.ofClient(ip(1), false), undefined);
    assert.equal(host(parts).pools.clients, MOST_IDLE + 1);
    assert.equal((await send(clusters, NAME, from(ip(0))))[1].reusedConnection, true);
    assert.equal((await send(clusters, NAME, from(ip(1))))[1].reusedConnection, false);
    server.release();
    await busy.done;
    assert.equal(busy.status, 200);
  });
});

Deno.test("per client: maxConnections holds over all clients; what is idle makes room, and who waits is served in turn", async () => {
  await withHbone(async (parts) => {
    const { clusters, server, apply } = parts;
    apply(limits({ maxConnections: 1 }));
    // One after the other, each with a connection of its own.
    for (let i = 0; i < 6; i++) {
      const [recorder] = await send(clusters, NAME, from(`10.0.0.${i % 2}`));
      assert.equal(recorder.status, 200, recorder.error?.message);
    }
    // A client that never stops does not keep the others out.
    let most = 0;
    server.answer = () => {
      most = Math.max(most, clusters.get(NAME)!.breakers.connections);
      return 200;
    };
    let stop = false, served = 0;
    const busy = Array.from({ length: 3 }, async () => {
      while (!stop) {
        const [one] = await send(clusters, NAME, from("10.0.0.1", "/busy"));
        if (one.status === 200) served++;
      }
    });
    await eventually(() => assert.ok(served > 20));
    const others = await Promise.all([2, 3, 4, 5].map((i) => send(clusters, NAME, from(`10.0.0.${i}`))));
    for (const [recorder] of others) assert.equal(recorder.status, 200, recorder.error?.message);
    stop = true;
    await Promise.all(busy);
    assert.equal(most, 1);
    // Waiting requests count over all clients, too.
    apply(limits({ maxConnections: 1, maxPendingRequests: 2 }));
    server.answer = () => null;
    const hold = begin(parts, from("10.0.0.1"));
    await eventually(() => assert.equal(server.waiting, 1));
    const queue = [2, 3, 4].map((i) => begin(parts, from(`10.0.0.${i}`)));
    assert.deepEqual(queue.map(({ error }) => error?.code), [undefined, undefined, "overflow"]);
    server.answer = () => 200;
    server.release();
    await Promise.all([hold, queue[0], queue[1]].map((recorder) => recorder.done));
    assert.deepEqual([hold, queue[0], queue[1]].map(({ status }) => status), [200, 200, 200]);
    const { breakers } = clusters.get(NAME)!;
    assert.deepEqual([breakers.pending, breakers.requests], [0, 0]);
  });
});

Deno.test("per client: clients of either version that want room from each other all come through", async () => {
  await withHbone(async (parts) => {
    const { apply, clusters } = parts;
    apply({ protocol: "USE_CLIENT", ...limits({ maxConnections: 1, maxRequestsPerConnection: 2 }) });
    const all = Array.from({ length: 60 }, (_, i) => {
      const recorder = from(`10.0.0.${i % 3}`);
      recorder.downstreamVersion = i % 2 === 0 ? "HTTP/1.1" : "HTTP/2";
      return begin(parts, recorder);
    });
    await Promise.all(all.map((recorder) => recorder.done));
    for (const { status, error } of all) assert.equal(status, 200, error?.message);
    assert.ok(clusters.get(NAME)!.counters.upstream_cx_total <= 60, "every connection served somebody");
  });
});

Deno.test("per client: those who wait for room are told when the destination goes, or the host does", async () => {
  await withHbone(async (parts) => {
    const { clusters, server, apply, mesh } = parts;
    apply(limits({ maxConnections: 1 }));
    server.answer = () => null;
    const hold = begin(parts, from("10.0.0.1"));
    await eventually(() => assert.equal(server.waiting, 1));
    const waits = begin(parts, from("10.0.0.2"));
    // Given up: nothing is left of it.
    const given = from("10.0.0.3");
    const attempt = clusters.get(NAME)!.attempt(given, given);
    attempt.begin();
    attempt.cancel();
    const { pools } = host(parts);
    assert.equal(pools.clients, 2);
    mesh.removeAddress("Kubernetes//Pod/depot/web-1");
    mesh.changed();
    clusters.close();
    await Promise.all([hold.done, waits.done]);
    assert.ok(hold.error && waits.error);
    await eventually(() => assert.equal(pools.clients, 0));
  });
});

Deno.test("per client: plain hosts keep one pool, and so do waypoints at the end of a tunnel", async () => {
  await withHbone(async ({ clusters, server, mesh, forwarded }) => {
    clusters.apply([
      destination("plain", {
        endpoints: { kind: "static", endpoints: [{ address: "127.0.0.1", port: server.port, weight: 1 }] },
      }),
    ], []);
    for (const ip of ["10.0.0.1", "10.0.0.2"]) await send(clusters, "plain", from(ip));
    assert.equal(server.connections.length, 1);
    const way = workload("way-1", loopback(31), {
      namespace: "depot",
      serviceAccount: "stock",
      services: memberOf({ "depot/way.depot.svc.cluster.local": { 15008: 15008 } }),
    });
    mesh.upsertWorkload(way);
    mesh.upsertService(service("way", "10.1.0.2", { 15008: 15008 }, { namespace: "depot" }));
    mesh.upsertService(service("shop", "10.1.0.3", { 80: 80 }, {
      namespace: "depot",
      waypoint: {
        destination: { hostname: { namespace: "depot", hostname: "way.depot.svc.cluster.local" } },
        hboneMtlsPort: 15008,
      },
    }));
    clusters.apply([
      destination("through", {
        endpoints: { kind: "service", service: "depot/shop.depot.svc.cluster.local" },
        useWaypoint: true,
      }),
    ], []);
    for (const ip of ["10.0.0.1", "10.0.0.2"]) {
      const [recorder] = await send(clusters, "through", from(ip));
      assert.equal(recorder.status, 200, recorder.error?.message);
    }
    assert.deepEqual(forwarded, ["host=shop.depot.svc.cluster.local"]);
  });
});

class Link implements IdleLink {
  idle = false;
  nextIdle: IdleLink | null = null;
  previousIdle: IdleLink | null = null;
  ended = false;
  endIdle(): void {
    this.ended = true;
  }
}

Deno.test("idle connections: in order, out of the middle, and no more than allowed", () => {
  const budget = new IdleBudget(5), list = new IdleConnections(budget, 3);
  const links = Array.from({ length: 6 }, () => new Link());
  const [a, b, c, d, e] = links;
  for (const one of [a, b, c, a]) list.add(one);
  assert.equal(list.size, 3);
  list.remove(b);
  list.remove(b);
  list.add(d);
  assert.equal(list.size, 3);
  list.add(e);
  assert.deepEqual(links.map(({ ended }) => ended), [true, false, false, false, false, false]);
  assert.deepEqual([c, d, e].map(({ idle }) => idle), [true, true, true]);
  assert.equal(list.endOldest(), true);
  assert.equal(c.ended, true);
  list.remove(e);
  assert.equal(list.endOldest(), true);
  assert.equal(d.ended, true);
  assert.equal(list.endOldest(), false);
  assert.equal(list.size, 0);
  assert.equal(budget.used, 0);
  // Too many in all: whoever adds gives up its own oldest, and may always have one.
  const hosts = Array.from({ length: 4 }, () => new IdleConnections(budget, 3));
  for (const host of hosts) for (let i = 0; i < 2; i++) host.add(new Link());
  assert.deepEqual(hosts.map(({ size }) => size), [2, 2, 1, 1]);
  assert.equal(budget.used, 6);
});
