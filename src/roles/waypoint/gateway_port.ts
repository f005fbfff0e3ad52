import { canonicalIp } from "../../core/ip.ts";
import { Downstream, type DownstreamInfo, type ListenerSlot } from "../../http/exchange/mod.ts";
import { sniffProtocol } from "../../http/mod.ts";
import {
  listenTcp,
  type Reactor,
  reactorClock,
  type SocketAddress,
  type TcpListener,
  type TcpSocket,
} from "../../net/mod.ts";
import { startTls } from "../../net/tls_socket.ts";
import type { TlsTransport } from "../../net/tls_transport.ts";
import { TlsEndpoint } from "../../net/tls_endpoint.ts";
import type { MeshView } from "../../proxy/state/mod.ts";
import { LimitedLog } from "../../telemetry/limited_log.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { clientCertificate } from "./client_certificate.ts";
import type { ChoiceSource, HttpConnections } from "./connections.ts";
import type { ServerContexts } from "./downstream_tls.ts";
import type { ListenerChoice, PortPlan } from "./listener_choice.ts";
import type { TcpConnections } from "./tcp_connections.ts";

/** How long a client may take for its first bytes, and then for TLS. */
const HELLO_TIMEOUT_MS = 15_000;
/** How long AUTO waits for a client to speak first; after that the server is taken to. */
const SNIFF_TIMEOUT_MS = 5_000;

/** What all ports of a gateway share. */
export interface GatewayParts {
  readonly reactor: Reactor;
  readonly http: HttpConnections;
  readonly tcp: TcpConnections;
  readonly contexts: ServerContexts;
  readonly mesh: MeshView;
  readonly network: string;
  readonly logger: Logger;
}

/** One open port of a gateway. What it does with connections may change while it is open. */
export class GatewayPort {
  readonly #parts: GatewayParts;
  readonly #listener: TcpListener;
  readonly #refusals: LimitedLog;
  readonly #secureListeners: ChoiceSource;
  plan: PortPlan;

  /** @throws MeshError when the port cannot be opened */
  constructor(parts: GatewayParts, host: string, port: number, plan: PortPlan) {
    this.#parts = parts;
    this.#refusals = new LimitedLog(parts.logger, reactorClock(parts.reactor));
    this.plan = plan;
    const current = () => this.plan.tls;
    this.#secureListeners = {
      get choice() {
        return current();
      },
    };
    // While pods of one gateway are replaced on a host network, both listen.
    const options = { port, reusePort: true, backlog: 1024 };
    const accept = (socket: TcpSocket) => this.#accept(socket);
    try {
      this.#listener = listenTcp(parts.reactor, { ...options, address: host }, accept);
    } catch (error) {
      if (host !== "::") throw error;
      this.#listener = listenTcp(parts.reactor, { ...options, address: "0.0.0.0" }, accept);
    }
  }

  /** For requests: the listeners that share the port, as they are now. */
  get choice(): ListenerChoice | null {
    return this.plan.http;
  }

  get port(): number {
    return this.#listener.local.port;
  }

  /** Takes no more connections; those that are open go on. */
  close(): void {
    this.#listener.close();
  }

  #accept(socket: TcpSocket): void {
    const { tls, http, raw } = this.plan;
    if (tls === null && raw === null) return this.#plain(socket);
    const { reactor } = this.#parts;
    const waits = tls !== null || http !== null ? HELLO_TIMEOUT_MS : SNIFF_TIMEOUT_MS;
    if (tls === null && http === null && raw!.current?.config.protocol === "TCP") return this.#raw(socket, raw!);
    sniffProtocol(reactor, socket, waits, (protocol, serverName) => {
      if (protocol === "closed" || !socket.open) return;
      if (protocol === "tls" && tls !== null) return this.#secure(socket, serverName.toLowerCase());
      const isHttp = protocol === "http1" || protocol === "http2";
      if (isHttp && http !== null) return this.#plain(socket);
      if (raw !== null) {
        if (isHttp && raw.current?.config.protocol === "AUTO") {
          return this.#parts.http.servePlain(socket, socket.remote, socket.local, this.#info(socket), { slot: raw });
        }
        return this.#raw(socket, raw);
      }
      this.#parts.logger.debug("connection refused: no listener of the port takes it", {
        port: this.port,
        protocol,
        peer: socket.remote.address,
      });
      socket.abort();
    });
  }

  #plain(socket: TcpSocket): void {
    this.#parts.http.servePlain(socket, socket.remote, socket.local, this.#info(socket), { port: this });
  }

  #raw(socket: TcpSocket, slot: ListenerSlot): void {
    this.#parts.tcp.serve(socket, slot, new Downstream(this.#info(socket)), socket.local);
  }

  #secure(socket: TcpSocket, serverName: string): void {
    const { contexts, http, tcp, logger } = this.#parts;
    const slot = this.plan.tls?.find(serverName) ?? null;
    const config = slot?.current?.config;
    if (!slot || !config) {
      logger.debug("connection refused: no listener for its server name", { port: this.port, serverName });
      return socket.abort();
    }
    if (config.protocol === "TLS_PASSTHROUGH" || !config.tls) {
      const info = { ...this.#info(socket), tls: { sni: serverName } };
      return tcp.serve(socket, slot, new Downstream(info), socket.local);
    }
    const context = contexts.get(config);
    if (!context) {
      this.#refusals.log("warn", "connection refused: its listener has no usable certificate", { listener: slot.name });
      return socket.abort();
    }
    const info = this.#info(socket);
    startTls(socket, context, HELLO_TIMEOUT_MS, (error, transport) => {
      if (error) {
        return logger.debug("TLS with a client failed", {
          listener: slot.name,
          peer: info.peerAddress,
          error: error.message,
        });
      }
      const { alpn, leafDer } = transport!.peer;
      const known = { ...info, tls: { sni: serverName, client: clientCertificate(leafDer) } };
      if (config.protocol === "HTTPS") {
        return http.serve(transport!, known, { slot, among: this.#secureListeners }, alpn);
      }
      this.#terminated(transport!, slot, new Downstream(known));
    });
  }

  /** Bytes inside TLS. */
  #terminated(transport: TlsTransport, slot: ListenerSlot, downstream: Downstream): void {
    this.#parts.tcp.serve(new TlsEndpoint(transport), slot, downstream, transport.local);
  }

  #info({ remote, local }: { remote: SocketAddress; local: SocketAddress }): DownstreamInfo {
    const { mesh, network } = this.#parts;
    const peerAddress = canonicalIp(remote.address) ?? remote.address;
    return {
      use: "gateway",
      peerAddress,
      peerPort: remote.port,
      localAddress: canonicalIp(local.address) ?? local.address,
      localPort: local.port,
      sourceWorkload: mesh.workloadByAddress(network, peerAddress),
    };
  }
}
