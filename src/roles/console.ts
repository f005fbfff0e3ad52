import { environmentHelp, readConfig } from "../core/config.ts";
import { shutdownSignal } from "../core/drain.ts";
import { Logger, LogLevels } from "../telemetry/logger.ts";
import { CONSOLE_SETTINGS } from "../console/config.ts";

const HELP = `Serve the console: a live graph of the mesh for browsers, on port 20001.

Usage: ambientd console

It reads the metrics of ztunnels, waypoints and gateways from their pods, so it runs in a pod of the cluster; in the embedded
cluster it stands in for Kiali's image. Arguments of that image (-config …) are accepted and mean nothing here.

Environment:
${environmentHelp(CONSOLE_SETTINGS)}
`;

/** The role: serves until it is told to end. */
export async function run(args: string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(HELP);
    return 0;
  }
  const logger = new Logger("console", { levels: new LogLevels() });
  const config = readConfig(CONSOLE_SETTINGS, (name) => Deno.env.get(name));
  const [{ startConsole }, { KubeClient }] = await Promise.all([import("../console/app.ts"), import("../kube/mod.ts")]);
  const client = await KubeClient.fromEnvironment();
  try {
    const served = startConsole({ config, client, logger });
    logger.info("serving the console", { port: served.port, path: "/kiali/" });
    logger.info("ending", { reason: await shutdownSignal() });
    await served.shutdown();
  } finally {
    client.close();
  }
  return 0;
}
