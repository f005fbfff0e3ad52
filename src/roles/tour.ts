import { Command } from "commander";
import { describeError } from "../core/errors.ts";
import { asTyped } from "../core/self.ts";
import { hanging, palette, wantsColor } from "../core/terminal.ts";
import { CommandError } from "../core/usage.ts";
import { clusterLayout } from "../cluster/layout.ts";
import { KubeClient } from "./ctl/kube.ts";
import type { TourContext, TourStep } from "./tour/context.ts";
import { ENROLMENT } from "./tour/enrolment.ts";
import { GATEWAYS } from "./tour/gateways.ts";
import { LAYER7 } from "./tour/layer7.ts";
import { LEAVING } from "./tour/leaving.ts";
import { POLICY } from "./tour/policy.ts";
import { SEEN } from "./tour/seen.ts";
import { bringUp, checkHost } from "./up/bring_up.ts";
import { parseFlags } from "./up/flags.ts";
import { acquire } from "./up/instance.ts";
import { parseUpOptions } from "./up/options.ts";
import { Progress } from "./up/progress.ts";

const JOURNEYS: readonly [title: string, steps: readonly TourStep[]][] = [
  ["Into the mesh without a restart", ENROLMENT],
  ["Who may talk to whom", POLICY],
  ["Who may ask for what", [...LAYER7, ...SEEN]],
  ["Into the mesh through gateways", GATEWAYS],
  ["Out of the mesh, with the applications reachable all the while", LEAVING],
];

/** `ambientd tour`: every step of the walkthrough on a cluster of its own, each with its proof; 1 when a step fails. */
export async function run(args: string[]): Promise<number> {
  const options = parse(args);
  if (!options) return 0;
  checkHost();
  const dir = await Deno.makeTempDir({ prefix: "ambientd-tour-" });
  const kubeconfig = `${dir}/kubeconfig`;
  const up = parseUpOptions([
    "--name=tour",
    `--nodes=${options.nodes}`,
    `--data-dir=${dir}/cluster`,
    `--kubeconfig=${kubeconfig}`,
    "--mesh=none",
    "--samples=none",
  ])!;
  const layout = clusterLayout(up.name, up.dataDir);
  const lock = await acquire(layout);
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, interrupt);
  try {
    const progress = new Progress();
    progress.line(progress.colors.bold("A tour of the mesh, on a cluster made for it."));
    const cluster = await bringUp(up, layout, progress, stop.signal, { quiet: true });
    const client = new KubeClient(cluster.target);
    try {
      const tour = { client, kubeconfig, signal: stop.signal, notes: new Map() };
      return await walk(tour, progress) ? 0 : 1;
    } finally {
      client.close();
      await cluster.stop();
    }
  } catch (error) {
    if (stop.signal.aborted) throw new CommandError("the tour was interrupted", 130);
    throw error;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, interrupt);
    await lock.release();
    await Deno.remove(dir, { recursive: true }).catch(() => {});
  }
}

/** Runs the steps in order; stops at the first that fails. */
async function walk(tour: TourContext, progress: Progress): Promise<boolean> {
  const { bold, dim, green, red } = palette(wantsColor(Deno.stdout));
  const started = performance.now();
  let number = 0;
  for (const [i, [title, steps]] of JOURNEYS.entries()) {
    progress.line(`\n${bold(`Journey ${i + 1}: ${title}`)}`);
    for (const step of steps) {
      number++;
      progress.line();
      if (step.command) {
        // Continued as in a shell, so that it can be copied.
        const lines = hanging(asTyped(step.command), progress.columns - 7);
        for (const [i, line] of lines.entries()) {
          progress.line(dim(`   ${i === 0 ? "$" : " "} ${line}${i < lines.length - 1 ? " \\" : ""}`));
        }
      }
      try {
        const proof = await progress.step(`${number}. ${step.title}`, () => step.run(tour));
        for (const text of proof) {
          for (const line of hanging(text, progress.columns - 6)) progress.line(`      ${line}`);
        }
      } catch (error) {
        if (tour.signal.aborted) throw error;
        progress.line(`      ${red(describeError(error))}`);
        progress.line(`\n${red("The tour failed")} at step ${number}.`);
        return false;
      }
    }
  }
  progress.line(`\n${green("Every step is proven")}, in ${((performance.now() - started) / 1000).toFixed(0)} s.`);
  progress.line(dim(asTyped("A cluster to try it yourself: `ambientd up`.")));
  return true;
}

function parse(args: string[]): { nodes: string } | undefined {
  const command = new Command("ambientd tour")
    .description("Walk through the mesh on a cluster made for it: every step with its proof; fails where one does.")
    .option("--nodes <count>", "number of nodes", "2");
  return parseFlags(command, args) as { nodes: string } | undefined;
}
