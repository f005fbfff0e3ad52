import { MeshError } from "../../core/errors.ts";
import { CommandError } from "../../core/usage.ts";
import { DUMP_KIND, type ProxyDump } from "../waypoint/config_dump.ts";
import type { KubeClient, KubeJson } from "./kube.ts";
import { podRequest } from "./port_forward.ts";

export type { ProxyDump } from "../waypoint/config_dump.ts";

/** Reads what a waypoint or gateway says of itself. @throws MeshError `bad_answer` when it is something else */
export function readProxyDump(text: string, from: string): ProxyDump {
  let raw: any;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw new MeshError("bad_answer", `cannot read the configuration dump of "${from}"`, { cause });
  }
  if (raw?.kind === DUMP_KIND) return raw;
  if (raw?.workloads !== undefined && raw?.services !== undefined) {
    throw new MeshError(
      "bad_answer",
      `"${from}" is a ztunnel, which has no listeners, routes or clusters; use \`ambientd ctl ztunnel-config\``,
    );
  }
  throw new MeshError(
    "bad_answer",
    `cannot read the configuration dump of "${from}": it is not one of an ambientd waypoint or gateway; istioctl reads those of Envoy`,
  );
}

/** Whether the pod has a proxy of its own. */
export function hasProxy({ spec }: KubeJson): boolean {
  const containers: KubeJson[] = [...spec?.containers ?? [], ...spec?.initContainers ?? []];
  return containers.length === 0 || containers.some(({ name }) => name === "istio-proxy");
}

/** @throws CommandError */
export function refuseZtunnel({ metadata: { name, namespace, labels } }: KubeJson): void {
  if (labels?.app !== "ztunnel") return;
  throw new CommandError(
    `"${namespace}/${name}" is a ztunnel, which has no listeners, routes or clusters; use \`ambientd ctl ztunnel-config\``,
  );
}

/** What a waypoint or gateway says of itself. @throws CommandError for other pods */
export async function fetchProxyDump(client: KubeClient, pod: KubeJson, port: number): Promise<ProxyDump> {
  refuseZtunnel(pod);
  const { namespace, name } = pod.metadata;
  if (!hasProxy(pod)) {
    throw new CommandError(
      `"${namespace}/${name}" has no L7 proxy: name a waypoint's or a gateway's pod, or use \`ambientd ctl ztunnel-config\` for its ztunnel`,
    );
  }
  const answer = await podRequest(client, namespace, name, port, "GET", "/config_dump");
  if (answer.status !== 200) {
    throw new CommandError(
      `cannot get the configuration of "${namespace}/${name}": it answered status ${answer.status}`,
    );
  }
  return readProxyDump(answer.body, `${namespace}/${name}`);
}
