import { MeshError } from "../core/errors.ts";
import {
  AF_INET6,
  EAGAIN,
  ECONNABORTED,
  EINPROGRESS,
  EINTR,
  EMFILE,
  ENFILE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  IP_BIND_ADDRESS_NO_PORT,
  IP_FREEBIND,
  IP_TRANSPARENT,
  IPV6_FREEBIND,
  IPV6_TRANSPARENT,
  IPV6_V6ONLY,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_MARK,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_TCP,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from "../sys/constants.ts";
import { sysError } from "../sys/errno.ts";
import { errno, libc } from "../sys/libc.ts";
import { allocate, BASE, I32 } from "../sys/memory.ts";
import { getOption, setOption, trySetOption } from "../sys/socket.ts";
import {
  familyOf,
  formatSocketAddress,
  readSocketAddress,
  SOCKADDR_BYTES,
  type SocketAddress,
  writeSocketAddress,
} from "../sys/socket_address.ts";
import { inNetns, type Netns } from "./netns.ts";
import type { Pollable, Reactor } from "./reactor.ts";
import { SOCKET_EVENTS, TcpSocket } from "./tcp_socket.ts";
import type { Timer } from "./timers.ts";

/** TCP keepalive, in seconds (ztunnel: 180, 180, 9). */
export interface Keepalive {
  idleSeconds: number;
  intervalSeconds: number;
  probes: number;
  /** Also bound unacknowledged data by idle + probes * interval (TCP_USER_TIMEOUT). */
  userTimeout?: boolean;
}

/** What a failed connection attempt is called. */
export type ConnectErrorCode = "connect_refused" | "connect_timeout" | "connect_unreachable" | "connect_failed";

/** What is common to sockets in a pod's namespace. */
interface SocketOptions {
  netns?: Netns;
  /** SO_MARK: 0x539 for everything of ztunnel's in a pod's namespace. */
  mark?: number;
  /** IP_TRANSPARENT: bind, or be bound, to addresses that are not ours. */
  transparent?: boolean;
}

export interface ListenOptions extends SocketOptions {
  /** `::` takes IPv4 too, unless `v6Only`. */
  address: string;
  /** 0 picks one. */
  port: number;
  reusePort?: boolean;
  v6Only?: boolean;
  backlog?: number;
  keepalive?: Keepalive;
}

export interface ConnectOptions extends SocketOptions {
  address: string;
  port: number;
  /** Source address; one that is not ours needs `transparent` (or `freebind`). */
  bindAddress?: string;
  bindPort?: number;
  freebind?: boolean;
  timeoutMs: number;
  keepalive?: Keepalive;
}

const ADDRESS = allocate(SOCKADDR_BYTES), LENGTH = allocate(4);
const MAX_ACCEPTS = 64;
/** After running out of descriptors, how long a listener rests. */
const ACCEPT_REST_MS = 100;

function applyKeepalive(fd: number, keepalive: Keepalive | undefined): void {
  if (!keepalive) return;
  trySetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  trySetOption(fd, SOL_TCP, TCP_KEEPIDLE, keepalive.idleSeconds);
  trySetOption(fd, SOL_TCP, TCP_KEEPINTVL, keepalive.intervalSeconds);
  trySetOption(fd, SOL_TCP, TCP_KEEPCNT, keepalive.probes);
  if (keepalive.userTimeout) {
    const seconds = keepalive.idleSeconds + keepalive.probes * keepalive.intervalSeconds;
    trySetOption(fd, SOL_TCP, TCP_USER_TIMEOUT, seconds * 1000);
  }
}

function applyCommon(fd: number, family: number, options: SocketOptions): void {
  if (options.mark) setOption(fd, SOL_SOCKET, SO_MARK, options.mark, "SO_MARK");
  if (options.transparent) {
    if (family === AF_INET6) setOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1, "IPV6_TRANSPARENT");
    else setOption(fd, SOL_IP, IP_TRANSPARENT, 1, "IP_TRANSPARENT");
  }
}

function newSocket(family: number): number {
  const fd = libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw sysError("cannot make a TCP socket");
  return fd;
}

/** Accepts connections until closed. */
export class TcpListener implements Pollable {
  slot = -1;
  #fd: number;
  #rest: Timer | null = null;

  constructor(
    readonly reactor: Reactor,
    fd: number,
    /** What it listens on, with the port that was picked. */
    readonly local: SocketAddress,
    readonly onAccept: (socket: TcpSocket) => void,
  ) {
    this.#fd = fd;
    reactor.register(this, fd, EPOLLIN);
  }

  get address(): string {
    return this.local.address;
  }

  get port(): number {
    return this.local.port;
  }

  onEvents(): void {
    for (let i = 0; i < MAX_ACCEPTS && this.#fd >= 0; i++) {
      I32[LENGTH >> 2] = SOCKADDR_BYTES;
      const fd = libc.accept4(this.#fd, BASE + ADDRESS, BASE + LENGTH, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        const number = errno();
        if (number === EINTR || number === ECONNABORTED) continue;
        if (number === EMFILE || number === ENFILE) this.#takeRest();
        break;
      }
      const socket = new TcpSocket(this.reactor, fd, readSocketAddress(ADDRESS));
      try {
        this.onAccept(socket);
      } catch (thrown) {
        this.reactor.report("a connection could not be taken", thrown);
        socket.abort();
      }
    }
    this.reactor.wantMicrotasks();
  }

  /** Out of descriptors: without a rest, level-triggered readiness would spin. */
  #takeRest(): void {
    this.reactor.modify(this, this.#fd, 0);
    this.#rest = this.reactor.setTimer(ACCEPT_REST_MS, () => {
      if (this.#fd >= 0) this.reactor.modify(this, this.#fd, EPOLLIN);
    });
  }

  /** Stops accepting; connections already accepted live on. */
  close(): void {
    if (this.#fd < 0) return;
    this.#rest?.cancel();
    this.reactor.unregister(this, this.#fd);
    libc.close(this.#fd);
    this.#fd = -1;
  }

  onReactorStop(): void {
    this.close();
  }
}

/**
 * Listens for TCP connections, in a namespace when one is given.
 *
 * @throws MeshError `system`, `bad_address`
 */
export function listenTcp(
  reactor: Reactor,
  options: ListenOptions,
  onAccept: (socket: TcpSocket) => void,
): TcpListener {
  const family = familyOf(options.address);
  const attempted = `cannot listen on "${formatSocketAddress(options)}"`;
  const fd = inNetns(options.netns, () => newSocket(family));
  try {
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (options.reusePort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
    if (family === AF_INET6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, options.v6Only ? 1 : 0, "IPV6_V6ONLY");
    applyCommon(fd, family, options);
    // Linux hands these down to the sockets that are accepted: five calls for each connection saved.
    trySetOption(fd, SOL_TCP, TCP_NODELAY, 1);
    applyKeepalive(fd, options.keepalive);
    const length = writeSocketAddress(ADDRESS, family, options.address, options.port);
    if (libc.bind(fd, BASE + ADDRESS, length) < 0) throw sysError(attempted);
    if (libc.listen(fd, options.backlog ?? 4096) < 0) throw sysError(attempted);
    I32[LENGTH >> 2] = SOCKADDR_BYTES;
    if (libc.getsockname(fd, BASE + ADDRESS, BASE + LENGTH) < 0) throw sysError(attempted);
    return new TcpListener(reactor, fd, readSocketAddress(ADDRESS), onAccept);
  } catch (thrown) {
    libc.close(fd);
    throw thrown;
  }
}

/** A connection attempt under way. */
export class PendingConnect implements Pollable {
  slot = -1;
  readonly #timer: Timer;
  #callback: ConnectCallback | null;

  constructor(
    readonly reactor: Reactor,
    readonly fd: number,
    readonly options: ConnectOptions,
    callback: ConnectCallback,
  ) {
    this.#callback = callback;
    this.#timer = reactor.setTimer(options.timeoutMs, () => this.#finish("connect_timeout", 110, 0));
    // As the socket it becomes will be watched, so that it can take over the place in epoll.
    reactor.register(this, fd, SOCKET_EVENTS);
  }

  onEvents(events: number): void {
    // Only failures need to be asked about: the kernel says EPOLLERR with them.
    const number = (events & (EPOLLERR | EPOLLHUP)) === 0 ? 0 : getOption(this.fd, SOL_SOCKET, SO_ERROR);
    if (number !== 0) this.#finish(connectErrorCode(number), number, events);
    else if ((events & EPOLLOUT) !== 0) this.#finish(null, 0, events);
  }

  #finish(code: ConnectErrorCode | null, number: number, events: number): void {
    const callback = this.#callback;
    if (callback === null) return;
    this.#callback = null;
    this.#timer.cancel();
    this.reactor.wantMicrotasks();
    if (code === null) {
      const remote = { address: this.options.address, port: this.options.port };
      const socket = new TcpSocket(this.reactor, this.fd, remote, this);
      // The same event may have said that there is something to read; it will not say so again.
      socket.onEvents(events & ~EPOLLOUT);
      callback(null, socket);
      return;
    }
    this.reactor.unregister(this, this.fd);
    libc.close(this.fd);
    callback(connectError(this.options, code, number), null);
  }

  /** Gives up; the callback is not called. */
  cancel(): void {
    if (this.#callback === null) return;
    this.#callback = null;
    this.#timer.cancel();
    this.reactor.unregister(this, this.fd);
    libc.close(this.fd);
  }

  onReactorStop(): void {
    this.#finish("connect_failed", 125, 0);
  }
}

export type ConnectCallback = (error: MeshError<ConnectErrorCode> | null, socket: TcpSocket | null) => void;

function connectErrorCode(number: number): ConnectErrorCode {
  if (number === 111) return "connect_refused";
  if (number === 110) return "connect_timeout";
  if (number === 101 || number === 113) return "connect_unreachable";
  return "connect_failed";
}

function connectError(options: ConnectOptions, code: ConnectErrorCode, number: number): MeshError<ConnectErrorCode> {
  const cause = sysError(`connect`, number);
  return new MeshError(code, `cannot connect to "${formatSocketAddress(options)}": ${cause.message.slice(9)}`, {
    source: "upstream",
    retryable: true,
    details: { errno: number },
  });
}

/**
 * Connects, and calls back once: with an error, or with a socket (never both; never before this function returns).
 *
 * @returns the attempt, to cancel it
 */
export function connectTcp(
  reactor: Reactor,
  options: ConnectOptions,
  callback: ConnectCallback,
): PendingConnect | null {
  const family = options.bindAddress === undefined
    ? familyOf(options.address)
    : Math.max(familyOf(options.address), familyOf(options.bindAddress));
  let fd = -1;
  try {
    fd = inNetns(options.netns, () => newSocket(family));
    trySetOption(fd, SOL_TCP, TCP_NODELAY, 1);
    applyKeepalive(fd, options.keepalive);
    applyCommon(fd, family, options);
    if (options.freebind) {
      if (family === AF_INET6) setOption(fd, SOL_IPV6, IPV6_FREEBIND, 1, "IPV6_FREEBIND");
      else setOption(fd, SOL_IP, IP_FREEBIND, 1, "IP_FREEBIND");
    }
    if (options.bindAddress !== undefined) {
      // Leave the port to connect(), which may share it between destinations.
      if (!options.bindPort) trySetOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
      const length = writeSocketAddress(ADDRESS, family, options.bindAddress, options.bindPort ?? 0);
      if (libc.bind(fd, BASE + ADDRESS, length) < 0) {
        throw sysError(`cannot connect to "${formatSocketAddress(options)}" from "${options.bindAddress}"`);
      }
    }
    const length = writeSocketAddress(ADDRESS, family, options.address, options.port);
    const number = libc.connect(fd, BASE + ADDRESS, length) < 0 ? errno() : 0;
    if (number !== 0 && number !== EINPROGRESS && number !== EAGAIN) {
      throw connectError(options, connectErrorCode(number), number);
    }
    return new PendingConnect(reactor, fd, options, callback);
  } catch (thrown) {
    if (fd >= 0) libc.close(fd);
    const error = thrown instanceof MeshError && (thrown.code as string).startsWith("connect_")
      ? thrown as MeshError<ConnectErrorCode>
      : new MeshError<ConnectErrorCode>(
        "connect_failed",
        `cannot connect to "${formatSocketAddress(options)}"`,
        { source: "upstream", cause: thrown },
      );
    queueMicrotask(() => callback(error, null));
    reactor.wantMicrotasks();
    return null;
  }
}
