import { Command } from "commander";
import { describeError } from "../core/errors.ts";
import { CHECKOUT } from "../core/self.ts";
import { Logger, LogLevels } from "../telemetry/logger.ts";
import { clusterLayout } from "../cluster/layout.ts";
import { runEngine } from "../cluster/engine.ts";

/** What stopping in order may take. */
const STOP_DEADLINE_MS = 10_000;

/**
 * The engine of one embedded cluster: started by `up` in namespaces of its own, never by hand. Events go to standard
 * output, the log to standard error; it ends when its standard input does.
 */
export async function run(args: string[]): Promise<number> {
  const options = new Command().requiredOption("--name <name>").requiredOption("--data-dir <dir>")
    .requiredOption("--nodes <count>").parse(args, { from: "user" }).opts();
  const encoder = new TextEncoder();
  const log = new Logger("engine", {
    levels: new LogLevels("info"),
    sink: { write: (line) => void Deno.stderr.writeSync(encoder.encode(line + "\n")) },
  });
  // One broken connection or pod must not end the cluster.
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    log.error("unhandled rejection", { error: describeError(event.reason), stack: event.reason?.stack });
  });
  const stop = new AbortController();
  // This is the first process of its PID namespace: its end is the end of every pod, whatever still hangs.
  stop.signal.addEventListener("abort", () => Deno.unrefTimer(setTimeout(() => Deno.exit(1), STOP_DEADLINE_MS)));
  (async () => {
    const buffer = new Uint8Array(64);
    while (await Deno.stdin.read(buffer).catch(() => null) !== null);
    stop.abort();
  })();
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => stop.abort());
  await runEngine({
    layout: clusterLayout(options.name, options.dataDir),
    nodes: Number(options.nodes),
    checkout: CHECKOUT,
    log,
    signal: stop.signal,
    emit: (event) => void Deno.stdout.writeSync(encoder.encode(JSON.stringify(event) + "\n")),
  });
  return 0;
}
