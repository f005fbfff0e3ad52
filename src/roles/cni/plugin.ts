// The plugin as a program: what runs when a container runtime calls it and the agent could not be asked directly. It
// decides by itself whether the pod is ambient, so that pods outside the mesh start while the agent is away.

import { describeError, MeshError } from "../../core/errors.ts";
import { isApiStatus, KubeClient, RESOURCES } from "../../kube/mod.ts";
import { sleep } from "../../core/backoff.ts";
import { type AgentPod, DEFAULT_SELECTORS, type EnablementSelector, wantsCapture } from "./enablement.ts";
import {
  cmdAddEvent,
  CNI_VERSIONS,
  type CniEnvironment,
  cniError,
  parsePluginConfig,
  type PluginConfig,
  podOf,
  unchangedResult,
} from "./plugin_request.ts";

const AGENT_TIMEOUT_MS = 5_000;
/** An agent that is being started again is waited for: cheaper than a process for each attempt of the runtime's. */
const AGENT_WAIT_MS = 5_000, AGENT_RETRY_MS = 100;

/** Reads CNI's environment; undefined when this process was not started as a plugin. */
export function cniEnvironment(env: (name: string) => string | undefined): CniEnvironment | undefined {
  const command = env("CNI_COMMAND");
  if (!command) return undefined;
  return {
    command,
    containerId: env("CNI_CONTAINERID") ?? "",
    netns: env("CNI_NETNS") ?? "",
    args: env("CNI_ARGS") ?? "",
  };
}

/** Runs one CNI command; what it prints goes to `print`. Returns the exit code. */
export async function runPlugin(
  env: CniEnvironment,
  input: () => Promise<string>,
  print: (text: string) => void,
): Promise<number> {
  let version: string | undefined;
  try {
    switch (env.command) {
      case "VERSION":
        print(JSON.stringify({ cniVersion: CNI_VERSIONS.at(-1), supportedVersions: CNI_VERSIONS }));
        return 0;
      case "DEL":
      case "CHECK":
      case "GC":
      case "STATUS":
        return 0;
      case "ADD": {
        const config = parsePluginConfig(await input());
        version = config.cniVersion;
        await add(config, env);
        print(unchangedResult(config));
        return 0;
      }
      default:
        throw new MeshError("cni_bad_config", `unknown CNI_COMMAND "${env.command}"`);
    }
  } catch (thrown) {
    print(cniError(describeError(thrown), version));
    return 1;
  }
}

async function add(config: PluginConfig, env: CniEnvironment): Promise<void> {
  const pod = podOf(env.args);
  if (!pod || config.ambient_enabled === false) return;
  const agentNamespace = config.pod_namespace ?? "istio-system";
  // The agent's own pod could otherwise never start while its plugin is installed.
  if (pod.namespace === agentNamespace && pod.name.startsWith("istio-cni-node-")) return;
  if ((config.exclude_namespaces ?? []).includes(pod.namespace)) return;
  const runDir = config.cni_agent_run_dir ?? "/var/run/istio-cni";
  if (!(await isAmbient(config, pod, `${runDir}/istio-cni-kubeconfig`))) return;
  await askAgent(`${runDir}/pluginevent.sock`, JSON.stringify(cmdAddEvent(config, env)));
}

/** A check that fails lets the pod start, unless the configuration asks for insistence. */
async function isAmbient(
  config: PluginConfig,
  { name, namespace }: { name: string; namespace: string },
  kubeconfig: string,
): Promise<boolean> {
  const insist = config.enable_ambient_detection_retry === true;
  const selectors = (config.enablement_selectors as EnablementSelector[] | undefined) ?? DEFAULT_SELECTORS;
  for (let left = insist ? 30 : 1;; left--) {
    let client: KubeClient | undefined;
    try {
      client = await KubeClient.fromEnvironment({ kubeconfig });
      const [pod, parent] = await Promise.all([
        client.get(RESOURCES.pods, namespace, name),
        client.get(RESOURCES.namespaces, undefined, namespace),
      ]);
      if (!pod || !parent) return false;
      const rules = { selectors, excludeNamespaces: config.exclude_namespaces ?? [] };
      return wantsCapture(pod as unknown as AgentPod, parent.metadata.labels ?? {}, rules).wanted;
    } catch (thrown) {
      if (isApiStatus(thrown, 404)) return false;
      if (left <= 0) {
        if (insist) throw thrown;
        return false;
      }
      await sleep(1000);
    } finally {
      client?.close();
    }
  }
}

async function askAgent(socket: string, body: string): Promise<void> {
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  try {
    await whenListening(socket);
    const response = await fetch("http://unix/cmdadd", {
      method: "POST",
      body,
      client,
      signal: AbortSignal.timeout(AGENT_TIMEOUT_MS),
    });
    const text = await response.text();
    if (response.status === 200) return;
    throw new MeshError("cni_agent", `the CNI agent answered ${response.status}: ${text.trim()}`);
  } catch (cause) {
    if (cause instanceof MeshError) throw cause;
    throw new MeshError("cni_agent", "cannot reach the CNI agent, so that the pod would start outside the mesh", {
      cause,
    });
  } finally {
    client.close();
  }
}

/** Resolves when somebody listens there. @throws what the last attempt to connect said */
async function whenListening(path: string): Promise<void> {
  for (const deadline = performance.now() + AGENT_WAIT_MS;;) {
    try {
      (await Deno.connect({ transport: "unix", path })).close();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(AGENT_RETRY_MS);
    }
  }
}
