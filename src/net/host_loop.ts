/**
 * Deno's own event loop beside the reactor's.
 *
 * While the reactor waits synchronously, Deno's loop stands still, and a turn of it costs tens of microseconds. So the
 * reactor watches the epoll instance that Deno's runtime waits on, as one descriptor among the others (an epoll instance is
 * readable when something in it is ready), and gives it a turn when there is something to do: an xDS stream or the admin
 * server is answered at once even under full load, and a pure data path pays nothing.
 */

/** In the epoll data of every reactor's own wake-up descriptor: tells our instances from the runtime's. */
export const REACTOR_MARK = 0x2d616d62;

/**
 * Epoll instances of this process that are not a reactor's. Instances of other threads may be among them, which only
 * costs a turn now and then; when none is found, the periodic turns remain.
 */
export function hostPolls(): number[] {
  const found: number[] = [];
  const seen = new Set<string>();
  try {
    for (const { name } of Deno.readDirSync("/proc/self/fd")) {
      let target = "", info = "";
      try {
        target = Deno.readLinkSync(`/proc/self/fd/${name}`);
        if (!target.includes("eventpoll")) continue;
        info = Deno.readTextFileSync(`/proc/self/fdinfo/${name}`);
      } catch {
        continue; // the descriptor that the listing itself used
      }
      const watched = [...info.matchAll(/tfd:\s*(\d+).*?data:\s*([0-9a-f]+)/g)];
      if (watched.length === 0 || watched.some(([, , data]) => data.startsWith(REACTOR_MARK.toString(16)))) continue;
      // Duplicates of one instance watch the same descriptors.
      const key = watched.map(([, fd]) => fd).join(",");
      if (seen.has(key)) continue;
      seen.add(key);
      found.push(Number(name));
    }
  } catch {
    // No /proc, or no permission to read it.
  }
  return found;
}
