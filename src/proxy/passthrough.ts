import { canonicalIp, hostPort } from "../core/ip.ts";
import { describeError } from "../core/errors.ts";
import type { Workload } from "../model/mod.ts";
import {
  connectTcp,
  type Endpoint,
  type EndpointMonitor,
  type PendingConnect,
  type Pump,
  pump,
  type PumpStats,
  type SocketAddress,
  type TcpSocket,
} from "../net/mod.ts";
import { type ConnectionFacts, connectionFacts, type Decision } from "../policy/mod.ts";
import { OWN_PORTS } from "./config.ts";
import { type ConnectionView, connectionView } from "./connection_view.ts";
import { refuse } from "./refuse.ts";
import type { GuardedConnection, Permission } from "./connection_manager.ts";
import { type Pod, type PodConnection, withWorkload } from "./pod.ts";
import { guessService } from "./state/mod.ts";
import { ConnectionAccount, logEarlyFailure, type ResponseFlag } from "./telemetry.ts";

/** A plain-text connection from outside the mesh, taken over on 15006: no identity, so only policy can refuse it. */
class PassthroughConnection implements PodConnection, GuardedConnection, EndpointMonitor {
  readonly direction = "inbound";
  readonly #pod: Pod;
  readonly #socket: TcpSocket;
  readonly #start: number;
  readonly #client: SocketAddress;
  #original!: SocketAddress;
  facts!: ConnectionFacts;
  workload!: Workload;
  #permission: Permission | undefined;
  #account: ConnectionAccount | undefined;
  #pending: PendingConnect | null = null;
  #pump: Pump | undefined;
  #over = false;

  constructor(pod: Pod, socket: TcpSocket) {
    this.#pod = pod;
    this.#socket = socket;
    this.#start = performance.now();
    this.#client = socket.remote;
  }

  run(): void {
    const original = this.#socket.originalDestination();
    this.#original = original ?? this.#socket.local;
    this.#pod.track(this);
    this.#socket.monitor = this;
    if (!original || OWN_PORTS.has(original.port)) {
      return this.#refuse("CONNECT", `port ${this.#original.port} is one of ztunnel's own`);
    }
    withWorkload(this.#pod.local, (workload) => this.#decide(workload), (error) => this.#refuse("CONNECT", error));
  }

  #decide(workload: Workload): void {
    if (this.#over) return;
    const { state, config, connections, metrics, access, reactor } = this.#pod.shared;
    const client = canonicalIp(this.#client.address) ?? this.#client.address;
    const { address, port } = this.#original;
    this.workload = workload;
    this.facts = connectionFacts({ sourceIp: client, destinationIp: address, destinationPort: port });
    this.#account = new ConnectionAccount(
      {
        reporter: "destination",
        source: this.#client,
        sourceWorkload: state.workloadByAddress(config.network, client),
        sourceIdentity: undefined,
        destination: this.#original,
        hboneTarget: undefined,
        destinationWorkload: workload,
        destinationService: guessService(state, workload, port, undefined),
        destinationIdentity: undefined,
      },
      metrics,
      access,
      this.#start,
    );
    this.#permission = connections.admit(this);
    const { decision } = this.#permission;
    if (!decision.allowed) return this.#refuse("DENY", `connection closed due to policy rejection: ${decision.reason}`);
    this.#pending = connectTcp(reactor, this.#pod.dialAs(client, address, port), (error, socket) => {
      this.#pending = null;
      if (this.#over) return socket?.abort();
      if (error) return this.#refuse("CONNECT", `connection failed: ${describeError(error)}`);
      this.#connected(socket!);
    });
  }

  #connected(upstream: TcpSocket): void {
    const running = pump(this.#socket, upstream, { onDone: (stats) => this.#done(stats) });
    if (this.#over) return;
    this.#pump = running;
    this.#account!.watch(() => ({ toServer: running.aToB, toClient: running.bToA }));
  }

  #done(stats: PumpStats): void {
    if (this.#over) return;
    this.#account!.watch(() => ({ toServer: stats.aToB, toClient: stats.bToA }));
    this.#finish(stats.error ? "CONNECT" : "-", stats.error && describeError(stats.error));
  }

  /** The client went away while the application was still being reached. */
  onEndpointDone(_end: Endpoint): void {
    if (this.#over) return;
    this.#finish("CONNECT", "the client closed its connection before the application was reached");
    this.#pending?.cancel();
  }

  #refuse(flag: ResponseFlag, error: string): void {
    if (this.#over) return;
    this.#socket.monitor = null;
    this.#finish(flag, error);
    this.#pending?.cancel();
    refuse(this.#socket);
  }

  revoke(decision: Decision): void {
    this.#stop("DENY", `connection closed due to policy change: ${decision.reason}`);
  }

  view(): ConnectionView | undefined {
    if (!this.#account) return undefined;
    const { facts } = this.#account, { address, port } = this.#original;
    return connectionView(facts, hostPort(address, port), facts.destinationService?.hostname);
  }

  end(reason: string): void {
    this.#stop("CONNECT", reason);
  }

  #stop(flag: ResponseFlag, error: string): void {
    if (this.#over) return;
    const running = this.#pump;
    if (!running) return this.#refuse(flag, error);
    this.#finish(flag, error);
    running.abort();
  }

  #finish(flag: ResponseFlag, error: string | undefined): void {
    this.#over = true;
    this.#permission?.release();
    this.#pod.untrack(this);
    if (this.#account) return this.#account.close(flag, error);
    logEarlyFailure(this.#pod.shared.access, "destination", this.#client, this.#original, error ?? "closed");
  }
}

/** Takes over a connection accepted on 15006. */
export function acceptPassthrough(pod: Pod, socket: TcpSocket): void {
  new PassthroughConnection(pod, socket).run();
}
