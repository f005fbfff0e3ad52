import { environmentHelp } from "../core/config.ts";
import { describeError } from "../core/errors.ts";
import { shutdownSignal } from "../core/drain.ts";
import { VERSION } from "../core/version.ts";
import { Logger, LogLevels } from "../telemetry/logger.ts";
import { startWaypoint } from "./waypoint/app.ts";
import { readWaypointConfig, WAYPOINT_SETTINGS } from "./waypoint/config.ts";

const HELP = `Run an L7 proxy: a waypoint, or an ingress or egress gateway. It is configured by the environment.

Usage: ambientd waypoint [waypoint|router] [flags]

  waypoint   takes tunnels of the mesh on port 15008 (the default)
  router     opens the ports of gateways

Flags:
  --domain <domain>             DNS domain of the proxy's node
  --log_output_level <levels>   e.g. default:info
  --log_as_json                 one JSON object per line

Environment:
${environmentHelp(WAYPOINT_SETTINGS)}
`;

/** The role: reads its configuration, runs until it is told to end, drains. */
export async function run(args: string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(HELP);
    return 0;
  }
  const env = Deno.env.toObject();
  const config = readWaypointConfig((name) => env[name], args);
  const levels = new LogLevels();
  const problem = levels.apply(config.levels);
  const logger = new Logger("waypoint", { levels, json: config.json });
  if (problem !== undefined) logger.warn("cannot use the log levels", { problem });

  const end = new AbortController();
  let fatal: unknown;
  const waypoint = await startWaypoint({
    config,
    env,
    logger,
    onEnd: (thrown) => {
      fatal ??= thrown;
      end.abort();
    },
  });
  logger.info("waypoint started", { version: VERSION, mode: config.mode, ...waypoint.ports });
  const reason = await shutdownSignal(end.signal);
  if (fatal !== undefined) logger.error("waypoint cannot go on", { error: describeError(fatal) });
  const drainMs = fatal === undefined ? config.drainMs : 0;
  const graceMs = fatal === undefined ? config.graceMs : 0;
  logger.info("draining", { reason, drain: `${drainMs}ms`, grace: `${graceMs}ms` });
  // A second Ctrl-C does not wait.
  Deno.addSignalListener("SIGINT", () => Deno.exit(130));
  await waypoint.shutdown(drainMs, graceMs);
  logger.info("waypoint ended");
  return fatal === undefined ? 0 : 1;
}
