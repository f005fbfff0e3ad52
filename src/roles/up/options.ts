import { Command, Option } from "commander";
import { UsageError } from "../../core/usage.ts";
import { clusterLayout } from "../../cluster/layout.ts";
import { readScreen } from "./detach.ts";
import { parseFlags } from "./flags.ts";
import type { Screen } from "./progress.ts";

/** A Service made reachable on a port of this machine's loopback. */
export interface Publish {
  readonly hostPort: number;
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
}

export interface UpOptions {
  readonly name: string;
  readonly nodes: number;
  readonly dataDir?: string;
  readonly kubeconfig?: string;
  readonly apiPort: number;
  readonly mesh: "ambient" | "none";
  readonly samples: "bookinfo" | "none";
  /** Whether the definitions of the Gateway API are put into the cluster. */
  readonly gatewayApi: "bundled" | "none";
  readonly publish: readonly Publish[];
  readonly detach: boolean;
  /** This is the process that `--detach` started; its output is shown on such a screen. */
  readonly background?: Screen;
}

/** The most nodes of one cluster: each has a /24 of 10.244.0.0/16. */
const NODES_MAX = 100;

/** @throws UsageError; prints help and returns undefined when it was asked for */
export function parseUpOptions(args: string[]): UpOptions | undefined {
  const command = new Command("ambientd up")
    .description(
      "Start a Kubernetes cluster on this machine, install the mesh into it and deploy the sample applications.\n" +
        "Runs until Ctrl-C; with --detach in the background, until `ambientd down`.",
    )
    .option("--name <name>", "name of the cluster", "ambient")
    .option("--nodes <count>", "number of nodes", "2")
    .option("--data-dir <dir>", "where the cluster keeps its state (default: ~/.local/state/ambientd/<name>)")
    .option("--kubeconfig <file>", "kubeconfig that gets the context (default: $KUBECONFIG or ~/.kube/config)")
    .addOption(
      new Option("--api-port <port>", "port of the API server on 127.0.0.1")
        .default("0", "the last one used, else a free one"),
    )
    .addOption(new Option("--mesh <profile>", "mesh to install").choices(["ambient", "none"]).default("ambient"))
    .addOption(
      new Option("--samples <set>", "applications to deploy").choices(["bookinfo", "none"]).default("bookinfo"),
    )
    .addOption(
      new Option("--gateway-api <set>", "definitions of the Gateway API to put into the cluster")
        .choices(["bundled", "none"]).default("bundled"),
    )
    .option(
      "--publish <mapping>",
      "make a Service reachable on a port of 127.0.0.1: <port>:<service>[.<namespace>]:<port>, as in " +
        "9080:productpage:9080; may be repeated",
      (text: string, all: Publish[]) => [...all, parsePublish(text)],
      [] as Publish[],
    )
    .option("--detach", "return when the cluster is ready and keep it running in the background", false)
    // The process that --detach leaves running.
    .addOption(new Option("--background <screen>").hideHelp());
  const options = parseFlags(command, args);
  if (!options) return undefined;
  try {
    clusterLayout(options.name, options.dataDir);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  return {
    name: options.name,
    nodes: number("--nodes", options.nodes, 1, NODES_MAX),
    dataDir: options.dataDir,
    kubeconfig: options.kubeconfig,
    apiPort: number("--api-port", options.apiPort, 0, 65535),
    mesh: options.mesh,
    // The samples show the mesh; a cluster without one is asked for to do every step by hand.
    samples: options.samples,
    gatewayApi: options.gatewayApi,
    publish: options.publish,
    detach: options.detach,
    background: options.background === undefined ? undefined : readScreen(options.background),
  };
}

function number(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new UsageError(`cannot use ${flag} "${text}"; give a number from ${least} to ${most}`);
  }
  return value;
}

/** `8080:productpage.default:9080`; the namespace may be left out (`default`). */
export function parsePublish(text: string): Publish {
  const match = /^(\d{1,5}):([a-z0-9-]+)(?:\.([a-z0-9-]+))?:(\d{1,5})$/.exec(text);
  const hostPort = Number(match?.[1]), port = Number(match?.[4]);
  if (!match || hostPort < 1 || hostPort > 65535 || port < 1 || port > 65535) {
    throw new UsageError(
      `cannot use --publish "${text}"; write <port>:<service>[.<namespace>]:<port>, as in 9080:productpage.default:9080`,
    );
  }
  return { hostPort, service: match[2], namespace: match[3] ?? "default", port };
}
