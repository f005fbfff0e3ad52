import { MeshError } from "../core/errors.ts";
import { AF_UNIX, EAGAIN, ECONNABORTED, EINTR } from "./constants.ts";
import {
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_TRUNC,
  SCM_RIGHTS,
  SO_PEERCRED,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  SOL_SOCKET,
} from "./constants.ts";
import { sysError } from "./errno.ts";
import { errno, libc } from "./libc.ts";
import { allocate, BASE, I32, U8, view, writePointer, writeSize } from "./memory.ts";
import { SOCKADDR_BYTES, writeUnixAddress } from "./socket_address.ts";

/** One message and the descriptors that came with it; the receiver owns (and closes) them. */
export interface SeqpacketMessage {
  bytes: Uint8Array;
  fds: number[];
}

/** The process at the other end, as the kernel saw it at connect. */
export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

/** Longest message: ZDS messages are small, and a longer one is an error rather than a cut. */
export const MAX_MESSAGE_BYTES = 64 * 1024;
const MAX_FDS = 16;

// One call at a time per thread, so the structs are shared: msghdr (56), iovec (16), control buffer, address.
const HEADER = allocate(64), IOVEC = allocate(16), CONTROL = allocate(256), ADDRESS = allocate(SOCKADDR_BYTES);
const MESSAGE = allocate(MAX_MESSAGE_BYTES + 1);
const CMSG_HEADER = 16;

function prepareHeader(messageBytes: number, controlBytes: number): void {
  writePointer(IOVEC, MESSAGE);
  writeSize(IOVEC + 8, messageBytes);
  U8.fill(0, HEADER, HEADER + 56);
  writePointer(HEADER + 16, IOVEC);
  writeSize(HEADER + 24, 1);
  if (controlBytes > 0) {
    writePointer(HEADER + 32, CONTROL);
    writeSize(HEADER + 40, controlBytes);
  }
}

/**
 * A nonblocking unix SOCK_SEQPACKET socket that carries file descriptors, for ZDS. Nothing here needs the reactor: poll
 * `fd` with it, or use {@linkcode SeqpacketConnection.receive} which asks again after a short wait.
 */
export class SeqpacketConnection {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The descriptor, for polling; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  /**
   * Sends one message, with descriptors (which stay the caller's).
   *
   * @returns false when the socket's buffer is full
   * @throws MeshError `system`, `message_too_long`
   */
  trySend(bytes: Uint8Array, fds: readonly number[] = []): boolean {
    if (bytes.length > MAX_MESSAGE_BYTES || fds.length > MAX_FDS) {
      throw new MeshError(
        "message_too_long",
        `cannot send ${bytes.length} bytes and ${fds.length} descriptors in one message (at most ${MAX_MESSAGE_BYTES} and ${MAX_FDS})`,
      );
    }
    U8.set(bytes, MESSAGE);
    const controlLength = CMSG_HEADER + 4 * fds.length;
    prepareHeader(bytes.length, fds.length > 0 ? (controlLength + 7) & ~7 : 0);
    if (fds.length > 0) {
      writeSize(CONTROL, controlLength);
      I32[(CONTROL + 8) >> 2] = SOL_SOCKET;
      I32[(CONTROL + 12) >> 2] = SCM_RIGHTS;
      for (let i = 0; i < fds.length; i++) I32[(CONTROL + CMSG_HEADER + 4 * i) >> 2] = fds[i];
    }
    for (;;) {
      if (libc.sendmsg(this.#fd, BASE + HEADER, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
      const number = errno();
      if (number === EINTR) continue;
      if (number === EAGAIN) return false;
      throw sysError(`cannot send a message of ${bytes.length} bytes`, number);
    }
  }

  /**
   * Takes one message.
   *
   * @returns undefined when none is there yet, null when the peer has closed
   * @throws MeshError `system`, `message_too_long`
   */
  tryReceive(): SeqpacketMessage | null | undefined {
    for (;;) {
      prepareHeader(MAX_MESSAGE_BYTES + 1, CMSG_HEADER + 4 * MAX_FDS);
      const n = libc.recvmsg(this.#fd, BASE + HEADER, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (n < 0) {
        const number = errno();
        if (number === EINTR) continue;
        if (number === EAGAIN) return undefined;
        throw sysError("cannot receive a message", number);
      }
      const fds = this.#takeDescriptors();
      const flags = I32[(HEADER + 48) >> 2];
      if ((flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0) {
        fds.forEach((fd) => libc.close(fd));
        throw new MeshError("message_too_long", `cannot take a message of more than ${MAX_MESSAGE_BYTES} bytes`);
      }
      if (n === 0 && fds.length === 0) return null;
      return { bytes: view(MESSAGE, n).slice(), fds };
    }
  }

  #takeDescriptors(): number[] {
    const fds: number[] = [];
    const end = CONTROL + I32[(HEADER + 40) >> 2];
    for (let at = CONTROL; at + CMSG_HEADER <= end;) {
      const length = I32[at >> 2];
      if (length < CMSG_HEADER) break;
      if (I32[(at + 8) >> 2] === SOL_SOCKET && I32[(at + 12) >> 2] === SCM_RIGHTS) {
        for (let fd = at + CMSG_HEADER; fd + 4 <= at + length; fd += 4) fds.push(I32[fd >> 2]);
      }
      at += (length + 7) & ~7;
    }
    return fds;
  }

  /** Sends one message, waiting while the buffer is full. */
  async send(bytes: Uint8Array, fds: readonly number[] = [], signal?: AbortSignal): Promise<void> {
    for (let wait = 1; !this.trySend(bytes, fds); wait = Math.min(wait * 2, 50)) await pause(wait, signal);
  }

  /** The next message, or null when the peer has closed. Polls, quickly at first and then every 50 ms: ZDS is quiet. */
  async receive(signal?: AbortSignal): Promise<SeqpacketMessage | null> {
    for (let wait = 1;; wait = Math.min(wait * 2, 50)) {
      const message = this.tryReceive();
      if (message !== undefined) return message;
      await pause(wait, signal);
      if (this.#fd < 0) return null;
    }
  }

  /** Who is at the other end. */
  credentials(): PeerCredentials {
    I32[CONTROL >> 2] = 12;
    if (libc.getsockopt(this.#fd, SOL_SOCKET, SO_PEERCRED, BASE + MESSAGE, BASE + CONTROL) < 0) {
      throw sysError("cannot read the credentials of a peer");
    }
    return { pid: I32[MESSAGE >> 2], uid: I32[(MESSAGE >> 2) + 1], gid: I32[(MESSAGE >> 2) + 2] };
  }

  close(): void {
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#fd = -1;
  }
}

/** Accepts {@linkcode SeqpacketConnection}s on a path. The file is replaced when it exists and is left behind on close. */
export class SeqpacketListener {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd;
  }

  /** @returns undefined when nobody waits */
  tryAccept(): SeqpacketConnection | undefined {
    for (;;) {
      const fd = libc.accept4(this.#fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) return new SeqpacketConnection(fd);
      const number = errno();
      if (number === EINTR || number === ECONNABORTED) continue;
      if (number === EAGAIN) return undefined;
      throw sysError("cannot accept a connection", number);
    }
  }

  /** The next connection, or null once closed. */
  async accept(signal?: AbortSignal): Promise<SeqpacketConnection | null> {
    for (let wait = 1;; wait = Math.min(wait * 2, 50)) {
      if (this.#fd < 0) return null;
      const connection = this.tryAccept();
      if (connection) return connection;
      await pause(wait, signal);
    }
  }

  close(): void {
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#fd = -1;
  }
}

function newSocket(): number {
  const fd = libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw sysError("cannot make a unix socket");
  return fd;
}

/**
 * Listens on `path` (an abstract name begins with `@`).
 *
 * @throws MeshError `system`, `bad_address`
 */
export function listenSeqpacket(path: string, backlog = 64): SeqpacketListener {
  const length = writeUnixAddress(ADDRESS, path);
  if (!path.startsWith("@")) {
    try {
      Deno.removeSync(path);
    } catch (thrown) {
      if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
    }
  }
  const fd = newSocket();
  if (libc.bind(fd, BASE + ADDRESS, length) < 0 || libc.listen(fd, backlog) < 0) {
    const error = sysError(`cannot listen on "${path}"`);
    libc.close(fd);
    throw error;
  }
  return new SeqpacketListener(fd);
}

/**
 * Connects to `path`.
 *
 * @throws MeshError `system`, `bad_address`
 */
export function connectSeqpacket(path: string): SeqpacketConnection {
  const length = writeUnixAddress(ADDRESS, path);
  const fd = newSocket();
  if (libc.connect(fd, BASE + ADDRESS, length) < 0) {
    const error = sysError(`cannot connect to "${path}"`);
    libc.close(fd);
    throw error;
  }
  return new SeqpacketConnection(fd);
}

/** Resolves after `ms`; rejects when `signal` aborts. */
function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", abort, { once: true });
  });
}
