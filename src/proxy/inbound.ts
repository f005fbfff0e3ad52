import { canonicalIp, splitHostPort } from "../core/ip.ts";
import { describeError } from "../core/errors.ts";
import type { HboneRequest } from "../hbone/mod.ts";
import { parseSpiffeId, type SpiffeId, spiffeId, type Workload } from "../model/mod.ts";
import { connectTcp, type PendingConnect, type Pump, pump, type PumpStats, type TcpSocket } from "../net/mod.ts";
import { type ConnectionFacts, connectionFacts, type Decision } from "../policy/mod.ts";
import { OWN_PORTS } from "./config.ts";
import { type ConnectionView, connectionView } from "./connection_view.ts";
import type { GuardedConnection, Permission } from "./connection_manager.ts";
import { baggageOf, encodeBaggage, forwardedHost } from "./headers.ts";
import { type Pod, type PodConnection, withWorkload } from "./pod.ts";
import { proxyHeader } from "./proxy_protocol.ts";
import { guessService, type InboundTarget, inboundTarget, workloadIdentity } from "./state/mod.ts";
import { ConnectionAccount, logEarlyFailure, type ResponseFlag } from "./telemetry.ts";

type Forward = Extract<InboundTarget, { kind: "forward" }>;

/**
 * One CONNECT received on 15008, in ztunnel's order: authority, local workload, destination, own ports, policy, then the
 * connection to the application with the client's address, and only then the 200.
 */
class InboundConnection implements PodConnection, GuardedConnection {
  readonly direction = "inbound";
  readonly #pod: Pod;
  readonly #request: HboneRequest;
  readonly #start: number;
  readonly #client: string;
  readonly #peerId: SpiffeId;
  facts!: ConnectionFacts;
  workload!: Workload;
  #permission: Permission | undefined;
  #account: ConnectionAccount | undefined;
  #pending: PendingConnect | null = null;
  #pump: Pump | undefined;
  #over = false;

  constructor(pod: Pod, request: HboneRequest) {
    this.#pod = pod;
    this.#request = request;
    this.#start = performance.now();
    this.#client = canonicalIp(request.peer.address.address) ?? request.peer.address.address;
    this.#peerId = request.peer.ids[0];
  }

  run(): void {
    this.#pod.track(this);
    this.#request.onAbort = () => this.#abandoned();
    if (!splitHostPort(this.#request.authority)) {
      return this.#refuse(400, "CONNECT", `cannot read authority "${this.#request.authority}" as host:port`);
    }
    withWorkload(this.#pod.local, (workload) => this.#decide(workload), (error) => this.#refuse(503, "CONNECT", error));
  }

  #decide(workload: Workload): void {
    if (this.#over) return;
    const { state, config, connections, metrics, access } = this.#pod.shared;
    const { authority, local, peer } = this.#request;
    const localIp = canonicalIp(local.address) ?? local.address;
    const target = inboundTarget(state, workload, localIp, authority, config.network);
    if (target.kind === "reject") return this.#refuse(target.status, "CONNECT", target.because);
    if (OWN_PORTS.has(target.port)) return this.#refuse(503, "CONNECT", `port ${target.port} is one of ztunnel's own`);

    // Through a gateway the TCP peer is the gateway: only the baggage still speaks of the source.
    const from = this.#request.header("x-forwarded-network");
    const direct = from === undefined || from.toLowerCase() === config.network.toLowerCase();
    const sourceWorkload = direct ? state.workloadByAddress(config.network, this.#client) : undefined;
    this.workload = workload;
    this.facts = connectionFacts({
      identity: parseSpiffeId(this.#peerId),
      sourceIp: this.#client,
      destinationIp: target.ip,
      destinationPort: target.port,
    });
    this.#account = new ConnectionAccount(
      {
        reporter: "destination",
        source: peer.address,
        sourceWorkload,
        sourceBaggage: sourceWorkload ? undefined : baggageOf(this.#request.header("baggage")),
        sourceIdentity: this.#peerId,
        destination: local,
        hboneTarget: authority,
        destinationWorkload: workload,
        destinationService: target.service ??
          guessService(state, workload, target.port, forwardedHost(this.#request.header("forwarded"))),
        destinationIdentity: spiffeId(workloadIdentity(workload)),
      },
      metrics,
      access,
      this.#start,
    );
    this.#permission = connections.admit(this);
    const { decision } = this.#permission;
    if (!decision.allowed) {
      return this.#refuse(401, "DENY", `connection closed due to policy rejection: ${decision.reason}`);
    }
    this.#dial(target);
  }

  #dial(target: Forward): void {
    const { reactor, config } = this.#pod.shared;
    const loopback = target.proxyHeader && config.localhostAppTunnel;
    const host = target.ip.includes(":") ? "::1" : "127.0.0.1";
    const options = loopback
      ? { ...this.#pod.dialOptions(host, target.port), bindAddress: host }
      : this.#pod.dialAs(this.#client, target.ip, target.port);
    this.#pending = connectTcp(reactor, options, (error, socket) => {
      this.#pending = null;
      if (this.#over) return socket?.abort();
      if (error) return this.#refuse(503, "CONNECT", `connection failed: ${describeError(error)}`);
      this.#connected(target, socket!);
    });
  }

  #connected(target: Forward, socket: TcpSocket): void {
    const { responseBaggage } = this.#pod.shared.config;
    if (target.proxyHeader) {
      socket.write(proxyHeader(this.#request.peer.address, target.proxyHeader, this.#peerId));
    }
    this.#request.onAbort = null;
    const headers = responseBaggage ? [["baggage", encodeBaggage(this.workload)] as const] : [];
    const stream = this.#request.accept(headers);
    const running = pump(stream, socket, { onDone: (stats) => this.#done(stats) });
    if (this.#over) return;
    this.#pump = running;
    this.#account!.watch(() => ({ toServer: running.aToB, toClient: running.bToA }));
  }

  #done(stats: PumpStats): void {
    if (this.#over) return;
    this.#account!.watch(() => ({ toServer: stats.aToB, toClient: stats.bToA }));
    this.#finish(stats.error ? "CONNECT" : "-", stats.error && describeError(stats.error));
  }

  #abandoned(): void {
    if (this.#over) return;
    this.#finish("CONNECT", "the client gave up before the application was reached");
    this.#pending?.cancel();
  }

  #refuse(status: number, flag: ResponseFlag, error: string): void {
    if (this.#over) return;
    this.#finish(flag, error);
    this.#request.onAbort = null;
    this.#pending?.cancel();
    this.#request.reject(status);
  }

  revoke(decision: Decision): void {
    this.#stop("DENY", `connection closed due to policy change: ${decision.reason}`, 401);
  }

  view(): ConnectionView | undefined {
    if (!this.#account) return undefined;
    const { facts } = this.#account;
    return connectionView(facts, this.#request.authority, facts.destinationService?.hostname);
  }

  end(reason: string): void {
    this.#stop("CONNECT", reason, 503);
  }

  #stop(flag: ResponseFlag, error: string, status: number): void {
    if (this.#over) return;
    const running = this.#pump;
    if (!running) return this.#refuse(status, flag, error);
    this.#finish(flag, error);
    running.abort();
  }

  #finish(flag: ResponseFlag, error: string | undefined): void {
    this.#over = true;
    this.#permission?.release();
    this.#pod.untrack(this);
    if (this.#account) return this.#account.close(flag, error);
    const { peer, local } = this.#request;
    logEarlyFailure(this.#pod.shared.access, "destination", peer.address, local, error ?? "closed");
  }
}

/** Answers one CONNECT of 15008. */
export function acceptInbound(pod: Pod, request: HboneRequest): void {
  new InboundConnection(pod, request).run();
}
