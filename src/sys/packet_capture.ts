import { SOCK_CLOEXEC, SOCK_NONBLOCK } from "./constants.ts";
import { sysError } from "./errno.ts";
import { libc } from "./libc.ts";
import { allocate, BASE, view } from "./memory.ts";

const AF_PACKET = 17, SOCK_RAW = 3, SOL_SOCKET = 1, SO_RCVBUFFORCE = 33;
const ETH_P_ALL_NETWORK_ORDER = 0x0300;
const FRAME_BYTES = 65536;

/** Reads every frame that passes the interfaces of this network namespace (packet(7)); needs CAP_NET_RAW. */
export class PacketCapture {
  readonly #fd: number;
  readonly #at = allocate(FRAME_BYTES);

  /** @throws MeshError `system` */
  constructor() {
    this.#fd = libc.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, ETH_P_ALL_NETWORK_ORDER);
    if (this.#fd < 0) throw sysError("cannot open a packet socket");
    const size = allocate(64);
    view(size, 4).set([0, 0, 128, 0]); // 8 MiB; best effort
    libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, BASE + size, 4);
  }

  /** The next waiting frame, link header included, or undefined when there is none; valid until the next call. */
  next(): Uint8Array | undefined {
    const n = libc.recv(this.#fd, BASE + this.#at, FRAME_BYTES, 0);
    return n > 0 ? view(this.#at, n) : undefined;
  }

  close(): void {
    libc.close(this.#fd);
  }
}
