import { join, listenTcp, Reactor, tap, type TcpSocket } from "../../../src/net/mod.ts";
import { PlainTransport } from "../../../src/net/plain_transport.ts";
import {
  type ClientConnection,
  connectHttp1,
  connectHttp2,
  Fields,
  HTTP_SERVER_OPTIONS,
  type HttpServerOptions,
  type RequestHandler,
  type ResponseHead,
  serveHttp,
  type ServerConnection,
  type ServerStream,
} from "../../../src/http/mod.ts";
import assert from "node:assert/strict";
import { INPUT } from "../../../src/net/buffers.ts";
import { connectTcp } from "../../../src/net/mod.ts";
import { MAX_CARRY, Transport, type TransportConsumer } from "../../../src/net/transport.ts";
import { U8 } from "../../../src/sys/memory.ts";

export function text(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

export function latin1(value: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(value, (char) => char.charCodeAt(0));
}

export function response(status: number, contentLength: number, fields: Fields = new Fields()): ResponseHead {
  return { version: "HTTP/1.1", status, fields, contentLength };
}

/** What a request was, as one line for comparisons. */
export function describe(stream: ServerStream, body = ""): string {
  const { request } = stream;
  const fields: string[] = [];
  for (let i = 0; i < request.fields.size; i++) fields.push(`${request.fields.nameAt(i)}=${request.fields.valueAt(i)}`);
  return `${request.method} ${request.authority} ${request.path} [${fields.join("|")}] ${body}`;
}

/** Answers every request, when its body is there, with what it was. */
export function echo(seen: string[] = []): RequestHandler {
  return {
    onRequest(stream) {
      let body = "";
      const answer = () => {
        const line = describe(stream, body);
        seen.push(line);
        stream.reply(200, new Fields(), line);
      };
      if (stream.requestEnded) return answer();
      tap(stream.body, {
        onData: (bytes) => {
          body += text(bytes);
        },
        onEnd: answer,
      });
    },
  };
}

export interface TestServer {
  readonly reactor: Reactor;
  readonly port: number;
  readonly connections: ServerConnection[];
  readonly refused: string[];
  stop(): Promise<void>;
}

/** A server of ours on a port of its own. */
export function serve(handler: RequestHandler, options: Partial<HttpServerOptions> = {}): TestServer {
  const reactor = new Reactor();
  reactor.start();
  const connections: ServerConnection[] = [], refused: string[] = [];
  const logged: RequestHandler = {
    onRequest: (stream) => handler.onRequest(stream),
    onRefused: (connection, status, reason) => {
      refused.push(`${status} ${reason}`);
      handler.onRefused?.(connection, status, reason);
    },
    onClosed: (connection) => handler.onClosed?.(connection),
  };
  const listener = listenTcp(reactor, { address: "127.0.0.1", port: 0 }, (socket) => {
    const transport = new PlainTransport(reactor, socket, socket.remote, socket.local);
    connections.push(
      serveHttp(reactor, transport, { scheme: "http" }, logged, { ...HTTP_SERVER_OPTIONS, ...options }),
    );
    transport.begin();
  });
  return { reactor, port: listener.port, connections, refused, stop: () => reactor.stop() };
}

/** Sends bytes (in the given parts) and returns everything that comes back until the server closes, or until `enough`. */
export async function exchange(
  port: number,
  parts: (string | Uint8Array)[],
  enough: (received: string) => boolean = () => false,
  end = false,
): Promise<string> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  let received = "";
  const timer = setTimeout(() => conn.close(), 10_000);
  try {
    const reading = (async () => {
      const chunk = new Uint8Array(65536);
      while (!enough(received)) {
        const count = await conn.read(chunk).catch(() => null);
        if (count === null) break;
        received += text(chunk.subarray(0, count));
      }
    })();
    for (const part of parts) {
      const bytes = typeof part === "string" ? latin1(part) : part;
      for (let at = 0; at < bytes.length;) {
        const count = await conn.write(bytes.subarray(at)).catch(() => -1);
        if (count < 0) break;
        at += count;
      }
      // So that parts arrive as parts.
      if (parts.length > 1) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (end) await conn.closeWrite().catch(() => {});
    await reading;
  } finally {
    clearTimeout(timer);
    try {
      conn.close();
    } catch {
      // Closed by the timer.
    }
  }
  return received;
}

/** A client connection of ours to a port. */
export function connect(reactor: Reactor, port: number, version: "h1" | "h2" = "h1"): Promise<ClientConnection> {
  return new Promise((resolve, reject) => {
    connectTcp(reactor, { address: "127.0.0.1", port, timeoutMs: 5000 }, (error, socket: TcpSocket | null) => {
      if (error !== null) return reject(error);
      const transport = new PlainTransport(reactor, socket!, socket!.remote, socket!.local);
      resolve(version === "h1" ? connectHttp1(reactor, transport) : connectHttp2(reactor, transport));
      transport.begin();
    });
  });
}

/** A proxy of ours: every request goes to `upstream` by its own client connection. */
export function proxy(upstream: () => Promise<ClientConnection>): RequestHandler {
  return {
    onRequest(server) {
      upstream().then((client) => {
        if (!server.open) return client.abort();
        let responded = false;
        const request = client.request(server.request, server.requestEnded, {
          onInformational: (_, status, fields) => server.inform(status, fields),
          onResponse: (_, head, ended) => {
            responded = true;
            server.respond(head, ended);
          },
          onTrailers: (_, trailers) => server.sendTrailers(trailers),
          onFailed: (stream, error) => {
            stream.body.partner = null;
            if (responded) server.reset();
            else if (server.open) {
              server.reply(error.code === "protocol_error" ? 502 : 503, new Fields(), error.message);
            }
          },
          onFinished: () => client.drain(),
        });
        if (request === null) return server.reply(503, new Fields(), "no capacity");
        server.handler = {
          onRequestTrailers: (_, trailers) => request.sendTrailers(trailers),
          onAborted: () => request.reset(),
        };
        join(server.body, request.body);
      }, (error) => server.reply(503, new Fields(), String(error)));
    },
  };
}

/** A transport in memory: what is fed to it comes as it would from a socket, in the same parts. */
export class MemoryTransport extends Transport {
  readonly remote = { address: "192.0.2.1", port: 1 };
  readonly local = { address: "192.0.2.2", port: 2 };
  output = "";
  open = true;
  finished = false;
  #finishing = false;
  #carry = new Uint8Array(0);
  #paused = false;
  #ended = false;

  feed(bytes: Uint8Array): void {
    if (!this.open || this.#finishing) return;
    const all = new Uint8Array(this.#carry.length + bytes.length);
    all.set(this.#carry);
    all.set(bytes, this.#carry.length);
    this.#carry = all;
    if (!this.#paused) this.#deliver();
  }

  end(): void {
    this.#ended = true;
    if (!this.#paused && !this.#finishing) this.consumer?.onInputEnd();
  }

  #deliver(): void {
    const bytes = this.#carry;
    U8.set(bytes, INPUT);
    const consumed = this.consumer!.onInput(INPUT, bytes.length);
    U8.fill(0x21, INPUT, INPUT + bytes.length);
    if (!this.open) return;
    assert.ok(consumed >= 0 && consumed <= bytes.length);
    this.#carry = bytes.slice(consumed);
    assert.ok(this.#paused || this.#carry.length <= MAX_CARRY, "more is left over than a transport takes");
  }

  override pauseInput(): void {
    this.#paused = true;
  }

  override resumeInput(): void {
    if (!this.#paused) return;
    this.#paused = false;
    queueMicrotask(() => {
      if (this.#paused || !this.open || this.#finishing) return;
      if (this.#carry.length > 0) this.#deliver();
      if (this.#ended && !this.#paused) this.consumer?.onInputEnd();
    });
  }

  override write(at: number, bytes: number): void {
    if (this.open && !this.#finishing) this.output += text(U8.subarray(at, at + bytes));
  }

  override get writable(): boolean {
    return this.open && !this.#finishing;
  }

  override endOutput(): void {}

  override finish(): void {
    this.finished = this.#finishing = true;
  }

  override abort(): void {
    this.close({ code: "aborted" } as never);
  }

  close(error: Parameters<TransportConsumer["onTransportClosed"]>[0]): void {
    if (!this.open) return;
    this.open = false;
    const consumer = this.consumer;
    this.consumer = null;
    consumer?.onTransportClosed(error);
  }
}

/** Lets deferred output and resumed input have their turns. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
