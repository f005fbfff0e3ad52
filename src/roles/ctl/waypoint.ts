import { stringify } from "yaml";
import { sleep } from "../../core/backoff.ts";
import { parseDurationMs } from "../../core/duration.ts";
import { formatTable } from "../../core/terminal.ts";
import { CommandError, UsageError } from "../../core/usage.ts";
import type { CtlContext } from "./context.ts";
import { KubeApiError, type KubeClient, type KubeJson } from "./kube.ts";

const GROUP = "gateway.networking.k8s.io";
/** Versions of Gateway that will do, best first: releases before 1.0 have no v1. */
const VERSIONS = ["v1", "v1beta1"];
const INSTALLING = "https://gateway-api.sigs.k8s.io/guides/#installing-gateway-api";
const CLASS = "istio-waypoint";
const USE_WAYPOINT = "istio.io/use-waypoint";
const WAYPOINT_FOR = "istio.io/waypoint-for";
const REVISION = "istio.io/rev";
const DATAPLANE_MODE = "istio.io/dataplane-mode";
const DEFAULT_NAME = "waypoint";
const POLL_MS = 250;

/** What a waypoint may be for. */
const TRAFFIC = ["service", "workload", "all", "none"];

export interface WaypointFlags {
  name?: string;
  for?: string;
  enrollNamespace?: boolean;
  overwrite?: boolean;
  revision?: string;
  wait?: boolean;
  waypointTimeout?: string;
  allNamespaces?: boolean;
  all?: boolean;
}

/** The Gateway of a waypoint, as it is applied. */
function waypointGateway(namespace: string | undefined, flags: WaypointFlags, version = VERSIONS[0]): KubeJson {
  const labels: Record<string, string> = {};
  if (flags.for) {
    if (!TRAFFIC.includes(flags.for)) {
      throw new CommandError(`invalid traffic type: ${flags.for}. Valid options are: ${TRAFFIC.join(", ")}`);
    }
    labels[WAYPOINT_FOR] = flags.for;
  }
  if (flags.revision) labels[REVISION] = flags.revision;
  return {
    apiVersion: `${GROUP}/${version}`,
    kind: "Gateway",
    metadata: {
      ...(Object.keys(labels).length > 0 ? { labels } : {}),
      name: waypointName(flags),
      ...(namespace === undefined ? {} : { namespace }),
    },
    spec: { gatewayClassName: CLASS, listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }] },
  };
}

function waypointName(flags: WaypointFlags): string {
  const name = flags.name || DEFAULT_NAME;
  if (name === "none") throw new CommandError("invalid name provided for waypoint, 'none' is a reserved value");
  return name;
}

/** `ctl waypoint generate`: the Gateway as YAML; needs no cluster. */
export function waypointGenerateCommand(context: CtlContext, flags: WaypointFlags): number {
  context.streams.out(stringify(waypointGateway(context.flags.namespace, flags)));
  return 0;
}

/** `ctl waypoint apply`. */
export async function waypointApplyCommand(context: CtlContext, flags: WaypointFlags): Promise<number> {
  // What is typed wrongly is said before the cluster is asked anything.
  const { name } = waypointGateway(undefined, flags).metadata;
  const timeoutMs = timeoutOf(flags);
  using client = await context.client();
  const namespace = context.namespace(client);
  const found = await client.get("v1", "Namespace", undefined, namespace);
  if (!found) {
    throw new CommandError(`namespace: ${namespace} not found; make it with \`kubectl create namespace ${namespace}\``);
  }
  const labels: Record<string, string> = found.metadata.labels ?? {};
  if (flags.enrollNamespace) {
    const current = labels[USE_WAYPOINT];
    if (current && !flags.overwrite) {
      context.print(
        `⚠️ Warning: namespace (${namespace}) already has an enrolled waypoint, "${current}", so nothing was applied. ` +
          `Consider adding the \`--overwrite\` flag to apply "${name}" all the same.`,
      );
      return 0;
    }
    if (labels[DATAPLANE_MODE] !== "ambient") {
      context.print(
        "⚠️ Warning: namespace is not enrolled in ambient. Consider running " +
          `\`kubectl label namespace ${namespace} istio.io/dataplane-mode=ambient\``,
      );
    }
  }
  const gateway = waypointGateway(namespace, flags, await servedVersion(client));
  await apply(client, gateway);
  context.print(`✅ waypoint ${namespace}/${name} applied`);
  if (flags.wait) {
    await untilProgrammed(client, gateway, timeoutMs);
    context.print(`✅ waypoint ${namespace}/${name} is ready!`);
  }
  // Only now: traffic follows the label at once.
  if (flags.enrollNamespace) {
    await client.request("PATCH", `/api/v1/namespaces/${encodeURIComponent(namespace)}`, {
      body: { metadata: { labels: { [USE_WAYPOINT]: name } } },
      contentType: "application/merge-patch+json",
    });
    context.print(`✅ namespace ${namespace} labeled with "${USE_WAYPOINT}: ${name}"`);
  }
  return 0;
}

async function apply(client: KubeClient, gateway: KubeJson): Promise<void> {
  try {
    await client.apply(gateway);
  } catch (error) {
    if (error instanceof KubeApiError && error.status === 404) throw noDefinitions();
    throw error;
  }
}

/** The version of Gateway to use, by discovery, which everybody may read. @throws CommandError when the cluster has none */
async function servedVersion(client: KubeClient): Promise<string> {
  const known = await discover(client, `/apis/${GROUP}`);
  const others = ((known?.versions ?? []) as { version: string }[]).map(({ version }) => version)
    .filter((version) => !VERSIONS.includes(version));
  const old: string[] = [];
  for (const version of known ? [...VERSIONS, ...others] : []) {
    const resources: { name: string }[] = (await discover(client, `/apis/${GROUP}/${version}`))?.resources ?? [];
    if (!resources.some(({ name }) => name === "gateways")) continue;
    if (VERSIONS.includes(version)) return version;
    old.push(version);
  }
  if (old.length === 0) throw noDefinitions();
  throw new CommandError(
    `the Kubernetes Gateway API CRDs in the cluster are too old: they serve Gateway as ${
      old.join(", ")
    }, and a waypoint ` +
      `needs ${VERSIONS.join(" or ")}; install a newer release: ${INSTALLING}`,
  );
}

async function discover(client: KubeClient, path: string): Promise<KubeJson | undefined> {
  try {
    return await client.request("GET", path);
  } catch (error) {
    if (error instanceof KubeApiError && error.status === 404) return undefined;
    throw error;
  }
}

function noDefinitions(): CommandError {
  return new CommandError(
    "the Kubernetes Gateway API CRDs are not installed in the cluster; install them first, as with " +
      '`kubectl kustomize "github.com/kubernetes-sigs/gateway-api/config/crd?ref=v1.4.0" | kubectl apply -f -` ' +
      `(${INSTALLING})`,
  );
}

function timeoutOf({ waypointTimeout = "90s" }: WaypointFlags): number {
  const timeout = parseDurationMs(waypointTimeout);
  if (!(timeout > 0)) throw new UsageError(`--waypoint-timeout must be above zero, not "${waypointTimeout}"`);
  return timeout;
}

async function untilProgrammed(client: KubeClient, applied: KubeJson, timeoutMs: number): Promise<void> {
  const { apiVersion, metadata: { namespace, name } } = applied;
  const deadline = Date.now() + timeoutMs;
  let gateway: KubeJson | undefined;
  do {
    gateway = await client.get(apiVersion, "Gateway", namespace, name);
    if (!gateway) throw new CommandError(`waypoint ${namespace}/${name} was deleted while waiting for it`);
    if (programmed(gateway)?.status === "True") return;
    await sleep(POLL_MS);
  } while (Date.now() < deadline);
  const message = programmed(gateway)?.message;
  throw timedOut(namespace, name, message);
}

function timedOut(namespace: string, name: string, message?: string): CommandError {
  return new CommandError(
    `timed out while waiting for waypoint ${namespace}/${name}${message ? `: ${message}` : ""}; ` +
      `\`kubectl describe gateway ${name} -n ${namespace}\` and \`ambientd ctl proxy-status\` show more`,
  );
}

function programmed(gateway: KubeJson): KubeJson | undefined {
  return gateway.status?.conditions?.find(({ type }: KubeJson) => type === "Programmed");
}

/** Waypoints of a namespace or, without one, of all; in order of their names. */
async function waypoints(client: KubeClient, namespace: string | undefined): Promise<KubeJson[]> {
  const apiVersion = `${GROUP}/${await servedVersion(client)}`;
  const gateways = (await client.list(apiVersion, "Gateway", { namespace })).map((gateway) => ({
    ...gateway,
    apiVersion,
    kind: "Gateway",
  } as KubeJson));
  return gateways.filter(({ spec }) => spec?.gatewayClassName === CLASS)
    .sort((a, b) => compare(a.metadata.namespace, b.metadata.namespace) || compare(a.metadata.name, b.metadata.name));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** `ctl waypoint list`. */
export async function waypointListCommand(context: CtlContext, flags: WaypointFlags): Promise<number> {
  using client = await context.client();
  const found = await waypoints(client, flags.allNamespaces ? undefined : context.namespace(client));
  if (found.length === 0) {
    context.print("No waypoints found.");
    return 0;
  }
  const rows = found.map(({ metadata, status }) => [
    ...(flags.allNamespaces ? [metadata.namespace] : []),
    metadata.name,
    metadata.labels?.[REVISION] ?? "default",
    metadata.labels?.[WAYPOINT_FOR] ?? "none",
    programmed({ status })?.status ?? "False",
  ]);
  const heading = ["NAME", "REVISION", "TRAFFIC TYPE", "PROGRAMMED"];
  context.print(formatTable([flags.allNamespaces ? ["NAMESPACE", ...heading] : heading, ...rows], 5));
  return 0;
}

/** `ctl waypoint status [name]`: a row for each condition, again until all are programmed when asked to wait. */
export async function waypointStatusCommand(
  context: CtlContext,
  name: string | undefined,
  flags: WaypointFlags & { wait: boolean },
): Promise<number> {
  using client = await context.client();
  const timeoutMs = timeoutOf(flags), deadline = Date.now() + timeoutMs;
  const heading = ["NAME", "STATUS", "TYPE", "REASON", "MESSAGE"];
  let shown = "";
  for (;;) {
    const all = await waypoints(client, flags.allNamespaces ? undefined : context.namespace(client));
    const found = name === undefined ? all : all.filter(({ metadata }) => metadata.name === name);
    if (found.length === 0) {
      if (name !== undefined) {
        const where = flags.allNamespaces ? name : `${context.namespace(client)}/${name}`;
        throw new CommandError(`waypoint ${where} not found; \`ambientd ctl waypoint list -A\` lists those there are`);
      }
      context.print("No waypoints found.");
      return 0;
    }
    const rows = found.map((gateway) => {
      const { status = "Unknown", type = "Programmed", reason = "Pending", message = "" } = programmed(gateway) ?? {};
      return [
        ...(flags.allNamespaces ? [gateway.metadata.namespace] : []),
        gateway.metadata.name,
        status,
        type,
        reason,
        message,
      ];
    });
    const text = formatTable([flags.allNamespaces ? ["NAMESPACE", ...heading] : heading, ...rows], 5);
    if (text !== shown) context.print(shown === "" ? text : text.slice(text.indexOf("\n") + 1));
    shown = text;
    if (!flags.wait || found.every((gateway) => programmed(gateway)?.status === "True")) return 0;
    if (Date.now() > deadline) {
      const waiting = found.find((gateway) => programmed(gateway)?.status !== "True")!;
      throw timedOut(waiting.metadata.namespace, waiting.metadata.name, programmed(waiting)?.message);
    }
    await sleep(POLL_MS);
  }
}

/** `ctl waypoint delete name...`, `--all`, `--revision r`: never touches a Gateway of another class. */
export async function waypointDeleteCommand(
  context: CtlContext,
  names: readonly string[],
  flags: WaypointFlags,
): Promise<number> {
  const by = flags.all || Boolean(flags.revision);
  if (names.length > 0 && by) throw new UsageError("cannot specify waypoint names and also --all or --revision");
  if (names.length === 0 && !by) {
    throw new UsageError("must either specify a waypoint name or delete all with --all or --revision");
  }
  using client = await context.client();
  const namespace = context.namespace(client);
  const found = await waypoints(client, namespace);
  const wanted = found.filter(({ metadata }) =>
    names.length > 0
      ? names.includes(metadata.name)
      : !flags.revision || (metadata.labels?.[REVISION] ?? "default") === flags.revision
  );
  const problems: string[] = [];
  await Promise.all(wanted.map(async (gateway) => {
    const { name } = gateway.metadata;
    try {
      await client.delete(gateway, { background: true });
      context.print(`waypoint ${namespace}/${name} deleted`);
    } catch (error) {
      problems.push(`${name}: ${(error as Error).message}`);
    }
  }));
  for (const name of names) {
    if (!wanted.some(({ metadata }) => metadata.name === name)) {
      context.print(`waypoint ${namespace}/${name} not found`);
    }
  }
  if (wanted.length === 0 && names.length === 0) context.print(`No waypoints found.`);
  if (problems.length > 0) throw new CommandError(`failed to delete waypoints: ${problems.join("; ")}`);
  return 0;
}
