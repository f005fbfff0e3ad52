import type { MeshError } from "../core/errors.ts";
import {
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  MSG_PEEK,
  SHUT_WR,
  SO_ERROR,
  SO_ORIGINAL_DST,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
} from "../sys/constants.ts";
import { errnoText } from "../sys/errno.ts";
import { libc } from "../sys/libc.ts";
import { allocate, BASE, I32 } from "../sys/memory.ts";
import { getOption, lingerReset } from "../sys/socket.ts";
import { readSocketAddress, SOCKADDR_BYTES, type SocketAddress } from "../sys/socket_address.ts";
import { BATCH, PLAIN } from "./buffers.ts";
import { ABORTED, Endpoint, flowError, type FlowErrorCode } from "./endpoint.ts";
import { receiveScattered, receiveSome, sendSome, WOULD_BLOCK } from "./io.ts";
import type { Pollable, Reactor, Runnable } from "./reactor.ts";
import { UnsentBytes } from "./waiting_bytes.ts";

const ADDRESS = allocate(SOCKADDR_BYTES), ADDRESS_LENGTH = allocate(4);
/** What a socket is watched for from its beginning to its end. */
export const SOCKET_EVENTS: number = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
const ECONNRESET = 104, EPIPE = 32;

/** Batches read from one socket before the others have a turn. */
const MAX_BATCHES = 2;

/**
 * A connected TCP socket. Watched edge-triggered and registered once: a short read means it is drained, unless the peer has
 * closed its side (RDHUP), when reading goes on to the end.
 */
export class TcpSocket extends Endpoint implements Pollable, Runnable {
  slot = -1;
  readonly #reactor: Reactor;
  #fd: number;
  #queue: UnsentBytes | null = null;
  #readable = false;
  #hangup = false;
  #readEnded = false;
  #finishing = false;
  #writeEnded = false;
  #queuedRun = false;
  #remote: SocketAddress | null = null;
  #local: SocketAddress | null = null;

  /** Takes over a connected, nonblocking descriptor, and the place of `former` that watched it for {@linkcode SOCKET_EVENTS}. */
  constructor(reactor: Reactor, fd: number, remote: SocketAddress | null = null, former: Pollable | null = null) {
    super();
    this.#remote = remote;
    this.#reactor = reactor;
    this.#fd = fd;
    if (former === null) reactor.register(this, fd, SOCKET_EVENTS);
    else reactor.succeed(former, this);
  }

  get reactor(): Reactor {
    return this.#reactor;
  }

  /** The descriptor; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  /** The peer's address. */
  get remote(): SocketAddress {
    return this.#remote ??= this.#name(libc.getpeername);
  }

  /** Our own address on this connection. */
  get local(): SocketAddress {
    return this.#local ??= this.#name(libc.getsockname);
  }

  #name(call: (fd: number, at: number, length: number) => number): SocketAddress {
    I32[ADDRESS_LENGTH >> 2] = SOCKADDR_BYTES;
    if (this.#fd < 0 || call(this.#fd, BASE + ADDRESS, BASE + ADDRESS_LENGTH) < 0) {
      return { address: "0.0.0.0", port: 0 };
    }
    return readSocketAddress(ADDRESS);
  }

  /** Where the client meant to go before a REDIRECT rule brought it here; null when no rule did. */
  originalDestination(): SocketAddress | null {
    if (this.#fd < 0) return null;
    const found = this.#originalAt(SOL_IP) || this.#originalAt(SOL_IPV6);
    return found ? readSocketAddress(ADDRESS) : null;
  }

  #originalAt(level: number): boolean {
    I32[ADDRESS_LENGTH >> 2] = SOCKADDR_BYTES;
    return libc.getsockopt(this.#fd, level, SO_ORIGINAL_DST, BASE + ADDRESS, BASE + ADDRESS_LENGTH) === 0;
  }

  /**
   * Copies the first bytes that have come to arena offset `at` and leaves them where they are: their number, 0 at the end of the stream, or
   * a negative errno. For a partner's `prepare()`.
   */
  peek(at: number, bytes: number): number {
    return receiveSome(this.#fd, at, bytes, MSG_PEEK);
  }

  onEvents(events: number): void {
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) this.#hangup = true;
    if ((events & EPOLLOUT) !== 0 && this.#queue !== null && this.#queue.size > 0) this.#drain();
    if ((events & ~EPOLLOUT) !== 0) {
      this.#readable = true;
      this.#pull();
      // Nobody reads a socket whose reading is over or blocked, so a reset must be noticed here.
      if ((events & EPOLLERR) !== 0 && this.#fd >= 0 && this.#readable) this.#checkError();
    }
  }

  #checkError(): void {
    const error = getOption(this.#fd, SOL_SOCKET, SO_ERROR);
    if (error > 0) this.#fail(error);
  }

  run(): void {
    this.#queuedRun = false;
    this.#pull();
  }

  /** Reads into the partner while there is something to read and room to put it. */
  #pull(): void {
    const partner = this.partner;
    if (partner === null) return;
    let batches = MAX_BATCHES;
    while (this.#readable && !this.#readEnded) {
      if (batches-- === 0) {
        if (!this.#queuedRun) {
          this.#queuedRun = true;
          this.#reactor.again(this);
        }
        return;
      }
      const room = partner.prepare();
      if (room === 0) return;
      const received = partner.roomIovecs === 0
        ? receiveSome(this.#fd, partner.roomAt, room)
        : receiveScattered(this.#fd, partner.roomIovecs, partner.roomIovecCount);
      if (received > 0) {
        if (received < room && !this.#hangup) this.#readable = false;
        this.bytesIn += received;
        partner.commit(received);
        if (this.#fd < 0) return;
      } else if (received === 0) {
        this.#readable = false;
        this.#readEnded = true;
        partner.finish();
        this.#settle();
      } else if (received === WOULD_BLOCK) {
        this.#readable = false;
      } else return this.#fail(-received);
    }
  }

  // --- sink

  override prepare(): number {
    if (this.#fd < 0 || this.#finishing || (this.#queue !== null && this.#queue.size > 0)) return 0;
    this.roomAt = PLAIN;
    return BATCH;
  }

  override commit(bytes: number): void {
    this.bytesOut += bytes;
    const sent = sendSome(this.#fd, PLAIN, bytes);
    if (sent < 0) return this.#fail(-sent);
    if (sent < bytes) this.#enqueue(PLAIN + sent, bytes - sent);
  }

  override push(at: number, bytes: number): void {
    if (this.#fd < 0 || this.#finishing) return;
    this.bytesOut += bytes;
    let sent = 0;
    if (this.#queue === null || this.#queue.size === 0) {
      sent = sendSome(this.#fd, at, bytes);
      if (sent < 0) return this.#fail(-sent);
      if (sent > 0) this.partner?.consumed(sent);
    }
    if (sent < bytes && this.#enqueue(at + sent, bytes - sent)) this.#queue!.owe(bytes - sent);
  }

  /** Copies bytes out of the arena's buffers, or of code's own array, behind whatever waits to be sent. */
  override write(bytes: Uint8Array): void {
    if (this.#fd < 0 || this.#finishing) return;
    this.bytesOut += bytes.length;
    const queue = this.#queue ??= new UnsentBytes();
    if (!queue.pushFrom(bytes, 0, bytes.length)) return this.#fail(0);
    this.#drain();
  }

  #enqueue(at: number, bytes: number): boolean {
    const queue = this.#queue ??= new UnsentBytes();
    if (queue.push(at, bytes)) return true;
    this.#fail(0);
    return false;
  }

  /** Bytes that wait for the peer to take them. */
  override get queued(): number {
    return this.#queue === null ? 0 : this.#queue.size;
  }

  #drain(): void {
    const queue = this.#queue!;
    const sent = queue.sendTo(this.#fd);
    if (sent < 0) return this.#fail(-sent);
    queue.settle(sent, this.partner);
    if (this.#fd < 0 || queue.size > 0) return;
    if (this.#finishing) this.#shutdown();
    else this.partner?.resume();
  }

  override finish(): void {
    if (this.#finishing || this.#fd < 0) return;
    this.#finishing = true;
    if (this.#queue === null || this.#queue.size === 0) this.#shutdown();
  }

  override finishAll(): void {
    this.#readEnded = true;
    if (this.#writeEnded) this.#settle();
    else this.finish();
  }

  #shutdown(): void {
    this.#writeEnded = true;
    // When nothing more is to be read, closing says the same.
    if (!this.#readEnded) libc.shutdown(this.#fd, SHUT_WR);
    this.#settle();
  }

  #settle(): void {
    if (this.#readEnded && this.#writeEnded) this.#release(null);
  }

  // --- source

  override resume(): void {
    if (this.#fd >= 0 && this.#readable && !this.#queuedRun) {
      // Not from here: the partner may be in the middle of its own batch.
      this.#queuedRun = true;
      this.#reactor.again(this);
    }
  }

  override consumed(_bytes: number): void {}

  // --- endings

  #fail(number: number): void {
    const code: FlowErrorCode = number === 0
      ? "out_of_memory"
      : number === ECONNRESET || number === EPIPE
      ? "reset"
      : "io";
    const text = number === 0 ? "the data plane's arena is full" : errnoText(number);
    this.#release(flowError(code, `connection with "${this.remote.address}:${this.remote.port}" failed: ${text}`));
  }

  #release(error: MeshError<FlowErrorCode> | null): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#reactor.unregister(this, fd);
    this.#fd = -1;
    this.#queue?.clear();
    libc.close(fd);
    this.done(error);
  }

  /** Sends RST and forgets what is queued. */
  override abort(): void {
    if (this.#fd < 0) return;
    lingerReset(this.#fd);
    this.#release(ABORTED);
  }

  /** As {@linkcode abort}, under the name of the closing style. */
  reset(): void {
    this.abort();
  }

  /** Sends FIN after what the kernel already holds. */
  override close(): void {
    this.#release(null);
  }

  /** Gives up the descriptor to the caller (a TLS engine takes it over). The socket object is dead afterwards. */
  detach(): number {
    const fd = this.#fd;
    this.#reactor.unregister(this, fd, true);
    this.#fd = -1;
    return fd;
  }

  onReactorStop(): void {
    this.abort();
  }
}
