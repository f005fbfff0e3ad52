import type { Logger } from "../../telemetry/logger.ts";
import { Informer, isApiStatus, type KubeClient, type KubeObject, type Pod, RESOURCES } from "../../kube/mod.ts";
import type { ClusterView } from "./agent.ts";
import { type AgentPod, type Labels, REDIRECTION } from "./enablement.ts";

const NO_LABELS: Labels = {};

/** Keeps of a pod what the agent reads. */
function slim(pod: Pod): Pod {
  const { metadata, spec, status } = pod;
  const { name, namespace, uid, resourceVersion, labels, annotations, deletionTimestamp, ownerReferences } = metadata;
  return {
    metadata: { name, namespace, uid, resourceVersion, labels, annotations, deletionTimestamp, ownerReferences },
    spec: {
      nodeName: spec.nodeName,
      hostNetwork: spec.hostNetwork,
      serviceAccountName: spec.serviceAccountName,
      containers: [],
    },
    status: status && { phase: status.phase, podIP: status.podIP, podIPs: status.podIPs },
  };
}

function slimNamespace(namespace: KubeObject): KubeObject {
  const { name, uid, resourceVersion, labels } = namespace.metadata;
  return { metadata: { name, uid, resourceVersion, labels } };
}

function asAgentPod(pod: Pod): AgentPod {
  return pod as unknown as AgentPod;
}

/** The pods of this node and all namespaces, from the Kubernetes API. */
export class Cluster implements ClusterView {
  readonly #client: KubeClient;
  readonly #pods: Informer<Pod>;
  readonly #namespaces: Informer;

  constructor(client: KubeClient, nodeName: string, logger: Logger) {
    this.#client = client;
    const common = { client, logger };
    const fieldSelector = `spec.nodeName=${nodeName}`;
    this.#pods = new Informer<Pod>({ ...common, type: RESOURCES.pods, fieldSelector, transform: slim });
    this.#namespaces = new Informer({ ...common, type: RESOURCES.namespaces, transform: slimNamespace });
  }

  /** Resolves when both have been listed. */
  async start(): Promise<void> {
    this.#pods.start();
    this.#namespaces.start();
    await Promise.all([this.#pods.synced, this.#namespaces.synced]);
  }

  /** Calls back with the `namespace/name` of every pod that changes, and the name of every namespace whose labels do. */
  watch(onPod: (key: string) => void, onNamespace: (name: string) => void): void {
    this.#pods.onChange((changes) => {
      for (const { object } of changes) onPod(`${object.metadata.namespace}/${object.metadata.name}`);
    });
    this.#namespaces.onChange((changes) => {
      for (const change of changes) {
        const same = change.type === "updated" &&
          JSON.stringify(change.old.metadata.labels) === JSON.stringify(change.object.metadata.labels);
        if (!same) onNamespace(change.object.metadata.name);
      }
    });
  }

  async stop(): Promise<void> {
    await Promise.all([this.#pods.stop(), this.#namespaces.stop()]);
  }

  pod(key: string): AgentPod | undefined {
    const pod = this.#pods.store.get(key);
    return pod && asAgentPod(pod);
  }

  *pods(): Iterable<AgentPod> {
    for (const pod of this.#pods.store.values()) yield asAgentPod(pod);
  }

  namespaceLabels(name: string): Labels {
    return this.#namespaces.store.get(name)?.metadata.labels ?? NO_LABELS;
  }

  /** Straight from the API, for a pod that the cache does not have yet. */
  async fetch(namespace: string, name: string): Promise<AgentPod | undefined> {
    try {
      const pod = await this.#client.get<Pod>(RESOURCES.pods, namespace, name);
      return pod ? asAgentPod(pod) : undefined;
    } catch (thrown) {
      if (isApiStatus(thrown, 404)) return undefined;
      throw thrown;
    }
  }

  async annotate(pod: AgentPod, value: "enabled" | "pending" | null): Promise<void> {
    const { uid, name, namespace } = pod.metadata;
    // The uid is a precondition: a pod of the same name that came later is another pod.
    const patch = { metadata: { uid, annotations: { [REDIRECTION]: value } } };
    try {
      await this.#client.patch(RESOURCES.pods, namespace, name, "merge", patch, { subresource: "status" });
    } catch (thrown) {
      if (!isApiStatus(thrown, 404) && !isApiStatus(thrown, 409)) throw thrown;
    }
  }

  /**
   * Whether the agent goes for good: its DaemonSet is gone or going. When that cannot be told, it is taken to stay, so that
   * pods keep their protection.
   */
  async isUninstalled(namespace: string, podName: string): Promise<boolean> {
    const own = this.pod(`${namespace}/${podName}`) as unknown as Pod | undefined;
    const owner = own?.metadata.ownerReferences?.find((reference) => reference.kind === "DaemonSet")?.name;
    try {
      const found = await this.#client.get(RESOURCES.daemonSets, namespace, owner ?? "istio-cni-node");
      return !found || found.metadata.deletionTimestamp !== undefined;
    } catch (thrown) {
      return isApiStatus(thrown, 404);
    }
  }
}
