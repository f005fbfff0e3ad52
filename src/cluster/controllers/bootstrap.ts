import type { ClusterApi, GroupResource, KubeObject } from "../contracts.ts";
import { CLUSTER_NETWORK } from "../contracts.ts";
import { ENDPOINT_SLICES, ENDPOINTS, SERVICES } from "./kit/types.ts";
import { ensure } from "./kit/writes.ts";

const DNS_PORTS = [
  { name: "dns", port: 53, protocol: "UDP" },
  { name: "dns-tcp", port: 53, protocol: "TCP" },
  { name: "metrics", port: 9153, protocol: "TCP" },
];

/** The Service of the cluster's DNS. It has no selector: what it leads to is the engine itself, not a pod. */
export function dnsObjects(): { type: GroupResource; object: KubeObject }[] {
  const { dnsServiceIp, fabricIp } = CLUSTER_NETWORK;
  const place = { name: "kube-dns", namespace: "kube-system" };
  return [
    {
      type: SERVICES,
      object: {
        apiVersion: "v1",
        kind: "Service",
        metadata: {
          ...place,
          labels: { "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" },
        },
        spec: {
          type: "ClusterIP",
          clusterIP: dnsServiceIp,
          ports: DNS_PORTS.map((port) => ({ ...port, targetPort: port.port })),
        },
      },
    },
    {
      type: ENDPOINT_SLICES,
      object: {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { ...place, labels: { "kubernetes.io/service-name": "kube-dns" } },
        addressType: "IPv4",
        endpoints: [{ addresses: [fabricIp], conditions: { ready: true } }],
        ports: DNS_PORTS,
      },
    },
    {
      type: ENDPOINTS,
      object: {
        apiVersion: "v1",
        kind: "Endpoints",
        metadata: { ...place, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
        subsets: [{ addresses: [{ ip: fabricIp }], ports: DNS_PORTS }],
      },
    },
  ];
}

/** Makes the Service of the cluster's DNS where it is missing; the API server has made the other first objects. */
export function bootstrap(api: ClusterApi): void {
  for (const { type, object } of dnsObjects()) ensure(api, type, object);
}
