import { MeshError } from "../core/errors.ts";
import { errno } from "./libc.ts";

const NAMES: Record<number, [name: string, text: string]> = {
  1: ["EPERM", "operation not permitted"],
  2: ["ENOENT", "no such file or directory"],
  4: ["EINTR", "interrupted"],
  5: ["EIO", "input/output error"],
  9: ["EBADF", "bad file descriptor"],
  11: ["EAGAIN", "try again"],
  12: ["ENOMEM", "out of memory"],
  13: ["EACCES", "permission denied"],
  16: ["EBUSY", "busy"],
  17: ["EEXIST", "exists already"],
  19: ["ENODEV", "no such device"],
  20: ["ENOTDIR", "not a directory"],
  21: ["EISDIR", "is a directory"],
  22: ["EINVAL", "invalid argument"],
  23: ["ENFILE", "too many open files in the system"],
  24: ["EMFILE", "too many open files"],
  28: ["ENOSPC", "no space left"],
  32: ["EPIPE", "broken pipe"],
  88: ["ENOTSOCK", "not a socket"],
  90: ["EMSGSIZE", "message too long"],
  92: ["ENOPROTOOPT", "protocol option not available"],
  93: ["EPROTONOSUPPORT", "protocol not supported"],
  95: ["EOPNOTSUPP", "operation not supported"],
  97: ["EAFNOSUPPORT", "address family not supported"],
  98: ["EADDRINUSE", "address in use"],
  99: ["EADDRNOTAVAIL", "address not available"],
  100: ["ENETDOWN", "network is down"],
  101: ["ENETUNREACH", "network unreachable"],
  103: ["ECONNABORTED", "connection aborted"],
  104: ["ECONNRESET", "connection reset by peer"],
  105: ["ENOBUFS", "no buffer space"],
  106: ["EISCONN", "already connected"],
  107: ["ENOTCONN", "not connected"],
  110: ["ETIMEDOUT", "connection timed out"],
  111: ["ECONNREFUSED", "connection refused"],
  113: ["EHOSTUNREACH", "no route to host"],
  114: ["EALREADY", "already in progress"],
  115: ["EINPROGRESS", "in progress"],
};

/** `ECONNREFUSED` and the like; `errno 200` for a number we do not know. */
export function errnoName(number: number): string {
  return NAMES[number]?.[0] ?? `errno ${number}`;
}

/** `connection refused (ECONNREFUSED)`. */
export function errnoText(number: number): string {
  const known = NAMES[number];
  return known ? `${known[1]} (${known[0]})` : `errno ${number}`;
}

/** Code of an error that a system call reported; the details carry `errno` and its `name`. */
export type SysErrorCode = "system";

/** What failed, why, and the number, as a MeshError. Reads {@linkcode errno} unless given. */
export function sysError(
  attempted: string,
  number = errno(),
): MeshError<SysErrorCode, { errno: number; name: string }> {
  return new MeshError("system", `${attempted}: ${errnoText(number)}`, {
    details: { errno: number, name: errnoName(number) },
  });
}
