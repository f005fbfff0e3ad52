import { EAGAIN, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, MSG_NOSIGNAL, SHUT_WR } from "../sys/constants.ts";
import { errnoText } from "../sys/errno.ts";
import { errno, libc } from "../sys/libc.ts";
import { openssl } from "../sys/openssl.ts";
import { lingerReset } from "../sys/socket.ts";
import type { SocketAddress } from "../sys/socket_address.ts";
import { BATCH, INPUT, PLAIN } from "./buffers.ts";
import { ByteQueue } from "./byte_queue.ts";
import { receiveSome, WOULD_BLOCK } from "./io.ts";
import type { Pollable } from "./reactor.ts";
import type { TcpSocket } from "./tcp_socket.ts";
import type { TlsContext } from "./tls_context.ts";
import { type HandshakeCallback, TlsTransport } from "./tls_transport.ts";
import type { Timer } from "./timers.ts";

const ECONNRESET = 104, EPIPE = 32;

/** Records that a peer leaves unread before it is given up. Payload stops at the first queued byte; the rest is control messages. */
const MAX_QUEUED = 2 * 1024 * 1024;
/** How long to wait for the peer's own end after ours. */
const LINGER_MS = 1000;

/**
 * TLS over a TCP socket. Watched level-triggered: with read-ahead, a short read says nothing about what the kernel still
 * holds, and an edge would be lost. Records that OpenSSL holds already are asked for through `Reactor.again()`.
 */
export class TlsSocket extends TlsTransport implements Pollable {
  slot = -1;
  readonly remote: SocketAddress;
  readonly local: SocketAddress;
  #fd: number;
  #queue: ByteQueue | null = null;
  #carrierFinished = false;
  /** The peer's FIN has come behind its close_notify; our own output may go on. */
  #peerFinished = false;
  #linger: Timer | null = null;

  /** Takes the socket's descriptor over; the handshake begins at once. */
  constructor(socket: TcpSocket, context: TlsContext, timeoutMs: number, callback: HandshakeCallback) {
    super(socket.reactor, context, INPUT, timeoutMs, callback);
    this.remote = socket.remote;
    this.local = socket.local;
    this.#fd = socket.detach();
    const ssl = openssl();
    ssl.SSL_set0_rbio(this.handle, ssl.BIO_new_socket(this.#fd, 0));
    this.reactor.register(this, this.#fd, EPOLLIN);
    if (context.role === "client") this.onRecords();
  }

  onEvents(events: number): void {
    if ((events & EPOLLOUT) !== 0 && this.#queue !== null) this.#drain();
    // These two are reported whether asked for or not, and nobody reads meanwhile.
    if (this.paused && (events & (EPOLLHUP | EPOLLERR)) !== 0) return this.#broken(ECONNRESET);
    if (this.#fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) !== 0) this.onRecords();
  }

  override get writable(): boolean {
    return this.#fd >= 0 && !this.finishing && (this.#queue === null || this.#queue.size === 0);
  }

  protected override get drained(): boolean {
    return this.#queue === null || this.#queue.size === 0;
  }

  protected override sendRecords(bytes: number): void {
    if (this.#fd < 0) return;
    const ring = this.ring;
    let sent = 0;
    if (this.#queue === null || this.#queue.size === 0) {
      sent = libc.send_pointer(this.#fd, ring.pointer, bytes, MSG_NOSIGNAL);
      if (sent === bytes) return;
      if (sent < 0) {
        const first = errno();
        if (first !== EAGAIN) { // asked twice: see sendSome()
          sent = libc.send_pointer(this.#fd, ring.pointer, bytes, MSG_NOSIGNAL);
          if (sent < 0 && errno() !== EAGAIN) return this.#broken(first);
        }
        if (sent < 0) sent = 0;
      }
    }
    const queue = this.#queue ??= new ByteQueue();
    const wasEmpty = queue.size === 0;
    if (queue.size > MAX_QUEUED) return this.fail("io", "the peer does not read");
    if (!queue.pushFrom(ring.bytes, sent, bytes - sent)) return this.fail("out_of_memory", "the arena is full");
    if (wasEmpty) this.#watch();
  }

  #drain(): void {
    const queue = this.#queue!;
    const sent = queue.sendTo(this.#fd);
    if (sent < 0) return this.#broken(-sent);
    if (queue.size > 0) return;
    this.#watch();
    this.onDrained();
  }

  #watch(): void {
    const waiting = this.#queue !== null && this.#queue.size > 0;
    const reads = !this.paused && !this.#peerFinished;
    this.reactor.modify(this, this.#fd, (reads ? EPOLLIN : 0) | (waiting ? EPOLLOUT : 0));
  }

  protected override watchInput(_on: boolean): void {
    if (this.#fd >= 0) this.#watch();
  }

  #broken(number: number): void {
    this.fail(number === ECONNRESET || number === EPIPE ? "reset" : "io", errnoText(number));
  }

  protected override finishCarrier(): void {
    if (this.#carrierFinished || this.#fd < 0) return;
    this.#carrierFinished = true;
    if (this.#peerFinished) return this.end(null, false);
    libc.shutdown(this.#fd, SHUT_WR);
    // Closing with unread input would reset the connection and could take our last words with it.
    this.#linger = this.reactor.setTimer(LINGER_MS, () => this.end(null, false));
  }

  protected override discardInput(): void {
    for (let i = 0; i < 4; i++) {
      const count = receiveSome(this.#fd, PLAIN, BATCH);
      if (count === WOULD_BLOCK) return;
      if (count > 0) continue;
      if (this.finishing) return this.end(null, false);
      if (count < 0 || this.#peerFinished) return this.#broken(ECONNRESET);
      // A half-close: its FIN would be reported for ever.
      this.#peerFinished = true;
      return this.#watch();
    }
  }

  protected override releaseCarrier(reset: boolean): void {
    if (this.#fd < 0) return;
    if (reset) lingerReset(this.#fd);
    this.#linger?.cancel();
    this.reactor.unregister(this, this.#fd);
    this.#queue?.clear();
    libc.close(this.#fd);
    this.#fd = -1;
  }

  onReactorStop(): void {
    this.abort();
  }
}

/** Begins TLS on a connected socket, which is the transport's from now on. */
export function startTls(
  socket: TcpSocket,
  context: TlsContext,
  timeoutMs: number,
  callback: (error: Parameters<HandshakeCallback>[0], transport: TlsSocket | null) => void,
): TlsSocket {
  // A handshake cannot succeed before the constructor returns, but it can fail.
  let transport: TlsSocket | null = null;
  transport = new TlsSocket(socket, context, timeoutMs, (error) => callback(error, transport));
  return transport;
}
