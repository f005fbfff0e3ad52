import { hostPort, parseIp } from "../core/ip.ts";
import { describeError } from "../core/errors.ts";
import type { HboneError, HboneStream } from "../hbone/mod.ts";
import type { Workload } from "../model/mod.ts";
import type { WorkloadCertificate } from "../identity/types.ts";
import { connectTcp, type Endpoint, type EndpointMonitor, type SocketAddress, type TcpSocket } from "../net/mod.ts";
import { OWN_PORTS } from "./config.ts";
import { ProxiedConnection } from "./connection.ts";
import { type ConnectionView, connectionView } from "./connection_view.ts";
import { requestHeaders } from "./headers.ts";
import type { Pod } from "./pod.ts";
import { refuse } from "./refuse.ts";
import { type NextHop, nextHop, workloadSpiffeId } from "./state/mod.ts";
import type { ResponseFlag } from "./telemetry.ts";

/** What became of an HBONE attempt, in ztunnel's words and flags. */
const HBONE_FAILURES: Partial<Record<string, [ResponseFlag, string]>> = {
  connect_timeout: ["NETWORK_POLICY", "connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008"],
  tls_failure: ["TLS_FAILURE", "tls error"],
  identity_mismatch: ["IDENTITY_ERROR", "identity error"],
  h2_handshake_failure: ["H2_HANDSHAKE_FAILURE", "h2 handshake failed"],
};

const STATUS_TEXT: Record<number, string> = { 400: "Bad Request", 401: "Unauthorized", 503: "Service Unavailable" };

/**
 * One connection that an application of the pod makes, taken over on 15001: finds the next hop, goes there by HBONE or in
 * plain text, and pumps. Whatever fails, the application's connection is reset.
 */
class OutboundConnection extends ProxiedConnection implements EndpointMonitor {
  readonly direction = "outbound";
  readonly #socket: TcpSocket;
  /** Where the application meant to go. */
  protected readonly destination: SocketAddress;

  constructor(pod: Pod, socket: TcpSocket) {
    super(pod, socket.remote);
    this.#socket = socket;
    const original = socket.originalDestination();
    this.destination = original ?? socket.local;
    socket.monitor = this;
    // Nobody was redirected here: somebody dials 15001 itself, and going on would be going round in circles.
    if (!original || (OWN_PORTS.has(original.port) && isLoopback(original.address))) {
      this.refuse("CONNECT", "recursive call: the destination is one of ztunnel's own ports");
    } else this.begin();
  }

  protected override route(source: Workload): void {
    const { state, config, random, logger } = this.pod.shared;
    const { address: ip, port } = this.destination;
    const hop = nextHop(state, { source, ip, port, network: config.network, random });
    if (logger.enabled("debug")) {
      logger.debug("next hop", { source: source.uid, to: hostPort(ip, port), kind: hop.kind, because: hop.because });
    }
    if (hop.kind === "drop") return this.refuse("CONNECT", hop.because);
    if ("ip" in hop.address) return this.#go(source, hop, hop.address.ip);
    const { hostname, family } = hop.address;
    this.pod.shared.resolve(hostname, family).then((found) => {
      if (found.length === 0) throw new Error(`no address for host name "${hostname}"`);
      this.#go(source, hop, found[Math.floor(random() * found.length)]);
    }).catch((thrown) => this.refuse("CONNECT", describeError(thrown)));
  }

  #go(source: Workload, hop: Exclude<NextHop, { kind: "drop" }>, ip: string): void {
    if (this.over) return;
    const hbone = hop.kind === "hbone";
    const authority = hbone ? hop.authority ?? hostPort(ip, hop.targetPort) : undefined;
    this.open({
      reporter: "source",
      source: this.client,
      sourceWorkload: source,
      sourceIdentity: hbone ? workloadSpiffeId(source) : undefined,
      destination: { address: ip, port: hop.port },
      hboneTarget: authority,
      destinationWorkload: hop.workload,
      destinationService: hop.service,
      destinationIdentity: hbone ? workloadSpiffeId(hop.workload) : undefined,
    });
    if (hop.kind === "plaintext") return this.#dialPlain(ip, hop.port);
    const certificate = this.pod.certificate(source);
    if (!(certificate instanceof Promise)) return this.#dialHbone(source, hop, ip, authority!, certificate);
    certificate.then(
      (ready) => this.#dialHbone(source, hop, ip, authority!, ready),
      (thrown) => this.refuse("CONNECT", `cannot get a certificate: ${describeError(thrown)}`),
    );
  }

  #dialHbone(
    source: Workload,
    hop: Extract<NextHop, { kind: "hbone" }>,
    address: string,
    authority: string,
    certificate: WorkloadCertificate,
  ): void {
    if (this.over) return;
    const { port, expectedIds } = hop;
    const headers = requestHeaders(source, this.client, hop.service?.hostname);
    this.pod.dialer.connect(
      { certificate, address, port, expectedIds, authority, headers },
      (error, stream) => error ? this.#hboneFailed(error) : this.#connected(stream!),
    );
  }

  #hboneFailed(error: HboneError): void {
    const status = error.details?.status;
    if (error.code === "http_status" && status !== undefined) {
      return this.refuse("CONNECT", `http status: ${status} ${STATUS_TEXT[status] ?? ""}`.trim());
    }
    const [flag, words] = HBONE_FAILURES[error.code] ?? ["CONNECT", "connection failed"];
    this.refuse(flag, `${words}: ${describeError(error)}`);
  }

  #dialPlain(ip: string, port: number): void {
    if (OWN_PORTS.has(port) && isLoopback(ip)) return this.refuse("CONNECT", "recursive call");
    this.pending = connectTcp(this.pod.shared.reactor, this.pod.dialOptions(ip, port), (error, upstream) => {
      this.pending = null;
      if (error) this.refuse("CONNECT", `connection failed: ${describeError(error)}`);
      else this.#connected(upstream!);
    });
  }

  #connected(upstream: HboneStream | TcpSocket): void {
    if (this.over) return upstream.abort();
    this.join(this.#socket, upstream);
  }

  /** The application went away while its next hop was still being reached. */
  onEndpointDone(_end: Endpoint): void {
    if (this.over) return;
    this.finish("CONNECT", "the application closed its connection before the destination was reached");
  }

  protected override refuse(flag: ResponseFlag, error: string): void {
    if (this.over) return;
    this.#socket.monitor = null;
    this.finish(flag, error);
    refuse(this.#socket);
  }

  override view(): ConnectionView | undefined {
    if (!this.account) return undefined;
    const { facts } = this.account, { destination } = this;
    const actual = hostPort(facts.destination.address, facts.destination.port);
    return connectionView(facts, actual, hostPort(destination.address, destination.port));
  }
}

function isLoopback(address: string): boolean {
  const ip = parseIp(address);
  if (!ip) return false;
  return ip.family === 4 ? ip.words[0] >>> 24 === 127 : ip.words.join() === "0,0,0,1";
}

/** Takes over a connection accepted on 15001. */
export function acceptOutbound(pod: Pod, socket: TcpSocket): void {
  new OutboundConnection(pod, socket);
}
