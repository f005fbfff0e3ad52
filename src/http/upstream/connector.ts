import { describeError, type MeshError } from "../../core/errors.ts";
import type { H2Stream } from "../../h2/stream.ts";
import type { HboneError, HboneStream } from "../../hbone/mod.ts";
import type { WorkloadCertificate } from "../../identity/types.ts";
import { DEFAULT_LIMITS } from "../../model/mod.ts";
import { connectTcp, type Endpoint, type SocketAddress } from "../../net/mod.ts";
import { startTls } from "../../net/tls_socket.ts";
import { TlsStream } from "../../net/tls_stream.ts";
import type { TlsTransport } from "../../net/tls_transport.ts";
import type { TcpSocket } from "../../net/tcp_socket.ts";
import type { Timer } from "../../net/timers.ts";
import { encodeBaggage, encodeForwarded, newTraceparent } from "../../proxy/headers.ts";
import type { Cluster } from "./cluster.ts";
import type { Carrier } from "./codecs.ts";
import type { Host, HostTunnel } from "./host.ts";
import { serverNameProblem } from "./server_name.ts";
import { type UpstreamError, upstreamError } from "./types.ts";

const HOST_NAME = /^[A-Za-z0-9*._-]+$/;

/** What will be spoken on a connection: also its ALPN where there is TLS. `raw` offers none. */
export type Application = "h2" | "http/1.1" | "raw";

/** Called once, never before {@linkcode connectHost} returns, unless cancelled. */
export type ConnectedCallback = (error: UpstreamError | null, carrier: Carrier | null) => void;

/**
 * Connects to a host: TCP or an HBONE tunnel, then TLS where the destination asks for it, all within the connect time-out.
 *
 * @param client whose the connection is, told to the tunnel's other end; null when it is not one client's
 */
export function connectHost(
  cluster: Cluster,
  host: Host,
  application: Application,
  callback: ConnectedCallback,
  client: SocketAddress | null,
): Connecting {
  const connecting = new Connecting(cluster, host, application, callback, client);
  connecting.start();
  return connecting;
}

/** One connection being made. */
export class Connecting {
  readonly #cluster: Cluster;
  readonly #host: Host;
  readonly #application: Application;
  readonly #client: SocketAddress | null;
  #callback: ConnectedCallback | null;
  #timer: Timer | null = null;
  /** What to give up when it is cancelled now. */
  #step: { cancel(): void } | { abort(): void } | null = null;

  constructor(
    cluster: Cluster,
    host: Host,
    application: Application,
    callback: ConnectedCallback,
    client: SocketAddress | null,
  ) {
    this.#cluster = cluster;
    this.#host = host;
    this.#application = application;
    this.#callback = callback;
    this.#client = client;
  }

  start(): void {
    const { reactor, counters } = this.#cluster;
    counters.upstream_cx_total++;
    const ms = this.#timeoutMs;
    this.#timer = reactor.setTimer(ms, () => {
      const step = this.#step;
      this.#fail("connection_timeout", `no connection to "${this.#host.name}" within ${ms} ms`);
      giveUp(step);
    });
    const { tunnel } = this.#host.spec;
    if (tunnel === undefined) return this.#dialTcp();
    const certificate = this.#cluster.certificate();
    if (!(certificate instanceof Promise)) return this.#dialHbone(tunnel, certificate);
    certificate.then(
      (ready) => this.#dialHbone(tunnel, ready),
      (thrown) => this.#fail("connection_failure", `cannot get a certificate: ${describeError(thrown)}`),
    );
  }

  get #timeoutMs(): number {
    const { connectTimeoutMs } = this.#cluster.destination.limits;
    return connectTimeoutMs > 0 ? connectTimeoutMs : DEFAULT_LIMITS.connectTimeoutMs;
  }

  /** Gives up; the callback is not called. */
  cancel(): void {
    this.#callback = null;
    this.#timer?.cancel();
    giveUp(this.#step);
    this.#step = null;
  }

  #dialTcp(): void {
    const { reactor, options } = this.#cluster;
    const { address, port } = this.#host;
    const { netns, mark } = options;
    const keepalive = this.#cluster.destination.limits.keepalive ?? options.keepalive;
    if (options.forbidden?.(address, port)) {
      // Not before connectHost() has returned.
      queueMicrotask(() => this.#fail("connection_failure", `"${address}:${port}" is a port of the proxy itself`));
      return reactor.wantMicrotasks();
    }
    // Later than our own timer, which covers every step.
    const timeoutMs = this.#timeoutMs + 1000;
    const attempt = connectTcp(reactor, { netns, mark, keepalive, address, port, timeoutMs }, (error, socket) => {
      this.#step = null;
      if (this.#callback === null) return socket?.abort();
      if (error !== null) {
        const code = error.code === "connect_timeout" ? "connection_timeout" : "connection_failure";
        return this.#fail(code, error.message);
      }
      this.#overTcp(socket!);
    });
    // It may have called back by a microtask later, never yet.
    this.#step = attempt;
  }

  #overTcp(socket: TcpSocket): void {
    if (this.#cluster.destination.tls === undefined) {
      return this.#done({ endpoint: socket, tls: null, remote: socket.remote, local: socket.local });
    }
    this.#startTls(socket, (context, timeoutMs) => {
      let transport: TlsTransport | null = null;
      transport = startTls(socket, context, timeoutMs, (error) => this.#onTls(error, transport));
      return transport;
    });
  }

  #dialHbone(tunnel: HostTunnel, certificate: WorkloadCertificate): void {
    if (this.#callback === null) return;
    const { service } = this.#host.spec;
    const self = this.#cluster.options.self?.();
    const headers: [string, string][] = [];
    if (self) headers.push(["baggage", encodeBaggage(self)]);
    // What serves one client alone may say so; what serves many must not name the first.
    if (this.#client !== null) {
      headers.push(["forwarded", encodeForwarded(this.#client.address, this.#client.port, service?.hostname)]);
    } else if (service && HOST_NAME.test(service.hostname)) headers.push(["forwarded", `host=${service.hostname}`]);
    headers.push(["traceparent", newTraceparent()]);
    const { address, port, authority, expectedIds } = tunnel;
    this.#step = this.#cluster.tunnels.connect(
      { certificate, address, port, expectedIds, authority, headers },
      (error, stream) => {
        this.#step = null;
        if (this.#callback === null) return stream?.abort();
        if (error !== null) return this.#hboneFailed(error);
        this.#overHbone(stream!);
      },
    );
  }

  #hboneFailed(error: HboneError): void {
    const code = error.code === "connect_timeout" ? "connection_timeout" : "connection_failure";
    this.#fail(code, `HBONE to "${this.#host.name}" failed: ${describeError(error)}`);
  }

  #overHbone(stream: HboneStream): void {
    const { reactor, destination } = this.#cluster;
    const remote = stream.peer.address;
    const local = (stream as HboneStream & H2Stream).connection.transport.local;
    if (destination.tls === undefined) return this.#done({ endpoint: stream, tls: null, remote, local });
    this.#startTls(stream, (context, timeoutMs) => {
      let transport: TlsTransport | null = null;
      transport = new TlsStream(
        reactor,
        stream,
        context,
        remote,
        local,
        timeoutMs,
        (error) => this.#onTls(error, transport),
      );
      return transport;
    });
  }

  #startTls(
    below: Endpoint,
    start: (context: ReturnType<Cluster["tlsContext"]>, timeoutMs: number) => TlsTransport,
  ): void {
    try {
      const context = this.#cluster.tlsContext(this.#application);
      const transport = start(context, this.#timeoutMs + 1000);
      if (this.#callback !== null && transport.open) this.#step = transport;
    } catch (thrown) {
      below.abort();
      this.#fail("connection_failure", describeError(thrown));
    }
  }

  #onTls(error: MeshError | null, transport: TlsTransport | null): void {
    this.#step = null;
    if (this.#callback === null) return transport?.abort();
    if (error !== null) return this.#fail("connection_failure", error.message);
    const ready = transport!;
    const problem = serverNameProblem(ready.peer.leafDer, this.#cluster.destination);
    if (problem !== undefined) {
      ready.abort();
      return this.#fail("connection_failure", `cannot trust "${this.#host.name}": ${problem}`);
    }
    this.#done({ endpoint: null, tls: ready, remote: ready.remote, local: ready.local });
  }

  #done(carrier: Carrier): void {
    const callback = this.#callback;
    this.#callback = null;
    this.#timer?.cancel();
    callback?.(null, carrier);
  }

  #fail(code: "connection_failure" | "connection_timeout", message: string): void {
    const callback = this.#callback;
    this.#callback = null;
    this.#timer?.cancel();
    if (callback === null) return;
    const { counters } = this.#cluster;
    counters.upstream_cx_connect_fail++;
    if (code === "connection_timeout") counters.upstream_cx_connect_timeout++;
    callback(upstreamError(code, message), null);
  }
}

function giveUp(step: { cancel(): void } | { abort(): void } | null): void {
  if (step === null) return;
  if ("cancel" in step) step.cancel();
  else step.abort();
}
