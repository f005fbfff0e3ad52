import { hostPort } from "../core/ip.ts";
import { describeError } from "../core/errors.ts";
import type { Workload } from "../model/mod.ts";
import { connectTcp, type Endpoint, type EndpointMonitor, type SocketAddress, type TcpSocket } from "../net/mod.ts";
import { connectionFacts } from "../policy/mod.ts";
import { OWN_PORTS } from "./config.ts";
import { AdmittedConnection } from "./connection.ts";
import { type ConnectionView, connectionView } from "./connection_view.ts";
import type { Pod } from "./pod.ts";
import { refuse } from "./refuse.ts";
import { guessService } from "./state/mod.ts";
import type { ResponseFlag } from "./telemetry.ts";

/** A plain-text connection from outside the mesh, taken over on 15006: no identity, so only policy can refuse it. */
class PassthroughConnection extends AdmittedConnection implements EndpointMonitor {
  readonly #socket: TcpSocket;
  protected readonly destination: SocketAddress;

  constructor(pod: Pod, socket: TcpSocket) {
    super(pod, socket.remote);
    this.#socket = socket;
    const original = socket.originalDestination();
    this.destination = original ?? socket.local;
    socket.monitor = this;
    if (original && !OWN_PORTS.has(original.port)) this.begin();
    else this.refuse("CONNECT", `port ${this.destination.port} is one of ztunnel's own`);
  }

  protected override route(workload: Workload): void {
    const { state, config, reactor } = this.pod.shared;
    const client = this.client.address;
    const { address, port } = this.destination;
    this.open({
      reporter: "destination",
      source: this.client,
      sourceWorkload: state.workloadByAddress(config.network, client),
      sourceIdentity: undefined,
      destination: this.destination,
      hboneTarget: undefined,
      destinationWorkload: workload,
      destinationService: guessService(state, workload, port, undefined),
      destinationIdentity: undefined,
    });
    const facts = connectionFacts({ sourceIp: client, destinationIp: address, destinationPort: port });
    if (!this.admit(workload, facts)) return;
    this.pending = connectTcp(reactor, this.pod.dialAs(client, address, port), (error, socket) => {
      this.pending = null;
      if (this.over) return socket?.abort();
      if (error) return this.refuse("CONNECT", `connection failed: ${describeError(error)}`);
      this.join(this.#socket, socket!);
    });
  }

  /** The client went away while the application was still being reached. */
  onEndpointDone(_end: Endpoint): void {
    if (this.over) return;
    this.finish("CONNECT", "the client closed its connection before the application was reached");
  }

  protected override refuse(flag: ResponseFlag, error: string): void {
    if (this.over) return;
    this.#socket.monitor = null;
    this.finish(flag, error);
    refuse(this.#socket);
  }

  override view(): ConnectionView | undefined {
    if (!this.account) return undefined;
    const { facts } = this.account, { address, port } = this.destination;
    return connectionView(facts, hostPort(address, port), facts.destinationService?.hostname);
  }
}

/** Takes over a connection accepted on 15006. */
export function acceptPassthrough(pod: Pod, socket: TcpSocket): void {
  new PassthroughConnection(pod, socket);
}
