import { canonicalIp, hostPort, parseIp } from "../core/ip.ts";
import { describeError } from "../core/errors.ts";
import type { HboneError, HboneStream } from "../hbone/mod.ts";
import { type SpiffeId, spiffeId, type Workload } from "../model/mod.ts";
import type { WorkloadCertificate } from "../identity/types.ts";
import {
  connectTcp,
  type Endpoint,
  type EndpointMonitor,
  type Pump,
  pump,
  type PumpStats,
  type SocketAddress,
  type TcpSocket,
} from "../net/mod.ts";
import { OWN_PORTS } from "./config.ts";
import { type ConnectionView, connectionView } from "./connection_view.ts";
import { refuse } from "./refuse.ts";
import { encodeBaggage, encodeForwarded, newTraceparent } from "./headers.ts";
import { type Pod, type PodConnection, withWorkload } from "./pod.ts";
import { type NextHop, nextHop, workloadIdentity } from "./state/mod.ts";
import { ConnectionAccount, logEarlyFailure, type ResponseFlag } from "./telemetry.ts";

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
class OutboundConnection implements PodConnection, EndpointMonitor {
  readonly direction = "outbound";
  readonly #pod: Pod;
  readonly #socket: TcpSocket;
  readonly #start: number;
  readonly #client: SocketAddress;
  #original!: SocketAddress;
  #account: ConnectionAccount | undefined;
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
    // Nobody was redirected here: somebody dials 15001 itself, and going on would be going round in circles.
    if (!original || (isLoopback(original.address) && OWN_PORTS.has(original.port))) {
      return this.#fail("CONNECT", "recursive call: the destination is one of ztunnel's own ports");
    }
    withWorkload(this.#pod.local, (workload) => this.#route(workload), (error) => this.#fail("CONNECT", error));
  }

  #route(source: Workload): void {
    if (this.#over) return;
    const { state, config, random } = this.#pod.shared;
    const { address, port } = this.#original;
    const ip = canonicalIp(address) ?? address;
    const hop = nextHop(state, { source, ip, port, network: config.network, random });
    const { logger } = this.#pod.shared;
    if (logger.enabled("debug")) {
      logger.debug("next hop", { source: source.uid, to: hostPort(ip, port), kind: hop.kind, because: hop.because });
    }
    if (hop.kind === "drop") return this.#fail("CONNECT", hop.because);
    if ("ip" in hop.address) return this.#go(source, hop, hop.address.ip);
    const { hostname, family } = hop.address;
    this.#pod.shared.resolve(hostname, family).then((found) => {
      if (found.length === 0) throw new Error(`no address for host name "${hostname}"`);
      this.#go(source, hop, found[Math.floor(random() * found.length)]);
    }).catch((thrown) => this.#fail("CONNECT", describeError(thrown)));
  }

  #go(source: Workload, hop: Exclude<NextHop, { kind: "drop" }>, ip: string): void {
    if (this.#over) return;
    const hbone = hop.kind === "hbone";
    const authority = hbone ? hop.authority ?? hostPort(ip, hop.targetPort) : undefined;
    this.#account = new ConnectionAccount(
      {
        reporter: "source",
        source: this.#client,
        sourceWorkload: source,
        sourceIdentity: hbone ? spiffeId(workloadIdentity(source)) : undefined,
        destination: { address: ip, port: hop.port },
        hboneTarget: authority,
        destinationWorkload: hop.workload,
        destinationService: hop.service,
        destinationIdentity: hbone ? spiffeId(workloadIdentity(hop.workload)) : undefined,
      },
      this.#pod.shared.metrics,
      this.#pod.shared.access,
      this.#start,
    );
    if (hop.kind === "plaintext") return this.#dialPlain(ip, hop.port);
    const certificate = this.#pod.certificate(source);
    if (!(certificate instanceof Promise)) return this.#dialHbone(source, hop, ip, authority!, certificate);
    certificate.then(
      (ready) => this.#dialHbone(source, hop, ip, authority!, ready),
      (thrown) => this.#fail("CONNECT", `cannot get a certificate: ${describeError(thrown)}`),
    );
  }

  #dialHbone(
    source: Workload,
    hop: Extract<NextHop, { kind: "hbone" }>,
    address: string,
    authority: string,
    certificate: WorkloadCertificate,
  ): void {
    if (this.#over) return;
    const expectedIds: readonly SpiffeId[] = hop.expectedIds;
    const headers = [
      ["baggage", encodeBaggage(source)],
      ["forwarded", encodeForwarded(this.#client.address, this.#client.port, hop.service?.hostname)],
      ["traceparent", newTraceparent()],
    ] as const;
    this.#pod.dialer.connect(
      { certificate, address, port: hop.port, expectedIds, authority, headers },
      (error, stream) => error ? this.#hboneFailed(error) : this.#connected(stream!),
    );
  }

  #hboneFailed(error: HboneError): void {
    const status = error.details?.status;
    if (error.code === "http_status" && status !== undefined) {
      return this.#fail("CONNECT", `http status: ${status} ${STATUS_TEXT[status] ?? ""}`.trim());
    }
    const [flag, words] = HBONE_FAILURES[error.code] ?? ["CONNECT", "connection failed"];
    this.#fail(flag, `${words}: ${describeError(error)}`);
  }

  #dialPlain(ip: string, port: number): void {
    if (OWN_PORTS.has(port) && isLoopback(ip)) return this.#fail("CONNECT", "recursive call");
    connectTcp(this.#pod.shared.reactor, this.#pod.dialOptions(ip, port), (error, upstream) => {
      if (error) this.#fail("CONNECT", `connection failed: ${describeError(error)}`);
      else this.#connected(upstream!);
    });
  }

  #connected(upstream: HboneStream | TcpSocket): void {
    if (this.#over) return upstream.abort();
    const running = pump(this.#socket, upstream, { onDone: (stats) => this.#done(stats) });
    // A pump of two ends that had already failed is over before it began.
    if (this.#over) return;
    this.#pump = running;
    this.#account!.watch(() => ({ toServer: running.aToB, toClient: running.bToA }));
  }

  #done(stats: PumpStats): void {
    if (this.#over) return;
    this.#account?.watch(() => ({ toServer: stats.aToB, toClient: stats.bToA }));
    this.#finish(stats.error ? "CONNECT" : "-", stats.error && describeError(stats.error));
  }

  /** The application went away while its next hop was still being reached. */
  onEndpointDone(_end: Endpoint): void {
    if (this.#over) return;
    this.#finish("CONNECT", "the application closed its connection before the destination was reached");
  }

  #fail(flag: ResponseFlag, error: string): void {
    if (this.#over) return;
    this.#socket.monitor = null;
    this.#finish(flag, error);
    refuse(this.#socket);
  }

  #finish(flag: ResponseFlag, error: string | undefined): void {
    this.#over = true;
    this.#pod.untrack(this);
    if (this.#account) this.#account.close(flag, error);
    else logEarlyFailure(this.#pod.shared.access, "source", this.#client, this.#original, error ?? "closed");
  }

  view(): ConnectionView | undefined {
    if (!this.#account) return undefined;
    const { facts } = this.#account, original = this.#original;
    const actual = hostPort(facts.destination.address, facts.destination.port);
    return connectionView(facts, actual, hostPort(original.address, original.port));
  }

  end(reason: string): void {
    if (this.#over) return;
    const running = this.#pump;
    if (!running) return this.#fail("CONNECT", reason);
    this.#account?.watch(() => ({ toServer: running.aToB, toClient: running.bToA }));
    this.#finish("CONNECT", reason);
    running.abort();
  }
}

function isLoopback(address: string): boolean {
  const ip = parseIp(address);
  if (!ip) return false;
  return ip.family === 4 ? ip.words[0] >>> 24 === 127 : ip.words.join() === "0,0,0,1";
}

/** Takes over a connection accepted on 15001. */
export function acceptOutbound(pod: Pod, socket: TcpSocket): void {
  new OutboundConnection(pod, socket).run();
}
