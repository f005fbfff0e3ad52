import { shutdownSignal } from "../core/drain.ts";
import { asTyped } from "../core/self.ts";
import { clusterLayout } from "../cluster/layout.ts";
import { bringUp, checkHost } from "./up/bring_up.ts";
import { detach } from "./up/detach.ts";
import { acquire } from "./up/instance.ts";
import { parseUpOptions } from "./up/options.ts";
import { Progress } from "./up/progress.ts";
import { nameFlag } from "./up/summary.ts";

/** `ambientd up`: a cluster with mesh and samples that runs until Ctrl-C, or in the background with `--detach`. */
export async function run(args: string[]): Promise<number> {
  const options = parseUpOptions(args);
  if (!options) return 0;
  checkHost();
  const layout = clusterLayout(options.name, options.dataDir);
  if (options.detach) return await detach(layout, args.filter((arg) => arg !== "--detach"));

  const lock = await acquire(layout);
  const stop = new AbortController();
  const signalled = shutdownSignal(stop.signal);
  const interrupted = signalled.then(() => stop.abort());
  try {
    const cluster = await bringUp(options, layout, new Progress(options.background), stop.signal);
    try {
      const ended = await Promise.race([interrupted.then(() => undefined), cluster.ended]);
      if (ended) throw ended;
      console.log("\nStopping the cluster …");
    } finally {
      await cluster.stop();
    }
    const down = asTyped(`ambientd down${nameFlag(options.name)} --delete`);
    console.log(`Cluster "${options.name}" stopped; the next \`up\` goes on from here. For a new one:\n  ${down}`);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    return 130;
  } finally {
    stop.abort();
    await interrupted;
    await lock.release();
  }
  return 0;
}
