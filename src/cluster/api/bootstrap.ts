import { CLUSTER_NETWORK, type KubeObject } from "../contracts.ts";
import { DEFAULT_CLUSTER_ROLE_BINDINGS, DEFAULT_CLUSTER_ROLES } from "./auth/default_roles.ts";
import { systemContext } from "./context.ts";
import type { ApiCore } from "./core.ts";
import { splitApiVersion } from "./types.ts";

const NAMESPACES = ["default", "kube-node-lease", "kube-public", "kube-system"];

function priorityClass(name: string, value: number, description: string): KubeObject {
  return {
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name },
    value,
    globalDefault: false,
    description,
  };
}

/** The objects by which Pods find the API server: the Service `kubernetes` and its endpoints. */
function apiServiceObjects(): KubeObject[] {
  const labels = { component: "apiserver", provider: "kubernetes" };
  const port = { name: "https", port: CLUSTER_NETWORK.apiPort, protocol: "TCP" };
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "kubernetes", namespace: "default", labels },
      spec: {
        clusterIP: CLUSTER_NETWORK.apiServiceIp,
        ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: CLUSTER_NETWORK.apiPort }],
      },
    },
    {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: {
        name: "kubernetes",
        namespace: "default",
        labels: { "endpointslice.kubernetes.io/skip-mirror": "true" },
      },
      subsets: [{ addresses: [{ ip: CLUSTER_NETWORK.fabricIp }], ports: [port] }],
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "kubernetes", namespace: "default", labels: { "kubernetes.io/service-name": "kubernetes" } },
      addressType: "IPv4",
      endpoints: [{ addresses: [CLUSTER_NETWORK.fabricIp], conditions: { ready: true } }],
      ports: [port],
    },
  ];
}

/** Creates what every cluster holds from the start; what is there already stays as it is. */
export function bootstrapObjects(core: ApiCore): void {
  const objects: KubeObject[] = [
    ...NAMESPACES.map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } })),
    priorityClass(
      "system-cluster-critical",
      2_000_000_000,
      "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    priorityClass(
      "system-node-critical",
      2_000_001_000,
      "Used for system critical pods that must not be moved from their current node.",
    ),
    ...DEFAULT_CLUSTER_ROLES,
    ...DEFAULT_CLUSTER_ROLE_BINDINGS,
    ...apiServiceObjects(),
  ];
  for (const object of objects) {
    const type = core.registry.byKind(splitApiVersion(object.apiVersion).group, object.kind)!;
    if (core.find(type, object.metadata.namespace, object.metadata.name)) continue;
    core.create(type, type.versions[0], undefined, object, systemContext());
  }
}
