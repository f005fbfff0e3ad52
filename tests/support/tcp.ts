// TCP ends for tests, in any namespace, with promises: not for the data path.

import { type ConnectOptions, connectTcp, listenTcp, type TcpListener } from "../../src/net/tcp.ts";
import type { Netns } from "../../src/net/netns.ts";
import type { Reactor } from "../../src/net/reactor.ts";
import { type Tap, tap } from "../../src/net/tap.ts";
import type { TcpSocket } from "../../src/net/tcp_socket.ts";

/** A connection that remembers what came. */
export class TestConnection {
  readonly #tap: Tap;
  received = "";
  /** "open", then "end" (FIN), or "reset". */
  state: "open" | "end" | "reset" = "open";
  #wake: (() => void)[] = [];

  constructor(readonly socket: TcpSocket) {
    this.#tap = tap(socket, {
      onData: (bytes) => {
        this.received += new TextDecoder().decode(bytes);
        this.#notify();
      },
      onEnd: () => {
        if (this.state === "open") this.state = "end";
        this.#notify();
      },
      onAbort: () => {
        this.state = "reset";
        this.#notify();
      },
    });
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  send(text: string): void {
    this.#tap.write(new TextEncoder().encode(text));
  }

  /** Half-closes. */
  end(): void {
    this.#tap.end();
  }

  close(): void {
    this.socket.close();
  }

  /** Waits until `want` holds. */
  async until(want: (connection: TestConnection) => boolean, deadlineMs = 10_000): Promise<this> {
    const end = performance.now() + deadlineMs;
    while (!want(this)) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`still waiting; state "${this.state}", received "${this.received}"`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return this;
  }

  /** Sends a line and waits for it to come back. */
  async echo(text: string): Promise<void> {
    const want = this.received + text;
    this.send(text);
    await this.until((connection) => connection.received === want || connection.state !== "open");
    if (this.received !== want) throw new Error(`want "${want}", received "${this.received}" (${this.state})`);
  }
}

export function dial(
  reactor: Reactor,
  netns: Netns | undefined,
  address: string,
  port: number,
  extra: Partial<ConnectOptions> = {},
): Promise<TestConnection> {
  return new Promise((resolve, reject) => {
    connectTcp(
      reactor,
      { netns, address, port, timeoutMs: 5000, ...extra },
      (error, socket) => error ? reject(error) : resolve(new TestConnection(socket!)),
    );
  });
}

/** An echo server in a namespace that keeps the addresses of its clients. Each connection is greeted with `name`. */
export class EchoServer {
  readonly clients: { from: string; to: string; original: string | undefined }[] = [];
  readonly sockets = new Set<TcpSocket>();
  readonly #listener: TcpListener;

  constructor(
    reactor: Reactor,
    netns: Netns | undefined,
    port: number,
    readonly name: string,
    options: { address?: string; mark?: number } = {},
  ) {
    this.#listener = listenTcp(
      reactor,
      { netns, address: options.address ?? "::", port, mark: options.mark },
      (socket) => {
        const original = socket.originalDestination();
        this.clients.push({
          from: socket.remote.address,
          to: `${socket.local.address}:${socket.local.port}`,
          original: original ? `${original.address}:${original.port}` : undefined,
        });
        this.sockets.add(socket);
        const side = tap(socket, {
          onData: (bytes) => side.write(bytes.slice()),
          onEnd: () => {
            side.end();
            this.sockets.delete(socket);
          },
          onAbort: () => this.sockets.delete(socket),
        });
        side.write(new TextEncoder().encode(name));
      },
    );
  }

  close(): void {
    this.#listener.close();
    for (const socket of this.sockets) socket.close();
  }
}
