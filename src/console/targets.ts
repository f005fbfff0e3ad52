// Which pods' metrics are read.

import { LABEL } from "../index/labels.ts";
import type { ProxyKind, Source } from "./history.ts";
import type { Objects, PodFacts } from "./objects.ts";

/** A proxy to read, and where. */
export interface Target extends Source {
  readonly namespace: string;
  readonly pod: string;
  readonly address: string;
}

/** Proxies read at most; a mesh with more shows part of its traffic, and the console says so. */
export const MAX_TARGETS = 1_000;

const MANAGED_WAYPOINT = "istio.io-mesh-controller";

/** What proxy a pod is or has; undefined for pods without one. ztunnels live in the mesh's own namespace only. */
export function proxyKind(pod: PodFacts, rootNamespace: string): ProxyKind | undefined {
  const { labels } = pod;
  if (labels.app === "ztunnel") return pod.namespace === rootNamespace ? "ztunnel" : undefined;
  if (labels[LABEL.gatewayName] !== undefined) {
    return labels[LABEL.gatewayManaged] === MANAGED_WAYPOINT ? "waypoint" : "gateway";
  }
  if (labels.istio === "ingressgateway" || labels.istio === "egressgateway") return "gateway";
  return pod.sidecar ? "sidecar" : undefined;
}

/** The proxies that run now; `omitted` are more than can be read. */
export function scrapeTargets({ pods, rootNamespace }: Objects): { targets: Target[]; omitted: number } {
  const all: Target[] = [];
  for (const pod of pods) {
    const kind = proxyKind(pod, rootNamespace);
    // A pod on its node's network shares the node's address: what listens there need not be the pod.
    if (kind === undefined || !pod.running || pod.ip === "" || (pod.hostNetwork && kind !== "ztunnel")) continue;
    all.push({
      // A restarted container counts anew, which its counters show; a new pod is another source.
      id: pod.uid,
      kind,
      proxy: `${pod.namespace}/${pod.workload}`,
      startedAtMs: pod.startedAtMs,
      namespace: pod.namespace,
      pod: pod.name,
      address: pod.ip,
    });
  }
  const order: Record<ProxyKind, number> = { ztunnel: 0, waypoint: 1, gateway: 2, sidecar: 3 };
  all.sort((a, b) => order[a.kind] - order[b.kind] || (a.namespace + a.pod < b.namespace + b.pod ? -1 : 1));
  return { targets: all.slice(0, MAX_TARGETS), omitted: Math.max(0, all.length - MAX_TARGETS) };
}
