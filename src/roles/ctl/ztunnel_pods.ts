// Where ztunnels are, and what they say of themselves.

import { CommandError } from "../../core/usage.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { podRequest } from "./port_forward.ts";
import { readDump, type ZtunnelDump } from "./ztunnel_dump.ts";

/** Every ztunnel that runs; never empty. @throws CommandError */
export async function runningZtunnels(client: KubeClient, namespace: string): Promise<KubeJson[]> {
  const all = (await client.list("v1", "Pod", { namespace, labelSelector: "app=ztunnel" }))
    .filter(({ status, metadata }) => status?.phase === "Running" && !metadata.deletionTimestamp);
  if (all.length > 0) return all;
  throw new CommandError(
    `no running ztunnel pods in namespace "${namespace}"; install the mesh with ` +
      "`ambientd ctl install --set profile=ambient`, or name its namespace with --istioNamespace",
  );
}

/** @throws CommandError naming the nodes that have one */
export function onNode(ztunnels: readonly KubeJson[], node: string): KubeJson {
  const found = ztunnels.find(({ spec }) => spec?.nodeName === node);
  if (found) return found;
  const nodes = ztunnels.map(({ spec }) => spec?.nodeName).sort().join(", ");
  throw new CommandError(`no running ztunnel pod on node "${node}"; there are some on ${nodes}`);
}

/** @throws CommandError */
export async function ztunnelOnNode(client: KubeClient, namespace: string, node: string): Promise<KubeJson> {
  return onNode(await runningZtunnels(client, namespace), node);
}

/** @throws CommandError, MeshError `pod_unreachable`, `bad_answer` */
export async function fetchZtunnelDump(client: KubeClient, pod: KubeJson, port: number): Promise<ZtunnelDump> {
  const { namespace, name } = pod.metadata;
  const answer = await podRequest(client, namespace, name, port, "GET", "/config_dump");
  if (answer.status !== 200) {
    throw new CommandError(
      `cannot get the configuration of "${namespace}/${name}": it answered status ${answer.status}`,
    );
  }
  return readDump(answer.body, `${namespace}/${name}`);
}
