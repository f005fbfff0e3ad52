import { describeError } from "../core/errors.ts";
import type { HboneRequest } from "../hbone/mod.ts";
import { parseSpiffeId, type Workload } from "../model/mod.ts";
import { connectTcp, type SocketAddress, type TcpSocket } from "../net/mod.ts";
import { connectionFacts } from "../policy/mod.ts";
import { OWN_PORTS } from "./config.ts";
import { AdmittedConnection } from "./connection.ts";
import { type ConnectionView, connectionView } from "./connection_view.ts";
import { baggageOf, forwardedHost, responseHeaders } from "./headers.ts";
import { clientToShow } from "./inbound_source.ts";
import type { Pod } from "./pod.ts";
import { proxyHeader } from "./proxy_protocol.ts";
import { guessService, type InboundTarget, inboundTarget, workloadSpiffeId } from "./state/mod.ts";
import type { ResponseFlag } from "./telemetry.ts";

type Forward = Extract<InboundTarget, { kind: "forward" }>;

/**
 * One CONNECT received on 15008, in ztunnel's order: local workload, authority, destination, own ports, policy, then the
 * connection to the application with the client's address, and only then the 200.
 */
class InboundConnection extends AdmittedConnection {
  readonly #request: HboneRequest;

  constructor(pod: Pod, request: HboneRequest) {
    super(pod, request.peer.address);
    this.#request = request;
    request.onAbort = () => this.#abandoned();
    this.begin();
  }

  protected override get destination(): SocketAddress {
    return this.#request.local;
  }

  protected override route(workload: Workload): void {
    const { state, config } = this.pod.shared;
    const { authority, local, peer } = this.#request;
    const target = inboundTarget(state, workload, local.address, authority, config.network);
    if (target.kind === "reject") return this.refuse("CONNECT", target.because, target.status);
    if (OWN_PORTS.has(target.port)) return this.refuse("CONNECT", `port ${target.port} is one of ztunnel's own`);

    // Through a gateway the TCP peer is the gateway: only the baggage still speaks of the source.
    const from = this.#request.header("x-forwarded-network");
    const direct = from === undefined || from.toLowerCase() === config.network.toLowerCase();
    const client = this.client.address;
    const sourceWorkload = direct ? state.workloadByAddress(config.network, client) : undefined;
    this.open({
      reporter: "destination",
      source: this.client,
      sourceWorkload,
      sourceBaggage: sourceWorkload ? undefined : baggageOf(this.#request.header("baggage")),
      sourceIdentity: peer.ids[0],
      destination: local,
      hboneTarget: authority,
      destinationWorkload: workload,
      destinationService: target.service ?? this.#meantService(workload, target.port),
      destinationIdentity: workloadSpiffeId(workload),
    });
    const facts = connectionFacts({
      identity: parseSpiffeId(peer.ids[0]),
      sourceIp: client,
      destinationIp: target.ip,
      destinationPort: target.port,
    });
    if (this.admit(workload, facts)) this.#dial(target);
  }

  #meantService(workload: Workload, port: number) {
    if (workload.services.size === 0) return undefined;
    return guessService(this.pod.shared.state, workload, port, forwardedHost(this.#request.header("forwarded")));
  }

  /**
   * Policies and telemetry have met the tunnel's peer (Istio's `ipBlocks` is the address of the connection); the application meets
   * the client, also behind a waypoint.
   */
  #dial(target: Forward): void {
    const { reactor, config, state } = this.pod.shared;
    const { peer } = this.#request;
    const shown = clientToShow(state, {
      local: this.workload,
      ip: target.ip,
      peerIdentity: peer.ids[0],
      peer: this.client,
      forwarded: this.#request.header("forwarded"),
    });
    const loopback = target.proxyHeader && config.localhostAppTunnel;
    const host = target.ip.includes(":") ? "::1" : "127.0.0.1";
    const options = loopback
      ? { ...this.pod.dialOptions(host, target.port), bindAddress: host }
      : this.pod.dialAs(shown.address, target.ip, target.port);
    this.pending = connectTcp(reactor, options, (error, socket) => {
      this.pending = null;
      if (this.over) return socket?.abort();
      if (error) return this.refuse("CONNECT", `connection failed: ${describeError(error)}`);
      this.#connected(target, socket!, shown);
    });
  }

  #connected(target: Forward, socket: TcpSocket, shown: SocketAddress): void {
    const { peer } = this.#request;
    if (target.proxyHeader) socket.write(proxyHeader(shown, target.proxyHeader, peer.ids[0]));
    this.#request.onAbort = null;
    const headers = this.pod.shared.config.responseBaggage ? responseHeaders(this.workload) : [];
    this.join(this.#request.accept(headers), socket);
  }

  #abandoned(): void {
    if (this.over) return;
    this.finish("CONNECT", "the client gave up before the application was reached");
  }

  protected override refuse(flag: ResponseFlag, error: string, status = 503): void {
    if (this.over) return;
    this.finish(flag, error);
    this.#request.onAbort = null;
    this.#request.reject(status);
  }

  override view(): ConnectionView | undefined {
    if (!this.account) return undefined;
    const { facts } = this.account;
    return connectionView(facts, this.#request.authority, facts.destinationService?.hostname);
  }
}

/** Answers one CONNECT of 15008. */
export function acceptInbound(pod: Pod, request: HboneRequest): void {
  new InboundConnection(pod, request);
}
