import { MeshError } from "../core/errors.ts";
import { H2Connection } from "../h2/connection.ts";
import { fieldOf, type HeaderFields } from "../h2/headers.ts";
import { type H2Options, HBONE_SERVER_OPTIONS } from "../h2/options.ts";
import type { H2Stream } from "../h2/stream.ts";
import type { WorkloadCertificate } from "../identity/types.ts";
import type { Reactor } from "../net/reactor.ts";
import type { TcpSocket } from "../net/tcp_socket.ts";
import { startTls } from "../net/tls_socket.ts";
import type { TlsTransport } from "../net/tls_transport.ts";
import type { SocketAddress } from "../sys/socket_address.ts";
import { asHboneStream } from "./types.ts";
import { clientProblem, idsOf, splitAuthority, tlsContextOf } from "./identity.ts";
import type { CertificateChoice, HbonePeer, HboneRequest, HboneStream, HeaderList } from "./types.ts";

/** What an accepted HBONE connection can fail with before a request. */
export type HboneServerErrorCode = "tls_failure" | "identity_mismatch" | "certificate_unavailable" | "h2_failure";

export interface HboneServerOptions {
  reactor: Reactor;
  /** One CONNECT has arrived; answer it now or later. */
  onConnect(request: HboneRequest): void;
  /** A connection has failed before, or beside, any request. */
  onError?(error: MeshError<HboneServerErrorCode>, remote: SocketAddress): void;
  /** TLS must be done by then. */
  handshakeTimeoutMs?: number;
  h2?: Partial<H2Options>;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;

/** The accepting side: TLS with the trust-domain rule, then CONNECT requests. */
export class HboneServer {
  readonly #options: HboneServerOptions;
  readonly #h2: H2Options;
  readonly #connections = new Set<H2Connection>();
  readonly #handshakes = new Set<TlsTransport | TcpSocket>();
  #draining = false;
  #closed = false;

  constructor(options: HboneServerOptions) {
    this.#options = options;
    this.#h2 = { ...HBONE_SERVER_OPTIONS, ...options.h2 };
  }

  /** Connections, those still shaking hands included. */
  get connections(): number {
    return this.#connections.size + this.#handshakes.size;
  }

  /** Serves one accepted socket as the workload that `certificate` names. */
  serve(socket: TcpSocket, certificate: CertificateChoice): void {
    if (this.#closed || this.#draining) return socket.abort();
    if (!(certificate instanceof Promise)) return this.#begin(socket, certificate);
    this.#handshakes.add(socket);
    certificate.then(
      (ready) => {
        if (!this.#handshakes.delete(socket) || !socket.open) return;
        this.#begin(socket, ready);
      },
      (cause) => {
        this.#handshakes.delete(socket);
        const remote = socket.remote;
        socket.abort();
        this.#report(
          new MeshError("certificate_unavailable", "cannot serve HBONE without a certificate", { cause }),
          remote,
        );
      },
    );
  }

  #begin(socket: TcpSocket, certificate: WorkloadCertificate): void {
    const remote = socket.remote;
    const timeout = this.#options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS;
    let transport: TlsTransport | null = null;
    try {
      const context = tlsContextOf(certificate, "server");
      transport = startTls(socket, context, timeout, (error, ready) => {
        if (transport !== null) this.#handshakes.delete(transport);
        if (error) return this.#report(new MeshError("tls_failure", error.message, { source: "downstream" }), remote);
        this.#accept(ready!, certificate);
      });
      if (transport.open && !this.#closed) this.#handshakes.add(transport);
    } catch (cause) {
      socket.abort();
      this.#report(new MeshError("tls_failure", `cannot begin TLS with "${remote.address}"`, { cause }), remote);
    }
  }

  #accept(transport: TlsTransport, certificate: WorkloadCertificate): void {
    const ids = idsOf(transport.peer);
    const problem = clientProblem(ids, certificate.id);
    if (problem !== undefined) {
      const remote = transport.remote;
      transport.abort();
      return this.#report(new MeshError("identity_mismatch", problem, { source: "downstream" }), remote);
    }
    const peer: HbonePeer = {
      ids,
      address: transport.remote,
      tls: { version: transport.peer.version, cipher: transport.peer.cipher },
      leafDer: transport.peer.leafDer,
    };
    const connection: H2Connection = new H2Connection(this.#options.reactor, transport, "server", this.#h2, {
      onRequest: (stream, headers, endStream) => this.#onRequest(stream, headers, endStream, peer),
      onClosed: (error) => {
        this.#connections.delete(connection);
        if (error !== null && error.code === "h2_protocol") {
          this.#report(
            new MeshError("h2_failure", error.message, { source: "downstream", cause: error }),
            peer.address,
          );
        }
      },
    });
    connection.peer = peer;
    this.#connections.add(connection);
    if (this.#draining) connection.drain();
  }

  #onRequest(stream: H2Stream, headers: HeaderFields, endStream: boolean, peer: HbonePeer): void {
    const authority = fieldOf(headers, ":authority") ?? "";
    if (fieldOf(headers, ":method") !== "CONNECT" || endStream || splitAuthority(authority) === undefined) {
      stream.connection.respond(stream, [[":status", "400"]], true);
      if (stream.open) stream.close();
      return;
    }
    this.#options.onConnect(new Request(stream, authority, headers, peer));
  }

  #report(error: MeshError<HboneServerErrorCode>, remote: SocketAddress): void {
    this.#options.onError?.(error, remote);
  }

  /** Graceful: GOAWAY on every connection; what runs may finish. */
  drain(): void {
    this.#draining = true;
    for (const connection of this.#connections) connection.drain();
    for (const handshake of [...this.#handshakes]) handshake.abort();
    this.#handshakes.clear();
  }

  /** Ends everything at once. */
  close(): void {
    this.#closed = true;
    for (const connection of [...this.#connections]) connection.close();
    for (const handshake of [...this.#handshakes]) handshake.abort();
    this.#handshakes.clear();
  }
}

class Request implements HboneRequest {
  readonly #stream: H2Stream;
  #fields: HeaderFields;
  #headers: HeaderList | null = null;
  #answered = false;
  onAbort: (() => void) | null = null;

  constructor(stream: H2Stream, readonly authority: string, fields: HeaderFields, readonly peer: HbonePeer) {
    this.#stream = stream;
    this.#fields = fields;
    stream.handler = {
      onReset: () => {
        if (this.#answered) return;
        this.#answered = true;
        this.onAbort?.();
      },
    };
  }

  get headers(): HeaderList {
    return this.#headers ??= this.#fields.filter(([name]) => name.charCodeAt(0) !== 0x3a);
  }

  get local(): SocketAddress {
    return this.#stream.connection.transport.local;
  }

  get aborted(): boolean {
    return !this.#stream.open;
  }

  header(name: string): string | undefined {
    return fieldOf(this.#fields, name);
  }

  accept(headers: HeaderList = []): HboneStream {
    const stream = this.#stream;
    this.#answered = true;
    stream.handler = null;
    stream.connection.respond(stream, [[":status", "200"], ...headers], false);
    return asHboneStream(stream);
  }

  reject(status: number): void {
    const stream = this.#stream;
    this.#answered = true;
    stream.handler = null;
    stream.connection.respond(stream, [[":status", String(status)]], true);
    // The client's own side is still open, and nobody will read it.
    if (stream.open) stream.close();
  }
}
