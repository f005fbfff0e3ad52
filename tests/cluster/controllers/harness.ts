import type { ClusterApi, KubeObject } from "../../../src/cluster/contracts.ts";
import { type Controllers, runControllers } from "../../../src/cluster/controllers/mod.ts";
import { isActive } from "../../../src/cluster/controllers/kit/pods.ts";
import { EVENTS, NAMESPACES, NODES, PODS } from "../../../src/cluster/controllers/kit/types.ts";
import { Logger } from "../../../src/telemetry/logger.ts";
import { FakeClusterApi } from "../../support/fake_cluster_api.ts";
import { FakeClock } from "../../support/fake_clock.ts";

const HEARTBEAT_MS = 10_000;

/** All controllers at work on an API without nodes' programs: tests play the part of the runtime. */
export class Harness {
  readonly clock = new FakeClock();
  readonly api: ClusterApi = new FakeClusterApi(() => this.clock.now());
  readonly logged: string[] = [];
  /** Nodes whose heartbeat has stopped. */
  readonly silent = new Set<string>();
  #controllers: Controllers;
  #nextIp = 1;

  constructor({ nodes = 2 } = {}) {
    this.#controllers = this.#start();
    for (let i = 0; i < nodes; i++) this.addNode(`node-${i}`);
  }

  #start(): Controllers {
    return runControllers({
      api: this.api,
      tokens: {
        issue: (request) => Promise.resolve({ token: `token-of-${request.serviceAccount}`, expirationTimestamp: "" }),
      },
      caPem: "CA",
      log: new Logger("controllers", { sink: { write: (line) => this.logged.push(line) } }),
      clock: this.clock,
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

  stop(): Promise<void> {
    return this.#controllers.stop();
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
  options: { nodes?: number },
  test: (harness: Harness) => Promise<void>,
): Promise<void> {
  const harness = new Harness(options);
  try {
    await harness.settle();
    await test(harness);
  } finally {
    await harness.stop();
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
