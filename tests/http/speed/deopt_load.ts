// A short mixed load through a whole L7 proxy in one process, for deopt_test.ts to watch: `deopt_load.ts <warm-up ms> <ms>`. Prints
// at the end what has happened.

import { HbonePool } from "../../../src/hbone/mod.ts";
import {
  type ClientConnection,
  type ClientStreamHandler,
  connectHttp1,
  connectHttp2,
  Fields,
  type RequestHandler,
  type RequestHead,
  serveHttp,
} from "../../../src/http/mod.ts";
import { connectTcp, type Endpoint, listenTcp, Reactor, tap } from "../../../src/net/mod.ts";
import { PlainTransport } from "../../../src/net/plain_transport.ts";
import { Logger } from "../../../src/telemetry/logger.ts";
import { assembleProxy } from "../../bench/l7/assemble.ts";
import { resources, SERVICE } from "../../bench/l7/scenario.ts";
import { testMaterial } from "../../hbone/support.ts";

const [warmMs, ms] = Deno.args.map(Number);
const material = await testMaterial();
const reactor = new Reactor();
reactor.start();

// --- a backend of both versions

let accepted = 0;
const bodies = new Map<string, Uint8Array>();

const backend: RequestHandler = {
  onRequest(stream) {
    const { path } = stream.request, size = path.slice(path.lastIndexOf("/") + 1);
    if (!stream.requestEnded) tap(stream.body, { onData: () => {} });
    const bytes = bodies.get(size) ?? new Uint8Array(Number(size));
    bodies.set(size, bytes);
    const { version } = stream.request;
    stream.respond(
      { version, status: 200, fields: Fields.of(["content-type", "text/plain"]), contentLength: bytes.length },
      bytes.length === 0,
    );
    if (bytes.length === 0) return;
    stream.body.write(bytes);
    stream.body.finish();
  },
};
const server = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
  accepted++;
  const transport = new PlainTransport(reactor, socket, socket.remote, socket.local);
  serveHttp(reactor, transport, { scheme: "http" }, backend);
  transport.begin();
});

// --- the proxy

function freePort(): number {
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, () => {});
  listener.close();
  return listener.port;
}

const ports = { http: freePort(), https: freePort(), hbone: freePort() };
let lines = 0;
const proxy = assembleProxy(
  reactor,
  new Logger("proxy"),
  {
    resources: resources({ policies: 20, routes: 40 }, ports, { http1: server.port, http2: server.port }, {
      chain: material.server.chainPem,
      key: material.server.keyPem,
    }),
    hbone: ports.hbone,
    workload: material.server,
  },
  (bytes) => lines += bytes.length,
);

// --- clients

function open(port: number): Promise<Endpoint> {
  return new Promise((resolve, reject) => {
    const options = { address: "127.0.0.1", port, timeoutMs: 5000 };
    connectTcp(reactor, options, (error, socket) => error ? reject(error) : resolve(socket!));
  });
}

const pool = new HbonePool({ reactor });
function tunnel(): Promise<Endpoint> {
  return new Promise((resolve, reject) =>
    pool.connect({
      certificate: material.client,
      address: "127.0.0.1",
      port: ports.hbone,
      expectedIds: [material.server.id],
      authority: `${SERVICE.address}:${SERVICE.port}`,
      headers: [],
    }, (error, stream) => error ? reject(error) : resolve(stream!))
  );
}

const ANYWHERE = { address: "127.0.0.1", port: 0 };
function speak(end: Endpoint, http2: boolean): ClientConnection {
  const transport = new PlainTransport(reactor, end, ANYWHERE, ANYWHERE);
  const connection = http2 ? connectHttp2(reactor, transport) : connectHttp1(reactor, transport);
  transport.begin();
  return connection;
}

const content = new Uint8Array(1024);
let answered = 0;

/** One request; resolves when its answer is complete. */
function ask(connection: ClientConnection, method: string, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const head: RequestHead = {
      version: connection.version,
      method,
      scheme: "http",
      authority: SERVICE.hostname,
      path,
      fields: Fields.of(["user-agent", "load"], ["accept", "*/*"], ["x-load", String(answered)]),
      upgrade: "",
      contentLength: method === "POST" ? content.length : 0,
      expectContinue: false,
    };
    const handler: ClientStreamHandler = {
      onResponse(stream, response, ended) {
        if (response.status !== 200) reject(new Error(`${method} ${path}: ${response.status}`));
        if (!ended) tap(stream.body, { onData: () => {} });
      },
      onFinished() {
        answered++;
        resolve();
      },
      onFailed: (_stream, error) => reject(error),
    };
    const stream = connection.request(head, method !== "POST", handler);
    if (stream === null) return reject(new Error("no capacity"));
    if (method !== "POST") return;
    stream.body.write(content);
    stream.body.finish();
  });
}

const REQUESTS: readonly [method: string, path: string][] = [
  ["GET", "/b/1024"],
  ["GET", "/b/0"],
  ["GET", "/h2/1024?q=1"],
  ["POST", "/b/10"],
  ["GET", "/b/16384"],
  ["POST", "/h2/0"],
];

/** Requests one after the other until `end`; the connection of HTTP/2 is shared by several of these. */
async function client(connection: ClientConnection, end: number): Promise<void> {
  for (let i = 0; performance.now() < end; i++) {
    const [method, path] = REQUESTS[i % REQUESTS.length];
    await ask(connection, method, path);
  }
}

const plain = await Promise.all(Array.from({ length: 6 }, async () => speak(await open(ports.http), false)));
const tunnelled = await Promise.all(Array.from({ length: 3 }, async () => speak(await tunnel(), false)));
const second = await Promise.all([open(ports.http), tunnel()].map(async (end) => speak(await end, true)));
const shared = second.flatMap((connection) => [connection, connection, connection, connection]);

async function load(forMs: number): Promise<void> {
  const end = performance.now() + forMs;
  await Promise.all([...plain, ...tunnelled, ...shared].map((connection) => client(connection, end)));
}
/** V8 writes its trace in its own time: a deoptimization on purpose marks the end of the warm-up there. */
function warmUpIsOver(value: number): number {
  return value + 1;
}

await load(warmMs);
for (let i = 0; i < 5_000_000; i++) if (warmUpIsOver(i) < 0) throw new Error("never");
warmUpIsOver("" as unknown as number);
await load(ms);
console.log(JSON.stringify({ answered, accepted, logged: lines > 0 }));
for (const connection of [...plain, ...tunnelled, ...second]) connection.abort();
pool.close();
proxy.close();
server.close();
await reactor.stop();
