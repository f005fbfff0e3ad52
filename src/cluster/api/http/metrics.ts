import type { ServerResponse } from "node:http";
import { ApiError } from "../../api_error.ts";
import type { KubeObject, PodUsage } from "../../contracts.ts";
import { methodNotAllowed, unknownPath } from "../errors.ts";
import { selectObjects } from "./lists.ts";
import type { Call } from "./gateway.ts";
import { negotiate } from "./negotiation.ts";
import { sendObject } from "./responses.ts";

/** What `kubectl top` reads; elsewhere an aggregated API that metrics-server provides. Nothing of it is stored. */
export const METRICS_GROUP = "metrics.k8s.io", METRICS_VERSION = "v1beta1";

const GROUP_VERSION = `${METRICS_GROUP}/${METRICS_VERSION}`;

/** As discovery lists them. */
export const METRICS_RESOURCES = [
  { name: "nodes", singularName: "", namespaced: false, kind: "NodeMetrics", verbs: ["get", "list"] },
  { name: "pods", singularName: "", namespaced: true, kind: "PodMetrics", verbs: ["get", "list"] },
];

/** Answers a request of `metrics.k8s.io`. */
export async function serveMetrics(call: Call, response: ServerResponse): Promise<void> {
  const { gateway, info } = call, request = info.resource!;
  if (request.version !== METRICS_VERSION || request.subresource) throw unknownPath();
  const known = METRICS_RESOURCES.find((one) => one.name === request.resource);
  if (!known) throw unknownPath();
  if (request.verb !== "get" && request.verb !== "list") throw methodNotAllowed();
  const usage = gateway.backend()?.usage() ?? [];
  // Labels, namespaces and selectors are those of the objects that were measured.
  const type = gateway.core.registry.get("", request.resource)!;
  const objects = request.name
    ? [gateway.core.get(type, request.namespace, request.name)]
    : selectObjects(call, type, type.versions[0]);
  const items = objects.flatMap((object) =>
    known.name === "nodes" ? nodeMetrics(object, usage) : podMetrics(object, usage)
  );
  if (request.name && items.length === 0) {
    throw ApiError.notFound(`${known.name}.${METRICS_GROUP}`, METRICS_GROUP, request.name);
  }
  const format = negotiate(call.request.headers.accept);
  const list = { kind: `${known.kind}List`, apiVersion: GROUP_VERSION, metadata: {}, items };
  await sendObject(response, 200, request.name ? items[0] : list, format);
}

function podMetrics({ metadata }: KubeObject, usage: readonly PodUsage[]): unknown[] {
  const found = usage.find((one) => one.namespace === metadata.namespace && one.pod === metadata.name);
  if (!found) return [];
  const containers = found.containers.map(({ name, ...used }) => ({ name, usage: quantities(used) }));
  return [{ ...about("PodMetrics", metadata, found), containers }];
}

/** A node's processes are those of its pods. */
function nodeMetrics({ metadata }: KubeObject, usage: readonly PodUsage[]): unknown[] {
  const pods = usage.filter((one) => one.node === metadata.name);
  if (pods.length === 0) return [];
  const sum = { cpuNanocores: 0, memoryBytes: 0 };
  for (const container of pods.flatMap((pod) => pod.containers)) {
    sum.cpuNanocores += container.cpuNanocores;
    sum.memoryBytes += container.memoryBytes;
  }
  return [{ ...about("NodeMetrics", metadata, pods[0]), usage: quantities(sum) }];
}

function about(kind: string, { name, namespace, labels }: KubeObject["metadata"], { atMs, windowMs }: PodUsage) {
  const metadata = { name, ...namespace ? { namespace } : {}, ...labels ? { labels } : {} };
  return {
    kind,
    apiVersion: GROUP_VERSION,
    metadata,
    timestamp: new Date(atMs).toISOString().replace(/\.\d+Z$/, "Z"),
    window: `${(windowMs / 1000).toFixed(3)}s`,
  };
}

function quantities({ cpuNanocores, memoryBytes }: { cpuNanocores: number; memoryBytes: number }) {
  return { cpu: `${cpuNanocores}n`, memory: `${Math.ceil(memoryBytes / 1024)}Ki` };
}
