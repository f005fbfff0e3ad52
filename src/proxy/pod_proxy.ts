import { describeError, MeshError } from "../core/errors.ts";
import { hostPort } from "../core/ip.ts";
import { HbonePool } from "../hbone/pool.ts";
import { HboneServer } from "../hbone/server.ts";
import type { TlsInfo } from "../hbone/types.ts";
import { type ListenOptions, listenTcp, type Netns, type TcpListener, type TcpSocket } from "../net/mod.ts";
import { DEFAULT_MARK, OUTBOUND_PORT, PASSTHROUGH_PORT } from "./config.ts";
import { DnsProxy } from "./dns/server.ts";
import { acceptInbound } from "./inbound.ts";
import { LocalWorkload } from "./local_workload.ts";
import { acceptOutbound } from "./outbound.ts";
import { acceptPassthrough } from "./passthrough.ts";
import { keepaliveOf, Pod, type Shared } from "./pod.ts";
import { logEarlyFailure } from "./telemetry.ts";
import { HBONE_PORT, type WorkloadInfo } from "./state/mod.ts";

export type PodProxyErrorCode = "pod_start_failed";

/** One pooled HBONE connection as config_dump shows it. */
export interface HboneConnectionView {
  readonly remote: string;
  readonly identity: string;
  readonly tls: TlsInfo;
}

/** One pod's proxy: listeners in its namespace, an HBONE server and a pool. Starts listening when it is made. */
export class PodProxy {
  readonly pod: Pod;
  readonly #listeners: TcpListener[] = [];
  readonly #server: HboneServer;
  readonly #pool: HbonePool;
  readonly #netns: Netns | undefined;
  readonly #dns: DnsProxy | undefined;
  #left: Promise<void> | undefined;

  /**
   * @param netns the pod's namespace, which the proxy owns from here on; undefined for the process's own
   * @throws MeshError `pod_start_failed`; the namespace is closed then
   */
  constructor(shared: Shared, info: WorkloadInfo, netns: Netns | undefined) {
    this.#netns = netns;
    const mark = shared.config.packetMark || (netns ? DEFAULT_MARK : 0);
    const { config, reactor } = shared;
    const keepalive = keepaliveOf(config);
    this.#pool = new HbonePool({
      reactor,
      netns,
      mark,
      keepalive,
      maxStreamsPerConnection: config.poolMaxStreams,
      unusedReleaseMs: config.poolUnusedReleaseMs,
    });
    try {
      const preserve = this.#canPreserveSource(shared, mark);
      this.pod = new Pod(shared, netns, new LocalWorkload(shared.state, info), this.#pool, preserve, mark);
      const { pod } = this;
      this.#server = new HboneServer({
        reactor: shared.reactor,
        onConnect: (request) => acceptInbound(pod, request),
        onError: (error, remote) => {
          const local = { address: "0.0.0.0", port: HBONE_PORT };
          logEarlyFailure(shared.access, "destination", remote, local, describeError(error));
        },
      });
      this.#listen(shared, { port: OUTBOUND_PORT, mark, keepalive }, (socket) => acceptOutbound(pod, socket));
      this.#listen(shared, { port: PASSTHROUGH_PORT, mark, keepalive }, (socket) => acceptPassthrough(pod, socket));
      this.#listen(shared, { port: HBONE_PORT, mark }, (socket) => this.#server.serve(socket, pod.serverCertificate()));
      this.#dns = shared.dns && new DnsProxy(pod, shared.dns);
    } catch (cause) {
      for (const listener of this.#listeners) listener.close();
      this.#pool.close();
      netns?.close();
      const name = `"${info.namespace}/${info.name}"`;
      throw new MeshError<PodProxyErrorCode>("pod_start_failed", `cannot start the proxy of pod ${name}`, { cause });
    }
  }

  /** The connections that the pool holds: where to, and what TLS agreed on. */
  hboneConnections(): HboneConnectionView[] {
    return this.#pool.peers().map(({ ids, address, tls }) => ({
      remote: hostPort(address.address, address.port),
      identity: ids[0],
      tls,
    }));
  }

  get info(): WorkloadInfo {
    return this.pod.local.info;
  }

  /**
   * Stops listening at once and tells peers to open nothing new; connections that are open live on. Resolves when the
   * last of them has ended and everything is released.
   */
  leave(): Promise<void> {
    return this.#left ??= this.#leave();
  }

  async #leave(): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    this.#dns?.close();
    this.#server.drain();
    this.#pool.drain();
    await this.pod.idle();
    this.#server.close();
    this.#pool.close();
    this.#netns?.close();
  }

  /** Ends what is still open, at once. */
  abort(reason: string): void {
    this.pod.abort(reason);
  }

  #listen(
    shared: Shared,
    options: Pick<ListenOptions, "port" | "mark" | "keepalive">,
    onAccept: (socket: TcpSocket) => void,
  ): void {
    const { config, reactor } = shared;
    const common = { ...options, netns: this.#netns, reusePort: config.portReuse };
    const accept = (socket: TcpSocket) => onAccept(socket);
    if (config.ipv6) {
      try {
        this.#listeners.push(listenTcp(reactor, { ...common, address: "::" }, accept));
        return;
      } catch (thrown) {
        // A kernel or namespace without IPv6 still has IPv4.
        if (!/EAFNOSUPPORT|EADDRNOTAVAIL/.test(String((thrown as Error).message))) throw thrown;
      }
    }
    this.#listeners.push(listenTcp(reactor, { ...common, address: "0.0.0.0" }, accept));
  }

  /** Tries a transparent socket: without CAP_NET_ADMIN in the namespace the application sees ztunnel's address instead. */
  #canPreserveSource(shared: Shared, mark: number): boolean {
    const wish = shared.config.originalSource.toLowerCase();
    if (wish === "false") return false;
    try {
      listenTcp(
        shared.reactor,
        { netns: this.#netns, address: "127.0.0.1", port: 0, mark, transparent: true },
        () => {},
      )
        .close();
      return true;
    } catch (cause) {
      if (wish === "true") throw cause;
      return false;
    }
  }
}
