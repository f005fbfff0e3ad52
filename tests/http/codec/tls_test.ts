import assert from "node:assert/strict";
import { connectHttp1, Fields, HTTP_SERVER_OPTIONS, serveHttp, type ServerStream } from "../../../src/http/mod.ts";
import { listenTcp, type Reactor, tap, type TcpSocket } from "../../../src/net/mod.ts";
import { TlsContext } from "../../../src/net/tls_context.ts";
import { startTls } from "../../../src/net/tls_socket.ts";
import { TlsStream } from "../../../src/net/tls_stream.ts";
import type { TlsTransport } from "../../../src/net/tls_transport.ts";
import { connect, testMaterial, withReactor } from "../../hbone/support.ts";
import { eventually } from "../../support/eventually.ts";
import { echo, text } from "./support.ts";

/** Shakes hands on a socket, as TLS over a socket or as TLS within a stream of bytes. */
const WAYS = {
  socket: (socket: TcpSocket, context: TlsContext) =>
    new Promise<TlsTransport>((resolve, reject) =>
      startTls(socket, context, 5000, (error, transport) => error ? reject(error) : resolve(transport!))
    ),
  stream: (socket: TcpSocket, context: TlsContext) =>
    new Promise<TlsTransport>((resolve, reject) => {
      const { reactor, remote, local } = socket;
      const transport: TlsStream = new TlsStream(
        reactor,
        socket,
        context,
        remote,
        local,
        5000,
        (error) => error ? reject(error) : resolve(transport),
      );
    }),
};

async function withTls(
  way: keyof typeof WAYS,
  serve: (reactor: Reactor, transport: TlsTransport) => void,
  run: (reactor: Reactor, client: TlsTransport) => Promise<void>,
): Promise<void> {
  const material = await testMaterial();
  await withReactor(async (reactor) => {
    const context = new TlsContext("server", material.server, { alpn: ["http/1.1"] });
    const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
      // In the callback of the handshake itself: what follows may come in the same read.
      if (way === "socket") startTls(socket, context, 5000, (_, transport) => serve(reactor, transport!));
      else {
        const transport: TlsStream = new TlsStream(
          reactor,
          socket,
          context,
          socket.remote,
          socket.local,
          5000,
          () => serve(reactor, transport),
        );
      }
    });
    const socket = await connect(reactor, listener.port);
    const client = await WAYS[way](socket, new TlsContext("client", material.client, { alpn: ["http/1.1"] }));
    await run(reactor, client);
    listener.close();
  });
}

const HEAD = {
  version: "HTTP/1.1",
  method: "POST",
  scheme: "https",
  authority: "a",
  path: "/",
  fields: new Fields(),
  upgrade: "",
  contentLength: -1,
  expectContinue: false,
} as const;

for (const way of ["socket", "stream"] as const) {
  Deno.test(`TLS by ${way}: a body that nobody takes is held back, and goes on where it stopped`, async () => {
    const waiting = Promise.withResolvers<ServerStream>();
    await withTls(
      way,
      (reactor, transport) => {
        serveHttp(
          reactor,
          transport,
          { scheme: "https" },
          { onRequest: (stream) => waiting.resolve(stream) },
          undefined,
          "http/1.1",
        );
      },
      async (reactor, transport) => {
        const size = 24 * 1024 * 1024;
        let sent = 0, sum = 0, status = 0;
        const client = connectHttp1(reactor, transport);
        const request = client.request({ ...HEAD, contentLength: size }, false, {
          onResponse: (_, head) => status = head.status,
          onFailed: (_, error) => waiting.reject(error),
        })!;
        const side = tap(request.body, { onData: () => {} });
        side.resume = () => {
          while (sent < size && request.body.queued < 128 * 1024) {
            const chunk = new Uint8Array(64 * 1024).fill(sent >> 16);
            sum += chunk.length * (chunk[0] + 1);
            sent += chunk.length;
            side.write(chunk);
          }
          if (sent === size) side.end();
        };
        side.resume();
        const stream = await waiting.promise;
        await eventually(async () => {
          const before = sent;
          await new Promise((resolve) => setTimeout(resolve, 50));
          assert.ok(sent > 0 && sent === before);
        });
        assert.ok(sent < size);
        let received = 0;
        const done = Promise.withResolvers<void>();
        tap(stream.body, {
          onData: (bytes) => {
            for (let i = 0; i < bytes.length; i++) received += bytes[i] + 1;
          },
          onEnd: done.resolve,
        });
        await done.promise;
        assert.equal(received, sum);
        stream.reply(200, new Fields(), "thanks");
        await eventually(() => assert.equal(status, 200));
      },
    );
  });

  Deno.test(`TLS by ${way}: requests that come at once are answered in order`, async () => {
    const seen: string[] = [];
    await withTls(
      way,
      (reactor, transport) => {
        serveHttp(reactor, transport, { scheme: "https" }, echo(seen), HTTP_SERVER_OPTIONS, "http/1.1");
      },
      async (_, transport) => {
        let output = "", ended = false;
        const requests = Array.from({ length: 3000 }, (_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`).join("") +
          "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        const { allocate, U8 } = await import("../../../src/sys/memory.ts");
        const at = allocate(requests.length);
        for (let i = 0; i < requests.length; i++) U8[at + i] = requests.charCodeAt(i);
        transport.consumer = {
          onInput: (from, bytes) => {
            output += text(U8.subarray(from, from + bytes));
            return bytes;
          },
          onInputEnd: () => transport.finish(),
          onWritable: () => {},
          onTransportClosed: () => ended = true,
        };
        transport.write(at, requests.length);
        await eventually(() => assert.ok(ended));
        assert.equal(output.split("HTTP/1.1 200").length, 3002);
        assert.deepEqual(seen.slice(0, 3), ["GET a /0 [] ", "GET a /1 [] ", "GET a /2 [] "]);
        assert.equal(seen.at(-1), "GET a /last [] ");
      },
    );
  });
}
