// Installs the plugin on the node: a small program in the CNI binary folder, an entry at the end of the node's network
// configuration, and credentials in the run directory. All writes are atomic; only what differs is written.

import { MeshError } from "../../core/errors.ts";
import type { CniConfig } from "./config.ts";
import type { EnablementSelector } from "./enablement.ts";
import { CNI_VERSIONS } from "./plugin_request.ts";

export const PLUGIN_NAME = "istio-cni";
/** A copy of a compiled ambientd, beside the plugin. */
const EXECUTABLE = "istio-cni-ambientd";
export const KUBECONFIG_NAME = "istio-cni-kubeconfig";

/** How the plugin reaches the API. */
export interface PluginCredentials {
  readonly server: string;
  readonly caPem: string;
  readonly token: string;
}

export interface InstallOptions {
  readonly config: CniConfig;
  readonly selectors: readonly EnablementSelector[];
  /** The command line that runs `ambientd cni` on the node, or the one executable to copy there. */
  readonly command: readonly string[] | { readonly executable: string };
  /** Set for that command: what Deno needs to find its caches. */
  readonly environment: Readonly<Record<string, string>>;
  readonly credentials: () => Promise<PluginCredentials>;
}

/** Writes whatever is missing or differs; returns how many files were written. */
export async function installPlugin(options: InstallOptions): Promise<number> {
  const { config, command, environment } = options;
  let written = 0;
  const socket = `${config.runDir}/pluginevent.sock`;
  let run: readonly string[] | undefined;
  if ("executable" in command) {
    if (await copyExecutable(command.executable, `${config.binDir}/${EXECUTABLE}`)) written++;
  } else run = command;
  const script = renderPlugin(socket, run, environment, config.podNamespace);
  if (await writeAtomic(`${config.binDir}/${PLUGIN_NAME}`, script, 0o755)) written++;
  const kubeconfig = renderKubeconfig(await options.credentials());
  if (await writeAtomic(`${config.runDir}/${KUBECONFIG_NAME}`, kubeconfig, 0o600)) written++;
  if (config.chained && await chain(options)) written++;
  return written;
}

/** Takes the plugin away again: entry first, so that nobody calls a program that is gone. */
export async function uninstallPlugin(config: CniConfig): Promise<void> {
  for (const name of await configFiles(config.confDir)) {
    const path = `${config.confDir}/${name}`;
    const list = await readConfig(path);
    if (!list?.plugins?.some(isOurs)) continue;
    const plugins = list.plugins.filter((plugin) => !isOurs(plugin));
    if (plugins.length === 0) await Deno.remove(path).catch(() => {});
    else await writeAtomic(path, format({ ...list, plugins }));
  }
  const files = [PLUGIN_NAME, EXECUTABLE].map((name) => `${config.binDir}/${name}`);
  for (const path of [...files, `${config.runDir}/${KUBECONFIG_NAME}`]) {
    await Deno.remove(path).catch(() => {});
  }
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * Prints the value of `prevResult`, an object, from a network configuration: JSON in, JSON out, without a JSON parser. Only
 * a key of the outermost object counts, and braces in strings do not.
 */
const PREVIOUS_RESULT = `
{ text = text $0 "\\n" }
END {
  for (i = 1; i <= length(text); i++) {
    c = substr(text, i, 1)
    if (quoted) {
      if (c == "\\\\") i++
      else if (c == "\\"") {
        quoted = 0
        if (depth == 1) word = substr(text, from, i - from)
      }
    }
    else if (c == "\\"") { quoted = 1; from = i + 1 }
    else if (c == "{" || c == "[") {
      if (++depth == 2 && word == "prevResult" && c == "{") start = i
    }
    else if (c == "}" || c == "]") {
      if (--depth == 1 && start) { print substr(text, start, i - start + 1); exit }
    }
    else if (c == "," && depth == 1) word = ""
  }
}`;

/** How often the plugin's script asks an agent that does not listen, and how long it waits in between. */
const TRIES = 25, WAIT_SECONDS = 0.2;

/**
 * The program on the node. Where curl is there the agent is asked directly, which takes milliseconds, and waited for while
 * it starts; a whole ambientd is started only where it does not come. The mesh's own pods, which are never captured, do not
 * wait: the agent itself, and those that would otherwise start one after the other when a node does.
 *
 * @param command undefined for the executable that lies beside the plugin
 */
export function renderPlugin(
  socket: string,
  command: readonly string[] | undefined,
  environment: Readonly<Record<string, string>>,
  agentNamespace: string,
): string {
  const versions = JSON.stringify({ cniVersion: CNI_VERSIONS.at(-1), supportedVersions: CNI_VERSIONS });
  const program = command ? command.map(quote).join(" ") : `"\${0%/*}/${EXECUTABLE}" cni`;
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${quote(value)}`);
  return `#!/bin/sh
# Installed by ambientd's CNI agent; written again when it differs.
case "$CNI_COMMAND" in
  DEL|CHECK|GC|STATUS) exit 0 ;;
  VERSION) printf '%s' ${quote(versions)}; exit 0 ;;
esac
input=$(cat)
case ";$CNI_ARGS;" in
  *${quote(`;K8S_POD_NAMESPACE=${agentNamespace};`)}*)
    case ";$CNI_ARGS;" in
      *';K8S_POD_NAME=istio-cni-node-'*|*';K8S_POD_NAME=ztunnel-'*|*';K8S_POD_NAME=istiod-'*)
        result=$(printf '%s' "$input" | awk ${quote(PREVIOUS_RESULT)} 2>/dev/null)
        [ -z "$result" ] || { printf '%s' "$result"; exit 0; }
    esac
esac
if [ "$CNI_COMMAND" = ADD ] && command -v curl >/dev/null 2>&1; then
  try=0
  while [ $try -lt ${TRIES} ]; do
    answer=$(printf '%s' "$input" | curl -s --max-time 30 --unix-socket ${quote(socket)} \\
      -H "x-cni-netns: $CNI_NETNS" -H "x-cni-args: $CNI_ARGS" -H 'expect:' --data-binary @- \\
      -w '\\n%{http_code}' http://unix/ambientd/add)
    status=$?
    if [ $status = 0 ]; then
      code=\${answer##*
}
      printf '%s' "\${answer%
*}"
      [ "$code" = 200 ]
      exit
    fi
    # 7: nobody listens. Where the agent never ran there is nothing to wait for.
    [ $status = 7 ] && [ -e ${quote(socket)} ] || break
    try=$((try + 1))
    sleep ${WAIT_SECONDS}
  done
fi
printf '%s' "$input" | exec env ${[...assignments, program].join(" ")}
`;
}

/** @returns whether it was copied; equal size and a copy that is not older count as equal */
async function copyExecutable(from: string, to: string): Promise<boolean> {
  const [source, target] = await Promise.all([Deno.stat(from), Deno.stat(to).catch(() => undefined)]);
  if (target && target.size === source.size && (target.mtime ?? 0) >= (source.mtime ?? 0)) return false;
  const temporary = `${to}.tmp-${crypto.randomUUID()}`;
  await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
  await Deno.copyFile(from, temporary);
  await Deno.chmod(temporary, 0o755);
  await Deno.rename(temporary, to);
  return true;
}

function renderKubeconfig({ server, caPem, token }: PluginCredentials): string {
  return JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "local", cluster: { server, "certificate-authority-data": btoa(caPem) } }],
      users: [{ name: "istio-cni", user: { token } }],
      contexts: [{ name: "istio-cni-context", context: { cluster: "local", user: "istio-cni" } }],
      "current-context": "istio-cni-context",
    },
    null,
    2,
  ) + "\n";
}

interface PluginList {
  cniVersion?: string;
  name?: string;
  plugins?: Record<string, unknown>[];
}

/** Our entry in the list of plugins. */
export function pluginEntry(config: CniConfig, selectors: readonly EnablementSelector[]): Record<string, unknown> {
  return {
    type: PLUGIN_NAME,
    name: PLUGIN_NAME,
    plugin_log_level: "info",
    cni_agent_run_dir: config.runDir,
    ambient_enabled: config.ambientEnabled,
    enablement_selectors: selectors,
    exclude_namespaces: config.excludeNamespaces,
    pod_namespace: config.podNamespace,
    native_nftables: config.nativeNftables,
    enable_ambient_detection_retry: false,
  };
}

/**
 * Appends our entry to the node's configuration.
 *
 * @throws MeshError `no_cni_config`, retryable: the node's own network plugin has not written it yet
 */
async function chain({ config, selectors }: InstallOptions): Promise<boolean> {
  const { confDir } = config;
  for (const name of config.confName === "" ? await configFiles(confDir) : [config.confName]) {
    const list = await readConfig(`${confDir}/${name}`);
    if (!list?.plugins || list.plugins.length === 0) continue;
    const plugins = [...list.plugins.filter((plugin) => !isOurs(plugin)), pluginEntry(config, selectors)];
    const target = name.endsWith(".conf") ? `${name}list` : name;
    const changed = await writeAtomic(`${confDir}/${target}`, format({ ...list, plugins }));
    if (target !== name) await Deno.remove(`${confDir}/${name}`).catch(() => {});
    return changed;
  }
  throw new MeshError("no_cni_config", `no usable CNI configuration in "${confDir}" yet`, { retryable: true });
}

function isOurs(plugin: Record<string, unknown>): boolean {
  return plugin.type === PLUGIN_NAME;
}

async function configFiles(dir: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(dir)) if (/\.(conf|conflist)$/.test(entry.name)) names.push(entry.name);
  } catch (thrown) {
    if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
  }
  return names.sort();
}

/** A configuration as a list; a single plugin's becomes one, under the name that Istio gives it. */
async function readConfig(path: string): Promise<PluginList | undefined> {
  try {
    const value = JSON.parse(await Deno.readTextFile(path));
    if (Array.isArray(value?.plugins)) return value;
    if (typeof value?.type !== "string") return undefined;
    return { cniVersion: "0.3.1", name: "k8s-pod-network", plugins: [value] };
  } catch {
    return undefined;
  }
}

function format(value: unknown): string {
  return JSON.stringify(value, null, 2) + "\n";
}

/** @returns whether the file was written */
async function writeAtomic(path: string, text: string, mode?: number): Promise<boolean> {
  const before = await Deno.readTextFile(path).catch(() => undefined);
  if (before === text) return false;
  const keep = mode ?? (await Deno.stat(path).then((info) => info.mode, () => null)) ?? 0o644;
  const dir = path.slice(0, path.lastIndexOf("/"));
  await Deno.mkdir(dir, { recursive: true });
  const temporary = `${path}.tmp-${crypto.randomUUID()}`;
  try {
    await Deno.writeTextFile(temporary, text, { mode: keep & 0o777 });
    await Deno.chmod(temporary, keep & 0o777);
    await Deno.rename(temporary, path);
  } catch (thrown) {
    await Deno.remove(temporary).catch(() => {});
    throw thrown;
  }
  return true;
}
