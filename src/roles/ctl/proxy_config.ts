import { stringify } from "yaml";
import { describeError } from "../../core/errors.ts";
import { CommandError, UsageError } from "../../core/usage.ts";
import { adminPort, levelDirective } from "./admin_flags.ts";
import type { CtlContext } from "./context.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { parsePodName, resolvePod } from "./pod_name.ts";
import { podRequest } from "./port_forward.ts";
import { type ProxyDump, readProxyDump } from "./proxy_dump.ts";
import { PROXY_TITLES, PROXY_VIEWS, type ProxyFilter, type ProxyViewName } from "./proxy_tables.ts";

export interface ProxyConfigFlags {
  output: string;
  proxyAdminPort: string;
  file?: string;
  verbose: boolean;
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

const OUTPUTS = ["short", "table", "json", "yaml"];

/** `ctl proxy-config <part> <pod>`. */
export async function proxyConfigCommand(
  context: CtlContext,
  part: ProxyViewName | "all" | "bootstrap",
  pod: string | undefined,
  flags: ProxyConfigFlags,
): Promise<number> {
  if (!OUTPUTS.includes(flags.output)) {
    throw new CommandError(`--output must be json, yaml or short, not "${flags.output}"`);
  }
  const filter = filterOf(flags);
  const dump = await obtain(context, pod, flags);
  const show = (value: unknown) =>
    flags.output === "yaml" ? context.streams.out(stringify(value)) : context.print(JSON.stringify(value, null, 2));
  const structured = flags.output === "json" || flags.output === "yaml";
  if (part === "bootstrap") {
    const { node, bootstrap, version, mode } = dump;
    if (flags.output === "short") context.print(`${node.id}\nversion: ${version.version}\nmode: ${mode}`);
    else show({ node, mode, version, bootstrap });
  } else if (part === "all") {
    if (structured) show(dump);
    else {
      const rule = "-".repeat(40);
      context.print(
        (Object.keys(PROXY_VIEWS) as ProxyViewName[]).map((name) =>
          (flags.withHeaders ? `${rule}\n${PROXY_TITLES[name]}\n${rule}\n` : "") + PROXY_VIEWS[name].table(dump, filter)
        ).join("\n\n"),
      );
    }
  } else if (structured) show(PROXY_VIEWS[part].select(dump, filter));
  else context.print(PROXY_VIEWS[part].table(dump, filter));
  return 0;
}

function filterOf(flags: ProxyConfigFlags): ProxyFilter {
  const { address, type, fqdn, subset, direction, name, cluster, status, waypoint, verbose } = flags;
  const port = flags.port === undefined ? undefined : Number(flags.port);
  if (port !== undefined && (!Number.isInteger(port) || port < 0 || port > 65535)) {
    throw new UsageError(`--port must be a port, not "${flags.port}"`);
  }
  if (type !== undefined && !["HTTP", "TCP", "HTTP+TCP"].includes(type.toUpperCase())) {
    throw new UsageError(`--type must be HTTP, TCP or HTTP+TCP, not "${type}"`);
  }
  return { address, port, type, fqdn, subset, direction, name, cluster, status, waypoint, verbose };
}

/** `ctl proxy-config log`: shows or sets log levels. */
export async function proxyLogCommand(
  context: CtlContext,
  pods: readonly string[],
  flags: { proxyAdminPort: string; level?: string; reset?: boolean; selector?: string },
): Promise<number> {
  if (pods.length > 0 && flags.selector) throw new UsageError("either a pod name or a selector can be given, not both");
  if (pods.length === 0 && !flags.selector) throw new UsageError("a pod name or a selector must be given");
  const levels = flags.reset ? "info" : flags.level?.split(",").map(levelDirective).join(",");
  const query = levels === undefined ? "" : `?level=${encodeURIComponent(levels)}${flags.reset ? "&reset" : ""}`;
  using client = await context.client();
  const namespace = context.namespace(client);
  const found = flags.selector
    ? await client.list("v1", "Pod", { namespace, labelSelector: flags.selector })
    : await Promise.all(pods.map((pod) => resolvePod(client, parsePodName(pod, namespace))));
  if (found.length === 0) throw new CommandError(`no pods match "${flags.selector}" in namespace "${namespace}"`);
  for (const pod of found) {
    refuseZtunnel(pod);
    const { metadata: { namespace, name } } = pod;
    const answer = await podRequest(client, namespace, name, adminPort(flags), "POST", `/logging${query}`);
    if (answer.status !== 200) {
      throw new CommandError(
        `cannot set the log level of "${namespace}/${name}": ${answer.body.trim() || answer.status}`,
      );
    }
    context.print(`${name}.${namespace}:\n${answer.body.trim()}\n`);
  }
  return 0;
}

function refuseZtunnel({ metadata: { name, namespace, labels } }: KubeJson): void {
  if (labels?.app !== "ztunnel") return;
  throw new CommandError(
    `"${namespace}/${name}" is a ztunnel, which has no listeners, routes or clusters; use \`ambientd ctl ztunnel-config\``,
  );
}

async function obtain(context: CtlContext, pod: string | undefined, flags: ProxyConfigFlags): Promise<ProxyDump> {
  if (pod !== undefined && flags.file) throw new UsageError("at most one of --file or a pod name can be given");
  if (flags.file) {
    let text: string;
    try {
      text = flags.file === "-" ? await context.streams.readStdin() : await Deno.readTextFile(flags.file);
    } catch (cause) {
      throw new CommandError(`cannot read "${flags.file}": ${describeError(cause)}`);
    }
    return readProxyDump(text, flags.file);
  }
  if (pod === undefined) throw new UsageError("a pod name, or --file, must be given");
  using client = await context.client();
  return await fetchDump(client, await resolvePod(client, parsePodName(pod, context.namespace(client))), flags);
}

async function fetchDump(client: KubeClient, pod: KubeJson, flags: ProxyConfigFlags): Promise<ProxyDump> {
  refuseZtunnel(pod);
  const { namespace, name } = pod.metadata;
  const containers: KubeJson[] = pod.spec?.containers ?? [];
  if (containers.length > 0 && !containers.some((container) => container.name === "istio-proxy")) {
    throw new CommandError(
      `"${namespace}/${name}" has no L7 proxy: name a waypoint's or a gateway's pod, or use \`ambientd ctl ztunnel-config\` for its ztunnel`,
    );
  }
  const answer = await podRequest(client, namespace, name, adminPort(flags), "GET", "/config_dump");
  if (answer.status !== 200) {
    throw new CommandError(
      `cannot get the configuration of "${namespace}/${name}": it answered status ${answer.status}`,
    );
  }
  return readProxyDump(answer.body, `${namespace}/${name}`);
}
