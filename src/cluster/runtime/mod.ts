/**
 * The nodes and pods of the embedded cluster. Runs inside the engine process, whose network namespace is the fabric; see
 * README.md in this folder for how a pod comes to be.
 */
import { selfCommand } from "../../core/self.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { ClusterApi, PodBackend, TokenIssuer } from "../contracts.ts";
import { startServiceNetwork } from "../services/mod.ts";
import { denoDir, podPath, selfAssets } from "./assets.ts";
import { podBackend } from "./backend.ts";
import { CodeCache } from "./code_cache.ts";
import { type RuntimeContext, Semaphore } from "./context.ts";
import { EventRecorder } from "./events.ts";
import { closeFabric, createFabric } from "./fabric.ts";
import { Kubelet } from "./kubelet.ts";
import { createNode, type NodeNamespace } from "./node_namespace.ts";
import { readMachine, registerNode, renewLease } from "./node_object.ts";
import { readIdMap } from "./privileges.ts";
import { RootFs } from "./root_fs.ts";
import { UsageMeter } from "./usage.ts";

export { createFabric } from "./fabric.ts";

/** Pods being set up at the same time. */
const SETUPS = 8;
const HEARTBEAT_MS = 10_000;

export interface RuntimeOptions {
  api: ClusterApi;
  tokens: TokenIssuer;
  /** The cluster's data directory; `nodes/` and `root/` in it are the runtime's. */
  dataDir: string;
  /** Names of the nodes, in the order of their addresses. */
  nodes: string[];
  /** The checkout that pods run ambientd from. */
  checkout: string;
  log: Logger;
  /** The cluster's CA, as pods get it in ConfigMap kube-root-ca.crt. */
  clusterCaPem: string;
  /** First wait of a container that keeps ending; 10 s as in the kubelet unless a test is in a hurry. */
  restartDelayMs?: number;
}

export interface Runtime {
  readonly backend: PodBackend;
  /** Ends every pod and node. Their objects stay in the API for the next start. */
  stop(): Promise<void>;
}

/**
 * Makes the nodes, registers them, and runs the pods bound to them; also the Services' addresses and the cluster's DNS.
 *
 * @throws MeshError when a namespace, mount or link cannot be made
 */
export async function startRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { api, tokens, dataDir, nodes: names, checkout, log } = options;
  const host = selfCommand(), self = host.map(podPath);
  const cache = await CodeCache.of(checkout, log);
  cache?.fill();
  const cacheDir = cache?.dir ?? denoDir();
  const selfEnv = { DENO_DIR: podPath(cacheDir), DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" };
  await createFabric();
  const assets = selfAssets(checkout, cacheDir, host);
  const root = await RootFs.create({ dataDir, assets, assetPath: podPath, self, selfEnv });
  const nodes: NodeNamespace[] = await Promise.all(
    names.map((name, index) => createNode({ name, index, count: names.length, dataDir, root })),
  );
  const services = await startServiceNetwork({ api, nodes, log: log.child("services") });
  const machine = readMachine();
  const context: RuntimeContext = {
    api,
    tokens,
    log,
    events: new EventRecorder(api),
    root,
    ids: readIdMap(),
    self,
    selfEnv,
    cache,
    allocatable: { cpu: machine.cpu, memory: machine.memory },
    setups: new Semaphore(SETUPS),
    restartDelayMs: options.restartDelayMs ?? 10_000,
  };
  const kubelet = new Kubelet(context);
  const objects = nodes.map((node) => {
    kubelet.addNode(node);
    return registerNode(api, node, machine);
  });
  kubelet.start();
  const meter = new UsageMeter(() => kubelet.runners);
  const heartbeat = setInterval(() => {
    for (const object of objects) {
      try {
        renewLease(api, object);
      } catch (error) {
        log.warn("cannot renew a node's lease", { node: object.metadata.name, error: String(error) });
      }
    }
  }, HEARTBEAT_MS);
  return {
    backend: podBackend(kubelet, api, meter),
    async stop() {
      meter.stop();
      clearInterval(heartbeat);
      await kubelet.stop();
      await services.stop();
      await Promise.all(nodes.map((node) => node.close()));
      await closeFabric();
      await root.close();
      await cache?.stop();
    },
  };
}
