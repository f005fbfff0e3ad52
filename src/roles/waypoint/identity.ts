// Who this proxy is: its SPIFFE identity, its node in xDS, and its names in telemetry.

import { VERSION } from "../../core/version.ts";
import type { ProxySelf } from "../../http/exchange/mod.ts";
import { type SpiffeId, spiffeId } from "../../model/mod.ts";
import type { XdsNode } from "../../xds/client/mod.ts";
import type { WaypointConfig } from "./config.ts";

/** The identity that istiod gives to this pod's service account. */
export function ownIdentity({ trustDomain, podNamespace, serviceAccount }: WaypointConfig): SpiffeId {
  return spiffeId({ trustDomain, namespace: podNamespace, serviceAccount });
}

/** Labels of the pod as the downward API writes them: `name="value"` in Go's quoting. None when they are not mounted. */
export async function podLabels(directory: string): Promise<Record<string, string>> {
  let text: string;
  try {
    text = await Deno.readTextFile(`${directory}/labels`);
  } catch {
    return {};
  }
  const labels: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const cut = line.indexOf("=");
    if (cut <= 0) continue;
    const quoted = line.slice(cut + 1);
    try {
      labels[line.slice(0, cut)] = JSON.parse(quoted);
    } catch {
      labels[line.slice(0, cut)] = quoted;
    }
  }
  return labels;
}

/** `router~10.0.0.1~name.namespace~namespace.svc.cluster.local`. */
export function nodeId({ mode, instanceIp, podName, podNamespace, domain }: WaypointConfig): string {
  return `${mode}~${instanceIp || "127.0.0.1"}~${podName}.${podNamespace}~${domain}`;
}

/** The node of its xDS requests. */
export function proxyNode(
  config: WaypointConfig,
  env: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): XdsNode {
  const metadata: XdsNode["metadata"] = {
    NAME: config.podName,
    NAMESPACE: config.podNamespace,
    SERVICE_ACCOUNT: config.serviceAccount,
    INSTANCE_IPS: config.instanceIp,
    NODE_NAME: config.nodeName,
    CLUSTER_ID: config.clusterId,
    ISTIO_VERSION: VERSION,
    WORKLOAD_NAME: config.workloadName,
    LABELS: { ...labels },
    ENABLE_HBONE: "true",
  };
  for (const [name, value] of [...Object.entries(env).sort(), ...Object.entries(config.proxyMetadata)]) {
    if (name.startsWith("ISTIO_META_") && name.length > 11) metadata[name.slice(11)] = value;
  }
  return { id: nodeId(config), metadata };
}

/** How telemetry names it. */
export function proxySelf(config: WaypointConfig, labels: Readonly<Record<string, string>>): ProxySelf {
  const name = config.workloadName || config.podName.replace(/-[a-z0-9]{5,10}-[a-z0-9]{5}$/, "");
  return {
    use: config.mode === "waypoint" ? "waypoint" : "gateway",
    nodeId: nodeId(config),
    workloadName: name,
    namespace: config.podNamespace,
    canonicalName: labels["service.istio.io/canonical-name"] ?? labels["app.kubernetes.io/name"] ?? labels.app ?? name,
    canonicalRevision: labels["service.istio.io/canonical-revision"] ?? labels["app.kubernetes.io/version"] ??
      labels.version ?? "latest",
    clusterId: config.clusterId,
    meshId: config.meshId,
    principal: ownIdentity(config),
    network: config.network,
  };
}
