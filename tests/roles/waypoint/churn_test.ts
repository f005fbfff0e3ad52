import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import type { Buffer } from "node:buffer";
import { eventually } from "../../support/eventually.ts";
import {
  destination,
  exchange,
  type Lab,
  listener,
  policy,
  route,
  serviceListener,
  virtualHost,
  withLab,
} from "./lab.ts";

function freePort(): number {
  const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = probe.addr;
  probe.close();
  return port;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ask(agent: Agent, port: number, method: string, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { agent, host: "127.0.0.1", port, method, path: "/x", headers: { host: "a.test" } },
      (response) => {
        let text = "";
        response.on("data", (bytes: Buffer) => text += bytes);
        response.on("end", () => resolve({ status: response.statusCode!, body: text }));
        response.on("error", reject);
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Changes of every kind, each of which leaves the service reachable. */
function* changes(lab: Lab, name: string, backends: readonly number[]): Generator<void> {
  for (let i = 0;; i++) {
    const to = `web-${i % 3}`, before = `web-${(i + 2) % 3}`, gone = `web-${(i + 1) % 3}`;
    const both = {
      action: {
        kind: "forward" as const,
        destinations: [{ destination: to, weight: 1 + i % 7 }, { destination: before, weight: 1 }],
        mirrors: [],
      },
    };
    // Everything at once: a new destination, routes that use it, another that nothing uses any more.
    lab.apply(
      [destination(to, backends[i % backends.length]), virtualHost(name, [route(to, i === 0 ? {} : both)])],
      [`destination/${gone}`],
    );
    yield;
    lab.apply([
      policy(`p-${i % 5}`, {
        action: "DENY",
        rules: [{ from: [], to: [{ methods: [{ kind: "exact", value: "DELETE" }] }], when: [] }],
      }),
    ]);
    yield;
    lab.apply([], [`policy/default/p-${(i + 2) % 5}`]);
    yield;
    // The endpoint of a destination moves.
    lab.apply([destination(to, backends[(i + 1) % backends.length], { loadBalancer: { policy: "LEAST_REQUEST" } })]);
    yield;
  }
}

Deno.test("no request of a gateway fails while everything of its configuration changes", async () => {
  await withLab({}, async (lab) => {
    const port = freePort();
    const backends = [1, 2, 3].map(() =>
      lab.backend(async (request) => new Response((await request.text()).toUpperCase()))
    );
    lab.apply([listener("http", port)]);
    const step = changes(lab, "http", backends);
    step.next();
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    let asked = 0, running = true;
    const failures: unknown[] = [];
    const clients = Array.from({ length: 16 }, async (_, i) => {
      while (running) {
        const method = i % 2 === 0 ? "POST" : "PUT", body = `body ${asked++} ${"x".repeat(asked % 3000)}`;
        try {
          const answer = await ask(agent, port, method, body);
          if (answer.status !== 200 || answer.body !== body.toUpperCase()) failures.push(answer);
        } catch (error) {
          failures.push(error);
        }
      }
    });
    for (let i = 0; i < 120; i++) {
      const before = asked;
      step.next();
      if (i % 20 === 10) {
        lab.apply([listener("http", port, { hostnames: i % 40 === 10 ? ["a.test", "b.test"] : ["*"] })]);
      }
      // Between any two changes at least one more request has begun.
      while (asked === before) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    running = false;
    await Promise.all(clients);
    agent.destroy();
    assert.deepEqual(failures.slice(0, 3), []);
    assert.ok(asked > 120);
    await eventually(() => assert.equal(lab.proxy.connections, 0));
  });
});

Deno.test("a service that comes and goes on a waypoint while it is used answers or is refused, and nothing else", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const backend = lab.backend(() => new Response("ok"));
    const service = serviceListener("reviews", "10.96.0.9", 9080);
    const config = [service, virtualHost(service.name, [route("web")]), destination("web", backend)];
    let running = true, answered = 0, refused = 0;
    const clients = Array.from({ length: 6 }, async () => {
      while (running) {
        let connection;
        try {
          connection = await lab.tunnel("10.96.0.9:9080");
        } catch (error) {
          assert.match(String(error), /404/);
          refused++;
          continue;
        }
        for (let i = 0; i < 3 && connection.state === "open"; i++) {
          const answer = await exchange(connection, "GET / HTTP/1.1\nhost: reviews");
          // A connection that was told to end may do so before the next request.
          if (answer === "") break;
          assert.match(answer, / 200 OK\r\n[^]*ok$/);
          answered++;
          if (/connection: close/i.test(answer)) break;
        }
        connection.close();
      }
    });
    for (let i = 0; i < 40; i++) {
      lab.apply(config);
      await new Promise((resolve) => setTimeout(resolve, 5));
      lab.apply([], config.map(({ kind, name }) => `${kind}/${name}`));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    lab.apply(config);
    const before = answered;
    while (answered < before + 10) await new Promise((resolve) => setTimeout(resolve, 1));
    running = false;
    await Promise.all(clients);
    assert.ok(answered > 10);
    await eventually(() => assert.equal(lab.proxy.connections, 0));
  });
});
