import { sleep } from "../../core/backoff.ts";

/** State 0A of /proc/net/tcp (include/net/tcp_states.h). */
const LISTEN = "0A";
/** How often to look, at first and at last. */
const FIRST_MS = 10, LAST_MS = 100;

/** The TCP ports on which somebody listens in the network namespace of a process; none once it is gone. */
export async function listeningPorts(pid: number): Promise<Set<number>> {
  const ports = new Set<number>();
  for (const family of ["tcp", "tcp6"]) {
    let table: string;
    try {
      table = await Deno.readTextFile(`/proc/${pid}/net/${family}`);
    } catch {
      // The process is gone, or the kernel has no IPv6.
      continue;
    }
    // `  sl  local_address rem_address   st …`, addresses as `0100007F:1F90`.
    for (const line of table.split("\n").slice(1)) {
      const [, local, , state] = line.trim().split(/\s+/);
      if (state === LISTEN) ports.add(parseInt(local.slice(local.lastIndexOf(":") + 1), 16));
    }
  }
  return ports;
}

/** Waits until one of the ports is listened on, `signal` aborts, or so much time has gone by. */
export async function untilListening(
  pid: number,
  ports: readonly number[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const end = Date.now() + timeoutMs;
  for (let wait = FIRST_MS; !signal.aborted && Date.now() < end; wait = Math.min(LAST_MS, wait * 1.5)) {
    const open = await listeningPorts(pid);
    if (ports.some((port) => open.has(port))) return;
    await sleep(wait, signal);
  }
}
