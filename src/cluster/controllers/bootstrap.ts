import type { ClusterApi, GroupResource, KubeObject } from "../contracts.ts";
import { CLUSTER_NETWORK } from "../contracts.ts";
import { canonicalJson } from "./kit/hash.ts";
import { ENDPOINT_SLICES, ENDPOINTS, NAMESPACES, PRIORITY_CLASSES, SERVICES } from "./kit/types.ts";

/** Port of the metrics of the cluster's DNS. */
const DNS_METRICS_PORT = 9153;

/** The objects that every cluster has from the start. */
export function bootstrapObjects(): { type: GroupResource; object: KubeObject }[] {
  const { apiServiceIp, dnsServiceIp, fabricIp, apiPort } = CLUSTER_NETWORK;
  const objects: { type: GroupResource; object: KubeObject }[] = [];
  for (const name of ["default", "kube-system", "kube-public", "kube-node-lease"]) {
    objects.push({
      type: NAMESPACES,
      object: {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name, labels: { "kubernetes.io/metadata.name": name } },
      },
    });
  }
  for (
    const [name, value, description] of [
      [
        "system-node-critical",
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
      ],
      [
        "system-cluster-critical",
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
      ],
    ] as const
  ) {
    objects.push({
      type: PRIORITY_CLASSES,
      object: { apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata: { name }, value, description },
    });
  }
  objects.push(
    ...serviceWithEndpoints(
      {
        namespace: "default",
        name: "kubernetes",
        labels: { component: "apiserver", provider: "kubernetes" },
        clusterIP: apiServiceIp,
        ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: apiPort }],
      },
      fabricIp,
    ),
    ...serviceWithEndpoints({
      namespace: "kube-system",
      name: "kube-dns",
      labels: { "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" },
      clusterIP: dnsServiceIp,
      ports: [
        { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 53 },
        { name: "metrics", port: DNS_METRICS_PORT, protocol: "TCP", targetPort: DNS_METRICS_PORT },
      ],
    }, fabricIp),
  );
  return objects;
}

interface ServiceSpec {
  namespace: string;
  name: string;
  labels: Record<string, string>;
  clusterIP: string;
  ports: { name: string; port: number; protocol: string; targetPort: number }[];
}

/** A Service without selector and its endpoints: what it leads to is the engine itself, not a pod. */
function serviceWithEndpoints(service: ServiceSpec, address: string): { type: GroupResource; object: KubeObject }[] {
  const { namespace, name, labels, clusterIP } = service;
  const ports = service.ports.map(({ name, targetPort, protocol }) => ({ name, port: targetPort, protocol }));
  return [
    {
      type: SERVICES,
      object: {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name, namespace, labels },
        spec: { type: "ClusterIP", clusterIP, clusterIPs: [clusterIP], ports: service.ports, sessionAffinity: "None" },
      },
    },
    {
      type: ENDPOINT_SLICES,
      object: {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name, namespace, labels: { "kubernetes.io/service-name": name } },
        addressType: "IPv4",
        endpoints: [{ addresses: [address], conditions: { ready: true } }],
        ports,
      },
    },
    {
      type: ENDPOINTS,
      object: {
        apiVersion: "v1",
        kind: "Endpoints",
        metadata: { name, namespace, labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
        subsets: [{ addresses: [{ ip: address }], ports }],
      },
    },
  ];
}

/** Makes what is missing of the {@linkcode bootstrapObjects}, and repairs endpoints that a former run left different. */
export function bootstrap(api: ClusterApi): void {
  for (const { type, object } of bootstrapObjects()) {
    const present = api.get(type, object.metadata.namespace, object.metadata.name);
    if (!present) api.create(type, object);
    else if (
      object.endpoints &&
      canonicalJson([present.endpoints, present.ports]) !== canonicalJson([object.endpoints, object.ports])
    ) {
      api.update(type, { ...structuredClone(present), endpoints: object.endpoints, ports: object.ports });
    }
  }
}
