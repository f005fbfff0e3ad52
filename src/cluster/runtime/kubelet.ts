import { describeError } from "../../core/errors.ts";
import { ApiError } from "../api_error.ts";
import type { KubeObject } from "../contracts.ts";
import { writePrimaryConfig } from "./cni.ts";
import { AddressPool, type NodeContext, type RuntimeContext, Semaphore } from "./context.ts";
import type { NodeNamespace } from "./node_namespace.ts";
import { PodRunner } from "./pod_runner.ts";

const PODS = { group: "", resource: "pods" };

/** How often tokens are looked at. */
const REFRESH_EVERY_MS = 10_000;

/** Calls of chained CNI plugins at the same time, on each node. */
const JOINS = 4;

/** Runs the pods bound to the runtime's nodes: one watch for all of them. */
export class Kubelet {
  readonly #context: RuntimeContext;
  readonly #nodes = new Map<string, NodeContext>();
  readonly #pods = new Map<string, PodRunner>();
  readonly #ending = new Map<string, Promise<void>>();
  readonly #unwatch: (() => void)[] = [];
  #refreshTimer: ReturnType<typeof setInterval> | undefined;
  #stopped = false;

  constructor(context: RuntimeContext) {
    this.#context = context;
  }

  addNode(node: NodeNamespace): void {
    const pool = new AddressPool(node.addresses.pod);
    this.#nodes.set(node.name, {
      ...this.#context,
      node,
      joins: new Semaphore(JOINS),
      takeAddress: (wanted) => pool.take(wanted),
      releaseAddress: (ip) => pool.release(ip),
    });
    writePrimaryConfig(node);
  }

  start(): void {
    const { api } = this.#context;
    this.#removeOrphans();
    this.#unwatch.push(api.watch(PODS, (type, pod) => this.#onPod(type, pod)));
    for (const [kind, resource] of [["ConfigMap", "configmaps"], ["Secret", "secrets"]] as const) {
      this.#unwatch.push(api.watch({ group: "", resource }, (_, { metadata }) => {
        for (const runner of this.#pods.values()) {
          if (runner.pod.metadata.namespace === metadata.namespace && runner.usesObject(kind, metadata.name)) {
            runner.refreshVolumes().catch((error) => this.#warn("cannot refresh a volume", runner.pod, error));
          }
        }
      }));
    }
    this.#refreshTimer = setInterval(() => {
      const now = Date.now();
      for (const runner of this.#pods.values()) {
        if (runner.refreshAt <= now) {
          runner.refreshVolumes().catch((error) => this.#warn("cannot refresh a token", runner.pod, error));
        }
      }
    }, REFRESH_EVERY_MS);
  }

  #warn(message: string, pod: KubeObject, error: unknown): void {
    const { namespace, name } = pod.metadata;
    this.#context.log.warn(message, { pod: `${namespace}/${name}`, error: describeError(error) });
  }

  /** Folders of pods that were deleted while the cluster did not run. */
  #removeOrphans(): void {
    const known = new Set(this.#context.api.list(PODS).map((pod) => pod.metadata.uid));
    for (const { node } of this.#nodes.values()) {
      for (const { name } of [...Deno.readDirSync(`${node.dir}/pods`)]) {
        if (!known.has(name)) Deno.removeSync(`${node.dir}/pods/${name}`, { recursive: true });
      }
    }
  }

  #onPod(type: string, pod: KubeObject): void {
    if (this.#stopped) return;
    const uid = pod.metadata.uid!, runner = this.#pods.get(uid);
    if (type === "DELETED") {
      if (runner) this.#forget(runner);
      else void Deno.remove(this.folderOf(pod) ?? "", { recursive: true }).catch(() => {});
      return;
    }
    const context = this.#nodes.get(pod.spec?.nodeName);
    if (!context) return;
    if (runner) runner.update(pod);
    if (pod.metadata.deletionTimestamp) return this.#end(runner, pod);
    if (runner || isTerminal(pod)) return;
    try {
      const started = new PodRunner(context, pod);
      this.#pods.set(uid, started);
      started.start();
    } catch (error) {
      this.#warn("cannot run a pod", pod, error);
    }
  }

  /** Deletion was asked for: the containers end within the grace period, then the object goes. */
  #end(runner: PodRunner | undefined, pod: KubeObject): void {
    const uid = pod.metadata.uid!, grace = pod.metadata.deletionGracePeriodSeconds ?? 0;
    if (this.#ending.has(uid) && grace > 0) return;
    const ending = (async () => {
      await runner?.stop(grace);
      if (runner && !this.#stopped) runner.writeStatus();
      if (!this.#stopped) this.#finalise(pod);
    })().catch((error) => this.#warn("cannot end a pod", pod, error)).finally(() => this.#ending.delete(uid));
    this.#ending.set(uid, ending);
  }

  #finalise(pod: KubeObject): void {
    const { namespace, name, uid } = pod.metadata;
    try {
      this.#context.api.delete(PODS, namespace, name, { gracePeriodSeconds: 0, preconditions: { uid } });
    } catch (error) {
      if (!(error instanceof ApiError) || (error.code !== 404 && error.code !== 409)) throw error;
    }
  }

  #forget(runner: PodRunner): void {
    const uid = runner.uid;
    this.#pods.delete(uid);
    const gone = runner.destroy(true).catch((error) => this.#warn("cannot remove a pod", runner.pod, error))
      .finally(() => this.#ending.delete(uid));
    this.#ending.set(uid, gone);
  }

  /** @throws ApiError 404 when the pod does not run here */
  find(namespace: string, name: string): PodRunner {
    for (const runner of this.#pods.values()) {
      if (runner.pod.metadata.name === name && runner.pod.metadata.namespace === namespace) return runner;
    }
    throw ApiError.notFound("pods", "", name);
  }

  get runners(): Iterable<PodRunner> {
    return this.#pods.values();
  }

  /** The folder of a pod that ended before the engine started, for its logs. */
  folderOf(pod: KubeObject): string | undefined {
    const node = this.#nodes.get(pod.spec?.nodeName)?.node;
    return node && `${node.dir}/pods/${pod.metadata.uid}`;
  }

  /** Ends every pod at once; their objects and folders stay for the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#refreshTimer);
    for (const stop of this.#unwatch) stop();
    await Promise.all([...this.#pods.values()].map((runner) => runner.destroy(false)));
    await Promise.all(this.#ending.values());
  }
}

function isTerminal(pod: KubeObject): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}
