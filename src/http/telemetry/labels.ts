// The labels of Istio's standard metrics.

import { spiffeId, type Workload } from "../../model/mod.ts";
import { orUnknown } from "../../telemetry/traffic_labels.ts";
import type { Downstream } from "../exchange/downstream.ts";
import type { ListenerRuntime } from "../exchange/runtime.ts";
import type { ProxySelf } from "../exchange/self.ts";
import type { Cluster, Host } from "../upstream/mod.ts";

/** The service that was asked for, whether or not a backend was reached. */
interface ServiceNames {
  readonly hostname: string;
  readonly namespace: string;
  readonly name: string;
}

const NO_SERVICE: ServiceNames = { hostname: "", namespace: "", name: "" };

function serviceOf(runtime: ListenerRuntime, cluster: Cluster | null): ServiceNames {
  if (cluster !== null) {
    const { hostname, namespace } = cluster.destination;
    return { hostname, namespace, name: shortName(hostname) };
  }
  const { binding } = runtime.config;
  if (binding.kind !== "service") return NO_SERVICE;
  return {
    hostname: binding.hostname,
    namespace: binding.service.slice(0, binding.service.indexOf("/")),
    name: shortName(binding.hostname),
  };
}

/** `reviews` of `reviews.default.svc.cluster.local`; other hostnames are their own names. */
function shortName(hostname: string): string {
  return hostname.includes(".svc.") ? hostname.slice(0, hostname.indexOf(".")) : hostname;
}

/** Values of `TRAFFIC_LABELS`. */
export function trafficLabels(
  self: ProxySelf,
  downstream: Downstream,
  runtime: ListenerRuntime,
  cluster: Cluster | null,
  host: Host | null,
): string[] {
  const service = serviceOf(runtime, cluster);
  const source = downstream.use === "gateway" ? self : sourceOf(downstream);
  const workload = host?.workload;
  return [
    downstream.use === "waypoint" ? "waypoint" : "source",
    orUnknown(source.workloadName),
    orUnknown(source.canonicalName),
    orUnknown(source.canonicalRevision),
    orUnknown(source.namespace),
    orUnknown(source.principal),
    orUnknown(source.canonicalName),
    orUnknown(source.canonicalRevision),
    orUnknown(source.clusterId),
    orUnknown(service.hostname),
    orUnknown(service.namespace),
    orUnknown(service.name),
    orUnknown(workload?.workloadName),
    orUnknown(workload?.canonicalName),
    orUnknown(workload?.canonicalRevision),
    orUnknown(workload?.namespace),
    host?.hbone && workload ? principalOf(workload) : "unknown",
    orUnknown(workload?.canonicalName),
    orUnknown(workload?.canonicalRevision),
    orUnknown(workload?.clusterId),
  ];
}

interface SourceNames {
  readonly workloadName: string | undefined;
  readonly canonicalName: string | undefined;
  readonly canonicalRevision: string | undefined;
  readonly namespace: string | undefined;
  readonly principal: string | undefined;
  readonly clusterId: string | undefined;
}

function sourceOf(downstream: Downstream): SourceNames {
  const workload = downstream.sourceWorkload;
  return {
    workloadName: workload?.workloadName,
    canonicalName: workload?.canonicalName,
    canonicalRevision: workload?.canonicalRevision,
    namespace: workload?.namespace ?? downstream.identity?.namespace,
    principal: downstream.spiffeId,
    clusterId: workload?.clusterId,
  };
}

function principalOf(workload: Workload): string {
  const { trustDomain, namespace, serviceAccount } = workload;
  return spiffeId({ trustDomain: trustDomain || "cluster.local", namespace, serviceAccount });
}

/** Whether the client proved who it is: said by those who see it (Istio: never by a source's own report). */
export function securityPolicy(downstream: Downstream): "mutual_tls" | "unknown" {
  return downstream.use === "waypoint" && downstream.identity !== undefined ? "mutual_tls" : "unknown";
}
