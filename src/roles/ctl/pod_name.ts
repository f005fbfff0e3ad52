// How commands name a pod.

import { CommandError } from "../../core/usage.ts";
import type { KubeClient, KubeJson } from "./kube.ts";

export interface PodName {
  type: string;
  name: string;
  namespace: string;
}

/** `[type/]name[.namespace]`. */
export function parsePodName(text: string, defaultNamespace: string): PodName {
  const slash = text.indexOf("/");
  const rest = text.slice(slash + 1);
  const dot = rest.indexOf(".");
  return {
    type: slash < 0 ? "pod" : text.slice(0, slash).toLowerCase(),
    name: dot < 0 ? rest : rest.slice(0, dot),
    namespace: dot < 0 ? defaultNamespace : rest.slice(dot + 1),
  };
}

const WORKLOAD_KINDS: Record<string, string> = {
  deploy: "Deployment",
  deployment: "Deployment",
  deployments: "Deployment",
  ds: "DaemonSet",
  daemonset: "DaemonSet",
  daemonsets: "DaemonSet",
};

/** The pod that is meant; of a workload, one that runs. @throws CommandError */
export async function resolvePod(client: KubeClient, { type, name, namespace }: PodName): Promise<KubeJson> {
  if (["pod", "pods", "po"].includes(type)) {
    const pod = await client.get("v1", "Pod", namespace, name);
    if (!pod) throw new CommandError(`pods "${name}" not found in namespace "${namespace}"`);
    return pod;
  }
  const kind = Object.hasOwn(WORKLOAD_KINDS, type) ? WORKLOAD_KINDS[type] : undefined;
  if (!kind) throw new CommandError(`cannot use "${type}/${name}": name a pod, a deployment or a daemonset`);
  const workload = await client.get("apps/v1", kind, namespace, name);
  if (!workload) throw new CommandError(`${type} "${name}" not found in namespace "${namespace}"`);
  const labelSelector = Object.entries(workload.spec?.selector?.matchLabels ?? {}).map(([k, v]) => `${k}=${v}`).join(
    ",",
  );
  const pods = await client.list("v1", "Pod", { namespace, labelSelector });
  const running = pods.find(({ status }) => status?.phase === "Running");
  if (!running) throw new CommandError(`${type} "${name}" in namespace "${namespace}" has no running pods`);
  return running;
}
