import { shutdownSignal } from "../core/drain.ts";
import { describeError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import { KubeClient } from "../kube/client.ts";
import { Logger, LogLevels } from "../telemetry/logger.ts";
import { istiodHelp, readIstiodConfig } from "./istiod/config.ts";
import { readRootSecret } from "./istiod/root_secret.ts";

/** How long streams and calls may go on after SIGTERM. */
const GRACE_MS = 2_000;

/** The role: reads its configuration, runs until it is told to end, drains. */
export async function run(args: string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(istiodHelp());
    return 0;
  }
  const env = Deno.env.toObject(), lookup = (name: string): string | undefined => env[name];
  const config = readIstiodConfig(args, lookup);
  const levels = new LogLevels();
  const problem = levels.apply(config.logLevels);
  const logger = new Logger("istiod", { levels, json: config.logJson });
  if (problem !== undefined) logger.warn("cannot use --log_output_level", { problem });

  const client = await KubeClient.fromEnvironment({
    kubeconfig: config.kubeconfig || undefined,
    context: config.context || undefined,
    env: lookup,
  });
  // Connecting takes as long as loading the rest: both at once.
  const rootSecret = readRootSecret(client, config.namespace);
  rootSecret.catch(() => {});
  const end = new AbortController();
  let fatal: unknown;
  const { startIstiod } = await import("./istiod/app.ts");
  const istiod = await startIstiod({
    config,
    client,
    rootSecret,
    logger,
    onEnd: (thrown) => {
      fatal ??= thrown;
      end.abort();
    },
  });
  logger.info("istiod started", { version: VERSION, cluster: config.clusterId, revision: config.revision });
  const reason = await shutdownSignal(end.signal);
  if (fatal !== undefined) logger.error("istiod cannot go on", { error: describeError(fatal) });
  logger.info("draining", { reason });
  // A second Ctrl-C does not wait.
  Deno.addSignalListener("SIGINT", () => Deno.exit(130));
  await istiod.shutdown(fatal === undefined ? GRACE_MS : 0);
  logger.info("istiod ended");
  return fatal === undefined ? 0 : 1;
}
