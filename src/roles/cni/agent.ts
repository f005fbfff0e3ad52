import { describeError } from "../../core/errors.ts";
import { ZdsServer } from "../../inpod/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Registry } from "../../telemetry/metrics.ts";
import { type Captured, type CaptureParts, Captures } from "./capture.ts";
import type { CniConfig } from "./config.ts";
import {
  type AgentPod,
  type Enablement,
  isTerminal,
  type Labels,
  podIps,
  REDIRECTION,
  wantsCapture,
} from "./enablement.ts";
import type { NetnsFinder } from "./netns_finder.ts";
import { type Outcome, WorkQueue } from "./work_queue.ts";

/** What the agent knows of the cluster and writes to it; behind it are informers, or a test. */
export interface ClusterView {
  /** A pod of this node, by `namespace/name`. */
  pod(key: string): AgentPod | undefined;
  pods(): Iterable<AgentPod>;
  namespaceLabels(name: string): Labels;
  /** Sets (or with null removes) the redirection annotation on exactly this pod; a pod that is gone is no error. */
  annotate(pod: AgentPod, value: "enabled" | "pending" | null): Promise<void>;
}

export interface AgentOptions extends Omit<CaptureParts, "zds"> {
  readonly config: CniConfig;
  readonly enablement: Enablement;
  readonly cluster: ClusterView;
  readonly finder: Pick<NetnsFinder, "find" | "scan">;
  readonly logger: Logger;
  readonly registry: Registry;
}

export function keyOf(pod: AgentPod): string {
  return `${pod.metadata.namespace}/${pod.metadata.name}`;
}

/**
 * Brings every pod of the node where its labels say it should be. It compares what is with what should be whenever a pod
 * or a namespace changes, so that it does not matter which changes it saw.
 */
export class CniAgent {
  readonly captures: Captures;
  readonly #options: AgentOptions;
  readonly #queue: WorkQueue;
  /** The uid last dealt with under each key: what is left to undo when the object is gone. */
  readonly #uidOf = new Map<string, string>();
  readonly #events;
  #zds: ZdsServer | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.captures = new Captures({ ...options, zds: () => this.#zds });
    this.#queue = new WorkQueue(options.config.workers, (key) => this.#reconcile(key));
    this.#events = options.registry.counter(
      "nodeagent_reconcile_events_total",
      "The total number of reconciliations by what they did",
      ["event_type"],
    );
    const connected = options.registry.gauge("ztunnel_connected", "The number of connections to ztunnel").with();
    options.registry.onCollect(() => connected.set(this.#zds?.connections ?? 0));
  }

  get ztunnels(): number {
    return this.#zds?.connections ?? 0;
  }

  /** Takes over what an earlier agent captured, then serves ztunnel, then looks at every pod. */
  async start(): Promise<void> {
    const { cluster, config, logger } = this.#options;
    const before = [...cluster.pods()].filter((pod) => annotation(pod) === "enabled" && !isTerminal(pod));
    if (before.length > 0) {
      const found = await this.#options.finder.scan();
      // Several at a time: ztunnel is not served before all of them are known.
      const left = [...before];
      const adopt = async () => {
        for (let pod = left.shift(); pod; pod = left.shift()) {
          const name = keyOf(pod);
          this.#uidOf.set(name, pod.metadata.uid);
          await this.captures.adopt(pod, found.get(pod.metadata.uid)?.path, config.reconcileOnStartup).catch(
            (thrown) => {
              logger.warn("cannot take over a captured pod", { pod: name, error: describeError(thrown) });
            },
          );
        }
      };
      await Promise.all(Array.from({ length: Math.max(1, config.workers) }, adopt));
      logger.info("took over captured pods", { pods: before.length });
    }
    this.#zds = new ZdsServer({
      path: config.zdsPath,
      snapshot: () => this.captures.snapshot(),
      logger: logger.child("zds"),
      onSnapshot: (accepted) => this.#accepted(accepted),
    });
    for (const pod of cluster.pods()) this.podChanged(keyOf(pod));
  }

  podChanged(key: string): void {
    this.#queue.add(key);
  }

  namespaceChanged(name: string): void {
    for (const pod of this.#options.cluster.pods()) if (pod.metadata.namespace === name) this.#queue.add(keyOf(pod));
  }

  /** Whether nothing is being done or waits to be tried again. */
  get settled(): boolean {
    return this.#queue.size === 0;
  }

  /**
   * The network plugin asks before the pod's containers start; when this returns, an ambient pod is captured.
   *
   * @param netnsPath as this process can open it
   * @returns whether the pod belongs into the mesh
   * @throws MeshError `redirect_failed`, `system`: the sandbox must not start
   */
  async pluginAdd(pod: AgentPod, netnsPath: string, ips: readonly string[]): Promise<boolean> {
    const { cluster, enablement, config } = this.#options;
    const { wanted } = wantsCapture(pod, cluster.namespaceLabels(pod.metadata.namespace), enablement);
    if (!wanted || !config.ambientEnabled) return false;
    this.#uidOf.set(keyOf(pod), pod.metadata.uid);
    await this.captures.add(pod, netnsPath, ips);
    this.#count("plugin_add");
    this.#options.logger.info("pod joins the mesh as it starts", { pod: keyOf(pod) });
    // The annotation can wait for the queue: the sandbox should not.
    this.#queue.add(keyOf(pod));
    return true;
  }

  /** Stops looking; what is captured stays captured, and ztunnel goes on. */
  async stop(): Promise<void> {
    await this.#queue.close();
    await this.#zds?.close();
    await this.captures.close();
  }

  /** Takes every pod out of the mesh: the agent is being uninstalled, and nobody could do it later. */
  async unenrolAll(): Promise<void> {
    await this.#queue.close();
    const removed = new Set(await this.captures.removeAll());
    await Promise.all(
      [...this.#options.cluster.pods()].filter((pod) => removed.has(pod.metadata.uid)).map((pod) =>
        this.#options.cluster.annotate(pod, null).catch(() => {})
      ),
    );
  }

  /** A ztunnel has come: pods that waited for one are in order now. */
  #accepted(uids: ReadonlySet<string>): void {
    for (const captured of this.captures.all()) {
      if (uids.has(captured.uid)) captured.accepted = true;
      this.#queue.add(`${captured.info.namespace}/${captured.info.name}`);
    }
  }

  async #reconcile(key: string): Promise<Outcome> {
    const { cluster, logger } = this.#options;
    try {
      const pod = cluster.pod(key);
      const before = this.#uidOf.get(key);
      if (before !== undefined && before !== pod?.metadata.uid) {
        this.#uidOf.delete(key);
        await this.captures.forget(before);
        this.#count("delete");
      }
      return pod ? await this.#place(key, pod) : "done";
    } catch (thrown) {
      logger.warn("cannot bring a pod where it belongs, trying again", { pod: key, error: describeError(thrown) });
      return "retry";
    }
  }

  async #place(key: string, pod: AgentPod): Promise<Outcome> {
    const { cluster, enablement, config } = this.#options;
    const captured = this.captures.get(pod.metadata.uid);
    if (isTerminal(pod)) {
      await this.captures.forget(pod.metadata.uid);
      return "done";
    }
    const { wanted } = wantsCapture(pod, cluster.namespaceLabels(pod.metadata.namespace), enablement);
    if (wanted && config.ambientEnabled) return await this.#join(key, pod, captured);
    if (captured || annotation(pod) !== undefined) await this.#leave(key, pod, captured);
    return "done";
  }

  async #join(key: string, pod: AgentPod, captured: Captured | undefined): Promise<Outcome> {
    const ips = podIps(pod);
    if (captured?.netns === undefined) {
      // Without an address there is nothing to capture yet; the update that brings it comes here again.
      if (ips.length === 0 || pod.metadata.deletionTimestamp) return "done";
      const { path } = await this.#options.finder.find(pod.metadata.uid);
      this.#uidOf.set(key, pod.metadata.uid);
      const accepted = await this.captures.join(pod, path);
      this.#count("add");
      this.#options.logger.info("pod joins the mesh", { pod: key, ztunnel: accepted });
      return await this.#annotate(pod, accepted);
    }
    if (ips.length > 0 && ips.join() !== captured.ips.join()) await this.captures.setIps(captured, ips);
    const accepted = captured.accepted || await this.captures.offer(captured);
    return await this.#annotate(pod, accepted);
  }

  async #annotate(pod: AgentPod, accepted: boolean): Promise<Outcome> {
    const value = accepted ? "enabled" : "pending";
    if (annotation(pod) !== value) await this.#options.cluster.annotate(pod, value);
    // While there is no ztunnel there is nothing to try: the one that comes is told of every pod.
    return accepted || this.ztunnels === 0 ? "done" : "retry";
  }

  async #leave(key: string, pod: AgentPod, captured: Captured | undefined): Promise<void> {
    const path = captured?.netns ? undefined : (await this.#options.finder.scan()).get(pod.metadata.uid)?.path;
    await this.captures.release(pod.metadata.uid, path);
    this.#uidOf.delete(key);
    if (annotation(pod) !== undefined || captured) await this.#options.cluster.annotate(pod, null);
    this.#count("remove");
    this.#options.logger.info("pod has left the mesh", { pod: key });
  }

  #count(event: string): void {
    this.#events.with(event).inc();
  }
}

function annotation(pod: AgentPod): string | undefined {
  return pod.metadata.annotations?.[REDIRECTION];
}
