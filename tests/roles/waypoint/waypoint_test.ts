import assert from "node:assert/strict";
import type { MeshError } from "../../../src/core/errors.ts";
import { proxyResourceKey } from "../../../src/model/mod.ts";
import { idOf, testCa } from "../../identity/support.ts";
import { eventually } from "../../support/eventually.ts";
import { workload } from "../../support/model.ts";
import { destination, exchange, listener, policy, route, serviceListener, virtualHost, withLab } from "./lab.ts";

const REVIEWS = serviceListener("reviews", "10.96.0.9", 9080);

Deno.test("a request goes through a waypoint's tunnel to the service that was asked for, by address or by name", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const port = lab.backend((request) => new Response(`hello ${new URL(request.url).pathname}`));
    lab.apply([
      REVIEWS,
      virtualHost(REVIEWS.name, [route("reviews")]),
      destination("reviews", port),
    ]);
    for (
      const target of [
        "10.96.0.9:9080",
        "reviews.default.svc.cluster.local:9080",
        "REVIEWS.default.svc.cluster.local:9080",
      ]
    ) {
      const connection = await lab.tunnel(target);
      const answer = await exchange(connection, "GET /reviews/0 HTTP/1.1\nhost: reviews:9080");
      assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
      assert.match(answer, /\r\nserver: istio-envoy\r\n/i);
      assert.match(answer, /hello \/reviews\/0$/);
      // The connection is kept.
      assert.match(await exchange(connection, "GET /again HTTP/1.1\nhost: reviews:9080"), /hello \/again$/);
      connection.close();
    }
  });
});

Deno.test("a tunnel to what is not the waypoint's is refused, and the refusal is logged with its reason", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    lab.apply([REVIEWS]);
    for (const target of ["10.96.0.9:80", "10.96.0.10:9080", "other.default.svc.cluster.local:9080", "127.0.0.1:22"]) {
      await assert.rejects(lab.tunnel(target), (error: MeshError) => {
        assert.equal(error.code, "http_status");
        assert.equal((error.details as any).status, 404);
        return true;
      });
    }
    assert.equal(lab.log.lines.filter((line) => line.includes("no service or workload of this waypoint")).length, 4);
    // A peer that asks without end does not fill the log.
    await eventually(async () => {
      await Promise.all(Array.from({ length: 30 }, () => assert.rejects(lab.tunnel("10.96.0.9:80"))));
      assert.ok(lab.log.lines.some((line) => line.includes("more of these were not logged")));
    });
  });
});

Deno.test("a waypoint admits only peers of its trust domain with a certificate of the mesh", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    lab.apply([REVIEWS]);
    const foreign = idOf("default", "sleep", "other.domain");
    await assert.rejects(lab.tunnel("10.96.0.9:9080", { id: foreign }));
    await assert.rejects(lab.tunnel("10.96.0.9:9080", { ca: await testCa() }));
  });
});

Deno.test("an L7 policy admits by identity and method, and a change of it holds for the next request", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const port = lab.backend(() => new Response("ok"));
    const viewer = (methods: string[]) =>
      policy("viewer", {
        rules: [{
          from: [{ principals: [{ kind: "exact", value: "cluster.local/ns/default/sa/sleep" }] }],
          to: [{ methods: methods.map((value) => ({ kind: "exact", value })) }],
          when: [],
        }],
      });
    lab.apply([REVIEWS, virtualHost(REVIEWS.name, [route("reviews")]), destination("reviews", port), viewer(["GET"])]);
    const sleep = await lab.tunnel("10.96.0.9:9080");
    assert.match(await exchange(sleep, "GET / HTTP/1.1\nhost: reviews"), / 200 /);
    const denied = await exchange(sleep, "DELETE / HTTP/1.1\nhost: reviews");
    assert.match(denied, /^HTTP\/1\.1 403 Forbidden\r\n/);
    assert.match(denied, /\r\n\r\nRBAC: access denied$/);
    const notsleep = await lab.tunnel("10.96.0.9:9080", { id: idOf("default", "notsleep") });
    assert.match(await exchange(notsleep, "GET / HTTP/1.1\nhost: reviews"), / 403 /);
    lab.apply([viewer(["GET", "DELETE"])]);
    assert.match(await exchange(sleep, "DELETE / HTTP/1.1\nhost: reviews"), / 200 /);
    lab.apply([], ["policy/default/viewer"]);
    assert.match(await exchange(notsleep, "GET / HTTP/1.1\nhost: reviews"), / 200 /);
    for (const one of [sleep, notsleep]) one.close();
  });
});

/** A server on loopback that speaks first, then echoes. */
function greeter(): { port: number; close(): Promise<void> } {
  const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const connection of server) {
      await connection.write(new TextEncoder().encode("hello "));
      connection.readable.pipeTo(connection.writable).catch(() => {});
    }
  })();
  return {
    port: server.addr.port,
    close: async () => {
      server.close();
      await serving;
    },
  };
}

Deno.test("bytes go through a waypoint, whoever speaks first; AUTO finds out what is spoken", async () => {
  const server = greeter();
  try {
    await withLab({ waypoint: true }, async (lab) => {
      const web = lab.backend(() => new Response("web"));
      const tcp = { destinations: [{ destination: "db", weight: 1 }] };
      const auto = serviceListener("auto", "10.96.0.21", 99, { protocol: "AUTO", tcp });
      lab.apply([
        serviceListener("db", "10.96.0.20", 5432, { protocol: "TCP", tcp }),
        auto,
        virtualHost(auto.name, [route("web")]),
        destination("db", server.port, { protocol: "TCP" }),
        destination("web", web),
      ]);
      const bytes = await lab.tunnel("10.96.0.20:5432");
      await bytes.until(({ received }) => received === "hello ");
      await bytes.echo("select 1");
      const spoken = await lab.tunnel("10.96.0.21:99");
      spoken.send("\x00\x01binary");
      await spoken.until(({ received }) => received === "hello \x00\x01binary");
      const http = await lab.tunnel("10.96.0.21:99");
      assert.match(await exchange(http, "GET / HTTP/1.1\nhost: a"), /web$/);
      for (const one of [bytes, spoken, http]) one.end();
      await bytes.until(({ state }) => state === "end");
      await spoken.until(({ state }) => state === "end");
      assert.deepEqual(lab.tcp.map(({ outcome }) => outcome!.flag), ["-", "-"]);
    });
  } finally {
    await server.close();
  }
});

Deno.test("pods that are attached to a waypoint are reached at any port", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const port = lab.backend(() => new Response("pod"));
    const attached = listener("inbound|http", 0, {
      binding: { kind: "workload", workloads: { "Kubernetes//Pod/default/a": ["127.0.0.1"] } },
      protocol: "AUTO",
      tcp: { destinations: [{ destination: "original", weight: 1 }] },
    });
    lab.apply([
      attached,
      virtualHost(attached.name, [route("original")]),
      destination("original", 0, { endpoints: { kind: "original" }, protocol: "USE_CLIENT" }),
    ]);
    const client = await lab.tunnel(`127.0.0.1:${port}`);
    assert.match(await exchange(client, "GET / HTTP/1.1\nhost: a"), /pod$/);
    client.close();
    await assert.rejects(lab.tunnel(`127.0.0.2:${port}`));
  });
});

Deno.test("a draining waypoint sends GOAWAY, finishes what runs, and serves tunnels of those that have not heard", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const reached = Promise.withResolvers<void>(), release = Promise.withResolvers<void>();
    const port = lab.backend(async (request) => {
      if (!request.url.endsWith("/slow")) return new Response("quick");
      reached.resolve();
      await release.promise;
      return new Response("late");
    });
    lab.apply([REVIEWS, virtualHost(REVIEWS.name, [route("reviews")]), destination("reviews", port)]);
    const busy = await lab.tunnel("10.96.0.9:9080");
    const slow = exchange(busy, "GET /slow HTTP/1.1\nhost: reviews");
    await reached.promise;
    lab.proxy.drain();
    for (const id of [undefined, idOf("default", "other")]) {
      const late = await lab.tunnel("10.96.0.9:9080", { id });
      assert.match(await exchange(late, "GET / HTTP/1.1\nhost: reviews"), /\r\nconnection: close\r\n[^]*quick$/i);
      late.close();
    }
    lab.proxy.stopListening();
    await assert.rejects(lab.tunnel("10.96.0.9:9080", { id: idOf("default", "latest") }));
    release.resolve();
    assert.match(await slow, /late$/);
    busy.close();
    await eventually(() => assert.equal(lab.proxy.tunnel!.connections, 0));
    assert.equal(lab.proxy.active, 0);
  });
});

Deno.test("the client's address is what its tunnel says, where its identity bears that out", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const port = lab.backend(() => new Response("ok"));
    const blocked = policy("block", {
      action: "DENY",
      rules: [{ from: [{ ipBlocks: [{ address: "10.244.1.7", length: 32 }] }], to: [], when: [] }],
    });
    lab.apply([REVIEWS, virtualHost(REVIEWS.name, [route("reviews")]), destination("reviews", port), blocked]);
    lab.state.upsertWorkload(workload("sleep", "10.244.1.7", { serviceAccount: "sleep" }));
    lab.state.upsertWorkload(workload("other", "10.244.1.8", { serviceAccount: "other" }));
    const own = await lab.tunnel("10.96.0.9:9080", { forwarded: 'for="10.244.1.7:40000"' });
    assert.match(await exchange(own, "GET / HTTP/1.1\nhost: reviews"), / 403 /);
    // An address of another identity is nobody's to claim: the connection's own holds.
    const liar = await lab.tunnel("10.96.0.9:9080", {
      id: idOf("default", "other"),
      forwarded: 'for="10.244.1.7:40000"',
    });
    assert.match(await exchange(liar, "GET / HTTP/1.1\nhost: reviews"), / 200 /);
    for (const one of [own, liar]) one.close();
  });
});

Deno.test("a service that leaves its waypoint loses no request: connections are served once more and asked to end", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const port = lab.backend(() => new Response("hello"));
    const resources = [REVIEWS, virtualHost(REVIEWS.name, [route("reviews")]), destination("reviews", port)];
    const keys = resources.map(proxyResourceKey);
    lab.apply(resources);
    const [kept, leaving] = [await lab.tunnel("10.96.0.9:9080"), await lab.tunnel("10.96.0.9:9080")];
    const request = "GET / HTTP/1.1\nhost: reviews:9080";
    for (const connection of [kept, leaving]) assert.match(await exchange(connection, request), /hello$/);
    lab.apply([], keys);
    const last = await exchange(leaving, request);
    assert.match(last, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(last, /\r\nconnection: close\r\n/i);
    leaving.close();
    // It comes back before the other connection is used again: nothing has happened to that one.
    lab.apply(resources);
    for (let i = 0; i < 2; i++) assert.doesNotMatch(await exchange(kept, request), /connection: close/i);
    // A policy that left with it and does not come back with it holds no longer.
    const deny = policy("deny", { action: "DENY", listeners: [REVIEWS.name], rules: [{ from: [], to: [], when: [] }] });
    lab.apply([deny]);
    assert.match(await exchange(kept, request), / 403 /);
    lab.apply([], [...keys, proxyResourceKey(deny)]);
    assert.match(await exchange(kept, request), / 403 /);
    lab.apply(resources);
    const again = await lab.tunnel("10.96.0.9:9080");
    assert.match(await exchange(again, request), /hello$/);
    for (const connection of [kept, again]) connection.close();
  });
});
