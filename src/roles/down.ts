import { Command } from "commander";
import { clusterLayout } from "../cluster/layout.ts";
import { parseFlags } from "./up/flags.ts";
import { stopInstance } from "./up/instance.ts";

/** `up` gives pods their grace; past this the cluster is ended by force. */
const GRACE_MS = 45_000;

/** `ambientd down`: stops a cluster and removes its context; its state stays unless `--delete` is given. */
export async function run(args: string[]): Promise<number> {
  const command = new Command("ambientd down")
    .description("Stop a cluster that `ambientd up` started and remove its context from the kubeconfig.")
    .option("--name <name>", "name of the cluster", "ambient")
    .option("--data-dir <dir>", "where the cluster keeps its state (default: ~/.local/state/ambientd/<name>)")
    .option("--delete", "also delete the cluster's state, so that the next `up` starts afresh", false);
  const options = parseFlags(command, args);
  if (!options) return 0;
  const layout = clusterLayout(options.name, options.dataDir);
  const stopped = await stopInstance(layout, GRACE_MS);
  if (options.delete) await deleteState(layout.dataDir);
  console.log(
    stopped
      ? `Cluster "${options.name}" stopped.${
        options.delete ? " Its state is deleted." : ` Its state stays in ${layout.dataDir} (--delete removes it).`
      }`
      : `Cluster "${options.name}" is not running.${options.delete ? " Its state is deleted." : ""}`,
  );
  return 0;
}

/** Removes only what a cluster writes, so that a mistyped --data-dir costs nothing. */
async function deleteState(dataDir: string): Promise<void> {
  for (
    const entry of [
      "state.db",
      "state.db-wal",
      "state.db-shm",
      "pki",
      "nodes",
      "root",
      "lock",
      "run.json",
      "run.json.new",
      "engine.log",
      "up.log",
      "api.sock",
      "engine.sock",
      "api-port",
    ]
  ) {
    await Deno.remove(`${dataDir}/${entry}`, { recursive: true }).catch(() => {});
  }
  // Only when nothing else is in it.
  await Deno.remove(dataDir).catch(() => {});
}
