// Connections of clients that carry bytes: policy first, then one destination for each.

import type { Downstream, ListenerSlot } from "../../http/exchange/mod.ts";
import { proxyTcp, type TcpSession } from "../../http/tcp_proxy.ts";
import type { TcpOpen, TcpReport } from "../../http/telemetry/mod.ts";
import type { Clusters } from "../../http/upstream/mod.ts";
import type { Endpoint, Reactor, SocketAddress } from "../../net/mod.ts";

export interface TcpConnectionsOptions {
  readonly reactor: Reactor;
  readonly clusters: Clusters;
  /** A connection has reached its host. */
  readonly onConnected?: (open: TcpOpen) => void;
  /** A connection is over, or was refused by policy. */
  readonly onDone: (report: TcpReport) => void;
}

export class TcpConnections {
  readonly #options: TcpConnectionsOptions;
  readonly #open = new Set<TcpSession>();

  constructor(options: TcpConnectionsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Proxies one client's bytes as the listener says now. */
  serve(end: Endpoint, slot: ListenerSlot, downstream: Downstream, originalDestination: SocketAddress | null): void {
    const runtime = slot.current, route = runtime?.config.tcp;
    if (!runtime || !route) return end.abort();
    const { reactor, clusters, onConnected, onDone } = this.#options;
    const decision = runtime.policies.decideTcp(downstream);
    if (!decision.allowed) {
      end.abort();
      return onDone({ runtime, downstream, decision, outcome: undefined });
    }
    let over = false;
    const session: TcpSession = proxyTcp({
      reactor,
      cluster: (name) => clusters.get(name),
      route,
      downstream: end,
      source: downstream.peer,
      onBehalfOf: downstream.onBehalfOf,
      originalDestination,
      onConnected: (session) => onConnected?.({ runtime, downstream, traffic: session }),
      onDone: (outcome) => {
        over = true;
        this.#open.delete(session);
        onDone({ runtime, downstream, decision, outcome });
      },
    });
    if (!over) this.#open.add(session);
  }

  /** Ends everything at once. */
  abort(): void {
    for (const session of [...this.#open]) session.end();
  }
}
