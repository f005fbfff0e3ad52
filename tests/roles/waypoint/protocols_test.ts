// What applications speak, through a whole waypoint: client -> tunnel -> L7 -> backend.

import assert from "node:assert/strict";
import type { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import http2 from "node:http2";
import { destination, type Lab, policy, route, serviceListener, virtualHost, withLab } from "./lab.ts";

const SERVICE = serviceListener("app", "10.96.0.30", 80);

function configure(lab: Lab, port: number, extra: Parameters<typeof destination>[2] = {}): Promise<number> {
  lab.apply([SERVICE, virtualHost(SERVICE.name, [route("app")]), destination("app", port, extra)]);
  return lab.forward("10.96.0.30:80");
}

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

Deno.test("large bodies stream both ways, unchanged, on one kept connection", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const port = await configure(lab, lab.backend((request) => new Response(request.body)));
    for (const size of [0, 1, 65_535, 8 << 20]) {
      const body = new Uint8Array(size);
      for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(body.subarray(at, Math.min(size, at + 65_536)));
      const response = await fetch(`http://127.0.0.1:${port}/echo`, { method: "POST", body });
      assert.equal(response.status, 200);
      assert.equal(digest(new Uint8Array(await response.arrayBuffer())), digest(body));
    }
  });
});

Deno.test("HTTP/2 with prior knowledge goes through with trailers, many requests at a time", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const server = http2.createServer();
    server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc", path: headers[":path"] as string }, {
        waitForTrailers: true,
      });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "grpc-message": "done" }));
      stream.pipe(stream);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const backend = (server.address() as { port: number }).port;
      const port = await configure(lab, backend, { protocol: "HTTP2" });
      const session = http2.connect(`http://127.0.0.1:${port}`);
      const call = (i: number) =>
        new Promise<{ body: string; trailers: Record<string, unknown>; path: unknown }>((resolve, reject) => {
          const stream = session.request({
            ":method": "POST",
            ":path": `/pkg.Service/Method${i}`,
            ":authority": "app",
            "content-type": "application/grpc",
            te: "trailers",
          });
          let body = "", trailers = {}, path: unknown;
          stream.on("response", (headers) => path = headers.path);
          stream.on("trailers", (found) => trailers = { ...found });
          stream.on("data", (bytes: Buffer) => body += bytes.toString());
          stream.on("error", reject);
          stream.on("end", () => resolve({ body, trailers, path }));
          stream.end(`message ${i}`);
        });
      const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => call(i)));
      answers.forEach(({ body, trailers, path }, i) => {
        assert.equal(body, `message ${i}`);
        assert.equal(path, `/pkg.Service/Method${i}`);
        assert.equal(trailers["grpc-status"], "0");
      });
      lab.apply([policy("none", { rules: [] })]);
      const denied = await new Promise<Record<string, unknown>>((resolve, reject) => {
        const stream = session.request({
          ":method": "POST",
          ":path": "/a.B/C",
          ":authority": "app",
          "content-type": "application/grpc",
        });
        stream.on("response", (headers) => resolve({ ...headers }));
        stream.on("error", reject);
        stream.resume();
        stream.end();
      });
      assert.equal(denied[":status"], 200);
      assert.equal(denied["grpc-status"], "7");
      assert.equal(denied["grpc-message"], "RBAC: access denied");
      await new Promise<void>((resolve) => session.close(resolve));
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

Deno.test("a WebSocket is upgraded and carries messages both ways until either side closes", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const port = await configure(
      lab,
      lab.backend((request) => {
        const { socket, response } = Deno.upgradeWebSocket(request);
        socket.onmessage = ({ data }) => socket.send(typeof data === "string" ? data.toUpperCase() : data);
        return response;
      }),
    );
    const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
    const messages: string[] = [];
    await new Promise<void>((resolve, reject) => {
      socket.onerror = (event) => reject(new Error((event as ErrorEvent).message));
      socket.onopen = () => {
        for (const text of ["one", "two", "x".repeat(100_000)]) socket.send(text);
      };
      socket.onmessage = ({ data }) => {
        messages.push(data);
        if (messages.length === 3) resolve();
      };
    });
    assert.deepEqual(messages, ["ONE", "TWO", "X".repeat(100_000)]);
    await new Promise<void>((resolve) => {
      socket.onclose = () => resolve();
      socket.close();
    });
  });
});

Deno.test("a client that goes away in the middle of an answer takes its request to the backend with it", async () => {
  await withLab({ waypoint: true }, async (lab) => {
    const cancelled = Promise.withResolvers<void>();
    const port = await configure(
      lab,
      lab.backend(() =>
        new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(new Uint8Array(1000)),
            pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
            cancel: () => cancelled.resolve(),
          }),
        )
      ),
    );
    const abort = new AbortController();
    const response = await fetch(`http://127.0.0.1:${port}/`, { signal: abort.signal });
    const reader = response.body!.getReader();
    await reader.read();
    abort.abort();
    await reader.read().catch(() => {});
    await cancelled.promise;
  });
});
