import type { Fields } from "../notes.ts";
import type { BackendReference } from "../rule.ts";

export const GATEWAY_GROUP = "gateway.networking.k8s.io";
export const ISTIO_GROUP = "networking.istio.io";

/** A `backendRef`: a Service unless it says otherwise, in the route's namespace. */
export function referenceOf(fields: Fields, namespace: string): BackendReference {
  return {
    api: "gateway",
    group: fields.text("group"),
    kind: fields.text("kind", "Service") || "Service",
    namespace: fields.text("namespace") || namespace,
    name: fields.text("name"),
    port: fields.count("port", 1, 65535),
  };
}
