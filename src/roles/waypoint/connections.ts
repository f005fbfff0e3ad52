// Connections of clients once it is known what is spoken on them: HTTP goes to the exchange, bytes to the TCP proxy.

import type { Reactor } from "../../net/mod.ts";
import { PlainTransport } from "../../net/plain_transport.ts";
import type { Transport } from "../../net/transport.ts";
import {
  type ConnectionContext,
  HTTP_SERVER_OPTIONS,
  type HttpServerOptions,
  type RequestHandler,
  serveHttp,
  type ServerConnection,
  type ServerStream,
} from "../../http/mod.ts";
import { Downstream, type DownstreamInfo, type HttpExchanges, type ListenerSlot } from "../../http/exchange/mod.ts";
import { hostOf } from "../../http/match/mod.ts";
import type { Endpoint, SocketAddress } from "../../net/mod.ts";
import type { ListenerChoice } from "./listener_choice.ts";

/** The listeners among which a request's Host chooses, as they are now. */
export interface ChoiceSource {
  readonly choice: ListenerChoice | null;
}

/**
 * Which listener a connection's requests are for: known from the start, or chosen for each request. Where the server name of TLS chose it
 * among several, requests for a host that another of them has are misdirected (421): that one may ask its clients for certificates.
 */
export type Chosen = { readonly slot: ListenerSlot; readonly among?: ChoiceSource } | { readonly port: ChoiceSource };

/** A client's connection, as the codec hands it back with every request. */
class Client implements ConnectionContext {
  readonly scheme: "http" | "https";
  /** Set with the first request: before it there is nothing to drain. */
  connection: ServerConnection | null = null;
  /** The last authority that was found to be the listener's own, among the listeners of that moment. */
  #own = "";
  #among: ListenerChoice | null = null;

  constructor(
    readonly downstream: Downstream,
    readonly slot: ListenerSlot | null,
    /** Without a slot: what chooses one; with it: the port's other listeners. */
    readonly port: ChoiceSource | null,
  ) {
    this.scheme = downstream.scheme;
  }

  /** Whether requests for this authority are for another listener of the port than the one that the connection is for. */
  isMisdirected(authority: string): boolean {
    if (this.slot === null || this.port === null) return false;
    const { choice } = this.port;
    if (choice === null || choice.only !== null || (choice === this.#among && authority === this.#own)) return false;
    const found = choice.find(hostOf(authority));
    if (found !== null && found !== this.slot) return true;
    this.#among = choice;
    this.#own = authority;
    return false;
  }
}

/** HTTP connections of clients, so that they can be told to end. */
export class HttpConnections implements RequestHandler {
  readonly #reactor: Reactor;
  readonly #exchanges: HttpExchanges;
  readonly #options: HttpServerOptions;
  readonly #open = new Set<ServerConnection>();
  #draining = false;
  #retiring: ReadonlySet<string> = new Set();

  constructor(reactor: Reactor, exchanges: HttpExchanges, options: HttpServerOptions = HTTP_SERVER_OPTIONS) {
    this.#reactor = reactor;
    this.#exchanges = exchanges;
    this.#options = options;
  }

  /** Connections that have had a request. */
  get size(): number {
    return this.#open.size;
  }

  /** Requests that are being answered. */
  get streams(): number {
    let sum = 0;
    for (const connection of this.#open) sum += connection.streams;
    return sum;
  }

  /** Serves HTTP of either version on a transport; `alpn` is what TLS agreed on, "" where nothing was. */
  serve(transport: Transport, info: DownstreamInfo, chosen: Chosen, alpn = ""): void {
    const client = new Client(
      new Downstream(info),
      "slot" in chosen ? chosen.slot : null,
      "port" in chosen ? chosen.port : chosen.among ?? null,
    );
    serveHttp(this.#reactor, transport, client, this, this.#options, alpn);
  }

  /** The same on a bare socket or tunnel. */
  servePlain(
    end: Endpoint,
    remote: SocketAddress,
    local: SocketAddress,
    info: DownstreamInfo,
    chosen: Chosen,
  ): void {
    const transport = new PlainTransport(this.#reactor, end, remote, local);
    this.serve(transport, info, chosen);
    transport.begin();
  }

  onRequest(stream: ServerStream): void {
    const { connection } = stream;
    const client = connection.context as Client;
    if (client.connection === null) {
      client.connection = connection;
      this.#open.add(connection);
    }
    const slot = client.slot ?? choose(client.port!.choice, stream.request.authority);
    const runtime = slot === null ? null : slot.current;
    // Its listener is gone: the next connection finds what is there now.
    if (runtime === null || this.#draining || this.#retiring.has(slot!.name)) connection.drain();
    if (runtime === null) {
      // Whoever asks for hosts that nobody has is told of, too.
      const other = client.port?.choice?.slots[0]?.current ?? null;
      return this.#exchanges.handleRequest(stream, client.downstream, other, 404);
    }
    const misdirected = client.isMisdirected(stream.request.authority);
    this.#exchanges.handleRequest(stream, client.downstream, runtime, misdirected ? 421 : 0);
  }

  /** What the codec refused has no Host to choose a listener by: it is told of at the one for any, or the first. */
  onRefused(connection: ServerConnection, status: number, reason: string): void {
    const client = connection.context as Client;
    const choice = client.port?.choice ?? null, slot = client.slot ?? choice?.find("") ?? choice?.slots[0] ?? null;
    this.#exchanges.handleRefusal(client.downstream, slot === null ? null : slot.current, status, reason);
  }

  onClosed(connection: ServerConnection): void {
    this.#open.delete(connection);
  }

  /**
   * Connections end with their next answer, new ones, too. An idle one of HTTP/1.1 is left open: its client may be sending a request
   * right now, which closing would lose. HTTP/2 has GOAWAY for that.
   */
  drain(): void {
    this.#draining = true;
    for (const connection of [...this.#open]) {
      if (connection.version === "HTTP/2" || connection.streams > 0) connection.drain();
    }
  }

  /** After {@linkcode drain}: connections that are idle end now, the others with their answers. */
  end(): void {
    for (const connection of [...this.#open]) connection.drain();
  }

  /**
   * Listeners, by name, whose connections end with their next answer. Those that were on the way out before, and are not
   * served any more, lose the connections that have been silent since.
   */
  retire(listeners: ReadonlySet<string>): void {
    const before = this.#retiring;
    this.#retiring = listeners;
    for (const connection of [...this.#open]) {
      const { slot } = connection.context as Client;
      if (slot !== null && before.has(slot.name) && slot.current === null) connection.drain();
    }
  }

  abort(): void {
    for (const connection of [...this.#open]) connection.abort();
  }
}

function choose(choice: ListenerChoice | null, authority: string): ListenerSlot | null {
  return choice === null ? null : choice.only ?? choice.find(hostOf(authority));
}
