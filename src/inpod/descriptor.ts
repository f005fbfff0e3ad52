import { errno, libc } from "../sys/libc.ts";
import { sysError } from "../sys/errno.ts";

const F_DUPFD_CLOEXEC = 1030;

/** A second descriptor of the same thing, closed on exec. @throws MeshError `system` */
export function duplicate(fd: number): number {
  const copy = libc.fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw sysError(`cannot duplicate descriptor ${fd}`, errno());
  return copy;
}
