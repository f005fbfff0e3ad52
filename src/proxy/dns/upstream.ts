import { canonicalIp } from "../../core/ip.ts";
import { connectTcp, type Tap, tap, type TcpSocket } from "../../net/mod.ts";
import type { Pod } from "../pod.ts";
import { withId } from "./message.ts";
import { TcpFrames } from "./tcp_frames.ts";
import { UdpSocket } from "./udp.ts";

const DNS_PORT = 53;
/** How long one name server may take; then the next is asked. */
const SERVER_TIMEOUT_MS = 2_000;
/** Questions of one pod under way at once: more are answered with SERVFAIL. */
const MAX_OUTSTANDING = 500;

/** The name servers in a resolv.conf, in order (at most three, as resolvers do). */
export function parseResolvConf(text: string): string[] {
  const servers = text.split("\n").map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1]);
  return servers.map((server) => server && canonicalIp(server)).filter((ip) => ip !== undefined && ip !== "").slice(
    0,
    3,
  ) as string[];
}

/** Reads name servers from a file, again every ten seconds at most: a pod's resolv.conf may be replaced. */
export function resolvConfServers(path = "/etc/resolv.conf", now: () => number = Date.now): () => readonly string[] {
  let servers: readonly string[] = [], readAt = -Infinity;
  return () => {
    if (now() - readAt < 10_000) return servers;
    readAt = now();
    try {
      servers = parseResolvConf(Deno.readTextFileSync(path));
    } catch {
      // What was known stays.
    }
    return servers;
  };
}

/** Asks the name servers, from the pod's own namespace: to them the pod itself asks. */
export class Upstream {
  readonly #pod: Pod;
  readonly #servers: () => readonly string[];
  readonly #open = new Set<{ close(): void }>();

  constructor(pod: Pod, servers: () => readonly string[]) {
    this.#pod = pod;
    this.#servers = servers;
  }

  /**
   * Passes a query on, server by server until one answers.
   *
   * @returns the answer under the query's own id; undefined when nobody answered
   */
  async ask(query: Uint8Array, transport: "udp" | "tcp"): Promise<Uint8Array | undefined> {
    if (this.#open.size >= MAX_OUTSTANDING) return undefined;
    for (const server of this.#servers()) {
      const reply = transport === "udp" ? await this.#udp(server, query) : await this.#tcp(server, query);
      if (reply) return reply;
    }
    return undefined;
  }

  /** A socket of its own for every query: port and id together are what an answer is known by. */
  #udp(server: string, query: Uint8Array): Promise<Uint8Array | undefined> {
    const { reactor } = this.#pod.shared;
    const id = crypto.getRandomValues(new Uint16Array(1))[0];
    const address = server.includes(":") ? "::" : "0.0.0.0";
    return new Promise((resolve) => {
      let socket: UdpSocket | undefined;
      const finish = (reply: Uint8Array | undefined) => {
        timer.cancel();
        socket?.close();
        this.#open.delete(ending);
        resolve(reply);
      };
      const ending = { close: () => finish(undefined) };
      const timer = reactor.setTimer(SERVER_TIMEOUT_MS, () => finish(undefined));
      this.#open.add(ending);
      try {
        const { netns, mark } = this.#pod;
        socket = new UdpSocket(reactor, { netns, mark, address, port: 0 }, (reply, from) => {
          const right = from.address === server && from.port === DNS_PORT && reply.length >= 12;
          if (right && (reply[0] << 8 | reply[1]) === id) finish(withId(reply, query[0] << 8 | query[1]));
        });
        socket.send(withId(query, id), { address: server, port: DNS_PORT });
      } catch {
        finish(undefined);
      }
    });
  }

  #tcp(server: string, query: Uint8Array): Promise<Uint8Array | undefined> {
    const { reactor } = this.#pod.shared;
    return new Promise((resolve) => {
      let socket: TcpSocket | undefined;
      const finish = (reply: Uint8Array | undefined) => {
        timer.cancel();
        pending?.cancel();
        socket?.close();
        this.#open.delete(ending);
        resolve(reply);
      };
      const ending = { close: () => finish(undefined) };
      const timer = reactor.setTimer(SERVER_TIMEOUT_MS, () => finish(undefined));
      this.#open.add(ending);
      const pending = connectTcp(reactor, this.#pod.dialOptions(server, DNS_PORT), (error, connected) => {
        if (error) return finish(undefined);
        socket = connected!;
        const frames = new TcpFrames((reply) => finish(reply.slice()));
        const side: Tap = tap(socket, {
          onData: (bytes) => frames.take(bytes) || finish(undefined),
          onEnd: () => finish(undefined),
          onAbort: () => finish(undefined),
        });
        side.write(TcpFrames.frame(query));
      });
    });
  }

  close(): void {
    for (const one of [...this.#open]) one.close();
  }
}
