// How commands name a pod.

import { CommandError } from "../../core/usage.ts";
import type { KubeClient, KubeJson } from "./kube.ts";

export interface PodName {
  /** Lower case, without a group: `deploy` of `deploy.apps/x`. */
  type: string;
  name: string;
  namespace: string;
}

/** `[type/]name[.namespace]`; a name may hold dots, a namespace none. */
export function parsePodName(text: string, defaultNamespace: string): PodName {
  const slash = text.indexOf("/");
  const rest = text.slice(slash + 1);
  const dot = rest.lastIndexOf(".");
  const name = dot < 0 ? rest : rest.slice(0, dot);
  const namespace = dot < 0 ? defaultNamespace : rest.slice(dot + 1);
  if (name === "" || namespace === "" || slash === 0 || rest.includes("/")) {
    throw new CommandError(`cannot read "${text}" as a pod: write it as [type/]name[.namespace]`);
  }
  const type = slash < 0 ? "pod" : text.slice(0, slash).toLowerCase();
  return { type: type.split(".")[0], name, namespace };
}

const PODS = ["pod", "pods", "po"];
const GATEWAYS = ["gateway", "gateways", "gtw"];
const GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name";

const SELECTING: Record<string, readonly [apiVersion: string, kind: string]> = Object.fromEntries(
  ([
    ["apps/v1", "Deployment", "deploy", "deployment", "deployments"],
    ["apps/v1", "DaemonSet", "ds", "daemonset", "daemonsets"],
    ["apps/v1", "StatefulSet", "sts", "statefulset", "statefulsets"],
    ["apps/v1", "ReplicaSet", "rs", "replicaset", "replicasets"],
    ["v1", "Service", "svc", "service", "services"],
  ] as const).flatMap(([apiVersion, kind, ...types]) => types.map((type) => [type, [apiVersion, kind] as const])),
);

/** The pod that is meant; of a workload, one that runs and is ready if there is one. @throws CommandError */
export async function resolvePod(client: KubeClient, name: PodName): Promise<KubeJson> {
  const pods = await resolvePods(client, name);
  return pods.find(isReady) ?? pods[0];
}

/** The pods that are meant, all of them running; never empty. @throws CommandError */
export async function resolvePods(client: KubeClient, { type, name, namespace }: PodName): Promise<KubeJson[]> {
  if (PODS.includes(type)) {
    const pod = await client.get("v1", "Pod", namespace, name);
    if (!pod) {
      throw new CommandError(
        `pods "${name}" not found in namespace "${namespace}"; \`kubectl get pods -n ${namespace}\` lists them, ` +
          `and -n <namespace> or ${name}.<namespace> names another namespace`,
      );
    }
    const phase = pod.status?.phase;
    if (phase !== undefined && phase !== "Running") {
      throw new CommandError(
        `pod "${namespace}/${name}" cannot be asked: it is ${phase}; \`kubectl describe pod ${name} -n ${namespace}\` says why`,
      );
    }
    return [pod];
  }
  const labelSelector = GATEWAYS.includes(type)
    ? `${GATEWAY_NAME}=${name}`
    : await selectorOf(client, { type, name, namespace });
  const pods = await client.list("v1", "Pod", { namespace, labelSelector });
  const running = pods.filter(({ status, metadata }) => status?.phase === "Running" && !metadata.deletionTimestamp);
  if (running.length === 0) {
    throw new CommandError(
      `${type} "${name}" in namespace "${namespace}" has no running pods; ` +
        `\`kubectl get pods -n ${namespace} -l ${labelSelector}\` shows those it has`,
    );
  }
  return running;
}

/** Pods by name, of a workload all, or by labels; never empty. @throws CommandError */
export async function selectPods(
  client: KubeClient,
  pods: readonly string[],
  selector: string | undefined,
  namespace: string,
): Promise<KubeJson[]> {
  if (!selector) {
    return (await Promise.all(pods.map((pod) => resolvePods(client, parsePodName(pod, namespace))))).flat();
  }
  const found = await client.list("v1", "Pod", { namespace, labelSelector: selector });
  if (found.length === 0) {
    throw new CommandError(
      `no pods match "${selector}" in namespace "${namespace}"; \`kubectl get pods -A -l ${selector}\` looks in all`,
    );
  }
  return found;
}

async function selectorOf(client: KubeClient, { type, name, namespace }: PodName): Promise<string> {
  const known = Object.hasOwn(SELECTING, type) ? SELECTING[type] : undefined;
  if (!known) {
    throw new CommandError(
      `cannot use "${type}/${name}": name a pod, deployment, daemonset, statefulset, replicaset, service or gateway`,
    );
  }
  const object = await client.get(...known, namespace, name);
  if (!object) {
    throw new CommandError(
      `${type} "${name}" not found in namespace "${namespace}"; \`kubectl get ${type} -A\` lists all of the cluster`,
    );
  }
  const selector = selectorText(
    known[1] === "Service" ? { matchLabels: object.spec?.selector } : object.spec?.selector,
  );
  if (selector === "") throw new CommandError(`${type} "${name}" in namespace "${namespace}" selects no pods`);
  return selector;
}

/** A LabelSelector as a query has it. */
function selectorText(selector: KubeJson | undefined): string {
  const labels = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const expressions = (selector?.matchExpressions ?? []).map(({ key, operator, values = [] }: KubeJson) => {
    switch (operator) {
      case "Exists":
        return key;
      case "DoesNotExist":
        return `!${key}`;
      default:
        return `${key} ${operator === "In" ? "in" : "notin"} (${values.join(",")})`;
    }
  });
  return [...labels, ...expressions].join(",");
}

function isReady({ status }: KubeJson): boolean {
  return (status?.conditions ?? []).some((c: KubeJson) => c.type === "Ready" && c.status === "True");
}
