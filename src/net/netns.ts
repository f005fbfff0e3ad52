import { MeshError } from "../core/errors.ts";
import { CLONE_NEWNET, O_CLOEXEC, O_RDONLY } from "../sys/constants.ts";
import { sysError } from "../sys/errno.ts";
import { cstring, libc } from "../sys/libc.ts";

/** An open network namespace; `close()` it when nothing needs it. Sockets made in it keep it alive by themselves. */
export class Netns {
  #fd: number;

  /** Takes over a descriptor, such as one that came over ZDS. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The descriptor; -1 once closed. */
  get fd(): number {
    return this.#fd;
  }

  close(): void {
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#fd = -1;
  }
}

/**
 * Opens the namespace at a path such as `/proc/42/ns/net`.
 *
 * @throws MeshError `system`
 */
export function openNetns(path: string): Netns {
  const fd = libc.open(cstring(path), O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) throw sysError(`cannot open the network namespace "${path}"`);
  return new Netns(fd);
}

let home = -1;

/**
 * Runs a synchronous function with the calling thread in `netns`, then returns to the thread's own namespace. Only sockets
 * should be made in there: a socket stays in the namespace it was made in. Without a namespace it just runs.
 *
 * @throws MeshError `system` when the namespace cannot be entered
 */
export function inNetns<T>(netns: Netns | undefined, run: () => T): T {
  if (!netns) return run();
  // Threads may differ in their namespace, and this module is instantiated once per thread.
  if (home < 0) home = openNetns("/proc/thread-self/ns/net").fd;
  if (libc.setns(netns.fd, CLONE_NEWNET) < 0) throw sysError("cannot enter a network namespace");
  let result: T;
  try {
    result = run();
  } catch (thrown) {
    returnHome();
    throw thrown;
  }
  returnHome();
  return result;
}

/** Nothing on this thread may go on in a stranger's network, so a failure here is thrown whatever else happened. */
function returnHome(): void {
  if (libc.setns(home, CLONE_NEWNET) < 0) {
    throw new MeshError("netns_lost", "cannot return from a network namespace", { cause: sysError("setns") });
  }
}
