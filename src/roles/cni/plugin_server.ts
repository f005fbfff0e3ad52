import { sleep } from "../../core/backoff.ts";
import { describeError, MeshError } from "../../core/errors.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Metric } from "../../telemetry/metrics.ts";
import type { AgentPod } from "./enablement.ts";
import { cniError, parseCmdAdd, parsePluginConfig, podOf, resultIps, unchangedResult } from "./plugin_request.ts";

/** What the server needs of the agent. */
export interface PluginBackend {
  /** A pod by `namespace/name`, from the cache or from the API. */
  pod(namespace: string, name: string, fresh: boolean): Promise<AgentPod | undefined>;
  /** @returns whether the pod belongs into the mesh */
  add(pod: AgentPod, netnsPath: string, ips: readonly string[]): Promise<boolean>;
  /** Turns a path of the node's into one that this process can open. */
  hostPath(path: string): string;
  /** Finds the namespace of a pod whose path cannot be used. */
  findNetns(uid: string): Promise<string>;
  readonly excludeNamespaces: readonly string[];
}

/** How often, and how long apart, a pod is looked for that the cache does not have yet. */
const LOOKUPS = 10, LOOKUP_MS = 10;

/**
 * Serves `pluginevent.sock`: `/cmdadd` for a plugin that has decided that the pod is ambient (Istio's protocol), and
 * `/ambientd/add` for ambientd's own, which leaves the decision to the agent and prints what comes back.
 */
export function servePlugin(
  path: string,
  backend: PluginBackend,
  logger: Logger,
  requests: Metric,
): { close(): Promise<void> } {
  try {
    Deno.removeSync(path);
  } catch (thrown) {
    if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
  }
  const server = Deno.serve({ path, onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    const body = await request.text();
    try {
      if (pathname === "/cmdadd" && request.method === "POST") return await cmdAdd(backend, body);
      if (pathname === "/ambientd/add" && request.method === "POST") return await ownAdd(backend, request, body);
      return new Response("not found\n", { status: 404 });
    } catch (thrown) {
      const bad = thrown instanceof MeshError && thrown.code === "cni_bad_config";
      const message = describeError(thrown);
      logger.error("cannot add a pod for the network plugin", { error: message });
      requests.with(bad ? "bad_request" : "failed").inc();
      const text = pathname === "/ambientd/add" ? cniError(message) : message;
      return new Response(text, { status: bad ? 400 : 500 });
    }
  });
  return { close: () => server.shutdown() };

  async function cmdAdd(backend: PluginBackend, body: string): Promise<Response> {
    const { netns, name, namespace, ips } = parseCmdAdd(body);
    const pod = await lookUp(backend, namespace, name, undefined);
    if (pod) await backend.add(pod, await usable(backend, netns, pod.metadata.uid), ips);
    requests.with("done").inc();
    return new Response("", { status: 200 });
  }

  async function ownAdd(backend: PluginBackend, request: Request, body: string): Promise<Response> {
    const config = parsePluginConfig(body);
    const named = podOf(request.headers.get("x-cni-args") ?? "");
    if (named && !backend.excludeNamespaces.includes(named.namespace)) {
      const pod = await lookUp(backend, named.namespace, named.name, named.uid);
      // A pod that is not in the API (a static pod, or one deleted meanwhile) is not ours to hold up.
      if (pod) {
        const netns = request.headers.get("x-cni-netns") ?? "";
        await backend.add(pod, await usable(backend, netns, pod.metadata.uid), resultIps(config));
      }
    }
    requests.with("done").inc();
    return new Response(unchangedResult(config), { status: 200 });
  }
}

async function lookUp(
  backend: PluginBackend,
  namespace: string,
  name: string,
  uid: string | undefined,
): Promise<AgentPod | undefined> {
  const right = (pod: AgentPod | undefined) => pod && (uid === undefined || pod.metadata.uid === uid) ? pod : undefined;
  for (let i = 0; i < LOOKUPS; i++) {
    const pod = right(await backend.pod(namespace, name, false));
    if (pod) return pod;
    await sleep(LOOKUP_MS);
  }
  return right(await backend.pod(namespace, name, true));
}

/** The path if it leads to a namespace here, else what a look at the processes finds. */
async function usable(backend: PluginBackend, netns: string, uid: string): Promise<string> {
  const path = backend.hostPath(netns);
  if (netns !== "" && isNamespace(path)) return path;
  return await backend.findNetns(uid);
}

/** nsfs files have no size and are not what a plain empty file is: their device differs from their folder's. */
function isNamespace(path: string): boolean {
  try {
    const folder = Deno.statSync(path.slice(0, path.lastIndexOf("/")) || "/");
    return /\/ns\/net$/.test(path) ? Deno.statSync(path).isFile : Deno.statSync(path).dev !== folder.dev;
  } catch {
    return false;
  }
}
