import { run, tool } from "./host.ts";

/** util-linux `script` gives the command a terminal of the container's own devpts. */
export function withTerminal(command: readonly string[]): string[] {
  const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  return [tool("env"), "TERM=xterm", tool("script"), "-q", "-e", "-E", "never", "-c", `exec ${quoted}`, "/dev/null"];
}

/**
 * Sets the size of the terminal that the command under `script` has, once it has one.
 *
 * @param container a process of the container
 * @param helper the process that was started for the command
 */
export async function resizeTerminal(
  container: number,
  helper: number,
  ended: () => boolean,
  columns: number,
  rows: number,
): Promise<void> {
  while (!ended()) {
    for (const pid of descendants(helper).reverse()) {
      let device: string;
      try {
        device = Deno.readLinkSync(`/proc/${pid}/fd/0`);
      } catch {
        continue;
      }
      if (!/^\/dev\/pts\/\d+$/.test(device)) continue;
      const size = ["cols", String(columns), "rows", String(rows)];
      await run([tool("nsenter"), "-t", String(container), "-m", tool("stty"), "-F", device, ...size]);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Everything that a process has started and that still runs. */
export function descendants(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendants(child)]);
}

/** Direct children of a process. */
export function childrenOf(pid: number): number[] {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
