import { VERSION } from "../../core/version.ts";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

/** Who a ztunnel is (workload-xds.md §7). */
export interface ZtunnelNode {
  /** `INSTANCE_IP`. */
  readonly instanceIp?: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly nodeName: string;
  /** Environment: `ISTIO_META_*` and `ISTIO_METAJSON_*` become metadata. */
  readonly env: Readonly<Record<string, string>>;
  /** `proxyMetadata` of the proxy configuration. */
  readonly proxyMetadata?: Readonly<Record<string, string>>;
}

export interface XdsNode {
  readonly id: string;
  readonly metadata: JsonObject;
}

/** The node of a ztunnel's xDS requests. The id's domain is the literal `cluster.local`. */
export function ztunnelNode(node: ZtunnelNode): XdsNode {
  const ip = node.instanceIp || "1.1.1.1";
  const metadata: JsonObject = {
    NAME: node.podName,
    NAMESPACE: node.podNamespace,
    INSTANCE_IPS: ip,
    NODE_NAME: node.nodeName,
    ISTIO_VERSION: VERSION,
  };
  const entries = Object.entries(node.env).sort(([a], [b]) => a < b ? -1 : 1);
  for (const [name, value] of [...entries, ...Object.entries(node.proxyMetadata ?? {})]) {
    const key = after(name, "ISTIO_META_");
    if (key) metadata[key] = value;
  }
  for (const [name, value] of entries) {
    const key = after(name, "ISTIO_METAJSON_");
    if (key) metadata[key] = json(value);
  }
  const { podName, podNamespace } = node;
  return { id: `ztunnel~${ip}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`, metadata };
}

function after(name: string, prefix: string): string {
  return name.startsWith(prefix) ? name.slice(prefix.length) : "";
}

/** JSON, or the text itself where it is none. */
function json(text: string): JsonValue {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
