import { libc } from "./libc.ts";
import { sysError } from "./errno.ts";
import { allocate, BASE, I32 } from "./memory.ts";

const OPTION = allocate(64);
const OPTION_LENGTH = OPTION + 32;

/**
 * Sets an integer socket option.
 *
 * @returns whether the kernel took it
 */
export function trySetOption(fd: number, level: number, option: number, value: number): boolean {
  I32[OPTION >> 2] = value;
  return libc.setsockopt(fd, level, option, BASE + OPTION, 4) === 0;
}

/**
 * Sets an integer socket option.
 *
 * @throws MeshError `system`
 */
export function setOption(fd: number, level: number, option: number, value: number, name: string): void {
  if (!trySetOption(fd, level, option, value)) throw sysError(`cannot set ${name} to "${value}" on a socket`);
}

/** Reads an integer socket option; -1 when the kernel refuses. */
export function getOption(fd: number, level: number, option: number): number {
  I32[OPTION >> 2] = 0;
  I32[OPTION_LENGTH >> 2] = 4;
  return libc.getsockopt(fd, level, option, BASE + OPTION, BASE + OPTION_LENGTH) === 0 ? I32[OPTION >> 2] : -1;
}

/** Makes `close` send RST and drop what is queued (SO_LINGER with zero seconds). */
export function lingerReset(fd: number): void {
  I32[OPTION >> 2] = 1;
  I32[(OPTION >> 2) + 1] = 0;
  libc.setsockopt(fd, 1, 13, BASE + OPTION, 8);
}
