import type { KubeObject } from "../../../src/cluster/contracts.ts";

export function service(name: string, spec: any): KubeObject {
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "default" }, spec };
}

export function slice(service: string, endpoints: any[], ports: any[], name = `${service}-1`): KubeObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace: "default", labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints,
    ports,
  };
}
