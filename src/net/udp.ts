import { MeshError } from "../core/errors.ts";
import {
  AF_INET6,
  EPOLLIN,
  IP_TRANSPARENT,
  IPV6_TRANSPARENT,
  IPV6_V6ONLY,
  MSG_DONTWAIT,
  SO_MARK,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
} from "../sys/constants.ts";
import { sysError } from "../sys/errno.ts";
import { libc } from "../sys/libc.ts";
import { allocate, BASE, I32, U8, view } from "../sys/memory.ts";
import { setOption } from "../sys/socket.ts";
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

export interface UdpOptions {
  netns?: Netns;
  address: string;
  /** 0 picks one. */
  port: number;
  mark?: number;
  reusePort?: boolean;
  transparent?: boolean;
  v6Only?: boolean;
}

/** `bytes` is a view of a shared buffer: copy what must outlive the call. */
export type DatagramHandler = (bytes: Uint8Array, from: SocketAddress) => void;

const DATAGRAM_BYTES = 65536;
const DATAGRAM = allocate(DATAGRAM_BYTES);
const ADDRESS = allocate(SOCKADDR_BYTES), LENGTH = allocate(4);
/** Datagrams taken before other descriptors have a turn. */
const MAX_RECEIVES = 64;

/** A bound UDP socket: DNS, in a pod's namespace. */
export class UdpSocket implements Pollable {
  slot = -1;
  #fd: number;
  readonly #family: number;

  constructor(
    readonly reactor: Reactor,
    fd: number,
    family: number,
    /** What it is bound to, with the port that was picked. */
    readonly local: SocketAddress,
    readonly onDatagram: DatagramHandler,
  ) {
    this.#fd = fd;
    this.#family = family;
    reactor.register(this, fd, EPOLLIN);
  }

  onEvents(): void {
    for (let i = 0; i < MAX_RECEIVES && this.#fd >= 0; i++) {
      I32[LENGTH >> 2] = SOCKADDR_BYTES;
      const count = libc.recvfrom(
        this.#fd,
        BASE + DATAGRAM,
        DATAGRAM_BYTES,
        MSG_DONTWAIT,
        BASE + ADDRESS,
        BASE + LENGTH,
      );
      // Errors here are those of earlier datagrams (port unreachable): nobody waits for them.
      if (count < 0) break;
      try {
        this.onDatagram(view(DATAGRAM, count), readSocketAddress(ADDRESS));
      } catch (thrown) {
        this.reactor.report("a datagram could not be handled", thrown);
      }
    }
    this.reactor.wantMicrotasks();
  }

  /** Sends one datagram; false when the kernel does not take it (as the network might not). */
  send(bytes: Uint8Array, to: SocketAddress): boolean {
    if (this.#fd < 0) return false;
    if (bytes.length > DATAGRAM_BYTES) {
      throw new MeshError("message_too_long", `cannot send ${bytes.length} bytes in one datagram`);
    }
    const length = writeSocketAddress(ADDRESS, this.#family, to.address, to.port);
    U8.set(bytes, DATAGRAM);
    return libc.sendto(this.#fd, BASE + DATAGRAM, bytes.length, MSG_DONTWAIT, BASE + ADDRESS, length) >= 0;
  }

  close(): void {
    if (this.#fd < 0) return;
    this.reactor.unregister(this, this.#fd);
    libc.close(this.#fd);
    this.#fd = -1;
  }

  onReactorStop(): void {
    this.close();
  }
}

/**
 * Binds a UDP socket, in a namespace when one is given.
 *
 * @throws MeshError `system`, `bad_address`
 */
export function bindUdp(reactor: Reactor, options: UdpOptions, onDatagram: DatagramHandler): UdpSocket {
  const family = familyOf(options.address);
  const attempted = `cannot bind UDP "${formatSocketAddress(options)}"`;
  const fd = inNetns(options.netns, () => libc.socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd < 0) throw sysError(attempted);
  try {
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (options.reusePort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
    if (options.mark) setOption(fd, SOL_SOCKET, SO_MARK, options.mark, "SO_MARK");
    if (family === AF_INET6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, options.v6Only ? 1 : 0, "IPV6_V6ONLY");
    if (options.transparent) {
      if (family === AF_INET6) setOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1, "IPV6_TRANSPARENT");
      else setOption(fd, SOL_IP, IP_TRANSPARENT, 1, "IP_TRANSPARENT");
    }
    const length = writeSocketAddress(ADDRESS, family, options.address, options.port);
    if (libc.bind(fd, BASE + ADDRESS, length) < 0) throw sysError(attempted);
    I32[LENGTH >> 2] = SOCKADDR_BYTES;
    if (libc.getsockname(fd, BASE + ADDRESS, BASE + LENGTH) < 0) throw sysError(attempted);
    return new UdpSocket(reactor, fd, family, readSocketAddress(ADDRESS), onDatagram);
  } catch (thrown) {
    libc.close(fd);
    throw thrown;
  }
}
