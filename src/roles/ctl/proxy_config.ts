import { stringify } from "yaml";
import { CommandError, UsageError } from "../../core/usage.ts";
import { adminPort } from "./admin_flags.ts";
import type { CtlContext } from "./context.ts";
import { type LogFlags, loggingQuery, showLevels } from "./log_levels.ts";
import { parsePodName, resolvePod, selectPods } from "./pod_name.ts";
import { fetchProxyDump, type ProxyDump, readProxyDump, refuseZtunnel } from "./proxy_dump.ts";
import { PROXY_TITLES, PROXY_VIEWS, type ProxyFilter, type ProxyViewName } from "./proxy_tables.ts";

export interface ProxyConfigFlags {
  output: string;
  proxyAdminPort: string;
  file?: string;
  /** Of those commands that have it. */
  verbose?: boolean;
  waypoint?: boolean;
  address?: string;
  port?: string;
  type?: string;
  fqdn?: string;
  subset?: string;
  direction?: string;
  name?: string;
  cluster?: string;
  status?: string;
  withHeaders?: boolean;
}

/** A sub-command that shows a part of the configuration. */
export type ProxyPart = ProxyViewName | "all";

const OUTPUTS = ["short", "table", "json", "yaml"];

/** `ctl proxy-config <part> <pod>`. */
export async function proxyConfigCommand(
  context: CtlContext,
  part: ProxyPart,
  pod: string | undefined,
  flags: ProxyConfigFlags,
): Promise<number> {
  if (!OUTPUTS.includes(flags.output)) {
    throw new CommandError(`output format "${flags.output}" is not supported: --output must be json, yaml or short`);
  }
  const filter = filterOf(flags), port = adminPort(flags);
  const dump = await obtain(context, pod, flags.file, port);
  const show = (value: unknown) =>
    flags.output === "yaml" ? context.streams.out(stringify(value)) : context.print(JSON.stringify(value, null, 2));
  if (flags.output === "json" || flags.output === "yaml") {
    show(part === "all" ? dump : PROXY_VIEWS[part].select(dump, filter));
  } else if (part === "all") {
    const heading = (name: ProxyViewName) => flags.withHeaders ? `------ ${PROXY_TITLES[name]} ------\n\n` : "";
    const parts = Object.keys(PROXY_VIEWS) as ProxyViewName[];
    context.print(parts.map((name) => heading(name) + PROXY_VIEWS[name].table(dump, filter)).join("\n\n"));
  } else context.print(PROXY_VIEWS[part].table(dump, filter));
  return 0;
}

function filterOf(flags: ProxyConfigFlags): ProxyFilter {
  const { address, type, fqdn, subset, direction, name, cluster, status, waypoint, verbose = true } = flags;
  // As in istioctl, 0 is any port.
  const port = Number(flags.port ?? 0) || undefined;
  if (type !== undefined && !["HTTP", "TCP", "HTTP+TCP"].includes(type.toUpperCase())) {
    throw new UsageError(`--type must be HTTP, TCP or HTTP+TCP, not "${type}"`);
  }
  return { address, port, type, fqdn, subset, direction, name, cluster, status, waypoint, verbose };
}

/** `ctl proxy-config log`: shows or sets log levels. */
export async function proxyLogCommand(
  context: CtlContext,
  pods: readonly string[],
  flags: LogFlags & { selector?: string },
): Promise<number> {
  if (pods.length > 0 && flags.selector) throw new UsageError("either a pod name or a selector can be given, not both");
  if (pods.length === 0 && !flags.selector) throw new UsageError("a pod name or a selector must be given");
  loggingQuery(flags);
  using client = await context.client();
  const namespace = context.namespace(client);
  const found = await selectPods(client, pods, flags.selector, namespace);
  found.forEach(refuseZtunnel);
  return await showLevels(context, client, found, flags);
}

async function obtain(
  context: CtlContext,
  pod: string | undefined,
  file: string | undefined,
  port: number,
): Promise<ProxyDump> {
  if (pod !== undefined && file) throw new UsageError("at most one of --file or a pod name can be given");
  if (file) return readProxyDump(await context.readInput(file), file);
  if (pod === undefined) throw new UsageError("a pod name, or --file, must be given");
  using client = await context.client();
  return await fetchProxyDump(client, await resolvePod(client, parsePodName(pod, context.namespace(client))), port);
}
