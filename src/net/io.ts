import { EAGAIN, MSG_NOSIGNAL } from "../sys/constants.ts";
import { errno, libc } from "../sys/libc.ts";
import { BASE } from "../sys/memory.ts";

/** What {@linkcode receiveSome} returns when nothing is there. */
export const WOULD_BLOCK: number = -EAGAIN;

/**
 * Sends from arena offset `at`.
 *
 * errno is a second native call, and a compilation or collection between the two could change it. A wrong value would
 * close a good connection, so anything but "try again" is asked for a second time.
 *
 * @returns bytes sent (0 when the socket is full), or a negative errno
 */
export function sendSome(fd: number, at: number, bytes: number): number {
  const sent = libc.send(fd, BASE + at, bytes, MSG_NOSIGNAL);
  return sent >= 0 ? sent : retrySend(fd, at, bytes);
}

function retrySend(fd: number, at: number, bytes: number): number {
  const first = errno();
  if (first === EAGAIN) return 0;
  const sent = libc.send(fd, BASE + at, bytes, MSG_NOSIGNAL);
  if (sent >= 0) return sent;
  return errno() === EAGAIN ? 0 : -first;
}

/**
 * Receives to arena offset `at`.
 *
 * @returns bytes received, 0 at the end of the stream, {@linkcode WOULD_BLOCK}, or another negative errno
 */
export function receiveSome(fd: number, at: number, bytes: number, flags = 0): number {
  const received = libc.recv(fd, BASE + at, bytes, flags);
  return received >= 0 ? received : retryReceive(fd, at, bytes, flags);
}

function retryReceive(fd: number, at: number, bytes: number, flags: number): number {
  const first = errno();
  if (first === EAGAIN) return WOULD_BLOCK;
  const received = libc.recv(fd, BASE + at, bytes, flags);
  if (received > 0) return received;
  // A reported error is cleared by the report, so its second reading is the end of the stream.
  if (received === 0) return -first;
  const second = errno();
  return second === EAGAIN ? WOULD_BLOCK : -second;
}

/** As {@linkcode receiveSome}, scattered over `count` iovecs at arena offset `iovecs`. */
export function receiveScattered(fd: number, iovecs: number, count: number): number {
  const received = libc.readv(fd, BASE + iovecs, count);
  if (received >= 0) return received;
  const first = errno();
  if (first === EAGAIN) return WOULD_BLOCK;
  const again = libc.readv(fd, BASE + iovecs, count);
  if (again > 0) return again;
  if (again === 0) return -first;
  const second = errno();
  return second === EAGAIN ? WOULD_BLOCK : -second;
}
