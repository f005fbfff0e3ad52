import { type ApiServer, startApiServer } from "../../../src/cluster/api/server.ts";
import type { ClusterApi, GroupResource, KubeObject, PodUsage } from "../../../src/cluster/contracts.ts";
import { type Controllers, runControllers } from "../../../src/cluster/controllers/mod.ts";
import { isActive } from "../../../src/cluster/controllers/kit/pods.ts";
import { EVENTS, NAMESPACES, NODES, PODS } from "../../../src/cluster/controllers/kit/types.ts";
import { Logger } from "../../../src/telemetry/logger.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const HEARTBEAT_MS = 10_000;

/** All controllers at work on a real API in process, without nodes' programs: tests play the part of the runtime. */
export class Harness {
  readonly clock: FakeClock;
  readonly api: ClusterApi;
  readonly caPem: string;
  /** Nodes whose heartbeat has stopped. */
  readonly silent = new Set<string>();
  /** What pods are said to use. */
  usage: () => PodUsage[] = () => [];
  readonly #server: ApiServer;
  readonly #log: Logger;
  #controllers: Controllers;
  #nextIp = 1;

  private constructor(server: ApiServer, clock: FakeClock, log: Logger) {
    this.#server = server;
    this.#log = log;
    this.api = server.api;
    this.clock = clock;
    this.caPem = server.adminKubeconfig("https://localhost").caPem;
    this.#controllers = this.#start();
  }

  static async start(dataDir: string, nodes: number): Promise<Harness> {
    const clock = new FakeClock();
    const log = new Logger("test", { sink: { write: () => {} } });
    const harness = new Harness(await startApiServer({ dataDir, listen: [], log, clock }), clock, log);
    for (let i = 0; i < nodes; i++) harness.addNode(`node-${i}`);
    await harness.settle();
    return harness;
  }

  #start(): Controllers {
    const { api, tokens } = this.#server;
    return runControllers({
      api,
      tokens,
      caPem: this.caPem,
      log: this.#log,
      clock: this.clock,
      usage: () => this.usage(),
    });
  }

  /** Runs the controllers until they have nothing to do. */
  async settle(): Promise<void> {
    await this.#controllers.idle();
  }

  /** Moves time on while the nodes' hearts beat. */
  async advance(ms: number): Promise<void> {
    await this.settle();
    for (let left = ms; left > 0; left -= HEARTBEAT_MS) {
      this.clock.advance(Math.min(left, HEARTBEAT_MS));
      for (const node of this.api.list(NODES)) if (!this.silent.has(node.metadata.name)) this.beat(node);
      await this.settle();
    }
  }

  beat(node: KubeObject): void {
    const lastHeartbeatTime = new Date(this.clock.now()).toISOString();
    const conditions = [{ type: "Ready", status: "True", lastHeartbeatTime }];
    this.api.update(NODES, { ...structuredClone(node), status: { ...node.status, conditions } }, {
      subresource: "status",
    });
  }

  async restart(): Promise<void> {
    await this.#controllers.stop();
    this.#controllers = this.#start();
    await this.settle();
  }

  /** Stops the controllers; the objects stay. */
  stop(): Promise<void> {
    return this.#controllers.stop();
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#server.close();
  }

  /** Names and versions of all objects of some types: equal when nothing was written in between. */
  versions(types: readonly GroupResource[]): string[] {
    return types.flatMap((type) => this.api.list(type)).map(({ kind, metadata }) =>
      `${kind}/${metadata.name}@${metadata.resourceVersion}`
    ).sort();
  }

  addNode(
    name: string,
    { labels = {}, spec = {}, allocatable = { cpu: "4", memory: "8Gi", pods: "110" } } = {},
  ): KubeObject {
    const node = this.api.create(NODES, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels: { "kubernetes.io/hostname": name, ...labels } },
      spec,
    });
    return this.api.update(NODES, {
      ...structuredClone(node),
      status: { allocatable, capacity: allocatable, conditions: [{ type: "Ready", status: "True" }] },
    }, { subresource: "status" });
  }

  addNamespace(name: string): KubeObject {
    return this.api.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  }

  /** Active pods, by name. */
  pods(namespace = "default"): KubeObject[] {
    return this.api.list(PODS, { namespace }).filter(isActive).sort((a, b) =>
      a.metadata.name < b.metadata.name ? -1 : 1
    );
  }

  /** What a kubelet would report of a pod. */
  report(pod: KubeObject, options: { phase?: string; ready?: boolean; ip?: string } = {}): KubeObject {
    const { phase = "Running", ready = phase === "Running", ip = "" } = options;
    const current = this.api.get(PODS, pod.metadata.namespace, pod.metadata.name)!;
    const podIP = current.status?.podIP ?? (ip || `10.244.0.${this.#nextIp++}`);
    const finishedAt = new Date(this.clock.now()).toISOString();
    return this.api.update(PODS, {
      ...structuredClone(current),
      status: {
        ...current.status,
        phase,
        podIP,
        podIPs: [{ ip: podIP }],
        conditions: [{
          type: "Ready",
          status: ready ? "True" : "False",
          lastTransitionTime: new Date(this.clock.now()).toISOString(),
        }],
        ...(phase === "Failed" || phase === "Succeeded"
          ? { containerStatuses: [{ name: "c", restartCount: 0, state: { terminated: { finishedAt } } }] }
          : {}),
      },
    }, { subresource: "status" });
  }

  /** Plays the kubelets until nothing changes: bound pods run and become ready, deleted ones end. */
  async run(namespace = "default"): Promise<void> {
    for (let round = 0; round < 200; round++) {
      await this.settle();
      let changed = false;
      for (const pod of this.api.list(PODS, { namespace })) {
        if (pod.metadata.deletionTimestamp && pod.metadata.deletionGracePeriodSeconds !== 0) {
          this.api.delete(PODS, namespace, pod.metadata.name, { gracePeriodSeconds: 0 });
          changed = true;
        } else if (pod.spec.nodeName && (pod.status?.phase ?? "Pending") === "Pending") {
          this.report(pod);
          changed = true;
        }
      }
      if (!changed) return;
    }
    throw new Error("the cluster does not come to rest");
  }

  /** `reason: message` of the Events of an object. */
  events(name: string, namespace = "default"): string[] {
    return this.api.list(EVENTS, { namespace }).filter((event) => event.involvedObject.name === name)
      .map((event) => `${event.reason}: ${event.message}`);
  }
}

/** Runs a test with a harness that is stopped whatever happens. */
export async function withHarness(
  { nodes = 2 }: { nodes?: number },
  test: (harness: Harness) => Promise<void>,
): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "controllers-" });
  const harness = await Harness.start(dataDir, nodes);
  try {
    await test(harness);
  } finally {
    await harness.close();
    await Deno.remove(dataDir, { recursive: true });
  }
}

export function podTemplate(labels: Record<string, string>, image = "busybox"): any {
  return {
    metadata: { labels },
    spec: { containers: [{ name: "c", image, ports: [{ name: "http", containerPort: 8080 }] }] },
  };
}

export function deployment(name: string, replicas: number, extra: Record<string, unknown> = {}): KubeObject {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default" },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: podTemplate({ app: name }), ...extra },
  };
}
