import { inNetns, type Netns, type Reactor } from "../../net/mod.ts";
import {
  AF_INET6,
  EPOLLIN,
  IPV6_V6ONLY,
  SO_MARK,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_IPV6,
  SOL_SOCKET,
} from "../../sys/constants.ts";
import { sysError } from "../../sys/errno.ts";
import { libc } from "../../sys/libc.ts";
import { allocate, BASE, I32, U8, view } from "../../sys/memory.ts";
import { setOption } from "../../sys/socket.ts";
import {
  familyOf,
  formatSocketAddress,
  readSocketAddress,
  SOCKADDR_BYTES,
  type SocketAddress,
  writeSocketAddress,
} from "../../sys/socket_address.ts";

const SOCK_DGRAM = 2;
const MAX_DATAGRAM = 65_536;
/** Datagrams taken from one socket before the others have a turn. */
const MAX_BATCH = 32;

// One call at a time per thread, so these are shared.
const DATAGRAM = allocate(MAX_DATAGRAM), ADDRESS = allocate(SOCKADDR_BYTES), LENGTH = allocate(4);

export interface UdpOptions {
  readonly netns?: Netns;
  readonly mark?: number;
  readonly address: string;
  /** 0 picks one. */
  readonly port: number;
  readonly reusePort?: boolean;
}

/** A UDP socket in any network namespace. */
export class UdpSocket {
  slot = -1;
  readonly #reactor: Reactor;
  readonly #family: number;
  readonly #onMessage: (bytes: Uint8Array, from: SocketAddress) => void;
  #fd: number;

  /**
   * @param onMessage is given a copy of each datagram
   * @throws MeshError `system`, `bad_address`
   */
  constructor(reactor: Reactor, options: UdpOptions, onMessage: (bytes: Uint8Array, from: SocketAddress) => void) {
    this.#reactor = reactor;
    this.#onMessage = onMessage;
    this.#family = familyOf(options.address);
    const fd = inNetns(options.netns, () => libc.socket(this.#family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd < 0) throw sysError("cannot make a UDP socket");
    this.#fd = fd;
    try {
      setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
      if (options.reusePort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
      if (this.#family === AF_INET6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
      if (options.mark) setOption(fd, SOL_SOCKET, SO_MARK, options.mark, "SO_MARK");
      const length = writeSocketAddress(ADDRESS, this.#family, options.address, options.port);
      if (libc.bind(fd, BASE + ADDRESS, length) < 0) {
        throw sysError(`cannot bind a UDP socket to "${formatSocketAddress(options)}"`);
      }
      reactor.register(this, fd, EPOLLIN);
    } catch (thrown) {
      libc.close(fd);
      this.#fd = -1;
      throw thrown;
    }
  }

  onEvents(): void {
    for (let i = 0; i < MAX_BATCH && this.#fd >= 0; i++) {
      I32[LENGTH >> 2] = SOCKADDR_BYTES;
      const bytes = libc.recvfrom(this.#fd, BASE + DATAGRAM, MAX_DATAGRAM, 0, BASE + ADDRESS, BASE + LENGTH);
      // Nothing more, or an error that belongs to a datagram sent earlier (an ICMP answer): neither ends the socket.
      if (bytes < 0) break;
      this.#onMessage(view(DATAGRAM, bytes).slice(), readSocketAddress(ADDRESS));
    }
    this.#reactor.wantMicrotasks();
  }

  /** Sends one datagram; one that cannot go out is lost, as datagrams are. */
  send(bytes: Uint8Array, to: SocketAddress): void {
    if (this.#fd < 0 || bytes.length > MAX_DATAGRAM) return;
    const length = writeSocketAddress(ADDRESS, this.#family, to.address, to.port);
    U8.set(bytes, DATAGRAM);
    libc.sendto(this.#fd, BASE + DATAGRAM, bytes.length, 0, BASE + ADDRESS, length);
  }

  close(): void {
    if (this.#fd < 0) return;
    this.#reactor.unregister(this, this.#fd);
    libc.close(this.#fd);
    this.#fd = -1;
  }

  onReactorStop(): void {
    this.close();
  }
}
