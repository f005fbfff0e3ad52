import type { KubeObject } from "../contracts.ts";

export interface Backend {
  readonly ip: string;
  readonly port: number;
  /** Where it runs, if that is known. */
  readonly node?: string;
}

/** One port of a Service with everything that leads to it. */
export interface ServicePort {
  readonly namespace: string;
  readonly name: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port: number;
  readonly nodePort?: number;
  /** Cluster, load balancer and external addresses (IPv4). */
  readonly addresses: readonly string[];
  /** The same client stays with one backend. */
  readonly affinity: boolean;
  readonly backends: readonly Backend[];
  /** `internalTrafficPolicy: Local`: pods reach backends of their own node only. */
  readonly internalLocal?: true;
  /** `externalTrafficPolicy: Local`: a node port leads to backends of its own node only, which see the client's address. */
  readonly externalLocal?: true;
}

const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/;

/** An endpoint that may get traffic, and whether only because there is no better one. */
export function usableEndpoints(slices: readonly KubeObject[]): { slice: KubeObject; endpoint: any }[] {
  const all = slices.filter((slice) => slice.addressType === "IPv4")
    .flatMap((slice) => (slice.endpoints ?? []).map((endpoint: any) => ({ slice, endpoint })));
  const ready = all.filter(({ endpoint }) => endpoint.conditions?.ready !== false);
  if (ready.length > 0) return ready;
  // Better an endpoint that is on its way out than none, as long as it says that it still serves.
  return all.filter(({ endpoint: { conditions } }) => conditions?.serving === true && conditions?.terminating === true);
}

/** Groups EndpointSlices by the Service they belong to, as `namespace/name`. */
export function slicesByService(slices: Iterable<KubeObject>): Map<string, KubeObject[]> {
  const groups = new Map<string, KubeObject[]>();
  for (const slice of slices) {
    const service = slice.metadata.labels?.["kubernetes.io/service-name"];
    if (!service) continue;
    const key = `${slice.metadata.namespace}/${service}`;
    const group = groups.get(key);
    if (group) group.push(slice);
    else groups.set(key, [slice]);
  }
  return groups;
}

/** The ports of all Services that have an address, sorted so that equal inputs give equal tables. */
export function serviceTable(services: Iterable<KubeObject>, slices: Iterable<KubeObject>): ServicePort[] {
  const groups = slicesByService(slices);
  const table: ServicePort[] = [];
  for (const service of services) {
    const { spec = {}, status = {}, metadata } = service;
    if (spec.type === "ExternalName" || !spec.clusterIP || spec.clusterIP === "None") continue;
    const addresses = [
      ...(spec.clusterIPs ?? [spec.clusterIP]),
      ...(status.loadBalancer?.ingress ?? []).map((one: any) => one.ip),
      ...(spec.externalIPs ?? []),
    ].filter((ip) => typeof ip === "string" && IPV4.test(ip));
    const usable = usableEndpoints(groups.get(`${metadata.namespace}/${metadata.name}`) ?? []);
    for (const { name = "", port, protocol = "TCP", nodePort } of spec.ports ?? []) {
      const backends = new Map<string, Backend>();
      for (const { slice, endpoint } of usable) {
        const target = (slice.ports ?? []).find((one: any) =>
          (one.name ?? "") === name && (one.protocol ?? "TCP") === protocol
        );
        if (!target?.port) continue;
        for (const ip of endpoint.addresses ?? []) {
          if (!IPV4.test(ip)) continue;
          const node = endpoint.nodeName ? { node: endpoint.nodeName } : {};
          backends.set(`${ip}:${target.port}`, { ip, port: target.port, ...node });
        }
      }
      table.push({
        namespace: metadata.namespace!,
        name: metadata.name,
        protocol: protocol.toLowerCase(),
        port,
        ...(nodePort ? { nodePort } : {}),
        addresses: [...new Set(addresses)],
        affinity: spec.sessionAffinity === "ClientIP",
        ...(spec.internalTrafficPolicy === "Local" ? { internalLocal: true as const } : {}),
        ...(nodePort && spec.externalTrafficPolicy === "Local" ? { externalLocal: true as const } : {}),
        backends: [...backends.entries()].sort(([a], [b]) => a < b ? -1 : 1).map(([, backend]) => backend),
      });
    }
  }
  const key = (one: ServicePort) => `${one.namespace}/${one.name}/${one.protocol}/${String(one.port).padStart(5, "0")}`;
  return table.sort((a, b) => key(a) < key(b) ? -1 : 1);
}

/** A port of a node that leads to one of its pods (`hostPort`). */
export interface HostPort {
  readonly node: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port: number;
  /** The node's address that it is open on; all of them when absent. */
  readonly address?: string;
  readonly backend: Backend;
}

/** The host ports of the pods that run, sorted so that equal inputs give equal tables. */
export function hostPorts(pods: Iterable<KubeObject>): HostPort[] {
  const found: HostPort[] = [];
  for (const { spec = {}, status = {} } of pods) {
    const ip = status.podIP;
    if (spec.hostNetwork || !IPV4.test(ip ?? "") || status.phase === "Succeeded" || status.phase === "Failed") continue;
    for (const container of [...spec.containers ?? [], ...spec.initContainers ?? []]) {
      for (const { hostPort, containerPort, hostIP, protocol = "TCP" } of container.ports ?? []) {
        if (!hostPort) continue;
        found.push({
          node: spec.nodeName,
          protocol: protocol.toLowerCase(),
          port: hostPort,
          ...IPV4.test(hostIP ?? "") && hostIP !== "0.0.0.0" ? { address: hostIP } : {},
          backend: { ip, port: containerPort },
        });
      }
    }
  }
  const key = (one: HostPort) => `${one.node}/${one.protocol}/${one.port}/${one.address ?? ""}/${one.backend.ip}`;
  return found.sort((a, b) => key(a) < key(b) ? -1 : 1);
}
