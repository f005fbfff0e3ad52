import type { MeshError } from "../core/errors.ts";
import type { TcpRoute } from "../model/mod.ts";
import {
  type Endpoint,
  type EndpointMonitor,
  type Pump,
  pump,
  type PumpStats,
  type Reactor,
  type SocketAddress,
} from "../net/mod.ts";
import type { FlowErrorCode } from "../net/endpoint.ts";
import type { Timer } from "../net/timers.ts";
import { weightedPick } from "../proxy/state/mod.ts";
import {
  type Cluster,
  type Host,
  type PendingTunnel,
  type PickContext,
  type TunnelResult,
  upstreamFlag,
} from "./upstream/mod.ts";

/** Istio's default for connections without bytes either way. */
const IDLE_TIMEOUT_MS = 3_600_000;
const MAX_CONNECT_ATTEMPTS = 3;

/** What became of one proxied connection, for the access log and metrics. */
export interface TcpOutcome {
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** From the client, and to it. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Envoy's response flag: UF, UH, UO, NC (no such cluster), NR (no route), DC (the client went first), SI (idle), DT (as old as it may get), UC; `-` otherwise. */
  readonly flag: string;
  /** Name of the destination; "" when none was chosen. */
  readonly destination: string;
  readonly cluster: Cluster | null;
  readonly host: Host | null;
  /** Our own address on the connection to the host. */
  readonly localAddress: SocketAddress | null;
  /** Why the host could not be reached, or the connection broke. */
  readonly failure: string | undefined;
  readonly attempts: number;
}

export interface TcpProxyOptions {
  readonly reactor: Reactor;
  readonly cluster: (name: string) => Cluster | undefined;
  readonly route: TcpRoute;
  /** The client's end. It is held back until the host's is there. */
  readonly downstream: Endpoint;
  readonly source: SocketAddress;
  /** The client, where the application is to see its address. */
  readonly onBehalfOf: SocketAddress | null;
  /** Where the client meant to go. */
  readonly originalDestination: SocketAddress | null;
  readonly random?: () => number;
  /** Hosts tried before giving up: nothing has been sent yet, so that it is always safe. */
  readonly maxConnectAttempts?: number;
  /** The host is there, and bytes flow. */
  readonly onConnected?: (session: TcpSession) => void;
  /** Called once, when everything is over. */
  readonly onDone: (outcome: TcpOutcome) => void;
}

/** Proxies the bytes of one client's connection to one of the route's destinations. */
export function proxyTcp(options: TcpProxyOptions): TcpSession {
  const session = new TcpSession(options);
  session.start();
  return session;
}

/** One connection of {@linkcode proxyTcp}. */
export class TcpSession implements PickContext, EndpointMonitor {
  readonly head = null;
  readonly source: SocketAddress;
  readonly onBehalfOf: SocketAddress | null;
  readonly originalDestination: SocketAddress | null;
  readonly tried: Host[] = [];
  readonly avoidPriorities = false;
  hash = -1;
  setCookie: string | null = null;
  readonly #options: TcpProxyOptions;
  readonly #startedAt = Date.now();
  readonly #start = performance.now();
  #destination = "";
  #cluster: Cluster | null = null;
  #opening: PendingTunnel | null = null;
  #tunnel: TunnelResult | null = null;
  #pump: Pump | null = null;
  #attempts = 0;
  #idle: Timer | null = null;
  #aging: Timer | null = null;
  #seen = 0;
  #ending: string | null = null;
  #over = false;

  constructor(options: TcpProxyOptions) {
    this.#options = options;
    this.source = options.source;
    this.onBehalfOf = options.onBehalfOf;
    this.originalDestination = options.originalDestination;
  }

  start(): void {
    const { route, downstream, random = Math.random } = this.#options;
    downstream.monitor = this;
    if (!downstream.open) return this.onEndpointDone(downstream, downstream.error);
    const chosen = weightedPick(route.destinations, ({ weight }) => weight, random);
    if (!chosen) return this.#fail("NR", "no destination has any weight");
    this.#destination = chosen.destination;
    if (chosen.invalid !== undefined) return this.#fail("NR", "the destination is not valid");
    this.#cluster = this.#options.cluster(chosen.destination) ?? null;
    if (this.#cluster === null) return this.#fail("NC", `no cluster "${chosen.destination}"`);
    this.#connect(this.#cluster);
  }

  /** Bytes so far. */
  get bytesReceived(): number {
    return this.#options.downstream.bytesIn;
  }

  get bytesSent(): number {
    return this.#options.downstream.bytesOut;
  }

  get cluster(): Cluster | null {
    return this.#cluster;
  }

  get host(): Host | null {
    return this.#tunnel?.host ?? null;
  }

  #connect(cluster: Cluster): void {
    this.#attempts++;
    this.#opening = cluster.openTunnel(this, (result) => {
      this.#opening = null;
      this.#tunnel = result;
      const { error, host } = result;
      if (error === null) return this.#connected(result);
      const again = error.code === "connection_failure" || error.code === "connection_timeout";
      if (again && host !== null && this.#attempts < (this.#options.maxConnectAttempts ?? MAX_CONNECT_ATTEMPTS)) {
        this.tried.push(host);
        return this.#connect(cluster);
      }
      this.#fail(upstreamFlag(error.code), error.message);
    });
  }

  #connected(tunnel: TunnelResult): void {
    const { downstream, reactor, route } = this.#options;
    this.#pump = pump(downstream, tunnel.endpoint!, { onDone: (stats) => this.#pumped(stats) });
    if (this.#over) return;
    this.#options.onConnected?.(this);
    const idleMs = route.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
    const { maxConnectionDurationMs } = this.#cluster!.destination.limits;
    if (maxConnectionDurationMs !== undefined) {
      this.#aging = reactor.setTimer(maxConnectionDurationMs, () => this.end("DT"));
    }
    if (idleMs > 0) this.#idle = reactor.setTimer(idleMs, () => this.#checkIdle(idleMs));
  }

  /** Ends the connection between one and two time-outs after its last byte. */
  #checkIdle(idleMs: number): void {
    const running = this.#pump!;
    const moved = running.aToB + running.bToA;
    if (moved === this.#seen && this.#options.downstream.queued === 0) return this.end("SI");
    this.#seen = moved;
    this.#options.reactor.resetTimer(this.#idle!, idleMs);
  }

  #pumped(stats: PumpStats): void {
    const { error } = stats;
    const upstream = this.#tunnel!.endpoint!;
    const flag = this.#ending ?? (error === undefined ? "-" : error === upstream.error ? "UC" : "DC");
    this.#finish(flag, error?.message);
  }

  /** The client has gone while its host was still being reached. */
  onEndpointDone(_end: Endpoint, error: MeshError<FlowErrorCode> | null): void {
    this.#opening?.cancel();
    this.#finish("DC", error?.message ?? "the client closed its connection before the destination was reached");
  }

  /** Breaks the connection off; `flag` says why (a shutdown's is `-`). */
  end(flag = "-"): void {
    if (this.#over) return;
    this.#ending = flag;
    if (this.#pump !== null) return this.#pump.abort();
    this.#opening?.cancel();
    this.#fail(flag, "the connection was ended");
  }

  #fail(flag: string, failure: string): void {
    const { downstream } = this.#options;
    downstream.monitor = null;
    this.#finish(flag, failure);
    downstream.abort();
  }

  #finish(flag: string, failure: string | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#idle?.cancel();
    this.#aging?.cancel();
    this.#tunnel?.release();
    this.#options.onDone({
      startedAt: this.#startedAt,
      durationMs: performance.now() - this.#start,
      bytesReceived: this.bytesReceived,
      bytesSent: this.bytesSent,
      flag,
      destination: this.#destination,
      cluster: this.#cluster,
      host: this.#tunnel?.host ?? null,
      localAddress: this.#tunnel?.local ?? null,
      failure,
      attempts: this.#attempts,
    });
  }
}
