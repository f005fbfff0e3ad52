import { environmentHelp } from "../core/config.ts";
import { describeError } from "../core/errors.ts";
import { shutdownSignal } from "../core/drain.ts";
import { UsageError } from "../core/usage.ts";
import { VERSION } from "../core/version.ts";
import { Logger, LogLevels } from "../telemetry/logger.ts";
import { startZtunnel } from "./ztunnel/app.ts";
import { drainDeadlineMs, readZtunnelConfig, ZTUNNEL_SETTINGS } from "./ztunnel/config.ts";

const HELP = `Run the L4 proxy of a node (ztunnel). It is configured by the environment.

Usage: ambientd ztunnel

Environment:
${environmentHelp(ZTUNNEL_SETTINGS)}
`;

/** The role: reads its configuration, runs until it is told to end, drains. */
export async function run(args: string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(HELP);
    return 0;
  }
  // Istio's chart starts the proxy as "proxy ztunnel".
  const rest = args[0] === "proxy" ? args.slice(1) : args;
  if (rest.length > 0 && rest[0] !== "ztunnel") {
    throw new UsageError(`unknown argument "${rest[0]}"; ztunnel takes none`);
  }
  const env = Deno.env.toObject();
  const config = readZtunnelConfig((name) => env[name]);
  const levels = new LogLevels();
  const problem = levels.apply(config.logLevel);
  const logger = new Logger("ztunnel", { levels, json: config.logFormat === "json" });
  if (problem !== undefined) logger.warn("cannot use RUST_LOG", { problem });

  const end = new AbortController();
  let fatal: unknown;
  const ztunnel = await startZtunnel({
    config,
    env,
    logger,
    onEnd: (thrown) => {
      fatal ??= thrown;
      end.abort();
    },
  });
  logger.info("ztunnel started", {
    version: VERSION,
    mode: config.proxyMode,
    node: config.localNode,
    ...ztunnel.ports,
  });
  const reason = await shutdownSignal(end.signal);
  if (fatal !== undefined) logger.error("ztunnel cannot go on", { error: describeError(fatal) });
  const deadlineMs = fatal === undefined ? drainDeadlineMs(config) : 0;
  logger.info("draining", { reason, deadline: `${deadlineMs}ms` });
  // A second Ctrl-C does not wait.
  Deno.addSignalListener("SIGINT", () => Deno.exit(130));
  await ztunnel.shutdown(deadlineMs);
  logger.info("ztunnel ended");
  return fatal === undefined ? 0 : 1;
}
