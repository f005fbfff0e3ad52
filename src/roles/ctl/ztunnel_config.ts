import { stringify } from "yaml";
import { CommandError, UsageError } from "../../core/usage.ts";
import { adminPort } from "./admin_flags.ts";
import type { CtlContext } from "./context.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { loggingQuery, showLevels } from "./log_levels.ts";
import { parsePodName, resolvePod } from "./pod_name.ts";
import { readDump, type ZtunnelDump } from "./ztunnel_dump.ts";
import { fetchZtunnelDump, onNode, runningZtunnels } from "./ztunnel_pods.ts";
import { DUMP_TITLES, DUMP_VIEWS, type DumpFilter, type DumpViewName } from "./ztunnel_tables.ts";

export interface ZtunnelFlags {
  output: string;
  proxyAdminPort: string;
  node?: string;
  file?: string;
  workloadNamespace?: string;
  workloadNode?: string;
  serviceNamespace?: string;
  policyNamespace?: string;
  address?: string;
  direction?: string;
  raw?: boolean;
  withHeaders?: boolean;
  level?: string;
  reset?: boolean;
}

/** Parts that differ from one ztunnel to another, so that a pod or a node has to be named where there are several. */
const PER_NODE = new Set(["certificate", "connections"]);

/** `ctl ztunnel-config <part> [pod]`. */
export async function ztunnelConfigCommand(
  context: CtlContext,
  part: DumpViewName | "all",
  pod: string | undefined,
  flags: ZtunnelFlags,
): Promise<number> {
  if (!["short", "table", "json", "yaml"].includes(flags.output)) {
    throw new CommandError(`--output must be json, yaml or short, not "${flags.output}"`);
  }
  if (flags.direction !== undefined && !["inbound", "outbound"].includes(flags.direction)) {
    throw new CommandError(`--direction must be inbound or outbound, not "${flags.direction}"`);
  }
  const { dump, application } = await obtain(context, part, pod, flags);
  const filter: DumpFilter = {
    namespace: flags.workloadNamespace ?? flags.serviceNamespace ?? flags.policyNamespace,
    node: flags.workloadNode,
    address: flags.address,
    direction: flags.direction,
    raw: flags.raw,
    pod: application,
  };
  if (part === "all") {
    const parts = Object.keys(DUMP_VIEWS) as DumpViewName[];
    if (flags.output === "json") context.print(JSON.stringify(dump.raw, null, 2));
    else if (flags.output === "yaml") context.streams.out(stringify(dump.raw));
    else {
      const heading = (name: DumpViewName) => flags.withHeaders ? `------ ${DUMP_TITLES[name]} ------\n\n` : "";
      context.print(parts.map((name) => heading(name) + DUMP_VIEWS[name].table(dump, filter)).join("\n\n"));
    }
    return 0;
  }
  const view = DUMP_VIEWS[part];
  if (flags.output === "json") context.print(JSON.stringify(view.select(dump, filter), null, 2));
  else if (flags.output === "yaml") context.streams.out(stringify(view.select(dump, filter)));
  else context.print(view.table(dump, filter));
  return 0;
}

/** `ctl ztunnel-config log`: shows or sets log levels. */
export async function ztunnelLogCommand(
  context: CtlContext,
  pod: string | undefined,
  flags: ZtunnelFlags,
): Promise<number> {
  loggingQuery(flags);
  oneSource(pod, flags);
  if (flags.file) throw new UsageError("--file is not applicable to log");
  using client = await context.client();
  const { ztunnels } = await findZtunnels(context, client, pod, flags.node);
  return await showLevels(context, client, ztunnels, flags);
}

async function obtain(
  context: CtlContext,
  part: string,
  pod: string | undefined,
  flags: ZtunnelFlags,
): Promise<{ dump: ZtunnelDump; application?: { name: string; namespace: string } }> {
  const port = adminPort(flags);
  oneSource(pod, flags);
  if (flags.file) return { dump: readDump(await context.readInput(flags.file), flags.file) };
  using client = await context.client();
  const { ztunnels, application } = await findZtunnels(context, client, pod, flags.node);
  if (PER_NODE.has(part) && ztunnels.length > 1) {
    throw new CommandError(
      `ztunnel pod name or --node must be set, as each ztunnel has its own: ${
        ztunnels.map(({ metadata, spec }) => `${metadata.name} (node ${spec?.nodeName})`).join(", ")
      }`,
    );
  }
  return { dump: await fetchZtunnelDump(client, ztunnels[0], port), application };
}

function oneSource(pod: string | undefined, { node, file }: ZtunnelFlags): void {
  if ([pod, node, file].filter(Boolean).length > 1) {
    throw new UsageError("at most one of --file, --node or a pod name can be given");
  }
}

/** The ztunnels that were meant; for an application's pod the one of its node. Never empty. */
async function findZtunnels(
  context: CtlContext,
  client: KubeClient,
  pod: string | undefined,
  node: string | undefined,
): Promise<{ ztunnels: KubeJson[]; application?: { name: string; namespace: string } }> {
  const all = await runningZtunnels(client, context.flags.istioNamespace);
  if (node) return { ztunnels: [onNode(all, node)] };
  if (!pod || /^(ds|daemonset)s?\/ztunnel(\.|$)/.test(pod)) return { ztunnels: all };
  const name = parsePodName(pod, context.namespace(client));
  const named = all.find(({ metadata }) => metadata.name === name.name);
  if (named) return { ztunnels: [named] };
  const application = await resolvePod(client, name);
  return {
    ztunnels: [onNode(all, application.spec?.nodeName ?? "")],
    application: { name: application.metadata.name, namespace: application.metadata.namespace },
  };
}
