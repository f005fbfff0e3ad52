import { stringify } from "yaml";
import { formatTable } from "../../core/terminal.ts";
import { CommandError } from "../../core/usage.ts";
import type { CtlContext } from "./context.ts";
import { parsePodName, resolvePod } from "./pod_name.ts";
import { istiodPods } from "./remote_version.ts";
import { type ProxyStatus, readSyncz, syncStatus } from "./syncz.ts";

export interface ProxyStatusFlags {
  output: string;
  verbosity: string;
  file?: string;
  revision?: string;
}

/** `ctl proxy-status`: which proxies istiod serves and whether they are up to date. */
export async function proxyStatusCommand(
  context: CtlContext,
  pod: string | undefined,
  flags: ProxyStatusFlags,
): Promise<number> {
  if (!["table", "json", "yaml"].includes(flags.output)) {
    throw new CommandError(`--output must be table, json or yaml, not "${flags.output}"`);
  }
  const proxies = await read(context, flags);
  const name = pod?.includes("/") && !flags.file ? await podOf(context, pod) : pod;
  const shown = name === undefined
    ? proxies
    : proxies.filter(({ proxy }) => proxy === name || proxy.startsWith(`${name}.`));
  if (shown.length === 0 && name !== undefined) {
    throw new CommandError(`no proxy "${name}" is connected; run \`ambientd ctl proxy-status\` for the list`);
  }
  const rows = shown.map(plain);
  if (flags.output === "json") context.print(JSON.stringify(rows, null, 2));
  else if (flags.output === "yaml") context.streams.out(stringify(rows));
  else context.print(formatTable(table(shown, Number(flags.verbosity) > 0), 5));
  return 0;
}

/** `name.namespace` of the pod that `type/name` means. */
async function podOf(context: CtlContext, text: string): Promise<string> {
  using client = await context.client();
  const { metadata } = await resolvePod(client, parsePodName(text, context.namespace(client)));
  return `${metadata.name}.${metadata.namespace}`;
}

async function read(context: CtlContext, flags: ProxyStatusFlags): Promise<ProxyStatus[]> {
  if (flags.file) {
    return readSyncz(await context.readInput(flags.file), flags.file);
  }
  using client = await context.client();
  const namespace = context.flags.istioNamespace;
  const istiods = await istiodPods(client, namespace, flags.revision);
  if (istiods.length === 0) {
    throw new CommandError(
      `no running istiod pods in namespace "${namespace}"${
        flags.revision ? ` of revision "${flags.revision}"` : ""
      }; ` +
        "install the mesh with `ambientd ctl install --set profile=ambient`, or name its namespace with --istioNamespace",
    );
  }
  return await syncStatus(client, istiods);
}

function plain(status: ProxyStatus): Record<string, unknown> {
  return { ...status, types: Object.fromEntries(status.types) };
}

function table(proxies: readonly ProxyStatus[], verbose: boolean): string[][] {
  if (!verbose) {
    return [
      ["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"],
      ...proxies.map(({ proxy, cluster, istiod, version, types }) => [
        proxy,
        cluster,
        istiod,
        version,
        `${types.size} (${[...types.keys()].sort().join(",")})`,
      ]),
    ];
  }
  const names = [...new Set(proxies.flatMap(({ types }) => [...types.keys()]))].sort();
  return [
    ["NAME", "CLUSTER", ...names, "ISTIOD", "VERSION"],
    ...proxies.map(({ proxy, cluster, istiod, version, types }) => [
      proxy,
      cluster,
      ...names.map((name) => types.get(name) ?? "IGNORED"),
      istiod,
      version,
    ]),
  ];
}
