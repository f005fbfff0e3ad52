// Connections of clients that carry bytes: policy first, then one destination for each.

import type { Downstream, ListenerSlot } from "../../http/exchange/mod.ts";
import { proxyTcp, type TcpOutcome, type TcpSession } from "../../http/tcp_proxy.ts";
import type { Clusters } from "../../http/upstream/mod.ts";
import type { Endpoint, Reactor, SocketAddress } from "../../net/mod.ts";
import type { L7Decision } from "../../policy/http.ts";

/** One finished connection, for logs and metrics. */
export interface TcpRecord {
  readonly listener: string;
  readonly downstream: Downstream;
  /** undefined when policy refused the connection. */
  readonly outcome: TcpOutcome | undefined;
  readonly decision: L7Decision;
}

export interface TcpConnectionsOptions {
  readonly reactor: Reactor;
  readonly clusters: Clusters;
  /** Policy has let a connection pass. */
  readonly onOpened: (listener: string, downstream: Downstream) => void;
  readonly onDone: (record: TcpRecord) => void;
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
    const { reactor, clusters, onOpened, onDone } = this.#options;
    const decision = runtime.policies.decideTcp(downstream);
    if (!decision.allowed) {
      end.abort();
      return onDone({ listener: slot.name, downstream, outcome: undefined, decision });
    }
    onOpened(slot.name, downstream);
    let over = false;
    const session: TcpSession = proxyTcp({
      reactor,
      cluster: (name) => clusters.get(name),
      route,
      downstream: end,
      source: { address: downstream.peerAddress, port: downstream.peerPort },
      originalDestination,
      onDone: (outcome) => {
        over = true;
        this.#open.delete(session);
        onDone({ listener: slot.name, downstream, outcome, decision });
      },
    });
    if (!over) this.#open.add(session);
  }

  /** Ends everything at once. */
  abort(): void {
    for (const session of [...this.#open]) session.end();
  }
}
