import { CommandError } from "../../core/usage.ts";
import { wantsColor } from "../../core/terminal.ts";
import { selfCommand } from "../../core/self.ts";
import { type ClusterLayout, isRunning, processStartTime, readRunState } from "../../cluster/layout.ts";
import { Progress, type Screen } from "./progress.ts";
import { LAST_WORDS, nameFlag } from "./summary.ts";

/**
 * Starts `up` again as a process of its own session, shows what it prints until the cluster is ready, and leaves it.
 *
 * @returns the exit code: 0 when the cluster is ready
 */
export async function detach(layout: ClusterLayout, args: string[]): Promise<number> {
  const running = readRunState(layout);
  if (running && isRunning(running.pid, running.startTime)) {
    throw new CommandError(
      `cluster "${layout.name}" is running already (process ${running.pid}, context ${running.context}); ` +
        `use it, or stop it with \`ambientd down${nameFlag(layout.name)}\``,
    );
  }
  await Deno.mkdir(layout.dataDir, { recursive: true, mode: 0o700 }).catch((cause) => {
    throw new CommandError(`cannot keep the cluster in "${layout.dataDir}"; give another with --data-dir`, 1, cause);
  });
  await Deno.writeTextFile(layout.upLog, "", { mode: 0o600 });
  const progress = new Progress(), { columns } = progress;
  const child = new Deno.Command("/bin/sh", {
    args: [
      "-c",
      'log=$1; shift; exec setsid "$@" >>"$log" 2>&1 </dev/null',
      "sh",
      layout.upLog,
      ...selfCommand(["up", `--background=${columns},${wantsColor(Deno.stdout) ? "color" : "plain"}`, ...args]),
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  child.unref();
  const startTime = processStartTime(child.pid) ?? "";
  let shown = 0;
  const show = () => {
    const text = Deno.readTextFileSync(layout.upLog), end = text.lastIndexOf("\n");
    if (end > shown) progress.line(text.slice(shown, end));
    shown = Math.max(shown, end + 1);
  };
  const done = progress.busy("Working");
  while (true) {
    const alive = isRunning(child.pid, startTime);
    const ready = readRunState(layout)?.ready === true;
    if (ready && alive) {
      // The summary is printed right after the cluster is marked ready.
      for (let i = 0; i < 40 && !Deno.readTextFileSync(layout.upLog).includes(LAST_WORDS); i++) await pause();
    }
    show();
    if (ready || !alive) done();
    if (ready && alive) return 0;
    if (!alive) return 1;
    await pause();
  }
}

/** Reads what `detach` passes on of its terminal: `80,color`. */
export function readScreen(text: string): Screen {
  const [columns, color] = text.split(",");
  return { columns: Number(columns) || Infinity, color: color === "color" };
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}
