// What a request meets before it reaches a backend: policy, routes, filters, faults, weights; and changes of configuration.

import assert from "node:assert/strict";
import { proxyResourceKey, type Route } from "../../../src/model/mod.ts";
import {
  connect,
  destination,
  forward,
  get,
  listener,
  NO_MATCH,
  policy,
  raw,
  route,
  settings,
  virtualHost,
  withBackend,
  withLab,
} from "./support.ts";

const exact = (value: string) => ({ kind: "exact" as const, value });
const prefix = (value: string) => ({ kind: "prefix" as const, value });
const statusOf = (answer: string) => answer.slice(9, 12);
const bodyOf = (answer: string) => answer.slice(answer.indexOf("\r\n\r\n") + 4);

/** Tells what it was asked for. */
const echo = (request: Request) => {
  const { pathname, search } = new URL(request.url);
  return Response.json({
    target: pathname + search,
    host: request.headers.get("host"),
    headers: Object.fromEntries(request.headers),
  });
};

Deno.test("routing: policies see the path that the backend sees", async () => {
  await withBackend(echo, async (port) => {
    const deny = policy("default/no-admin", {
      action: "DENY",
      rules: [{ from: [], to: [{ paths: [exact("/admin"), prefix("/admin/")] }], when: [] }],
    });
    for (const pathNormalization of ["BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"] as const) {
      await withLab({
        resources: [settings({ pathNormalization }), virtualHost([route(forward(["web"]))]), deny],
        destinations: [destination("web", [port])],
      }, async (lab) => {
        const denied = [
          "/admin",
          "/admin/x",
          "/./admin",
          "/x/../admin",
          "/%61dmin",
          "/x/%2e%2e/admin",
          "/x\\..\\admin",
          "/%2e/admin?x",
          "/admin/../admin",
        ];
        if (pathNormalization !== "BASE") denied.push("//admin", "///admin//x");
        if (pathNormalization === "DECODE_AND_MERGE_SLASHES") {
          denied.push("/%2Fadmin", "/x%2f..%2fadmin", "/%5cadmin", "/admin%2Fx");
        }
        for (const path of denied) {
          assert.equal(statusOf(await get(lab.port, path)), "403", `${pathNormalization} ${path}`);
        }
        // What is let through reaches the backend in the form that was decided on, so that it cannot be read as another.
        for (const path of ["/%2561dmin", "/ADMIN", "/admins", "/a/..%2fx"]) {
          const answer = await get(lab.port, path);
          assert.equal(statusOf(answer), "200", `${pathNormalization} ${path}`);
          const { target } = JSON.parse(bodyOf(answer));
          assert.doesNotMatch(decodeURIComponent(target).replace(/\/+/g, "/"), /^\/admin(\/|$)/, path);
        }
      });
    }
  });
});

Deno.test("routing: hosts, order of routes, header changes and rewrites", async () => {
  await withBackend(echo, async (port) => {
    const routes: Route[] = [
      route(
        forward([{
          destination: "web",
          weight: 1,
          requestHeaders: { set: [["x-both", "destination"], ["x-d", "%PROTOCOL%"]], add: [], remove: [] },
        }], {
          rewrite: { authority: "inner", path: { kind: "prefix", value: "/" } },
        }),
        {
          name: "special",
          match: {
            ...NO_MATCH,
            path: { kind: "prefix", value: "/api", segments: true },
            headers: [{ name: "x-user", value: exact("jason") }],
          },
          requestHeaders: { set: [["x-both", "route"]], add: [["x-added", "1"]], remove: ["x-secret"] },
          responseHeaders: {
            set: [["x-answer", "yes %RESPONSE_CODE%"], ["server", "mine"]],
            add: [],
            remove: ["content-type"],
          },
        },
      ),
      route(forward(["web"])),
    ];
    await withLab({
      resources: [
        virtualHost(routes, ["shop.example.com"], "a"),
        virtualHost([route(forward(["web"]), { name: "wild" })], ["*.example.com"], "b"),
      ],
      destinations: [destination("web", [port])],
    }, async (lab) => {
      const answer = await get(
        lab.port,
        "/api/items?x=1",
        { "x-user": "jason", "x-secret": "s" },
        "SHOP.example.com:80",
      );
      assert.match(answer, /\r\nx-answer: yes 200\r\n/);
      assert.doesNotMatch(answer, /content-type/);
      const seen = JSON.parse(bodyOf(answer));
      assert.equal(seen.target, "/items?x=1");
      assert.equal(seen.host, "inner");
      assert.equal(seen.headers["x-both"], "route");
      assert.equal(seen.headers["x-added"], "1");
      assert.equal(seen.headers["x-d"], "HTTP/1.1");
      assert.equal(seen.headers["x-secret"], undefined);
      assert.equal(seen.headers["x-envoy-original-path"], "/api/items?x=1");
      assert.match(lab.log[0], /"GET \/api\/items\?x=1 HTTP\/1.1" 200 .* special$/);
      assert.equal(JSON.parse(bodyOf(await get(lab.port, "/api/items", {}, "shop.example.com"))).target, "/api/items");
      assert.equal(statusOf(await get(lab.port, "/", {}, "other.example.com")), "200");
      assert.match(lab.log[2], / wild$/);
      assert.equal(statusOf(await get(lab.port, "/", {}, "example.org")), "404");
    });
  });
});

Deno.test("routing: redirects, direct answers and https", async () => {
  const resources = [virtualHost([
    route({ kind: "redirect", status: 308, scheme: "https", host: "new.example.com", portRule: "LISTENER" }, {
      match: { ...NO_MATCH, path: exact("/moved") },
    }),
    route({ kind: "direct", status: 418, body: "teapot \u00e9" }, { match: { ...NO_MATCH, path: exact("/tea") } }),
    route({ kind: "direct", status: 200, body: btoa("\x00\xff"), binary: true }, {
      match: { ...NO_MATCH, path: exact("/bytes") },
    }),
  ])];
  await withLab({ resources }, async (lab) => {
    const moved = await get(lab.port, "/moved?x=1");
    assert.equal(statusOf(moved), "308");
    assert.match(moved, /\r\nlocation: https:\/\/new\.example\.com\/moved\?x=1\r\n/);
    assert.equal(bodyOf(moved), "");
    const tea = await get(lab.port, "/tea");
    assert.equal(statusOf(tea), "418");
    assert.equal(bodyOf(tea), "teapot \u00e9");
    assert.match(tea, /\r\ncontent-length: 9\r\n/);
    const bytes = await fetch(`${lab.url}/bytes`);
    assert.deepEqual([...new Uint8Array(await bytes.arrayBuffer())], [0, 255]);
    for (const line of lab.log) assert.match(line, / - direct_response /);
    lab.apply([listener({ httpsRedirect: true })]);
    const secure = await get(lab.port, "/any?q", {}, "shop:80");
    assert.equal(statusOf(secure), "301");
    assert.match(secure, /\r\nlocation: https:\/\/shop\/any\?q\r\n/);
  });
});

Deno.test("routing: CORS", async () => {
  await withBackend(echo, async (port) => {
    const cors = {
      allowOrigins: [exact("https://a.com")],
      allowMethods: ["GET"],
      allowHeaders: [],
      exposeHeaders: [],
      allowCredentials: false,
      unmatchedPreflights: "FORWARD" as const,
    };
    await withLab({
      resources: [virtualHost([route(forward(["web"]), { cors })])],
      destinations: [destination("web", [port])],
    }, async (lab) => {
      const options = (origin: string) =>
        raw(
          lab.port,
          `OPTIONS / HTTP/1.1\r\nhost: web\r\nconnection: close\r\norigin: ${origin}\r\naccess-control-request-method: GET\r\n\r\n`,
        );
      const preflight = await options("https://a.com");
      assert.equal(statusOf(preflight), "200");
      assert.match(
        preflight,
        /\r\naccess-control-allow-origin: https:\/\/a.com\r\naccess-control-allow-methods: GET\r\n/,
      );
      assert.equal(bodyOf(preflight), "");
      const other = await options("https://b.com");
      assert.doesNotMatch(other, /access-control-allow/);
      assert.notEqual(bodyOf(other), "");
      assert.match(
        await get(lab.port, "/", { origin: "https://a.com" }),
        /\r\naccess-control-allow-origin: https:\/\/a.com\r\n/,
      );
    });
  });
});

Deno.test("routing: faults", async () => {
  await withBackend(echo, async (port) => {
    const faulty = (fault: Route["fault"]) => [virtualHost([route(forward(["web"]), { fault })])];
    const destinations = [destination("web", [port])];
    await withLab(
      { resources: faulty({ abort: { millionths: 1_000_000, status: 555 } }), destinations },
      async (lab) => {
        const answer = await get(lab.port, "/");
        assert.equal(statusOf(answer), "555");
        assert.equal(bodyOf(answer), "fault filter abort");
        assert.match(lab.log[0], / 555 FI fault_filter_abort /);
        const grpc = await get(lab.port, "/", { "content-type": "application/grpc" });
        assert.equal(statusOf(grpc), "200");
        assert.match(grpc, /\r\ngrpc-status: 2\r\ngrpc-message: fault filter abort\r\n/);
        lab.apply(faulty({ abort: { millionths: 1_000_000, grpcStatus: 8 } }));
        assert.match(await get(lab.port, "/", { "content-type": "application/grpc" }), /\r\ngrpc-status: 8\r\n/);
        assert.equal(statusOf(await get(lab.port, "/")), "429");
        lab.apply(faulty({ delay: { millionths: 1_000_000, delayMs: 60 } }));
        const before = performance.now();
        assert.equal(statusOf(await get(lab.port, "/")), "200");
        assert.ok(performance.now() - before >= 55);
        assert.match(lab.log.at(-1)!, / 200 DI via_upstream /);
        // A client that does not wait leaves nothing behind.
        lab.apply(faulty({ delay: { millionths: 1_000_000, delayMs: 3_600_000 } }));
        const client = await connect(lab.port);
        await client.send("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
        const deadline = performance.now() + 5000;
        while (lab.exchanges.active === 0 && performance.now() < deadline) await new Promise((go) => setTimeout(go, 2));
        lab.exchanges.close();
        assert.equal(lab.exchanges.active, 0);
        await client.close();
      },
    );
    let ticket = 0;
    await withLab({
      resources: faulty({ abort: { millionths: 250_000, status: 503 } }),
      destinations,
      random: () => (ticket++ % 4) / 4,
    }, async (lab) => {
      const statuses: string[] = [];
      for (let i = 0; i < 8; i++) statuses.push(statusOf(await get(lab.port, "/")));
      assert.equal(statuses.filter((status) => status === "503").length, 2);
    });
  });
});

Deno.test("routing: weights, and a change of them on a connection that stays", async () => {
  await withBackend(() => new Response("v1"), async (one) => {
    await withBackend(() => new Response("v2"), async (two) => {
      const split = (v1: number, v2: number) =>
        virtualHost([route(forward([{ destination: "v1", weight: v1 }, { destination: "v2", weight: v2 }]))]);
      await withLab({
        resources: [split(90, 10)],
        destinations: [destination("v1", [one]), destination("v2", [two])],
      }, async (lab) => {
        const client = await connect(lab.port);
        const ask = async (times: number) => {
          let second = 0;
          for (let i = 0; i < times; i++) {
            client.received = "";
            await client.send("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
            await client.until(({ received }) => /\r\n\r\nv[12]$/.test(received));
            if (client.received.endsWith("v2")) second++;
          }
          return second;
        };
        const second = await ask(300);
        assert.ok(second >= 9 && second <= 60, `${second} of 300`);
        lab.apply([split(0, 1)]);
        assert.equal(await ask(10), 10);
        lab.apply([split(1, 0)]);
        assert.equal(await ask(10), 0);
        lab.apply([policy("default/closed", {})]);
        client.received = "";
        await client.send("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
        await client.until(({ received }) => received.endsWith("RBAC: access denied"));
        lab.apply([], ["policy/default/closed", proxyResourceKey(split(1, 1))]);
        client.received = "";
        await client.send("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
        await client.until(({ received }) => received.startsWith("HTTP/1.1 404"));
        await client.close();
      });
    });
  });
});

Deno.test("routing: a listener that is gone answers 404", async () => {
  await withLab({ resources: [virtualHost([route(forward(["web"]))])] }, async (lab) => {
    lab.apply([], ["listener/http.80"]);
    assert.equal(statusOf(await get(lab.port, "/")), "404");
  });
});

Deno.test("runtime: a change compiles what changed, and refusals are told", async () => {
  await withLab({
    resources: [
      virtualHost([route(forward(["web"]))], ["a"], "one"),
      virtualHost([route(forward(["web"]))], ["b"], "two"),
    ],
  }, async (lab) => {
    const before = lab.compiler.slot("http.80")!.current!;
    const changed = lab.compiler.apply([virtualHost(
      [route(forward(["other"]), {
        requestHeaders: { set: [["connection", "x"]], add: [], remove: [] },
      })],
      ["a", "b"],
      "one",
    )]);
    assert.deepEqual([...changed], ["http.80"]);
    const after = lab.compiler.slot("http.80")!.current!;
    assert.notEqual(after, before);
    assert.equal(after.virtualHosts[1], before.virtualHosts[1], "the other virtual host is the same object");
    assert.equal(after.problems.length, 2, after.problems.join("; "));
    assert.deepEqual([...lab.compiler.apply([policy("default/p", { listeners: ["elsewhere"] })])], ["elsewhere"]);
    assert.equal(lab.compiler.slot("http.80")!.current, after);
    // Moved to another listener.
    lab.compiler.apply([
      listener({ name: "http.81" }),
      { ...virtualHost([], ["b"], "two"), listener: "http.81" } as never,
    ]);
    assert.equal(lab.compiler.slot("http.80")!.current!.virtualHosts.length, 1);
    assert.equal(lab.compiler.slot("http.81")!.current!.virtualHosts.length, 1);
  });
});

Deno.test("routing: trace headers are passed on, and continued where tracing is on", async () => {
  await withBackend(echo, async (port) => {
    await withLab(
      { resources: [virtualHost([route(forward(["web"]))])], destinations: [destination("web", [port])] },
      async (lab) => {
        const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        const seen = async (headers: Record<string, string>) =>
          JSON.parse(bodyOf(await get(lab.port, "/", headers))).headers.traceparent;
        assert.equal(await seen({ traceparent }), traceparent);
        assert.equal(await seen({}), undefined);
        lab.apply([
          settings({ tracing: { protocol: "OTLP_HTTP", address: "127.0.0.1:1", path: "", samplingPercent: 0 } }),
        ]);
        assert.match(
          await seen({ traceparent }),
          /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-00$/,
        );
        assert.match(await seen({}), /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
      },
    );
  });
});

Deno.test("routing: a hash of the source address goes by the client that a trusted proxy names", async () => {
  await withBackend(() => new Response("one"), async (one) => {
    await withBackend(() => new Response("two"), async (two) => {
      const hash = { on: { kind: "sourceIp" }, algorithm: "MAGLEV", size: 101 } as const;
      await withLab({
        resources: [virtualHost([route(forward(["web"]))]), settings({ trustedProxies: 1 })],
        destinations: [destination("web", [one, two], { loadBalancer: { policy: "CONSISTENT_HASH", hash } })],
        downstream: { use: "gateway" },
      }, async (lab) => {
        const ask = async (client: string) => bodyOf(await get(lab.port, "/", { "x-forwarded-for": client }));
        const clients = Array.from({ length: 12 }, (_, i) => `203.0.113.${i}`);
        const first = await Promise.all(clients.map(ask)), second = await Promise.all(clients.map(ask));
        assert.deepEqual(first, second);
        assert.deepEqual([...new Set(first)].sort(), ["one", "two"]);
        // What somebody put before the proxy's word changes nothing.
        assert.deepEqual(await Promise.all(clients.map((client) => ask(`10.0.0.1, ${client}`))), first);
        lab.apply([settings({ trustedProxies: 0 })]);
        assert.equal(
          new Set(await Promise.all(clients.map(ask))).size,
          1,
          "nobody is trusted: all come from one address",
        );
      });
    });
  });
});
