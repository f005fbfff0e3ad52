import assert from "node:assert/strict";
import { createServer } from "node:http2";
import { portOf, probe, type ProbeTarget } from "../../../src/cluster/runtime/probes.ts";
import { Prober } from "../../../src/cluster/runtime/prober.ts";
import { eventually } from "../../support/eventually.ts";

function target(change: Partial<ProbeTarget> = {}): ProbeTarget {
  return {
    ...{ ip: "127.0.0.1", ports: [], source: "127.0.0.1" },
    exec: () => Promise.resolve({ code: 0, output: "" }),
    ...change,
  };
}

/** A TCP server that answers every connection with fixed bytes. */
async function withServer(
  answer: string | undefined,
  test: (port: number, asked: string[]) => Promise<void>,
): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }), asked: string[] = [];
  const open = new Set<Deno.Conn>();
  const serving = (async () => {
    for await (const conn of listener) {
      open.add(conn);
      (async () => {
        const buffer = new Uint8Array(4096);
        const n = await conn.read(buffer).catch(() => null);
        if (n) asked.push(new TextDecoder().decode(buffer.subarray(0, n)));
        if (answer !== undefined && n) await conn.write(new TextEncoder().encode(answer)).catch(() => {});
        if (answer !== undefined) {
          open.delete(conn);
          conn.close();
        }
      })().catch(() => {});
    }
  })().catch(() => {});
  try {
    await test((listener.addr as Deno.NetAddr).port, asked);
  } finally {
    listener.close();
    for (const conn of open) conn.close();
    await serving;
  }
}

Deno.test("an HTTP probe takes 200 to 399, sends its headers, and tells other statuses", async () => {
  for (
    const [status, ok] of [[200, true], [302, true], [399, true], [199, false], [400, false], [503, false]] as const
  ) {
    await withServer(`HTTP/1.1 ${status} x\r\ncontent-length: 0\r\n\r\n`, async (port, asked) => {
      const httpHeaders = [{ name: "X-A", value: "b\r\nEvil: 1" }, { name: "Host", value: "web" }];
      const result = await probe({ httpGet: { port, path: "/ready?x=1", httpHeaders } }, target());
      assert.equal(result.ok, ok, String(status));
      if (!result.ok) assert.match(result.message, new RegExp(`statuscode: ${status}`));
      assert.match(asked[0], /^GET \/ready\?x=1 HTTP\/1\.1\r\n/);
      assert.match(asked[0], /\r\nhost: web\r\n/);
      assert.doesNotMatch(asked[0], /^evil/im);
    });
  }
});

Deno.test("an HTTP probe fails on garbage, on silence and on nobody", async () => {
  for (const answer of ["", "SSH-2.0-x\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "\0".repeat(20_000)]) {
    await withServer(answer, async (port) => {
      assert.equal((await probe({ httpGet: { port } }, target())).ok, false, JSON.stringify(answer.slice(0, 20)));
    });
  }
  await withServer(undefined, async (port) => {
    const result = await probe({ httpGet: { port }, timeoutSeconds: 0.1 }, target());
    assert.match((result as any).message, /deadline exceeded/);
  });
  const closed = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = closed.addr as Deno.NetAddr;
  closed.close();
  assert.match(((await probe({ httpGet: { port } }, target())) as any).message, /connection refused/);
  assert.match(((await probe({ tcpSocket: { port } }, target())) as any).message, /connection refused/);
});

Deno.test("TCP and exec probes; ports by name", async () => {
  await withServer("", async (port) => {
    assert.deepEqual(
      await probe({ tcpSocket: { port: "web" } }, target({ ports: [{ name: "web", containerPort: port }] })),
      {
        ok: true,
      },
    );
  });
  assert.equal(portOf("8080", { ports: [] }), 8080);
  for (const port of ["nope", 0, 70_000, ""]) assert.throws(() => portOf(port, { ports: [] }));
  const failing = target({ exec: () => Promise.resolve({ code: 3, output: "not yet\n" }) });
  assert.deepEqual(await probe({ exec: { command: ["x"] } }, failing), { ok: false, message: "not yet" });
});

Deno.test("a gRPC probe asks the health service", async () => {
  for (const [status, ok] of [[1, true], [2, false]] as const) {
    const server = createServer((request, response) => {
      assert.equal(request.headers[":path"], "/grpc.health.v1.Health/Check");
      request.resume();
      response.stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      response.stream.on("wantTrailers", () => response.stream.sendTrailers({ "grpc-status": "0" }));
      response.stream.end(Uint8Array.of(0, 0, 0, 0, 2, 8, status));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    try {
      assert.equal((await probe({ grpc: { port, service: "a" }, timeoutSeconds: 5 }, target())).ok, ok);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  }
});

Deno.test("Prober announces readiness soon after it holds, and restarts on liveness", async () => {
  let healthy = false;
  const seen: string[] = [];
  const prober = new Prober(
    {
      startupProbe: { exec: { command: ["x"] }, periodSeconds: 10, failureThreshold: 30 },
      readinessProbe: { exec: { command: ["x"] }, periodSeconds: 10 },
      livenessProbe: { exec: { command: ["fail"] }, periodSeconds: 0.02, failureThreshold: 2 },
    },
    target({ exec: ([name]) => Promise.resolve({ code: healthy && name !== "fail" ? 0 : 1, output: "no" }) }),
    {
      started: () => void seen.push("started"),
      ready: (value) => void seen.push(`ready ${value}`),
      unhealthy: (kind) => void (kind === "Liveness" && seen.push("unhealthy")),
      fatal: (kind) => void seen.push(`fatal ${kind}`),
    },
  );
  healthy = true;
  await eventually(() => assert.ok(seen.includes("fatal liveness")));
  prober.stop();
  assert.equal(seen[0], "started");
  assert.ok(seen.includes("ready true"));
  assert.equal(seen.filter((one) => one === "unhealthy").length, 2);
});
