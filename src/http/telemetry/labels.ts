// The labels of Istio's standard metrics.

import { spiffeId, type Workload } from "../../model/mod.ts";
import type { Downstream } from "../exchange/downstream.ts";
import type { ListenerRuntime } from "../exchange/runtime.ts";
import type { ProxySelf } from "../exchange/self.ts";
import type { Cluster, Host } from "../upstream/mod.ts";

/** What does not change from request to request of one client to one host, in the order that metrics show it. */
export const TRAFFIC_LABELS = [
  "reporter",
  "source_workload",
  "source_canonical_service",
  "source_canonical_revision",
  "source_workload_namespace",
  "source_principal",
  "source_app",
  "source_version",
  "source_cluster",
  "destination_service",
  "destination_service_namespace",
  "destination_service_name",
  "destination_workload",
  "destination_canonical_service",
  "destination_canonical_revision",
  "destination_workload_namespace",
  "destination_principal",
  "destination_app",
  "destination_version",
  "destination_cluster",
] as const;

const known = (value: string | undefined): string => value === undefined || value === "" ? "unknown" : value;

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

/** Values of {@linkcode TRAFFIC_LABELS}. */
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
    known(source.workloadName),
    known(source.canonicalName),
    known(source.canonicalRevision),
    known(source.namespace),
    known(source.principal),
    known(source.canonicalName),
    known(source.canonicalRevision),
    known(source.clusterId),
    known(service.hostname),
    known(service.namespace),
    known(service.name),
    known(workload?.workloadName),
    known(workload?.canonicalName),
    known(workload?.canonicalRevision),
    known(workload?.namespace),
    host?.hbone && workload ? principalOf(workload) : "unknown",
    known(workload?.canonicalName),
    known(workload?.canonicalRevision),
    known(workload?.clusterId),
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
