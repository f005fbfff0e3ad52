import { canonicalIp, splitHostPort } from "../../core/ip.ts";
import type { H2Stream } from "../../h2/stream.ts";
import { type HboneRequest, HboneServer } from "../../hbone/mod.ts";
import { Downstream, type DownstreamInfo, type ListenerSlot } from "../../http/exchange/mod.ts";
import { sniffProtocol } from "../../http/mod.ts";
import type { CertificateChoice, HboneStream } from "../../hbone/mod.ts";
import { spiffeId, type Workload } from "../../model/mod.ts";
import {
  listenTcp,
  type Reactor,
  reactorClock,
  type SocketAddress,
  type TcpListener,
  type TcpSocket,
} from "../../net/mod.ts";
import { forwardedClient } from "../../proxy/headers.ts";
import { type MeshView, workloadIdentity } from "../../proxy/state/mod.ts";
import { LimitedLog } from "../../telemetry/limited_log.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { HttpConnections } from "./connections.ts";
import { TunnelTargets } from "./listener_choice.ts";
import type { TcpConnections } from "./tcp_connections.ts";

/** How long AUTO waits for a client to speak first; after that the server is taken to. */
const SNIFF_TIMEOUT_MS = 5_000;

export interface TunnelPortOptions {
  readonly reactor: Reactor;
  readonly http: HttpConnections;
  readonly tcp: TcpConnections;
  readonly mesh: MeshView;
  readonly network: string;
  readonly certificate: () => CertificateChoice;
  readonly logger: Logger;
  readonly address: string;
  readonly port: number;
  /** Applications see the waypoint's address, not their clients'. */
  readonly hideClients?: boolean;
}

/** The port on which a waypoint takes tunnels from the mesh's proxies. */
export class TunnelPort {
  readonly #options: TunnelPortOptions;
  #listener: TcpListener | null = null;
  /** Those of before draining began, and those of after. */
  readonly #servers: HboneServer[];
  targets: TunnelTargets = new TunnelTargets([]);
  /** Refusals, which a peer may cause without end. */
  readonly #refusals: LimitedLog;

  /** @throws MeshError when the port cannot be opened */
  constructor(options: TunnelPortOptions) {
    this.#options = options;
    this.#refusals = new LimitedLog(options.logger, reactorClock(options.reactor));
    this.#servers = [this.#newServer()];
    const { reactor, address, port, certificate } = options;
    const accept = (socket: TcpSocket) => this.#servers.at(-1)!.serve(socket, certificate());
    const listen = { port, reusePort: true, backlog: 1024 };
    try {
      this.#listener = listenTcp(reactor, { ...listen, address }, accept);
    } catch (error) {
      if (address !== "::") throw error;
      this.#listener = listenTcp(reactor, { ...listen, address: "0.0.0.0" }, accept);
    }
  }

  get port(): number {
    return this.#listener?.local.port ?? 0;
  }

  get connections(): number {
    return this.#servers.reduce((sum, server) => sum + server.connections, 0);
  }

  #newServer(): HboneServer {
    const { reactor, logger } = this.#options;
    return new HboneServer({
      reactor,
      onConnect: (request) => this.#connect(request),
      onError: (error, remote) =>
        logger.debug("tunnel connection failed", { peer: remote.address, code: error.code, error: error.message }),
    });
  }

  /** Tells peers to go elsewhere; those that have not heard of it yet are still served. */
  drain(): void {
    const before = this.#servers.at(-1)!;
    this.#servers.push(this.#newServer());
    before.drain();
  }

  /** Takes no more connections; what runs may finish. */
  stopListening(): void {
    this.#listener?.close();
    this.#listener = null;
    this.#servers.at(-1)!.drain();
  }

  close(): void {
    this.stopListening();
    for (const server of this.#servers) server.close();
  }

  #connect(request: HboneRequest): void {
    const place = splitHostPort(request.authority);
    if (!place) return this.#refuse(request, 400, "its authority is not host:port");
    const ip = canonicalIp(place.host);
    const slot = this.targets.find(ip ?? place.host.toLowerCase(), place.port);
    const config = slot?.current?.config;
    if (!slot || !config) return this.#refuse(request, 404, "no service or workload of this waypoint has that address");
    const { binding, protocol } = config;
    // A service that was asked for by name has its first address, as ztunnel's clients would have dialled it.
    const destination = ip ?? (binding.kind === "service" ? binding.addresses[0] : undefined) ??
      canonicalIp(request.local.address) ?? request.local.address;
    const info = this.#info(request, destination, place.port);
    const stream = request.accept();
    const { address, port } = request.peer.address;
    const client: SocketAddress = { address, port };
    const local: SocketAddress = { address: destination, port: place.port };
    if (protocol === "HTTP") return this.#options.http.servePlain(stream, client, local, info, { slot });
    if (protocol !== "AUTO") return this.#bytes(stream, slot, info, local);
    sniffProtocol(this.#options.reactor, stream as HboneStream & H2Stream, SNIFF_TIMEOUT_MS, (found) => {
      if (found === "closed" || !stream.open) return;
      if (found === "http1" || found === "http2") {
        return this.#options.http.servePlain(stream, client, local, info, { slot });
      }
      this.#bytes(stream, slot, info, local);
    });
  }

  #bytes(stream: HboneStream, slot: ListenerSlot, info: DownstreamInfo, destination: SocketAddress): void {
    this.#options.tcp.serve(stream, slot, new Downstream(info), destination);
  }

  #info(request: HboneRequest, localAddress: string, localPort: number): DownstreamInfo {
    const { mesh, network, hideClients } = this.#options;
    const { ids, address } = request.peer;
    const peer = canonicalIp(address.address) ?? address.address;
    const own = mesh.workloadByAddress(network, peer);
    const claimed = forwardedClient(request.header("forwarded"));
    let client = { address: peer, port: address.port }, sourceWorkload = own;
    if (claimed) {
      // The tunnel's client proved an identity, not an address: what it says of the address holds only for workloads of that identity.
      const workload = claimed.address === peer ? own : mesh.workloadByAddress(network, claimed.address);
      if (claimed.address === peer || (workload && ids.includes(spiffeId(workloadIdentity(workload))))) {
        client = claimed;
        sourceWorkload = workload;
      }
    }
    return {
      use: "waypoint",
      peerAddress: client.address,
      peerPort: client.port,
      localAddress,
      localPort,
      peerIdentity: ids[0],
      hideClient: hideClients,
      sourceWorkload: sourceWorkload && isIdentity(sourceWorkload, ids[0]) ? sourceWorkload : undefined,
    };
  }

  #refuse(request: HboneRequest, status: number, reason: string): void {
    this.#refusals.log("info", "tunnel refused", {
      authority: request.authority,
      peer: request.peer.address.address,
      identity: request.peer.ids[0],
      status,
      reason,
    });
    request.reject(status);
  }
}

function isIdentity(workload: Workload, id: string): boolean {
  return spiffeId(workloadIdentity(workload)) === id;
}
