import assert from "node:assert/strict";
import { proxyTcp, type TcpOutcome, type TcpProxyOptions, type TcpSession } from "../../../src/http/tcp_proxy.ts";
import type { HboneRequest } from "../../../src/hbone/mod.ts";
import { HboneServer } from "../../../src/hbone/mod.ts";
import type { Destination, WeightedDestination } from "../../../src/model/mod.ts";
import { connectTcp, listenTcp, pump, type Reactor, type TcpSocket } from "../../../src/net/mod.ts";
import { TlsContext } from "../../../src/net/tls_context.ts";
import { TlsEndpoint } from "../../../src/net/tls_endpoint.ts";
import { startTls } from "../../../src/net/tls_socket.ts";
import { testCa } from "../../identity/support.ts";
import { eventually } from "../../support/eventually.ts";
import { workload } from "../../support/model.ts";
import { dial, EchoServer } from "../../support/tcp.ts";
import { testMaterial, withReactor } from "../../hbone/support.ts";
import { SOL_TCP, TCP_KEEPIDLE } from "../../../src/sys/constants.ts";
import { getOption } from "../../../src/sys/socket.ts";
import type { TunnelResult } from "../../../src/http/upstream/mod.ts";
import { destination, endpoint, type Lab, lab, loopback, Recorder, seeded } from "./support.ts";

interface Proxy extends Lab {
  readonly reactor: Reactor;
  /** Where clients connect. */
  readonly port: number;
  readonly outcomes: TcpOutcome[];
  readonly sessions: TcpSession[];
  route: WeightedDestination[];
  extra: Partial<TcpProxyOptions> & { idleTimeoutMs?: number };
}

async function withProxy(run: (proxy: Proxy) => Promise<void>, options: Parameters<typeof lab>[1] = {}): Promise<void> {
  await withReactor(async (reactor) => {
    const parts = await lab(reactor, options);
    const random = seeded();
    const proxy: Proxy = { ...parts, reactor, port: 0, outcomes: [], sessions: [], route: to("echo"), extra: {} };
    const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket: TcpSocket) => {
      proxy.sessions.push(proxyTcp({
        reactor,
        cluster: (name) => parts.clusters.get(name),
        route: { destinations: proxy.route, idleTimeoutMs: proxy.extra.idleTimeoutMs },
        downstream: socket,
        source: socket.remote,
        onBehalfOf: socket.remote,
        originalDestination: null,
        random,
        onDone: (outcome) => proxy.outcomes.push(outcome),
        ...proxy.extra,
      }));
    });
    (proxy as { port: number }).port = listener.port;
    try {
      await run(proxy);
    } finally {
      parts.clusters.close();
      listener.close();
    }
  });
}

function to(...names: string[]): WeightedDestination[] {
  return names.map((name) => ({ destination: name, weight: 1 }));
}

function tcp(name: string, port: number, extra: Partial<Destination> = {}): Destination {
  return destination(name, {
    protocol: "TCP",
    endpoints: { kind: "static", endpoints: [endpoint("127.0.0.1", port)] },
    ...extra,
  });
}

/** An echo server on a port of the kernel's choice. */
function echo(reactor: Reactor, name = "echo"): { port: number; server: EchoServer; close(): void } {
  const free = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, () => {});
  const { port } = free;
  free.close();
  const server = new EchoServer(reactor, undefined, port, name, { address: "127.0.0.1" });
  return { port, server, close: () => server.close() };
}

async function refusedPort(reactor: Reactor): Promise<number> {
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, () => {});
  const { port } = listener;
  listener.close();
  await undefined;
  return port;
}

Deno.test("TCP: bytes both ways, half-close, and what is told at the end", async () => {
  await withProxy(async (proxy) => {
    const server = echo(proxy.reactor);
    proxy.clusters.apply([tcp("echo", server.port)], []);
    const client = await dial(proxy.reactor, undefined, "127.0.0.1", proxy.port);
    await client.until(({ received }) => received === "echo");
    await client.echo("hello");
    assert.equal(proxy.clusters.get("echo")!.breakers.connections, 1);
    client.end();
    await client.until(({ state }) => state === "end");
    await eventually(() => assert.equal(proxy.outcomes.length, 1));
    const [outcome] = proxy.outcomes;
    assert.deepEqual(
      [outcome.flag, outcome.bytesReceived, outcome.bytesSent, outcome.destination, outcome.attempts],
      ["-", 5, 9, "echo", 1],
    );
    assert.equal(outcome.host!.name, `127.0.0.1:${server.port}`);
    assert.equal(outcome.localAddress!.address, "127.0.0.1");
    assert.ok(outcome.durationMs >= 0 && outcome.startedAt > 0);
    const { breakers } = proxy.clusters.get("echo")!;
    assert.deepEqual([breakers.connections, breakers.pending, outcome.host!.connections], [0, 0, 0]);
    server.close();
  });
});

/** Each: the destinations, the route, the flag. */
Deno.test("TCP: connections that come to nothing are reset, and say why", async () => {
  await withProxy(async (proxy) => {
    const dead = await refusedPort(proxy.reactor);
    proxy.clusters.apply([
      tcp("refused", dead),
      tcp("empty", 0, { endpoints: { kind: "static", endpoints: [] } }),
      tcp("full", dead, { limits: { maxConnections: 0, connectTimeoutMs: 1000, idleTimeoutMs: 0 } }),
    ], []);
    const table: [WeightedDestination[], string][] = [
      [to("refused"), "UF"],
      [to("empty"), "UH"],
      [to("full"), "UO"],
      [to("unknown"), "NC"],
      [[], "NR"],
      [[{ destination: "refused", weight: 0 }], "NR"],
      [[{ destination: "missing", weight: 1, invalid: 500 }], "NR"],
    ];
    for (const [route, flag] of table) {
      proxy.route = route;
      proxy.outcomes.length = 0;
      const client = await dial(proxy.reactor, undefined, "127.0.0.1", proxy.port);
      await client.until(({ state }) => state === "reset");
      assert.equal(proxy.outcomes.at(-1)?.flag, flag);
      assert.ok(proxy.outcomes.at(-1)!.failure);
    }
    for (const name of ["refused", "empty", "full"]) {
      const { breakers } = proxy.clusters.get(name)!;
      assert.deepEqual([breakers.connections, breakers.pending], [0, 0], name);
    }
  });
});

Deno.test("TCP: another host is tried when the first cannot be reached", async () => {
  await withProxy(async (proxy) => {
    const server = echo(proxy.reactor), dead = await refusedPort(proxy.reactor);
    proxy.clusters.apply([tcp("echo", 0, {
      endpoints: { kind: "static", endpoints: [endpoint("127.0.0.1", dead), endpoint("127.0.0.1", server.port)] },
    })], []);
    for (let i = 0; i < 4; i++) {
      const client = await dial(proxy.reactor, undefined, "127.0.0.1", proxy.port);
      await client.until(({ received }) => received === "echo");
      client.close();
    }
    await eventually(() => assert.equal(proxy.outcomes.length, 4));
    assert.deepEqual(new Set(proxy.outcomes.map(({ attempts }) => attempts)), new Set([1, 2]));
    server.close();
  });
});

Deno.test("TCP: destinations by weight", async () => {
  await withProxy(async (proxy) => {
    const one = echo(proxy.reactor, "1"), two = echo(proxy.reactor, "2");
    proxy.clusters.apply([tcp("one", one.port), tcp("two", two.port)], []);
    proxy.route = [{ destination: "one", weight: 90 }, { destination: "two", weight: 10 }];
    let second = 0;
    for (let i = 0; i < 100; i++) {
      const client = await dial(proxy.reactor, undefined, "127.0.0.1", proxy.port);
      await client.until(({ received }) => received !== "");
      if (client.received === "2") second++;
      client.close();
    }
    assert.ok(second >= 2 && second <= 20, `${second} of 100`);
    one.close();
    two.close();
  });
});

Deno.test("TCP: an idle connection ends, a busy one does not", async () => {
  await withProxy(async (proxy) => {
    const server = echo(proxy.reactor);
    proxy.clusters.apply([tcp("echo", server.port)], []);
    proxy.extra = { idleTimeoutMs: 150 };
    const idle = await dial(proxy.reactor, undefined, "127.0.0.1", proxy.port);
    const busy = await dial(proxy.reactor, undefined, "127.0.0.1", proxy.port);
    await busy.until(({ received }) => received === "echo");
    while (idle.state === "open") {
      await busy.echo(".");
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await busy.echo("still here");
    assert.deepEqual(proxy.outcomes.map(({ flag }) => flag), ["SI"]);
    busy.close();
    await eventually(() => assert.equal(proxy.outcomes.length, 2));
    server.close();
  });
});

Deno.test("TCP: a connection ends when it is as old as it may get, however busy", async () => {
  await withProxy(async (proxy) => {
    const server = echo(proxy.reactor);
    const limits = { connectTimeoutMs: 5_000, idleTimeoutMs: 0, maxConnectionDurationMs: 120 };
    proxy.clusters.apply([tcp("echo", server.port, { limits })], []);
    const busy = await dial(proxy.reactor, undefined, "127.0.0.1", proxy.port);
    await busy.until(({ received }) => received === "echo");
    await busy.echo("there");
    await busy.until(({ state }) => state === "reset");
    await eventually(() => assert.deepEqual(proxy.outcomes.map(({ flag }) => flag), ["DT"]));
    assert.equal(proxy.clusters.get("echo")!.breakers.connections, 0);
    server.close();
  });
});

Deno.test("TCP: the destination's keepalive comes before the proxy's own", async () => {
  const own = { idleSeconds: 90, intervalSeconds: 20, probes: 5 };
  await withProxy(async ({ reactor, clusters }) => {
    const server = echo(reactor);
    const limits = { connectTimeoutMs: 5_000, idleTimeoutMs: 0 };
    for (
      const [keepalive, want] of [[undefined, 90], [{ idleSeconds: 33, intervalSeconds: 7, probes: 2 }, 33]] as const
    ) {
      clusters.apply([tcp("echo", server.port, { limits: { ...limits, keepalive } })], []);
      const result = await new Promise<TunnelResult>((resolve) => {
        clusters.get("echo")!.openTunnel(new Recorder(), resolve);
      });
      const { fd } = result.endpoint as TcpSocket;
      assert.equal(getOption(fd, SOL_TCP, TCP_KEEPIDLE), want);
      result.endpoint!.abort();
      result.release();
    }
    server.close();
  }, { keepalive: own });
});

Deno.test("TCP: a client that leaves while the host is being reached; a session that is ended", async () => {
  await withProxy(async (proxy) => {
    const silent = listenTcp(proxy.reactor, { address: "127.0.0.1", port: 0 }, () => {});
    const tls = { mode: "SIMPLE", sni: "a.example", subjectAltNames: [], insecureSkipVerify: true } as const;
    proxy.clusters.apply([tcp("echo", silent.port, { tls })], []);
    const client = await dial(proxy.reactor, undefined, "127.0.0.1", proxy.port);
    await eventually(() => assert.equal(proxy.sessions.length, 1));
    client.socket.abort();
    await eventually(() => assert.equal(proxy.outcomes[0]?.flag, "DC"));
    const other = await dial(proxy.reactor, undefined, "127.0.0.1", proxy.port);
    await eventually(() => assert.equal(proxy.sessions.length, 2));
    proxy.sessions[1].end();
    await other.until(({ state }) => state === "reset");
    assert.equal(proxy.outcomes[1].flag, "-");
    const { breakers } = proxy.clusters.get("echo")!;
    assert.deepEqual([breakers.connections, breakers.pending], [0, 0]);
    silent.close();
  });
});

Deno.test("TCP: through HBONE the workload hears of the client", async () => {
  const material = await testMaterial();
  const seen: HboneRequest[] = [];
  await withProxy(async (proxy) => {
    const { reactor } = proxy;
    const server = echo(reactor);
    const hbone = new HboneServer({
      reactor,
      onConnect: (request) => {
        seen.push(request);
        connectTcp(reactor, { address: "127.0.0.1", port: server.port, timeoutMs: 5000 }, (error, socket) => {
          if (error) request.reject(503);
          else pump(request.accept(), socket!, { onDone() {} });
        });
      },
    });
    const listener = listenTcp(
      reactor,
      { address: loopback(9), port: 15008 },
      (socket) => hbone.serve(socket, material.server),
    );
    proxy.mesh.upsertWorkload(workload("db-1", loopback(9), { namespace: "depot", serviceAccount: "stock" }));
    proxy.clusters.apply([
      tcp("echo", 0, { endpoints: { kind: "static", endpoints: [endpoint(loopback(9), 3306)] } }),
    ], []);
    const client = await dial(reactor, undefined, "127.0.0.1", proxy.port);
    await client.until(({ received }) => received === "echo");
    await client.echo("x".repeat(200_000));
    assert.equal(seen[0].authority, `${loopback(9)}:3306`);
    assert.equal(seen[0].header("forwarded"), `for="127.0.0.1:${client.socket.local.port}"`);
    client.end();
    await client.until(({ state }) => state === "end");
    await eventually(() => assert.equal(proxy.outcomes[0]?.flag, "-"));
    assert.equal(proxy.outcomes[0].host!.hbone, true);
    listener.close();
    hbone.close();
    server.close();
  });
});

Deno.test("TCP: TLS is originated for bytes, too; each direction ends by itself, and a slow reader slows the writer", async () => {
  const ca = await testCa();
  const pair = await ca.servingCertificate([{ dns: "db.example.com" }], 3600_000, { kind: "EC", curve: "P-256" });
  const secret = {
    kind: "secret",
    name: "s",
    certificateChain: "",
    privateKey: "",
    ca: ca.rootPem,
  } as const;
  await withProxy(async (proxy) => {
    const { reactor } = proxy;
    const server = echo(reactor);
    const context = new TlsContext("server", { ...pair, rootsPem: "" }, { mutual: false });
    const secure = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      startTls(socket, context, 5000, (error, transport) => {
        if (error) return;
        connectTcp(reactor, { address: "127.0.0.1", port: server.port, timeoutMs: 5000 }, (_error, plain) => {
          pump(new TlsEndpoint(transport!), plain!, { onDone() {} });
        });
      });
    });
    proxy.clusters.apply([
      tcp("echo", secure.port, {
        hostname: "db.example.com",
        tls: { mode: "SIMPLE", sni: "", subjectAltNames: [], insecureSkipVerify: false, secret: "s" },
      }),
    ], []);
    const client = await dial(reactor, undefined, "127.0.0.1", proxy.port);
    await client.until(({ received }) => received === "echo");
    const chunk = "0123456789".repeat(100_000);
    for (let i = 0; i < 5; i++) client.send(chunk);
    client.end();
    await client.until(({ state }) => state !== "open");
    assert.equal(client.state, "end");
    assert.equal(client.received.length, 4 + 5 * chunk.length);
    await eventually(() => assert.equal(proxy.outcomes[0]?.flag, "-"));
    assert.equal(proxy.outcomes[0].bytesSent, 4 + 5 * chunk.length);
    secure.close();
    server.close();
  }, { secret: () => secret });
});
