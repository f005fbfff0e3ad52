// EndpointSlices that somebody other than Kubernetes writes -> workloads: addresses without a Pod behind a Service (§1).

import { canonicalIp } from "../core/ip.ts";
import type { Endpoint, EndpointSlice } from "../kube/types.ts";
import type { Port, Workload } from "../model/workload.ts";
import { LABEL } from "./labels.ts";
import type { ServiceInfo } from "./service.ts";
import type { MeshSettings } from "./settings.ts";

/** `namespace/name` of the Service that a slice belongs to; undefined when it belongs to none that the mesh can use. */
export function sliceService(slice: EndpointSlice): string | undefined {
  const name = slice.metadata.labels?.[LABEL.sliceService];
  return name && slice.addressType !== "FQDN" ? `${slice.metadata.namespace}/${name}` : undefined;
}

/** `namespace/name` of the pods that a slice's endpoints name. */
export function slicePods(slice: EndpointSlice): string[] {
  return (slice.endpoints ?? []).filter(isPod).map(({ targetRef }) =>
    `${targetRef!.namespace ?? slice.metadata.namespace}/${targetRef!.name}`
  );
}

function isPod({ targetRef }: Endpoint): boolean {
  return targetRef?.kind === "Pod";
}

/** The service's ports with the numbers that a slice gives them; ports that the slice does not have are left out. */
export function slicePorts(slice: EndpointSlice, service: ServiceInfo): Port[] {
  return service.ports.flatMap(({ name, servicePort, appProtocol }) => {
    const found = (slice.ports ?? []).find((port) =>
      (port.name ?? "") === name && (port.protocol ?? "TCP") === "TCP" && port.port
    );
    return found ? [{ servicePort, targetPort: found.port!, appProtocol }] : [];
  });
}

/** One workload for each address without a Pod. */
export function buildSliceWorkloads(
  slice: EndpointSlice,
  service: ServiceInfo | undefined,
  network: string,
  settings: MeshSettings,
): Workload[] {
  if (!service) return [];
  const services = new Map([[service.key, slicePorts(slice, service)]]);
  const { name, namespace = "default" } = slice.metadata;
  const seen = new Map<string, Workload>();
  for (const endpoint of slice.endpoints ?? []) {
    const address = canonicalIp(endpoint.addresses[0] ?? "");
    if (isPod(endpoint) || address === undefined || seen.has(address)) continue;
    seen.set(address, {
      uid: `${settings.clusterId}/discovery.k8s.io/EndpointSlice/${namespace}/${name}/${address}`,
      name,
      namespace,
      addresses: [address],
      hostname: "",
      network,
      tunnelProtocol: "NONE",
      nativeTunnel: false,
      trustDomain: settings.trustDomain,
      serviceAccount: "",
      node: "",
      canonicalName: "",
      canonicalRevision: "",
      workloadType: "POD",
      workloadName: "",
      status: endpoint.conditions?.ready === false ? "UNHEALTHY" : "HEALTHY",
      clusterId: settings.clusterId,
      authorizationPolicies: [],
      services,
      // Nothing is known of who has this address: it may be shared, so it never stands for one workload.
      networkMode: "HOST_NETWORK",
      capacity: 1,
    });
  }
  return [...seen.values()];
}
