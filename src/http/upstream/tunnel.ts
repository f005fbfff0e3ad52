import type { Endpoint } from "../../net/mod.ts";
import { TlsEndpoint } from "../../net/tls_endpoint.ts";
import type { Cluster } from "./cluster.ts";
import type { Carrier } from "./codecs.ts";
import { connectHost, type Connecting } from "./connector.ts";
import type { Host } from "./host.ts";
import { type PendingTunnel, type PickContext, type TunnelResult, type UpstreamError, upstreamError } from "./types.ts";

type TunnelCallback = (result: TunnelResult) => void;

/** Connections of one cluster that carry bytes: each belongs to one client. */
export class Tunnels {
  readonly #cluster: Cluster;
  readonly #opening = new Set<OpeningTunnel>();
  readonly #open = new Set<Endpoint>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  open(context: PickContext, callback: TunnelCallback): PendingTunnel {
    const opening = new OpeningTunnel(this.#cluster, context, this, callback);
    this.#opening.add(opening);
    opening.start();
    return opening;
  }

  /** An attempt is over, one way or the other. */
  settled(opening: OpeningTunnel, endpoint: Endpoint | null): void {
    this.#opening.delete(opening);
    if (endpoint !== null) this.#open.add(endpoint);
  }

  released(endpoint: Endpoint): void {
    this.#open.delete(endpoint);
  }

  close(): void {
    for (const opening of [...this.#opening]) opening.cancel();
    for (const endpoint of [...this.#open]) endpoint.abort();
  }
}

/** One tunnel being opened. */
class OpeningTunnel implements PendingTunnel {
  readonly #cluster: Cluster;
  readonly #context: PickContext;
  readonly #owner: Tunnels;
  #callback: TunnelCallback | null;
  #connecting: Connecting | null = null;
  #host: Host | null = null;

  constructor(cluster: Cluster, context: PickContext, owner: Tunnels, callback: TunnelCallback) {
    this.#cluster = cluster;
    this.#context = context;
    this.#owner = owner;
    this.#callback = callback;
  }

  start(): void {
    const cluster = this.#cluster;
    const host = cluster.pick(this.#context);
    if (host === null) {
      if (cluster.unresolved) return cluster.whenResolved(() => this.#callback !== null && this.start());
      return this.#failSoon(upstreamError("no_healthy_upstream", `no healthy upstream for "${cluster.name}"`));
    }
    this.#host = host;
    const { breakers, counters } = cluster;
    if (breakers.connections >= breakers.maxConnections || breakers.pending >= breakers.maxPending) {
      counters.upstream_cx_overflow++;
      return this.#failSoon(upstreamError("overflow", `too many connections to "${cluster.name}"`));
    }
    breakers.connections++;
    breakers.pending++;
    host.connections++;
    host.active++;
    this.#connecting = connectHost(cluster, host, "raw", (error, carrier) => {
      this.#connecting = null;
      breakers.pending--;
      if (error !== null) {
        this.#release();
        cluster.onLocalFailure(host, error.code === "connection_timeout");
        return this.#settle(error, null);
      }
      cluster.onConnected(host);
      this.#settle(null, carrier);
    }, host.perClient ? this.#context.onBehalfOf : null);
  }

  /** Callers do not expect an answer before they have the handle. */
  #failSoon(error: UpstreamError): void {
    queueMicrotask(() => this.#settle(error, null));
    this.#cluster.reactor.wantMicrotasks();
  }

  #settle(error: UpstreamError | null, carrier: Carrier | null): void {
    const callback = this.#callback;
    if (callback === null) return;
    this.#callback = null;
    if (carrier === null) {
      this.#owner.settled(this, null);
      return callback({ error, endpoint: null, host: this.#host, local: null, release() {} });
    }
    const endpoint = carrier.endpoint ?? new TlsEndpoint(carrier.tls!);
    this.#owner.settled(this, endpoint);
    let counted = true;
    const release = () => {
      if (!counted) return;
      counted = false;
      this.#owner.released(endpoint);
      this.#release();
    };
    callback({ error: null, endpoint, host: this.#host, local: carrier.local, release });
  }

  #release(): void {
    const host = this.#host!;
    host.connections--;
    host.active--;
    this.#cluster.breakers.connections--;
    this.#cluster.onRoom();
  }

  cancel(): void {
    if (this.#callback === null) return;
    this.#callback = null;
    this.#owner.settled(this, null);
    if (this.#connecting === null) return;
    this.#connecting.cancel();
    this.#connecting = null;
    this.#cluster.breakers.pending--;
    this.#release();
  }
}
