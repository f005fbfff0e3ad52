// The little of a kubelet's own HTTPS port that Prometheus reads: what a node's containers use.

import type { IncomingMessage, ServerResponse } from "node:http";
import { Registry } from "../../../telemetry/metrics.ts";
import type { PodUsage } from "../../contracts.ts";
import { methodNotAllowed, unknownPath } from "../errors.ts";
import { asApiError, type Gateway, requireAccess } from "./gateway.ts";
import { parseRequest } from "./request_info.ts";
import { sendError, sendText } from "./responses.ts";

/** Answers one request to a node's kubelet: its health, and its metrics for who may `get nodes/metrics`. */
export function handleKubeletRequest(
  gateway: Gateway,
  node: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  try {
    const { path, method } = parseRequest(request.method ?? "GET", request.url ?? "/");
    if (method !== "GET" && method !== "HEAD") throw methodNotAllowed();
    if (path === "/healthz") return sendText(response, 200, "ok");
    const user = gateway.authenticator.authenticate(request);
    requireAccess(gateway, { user, verb: "get", group: "", resource: "nodes", subresource: "metrics", name: node });
    const usage = (gateway.backend()?.usage() ?? []).filter((pod) => pod.node === node);
    if (path === "/metrics/cadvisor") return sendText(response, 200, containerMetrics(gateway, usage));
    if (path === "/metrics") return sendText(response, 200, kubeletMetrics(node, usage));
    throw unknownPath();
  } catch (error) {
    sendError(response, asApiError(gateway, error), request);
  }
}

/** cAdvisor's series that dashboards draw; where there are no cgroups, the rest cannot be told. */
function containerMetrics(gateway: Gateway, usage: readonly PodUsage[]): string {
  const registry = new Registry(), labels = ["container", "image", "name", "namespace", "pod"];
  const cpu = registry.counter("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", [
    ...labels,
    "cpu",
  ]);
  const working = registry.gauge("container_memory_working_set_bytes", "Current working set in bytes.", labels);
  const used = registry.gauge("container_memory_usage_bytes", "Current memory usage in bytes.", labels);
  const resident = registry.gauge("container_memory_rss", "Size of RSS in bytes.", labels);
  const pods = gateway.core.registry.get("", "pods")!;
  for (const { namespace, pod, containers } of usage) {
    const found = gateway.core.find(pods, namespace, pod);
    if (!found) continue; // Deleted since.
    const { spec, metadata } = found;
    for (const { name, cpuSeconds, memoryBytes } of containers) {
      const container = spec.containers.find((one: { name: string }) => one.name === name);
      const values = [name, container?.image ?? "", `k8s_${name}_${pod}_${namespace}_${metadata.uid}`, namespace, pod];
      cpu.with(...values, "total").inc(cpuSeconds);
      for (const metric of [working, used, resident]) metric.with(...values).set(memoryBytes);
    }
  }
  return registry.expose();
}

function kubeletMetrics(node: string, usage: readonly PodUsage[]): string {
  const registry = new Registry();
  registry.gauge("kubelet_node_name", "The node's name. The count is always 1.", ["node"]).with(node).set(1);
  registry.gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox").with().set(usage.length);
  registry.gauge("kubelet_running_containers", "Number of containers currently running", ["container_state"])
    .with("running").set(usage.reduce((sum, { containers }) => sum + containers.length, 0));
  return registry.expose();
}
