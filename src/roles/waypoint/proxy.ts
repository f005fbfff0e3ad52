import { describeError } from "../../core/errors.ts";
import { type HttpExchanges, RuntimeCompiler } from "../../http/exchange/mod.ts";
import type { Clusters } from "../../http/upstream/mod.ts";
import type { CertificateChoice } from "../../hbone/mod.ts";
import type { TlsSecret } from "../../model/mod.ts";
import type { Reactor } from "../../net/mod.ts";
import type { MeshView } from "../../proxy/state/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { ConfigStore } from "./config_store.ts";
import { HttpConnections } from "./connections.ts";
import { ServerContexts } from "./downstream_tls.ts";
import { type GatewayParts, GatewayPort } from "./gateway_port.ts";
import { type PortPlan, portPlans, TunnelTargets } from "./listener_choice.ts";
import { TcpConnections, type TcpConnectionsOptions } from "./tcp_connections.ts";
import { TunnelPort } from "./tunnel_port.ts";

/** How often a port that could not be opened is tried again. */
const RETRY_MS = 2_000;

export interface L7ProxyOptions {
  readonly reactor: Reactor;
  readonly clusters: Clusters;
  readonly exchanges: HttpExchanges;
  readonly mesh: MeshView;
  readonly network: string;
  /** Own certificate. */
  readonly certificate: () => CertificateChoice;
  /** Filled from configuration; what terminates and originates TLS reads it. */
  readonly secrets: Map<string, TlsSecret>;
  readonly onTcpConnected?: TcpConnectionsOptions["onConnected"];
  readonly onTcpDone: TcpConnectionsOptions["onDone"];
  readonly logger: Logger;
  /** Where tunnels are taken; absent for gateways. */
  readonly hbone?: { readonly address: string; readonly port: number; readonly hideClients?: boolean };
  /** Address on which gateway ports are opened. */
  readonly gatewayHost: string;
}

/** The data plane of one L7 proxy: its configuration, its open ports, the connections on them. */
export class L7Proxy {
  readonly compiler: RuntimeCompiler = new RuntimeCompiler();
  readonly config: ConfigStore;
  readonly tunnel: TunnelPort | null;
  readonly #options: L7ProxyOptions;
  readonly #parts: GatewayParts;
  readonly #ports = new Map<number, GatewayPort>();
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #draining = false;

  /** @throws MeshError when the port for tunnels cannot be opened */
  constructor(options: L7ProxyOptions) {
    const { reactor, clusters, exchanges, mesh, network, secrets, logger } = options;
    this.#options = options;
    const http = new HttpConnections(reactor, exchanges);
    const tcp = new TcpConnections({
      reactor,
      clusters,
      onConnected: options.onTcpConnected,
      onDone: options.onTcpDone,
    });
    const contexts = new ServerContexts((name) => secrets.get(name), logger);
    this.#parts = { reactor, http, tcp, contexts, mesh, network, logger };
    this.config = new ConfigStore(
      {
        clusters,
        compiler: this.compiler,
        onListeners: () => this.#listenersChanged(),
        onRetiring: (names) => http.retire(names),
      },
      secrets,
    );
    this.tunnel = options.hbone
      ? new TunnelPort({ ...this.#parts, ...options.hbone, certificate: options.certificate })
      : null;
  }

  /** Ports of gateways that are open. */
  get ports(): number[] {
    return [...this.#ports.keys()].sort((a, b) => a - b);
  }

  /** Connections of clients: those of HTTP that have had a request, and those of bytes. */
  get connections(): number {
    return this.#parts.http.size + this.#parts.tcp.size;
  }

  /** Requests and byte connections under way. */
  get active(): number {
    return this.#options.exchanges.active + this.#parts.tcp.size;
  }

  /** Which listeners a request may be for changes with their names and bindings; routes and policies change inside the slots. */
  #listenersChanged(): void {
    if (this.tunnel) this.tunnel.targets = new TunnelTargets(this.compiler.slots);
    this.#openPorts(portPlans(this.compiler.slots));
  }

  #openPorts(plans: Map<number, PortPlan>): void {
    if (this.#closed || this.#draining) {
      for (const [number, port] of this.#ports) port.plan = plans.get(number) ?? port.plan;
      return;
    }
    const { gatewayHost, logger } = this.#options;
    for (const [number, port] of this.#ports) {
      if (plans.has(number)) continue;
      port.close();
      this.#ports.delete(number);
      logger.info("port closed", { port: number });
    }
    for (const [number, plan] of plans) {
      const open = this.#ports.get(number);
      if (open) {
        open.plan = plan;
        continue;
      }
      try {
        this.#ports.set(number, new GatewayPort(this.#parts, gatewayHost, number, plan));
        logger.info("port opened", { port: number });
      } catch (error) {
        logger.error("cannot open a port", { port: number, error: describeError(error) });
        this.#retryLater();
      }
    }
  }

  #retryLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      if (!this.#closed) this.#openPorts(portPlans(this.compiler.slots));
    }, RETRY_MS);
  }

  /** Asks clients to go elsewhere: GOAWAY, `connection: close`. Whoever still comes is served. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#parts.http.drain();
    this.tunnel?.drain();
  }

  /** Takes no more connections; what runs goes on. */
  stopListening(): void {
    this.drain();
    clearTimeout(this.#retry);
    for (const port of this.#ports.values()) port.close();
    this.#ports.clear();
    this.tunnel?.stopListening();
    this.#parts.http.end();
  }

  /** Ends everything at once. */
  close(): void {
    this.#closed = true;
    this.stopListening();
    this.config.close();
    this.#options.exchanges.close();
    this.#parts.http.abort();
    this.#parts.tcp.abort();
    this.tunnel?.close();
    this.#options.clusters.close();
  }
}
