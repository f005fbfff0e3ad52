import { environmentHelp, readConfig } from "../core/config.ts";
import { shutdownSignal } from "../core/drain.ts";
import { CommandError, UsageError } from "../core/usage.ts";
import { Logger, LogLevels } from "../telemetry/logger.ts";
import { CNI_SETTINGS } from "./cni/config.ts";

const HELP = `Run the CNI agent of a node, or, with CNI_COMMAND set, its network plugin.

Usage: ambientd cni [--log_output_level=[scope:]level,…] [--log_as_json]

Environment:
${environmentHelp(CNI_SETTINGS)}
`;

/** The role: the plugin when a container runtime calls it, else the agent until it is told to end. */
export async function run(args: string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(HELP);
    return 0;
  }
  if (Deno.env.get("CNI_COMMAND")) return await runAsPlugin();
  const { levels, json } = parseArgs(args);
  const logger = new Logger("cni", { levels, json });
  const config = readConfig(CNI_SETTINGS, (name) => Deno.env.get(name));
  if (config.nodeName === "") throw new CommandError("cannot tell which node this is: NODE_NAME is not set");

  const [{ startCni }, { KubeClient }] = await Promise.all([import("./cni/app.ts"), import("../kube/mod.ts")]);
  const client = await KubeClient.fromEnvironment();
  const environment: Record<string, string> = {};
  for (const name of ["DENO_DIR", "HOME", "PATH"]) {
    const value = Deno.env.get(name);
    if (value) environment[name] = value;
  }
  // Where the plugin finds Deno's cache on the node, when this process has one of its own.
  const nodeCache = Deno.env.get("AMBIENTD_NODE_DENO_DIR");
  if (nodeCache) environment.DENO_DIR = nodeCache;
  const app = await startCni({ config, client, logger, environment });
  logger.info("CNI agent started", { node: config.nodeName });
  const reason = await shutdownSignal();
  logger.info("ending", { reason });
  await app.shutdown();
  return 0;
}

async function runAsPlugin(): Promise<number> {
  const { cniEnvironment, runPlugin } = await import("./cni/plugin.ts");
  const environment = cniEnvironment((name) => Deno.env.get(name))!;
  return await runPlugin(environment, () => new Response(Deno.stdin.readable).text(), (text) => console.log(text));
}

/** Istio's logging flags; `default` as a scope means all. */
function parseArgs(args: readonly string[]): { levels: LogLevels; json: boolean } {
  const levels = new LogLevels();
  let json = false;
  for (const arg of args) {
    const level = /^--log_output_level=(.*)$/.exec(arg)?.[1];
    if (level !== undefined) {
      const problem = levels.apply(level.replaceAll(/\bdefault:/g, "").replaceAll(/\ball:/g, ""));
      if (problem !== undefined) throw new UsageError(`--log_output_level: ${problem}`);
    } else if (arg === "--log_as_json" || arg === "--log_as_json=true") json = true;
    else throw new UsageError(`unknown argument "${arg}"; run \`ambientd cni --help\``);
  }
  return { levels, json };
}
