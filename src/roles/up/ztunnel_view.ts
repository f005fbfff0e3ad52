import type { KubeClient } from "../ctl/kube.ts";
import { podRequest } from "../ctl/port_forward.ts";

/** One line of a ztunnel's access log. */
export interface AccessLine {
  readonly text: string;
  readonly node: string;
  /** Values without their quotes, e.g. `src.identity`. */
  readonly fields: Readonly<Record<string, string>>;
}

/** `key=value` pairs of an access-log line; strings lose their quotes. */
export function parseAccessLine(text: string, node: string): AccessLine {
  const fields: Record<string, string> = {};
  for (const [, key, quoted, plain] of text.matchAll(/([a-z_.]+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))/g)) {
    fields[key] = quoted ?? plain;
  }
  return { text, node, fields };
}

/** Every access-log line that the ztunnels wrote since a moment. */
export async function allAccessLines(client: KubeClient, since: Date): Promise<AccessLine[]> {
  const ztunnels = await client.list("v1", "Pod", { namespace: "istio-system", labelSelector: "app=ztunnel" });
  const logs = await Promise.all(ztunnels.map(async (pod) => {
    const path = `/api/v1/namespaces/istio-system/pods/${pod.metadata.name}/log`;
    const text = await client.request("GET", path, { query: { tailLines: "2000" } }).catch(() => "");
    return String(text).split("\n").map((line) => parseAccessLine(line, pod.spec.nodeName));
  }));
  const from = since.toISOString();
  return logs.flat().filter(({ text }) => text.includes("\taccess\t") && text >= from);
}

/** The last outbound and inbound line of connections from a pod to a service. */
export async function accessLines(
  client: KubeClient,
  filter: { since: Date; source: string; service: string },
): Promise<{ outbound?: AccessLine; inbound?: AccessLine }> {
  const lines = (await allAccessLines(client, filter.since)).filter(({ fields }) =>
    fields["src.workload"] === filter.source
  );
  const outbound = lines.findLast(({ fields }) =>
    fields.direction === "outbound" && fields["dst.service"] === filter.service
  );
  const inbound = lines.findLast(({ fields }) =>
    fields.direction === "inbound" && fields["dst.workload"] === outbound?.fields["dst.workload"]
  );
  return { outbound, inbound };
}

/** TLS of the pooled HBONE connection from a node's ztunnel to an address, as its configuration dump tells. */
export async function hboneConnections(
  client: KubeClient,
  node: string,
  address: string,
): Promise<{ version: string; cipher: string } | undefined> {
  const pods = await client.list("v1", "Pod", { namespace: "istio-system", labelSelector: "app=ztunnel" });
  const pod = pods.find((candidate) => candidate.spec.nodeName === node);
  if (!pod) return undefined;
  const response = await podRequest(client, "istio-system", pod.metadata.name, 15000, "GET", "/config_dump");
  const dump = JSON.parse(response.body);
  for (const state of Object.values<any>(dump.workloadState ?? {})) {
    for (const connection of state.hboneConnections ?? []) {
      if (connection.remote === address && connection.tls) return connection.tls;
    }
  }
  return undefined;
}
