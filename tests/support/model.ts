// Short builders of model objects for tests: only what a test says differs from a plain Pod or Service.

import type { GatewayAddress, Port, Service, Workload } from "../../src/model/mod.ts";

/** A meshed Pod `namespace/name` at `address` on node "node-1". */
export function workload(name: string, address: string, extra: Partial<Workload> = {}): Workload {
  const namespace = extra.namespace ?? "default";
  return {
    uid: `Kubernetes//Pod/${namespace}/${name}`,
    name,
    namespace,
    addresses: address === "" ? [] : [address],
    hostname: "",
    network: "",
    tunnelProtocol: "HBONE",
    nativeTunnel: false,
    trustDomain: "cluster.local",
    serviceAccount: "default",
    node: "node-1",
    canonicalName: name,
    canonicalRevision: "latest",
    workloadType: "POD",
    workloadName: name,
    status: "HEALTHY",
    clusterId: "Kubernetes",
    authorizationPolicies: [],
    services: new Map(),
    networkMode: "STANDARD",
    capacity: 1,
    ...extra,
  };
}

/** A ClusterIP Service `namespace/name`, host name included. */
export function service(
  name: string,
  vip: string,
  ports: Record<number, number>,
  extra: Partial<Service> = {},
): Service {
  const namespace = extra.namespace ?? "default";
  return {
    name,
    namespace,
    hostname: `${name}.${namespace}.svc.cluster.local`,
    addresses: vip === "" ? [] : [{ network: "", address: vip }],
    ports: portList(ports),
    subjectAltNames: [],
    weightedWaypoints: [],
    ipFamilies: "AUTOMATIC",
    canonical: true,
    ingressUseWaypoint: false,
    visibility: "PUBLIC",
    ...extra,
  };
}

/** Service port to target port. */
export function portList(ports: Record<number, number>): Port[] {
  return Object.entries(ports).map(([servicePort, targetPort]) => ({
    servicePort: Number(servicePort),
    targetPort,
    appProtocol: "UNKNOWN",
  }));
}

/** `{"default/web.default.svc.cluster.local": {80: 8080}}` as a workload's services. */
export function memberOf(services: Record<string, Record<number, number>>): Map<string, readonly Port[]> {
  return new Map(Object.entries(services).map(([key, ports]) => [key, portList(ports)]));
}

export function gatewayByHost(namespace: string, hostname: string, hboneMtlsPort = 15008): GatewayAddress {
  return { destination: { hostname: { namespace, hostname } }, hboneMtlsPort };
}

export function gatewayByAddress(address: string, hboneMtlsPort = 15008): GatewayAddress {
  return { destination: { address: { network: "", address } }, hboneMtlsPort };
}
