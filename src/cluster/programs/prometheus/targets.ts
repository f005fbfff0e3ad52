// Kubernetes objects → scrape targets with the `__meta_kubernetes_*` labels that Prometheus documents under kubernetes_sd_config.

/** What Prometheus' http_sd reads. */
export interface TargetGroup {
  readonly targets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** The roles that are known here; `ingress` is not. */
export const SD_ROLES = ["node", "service", "pod", "endpoints", "endpointslice"] as const;
export type SdRole = typeof SD_ROLES[number];

/** The objects that a role is made from. */
export interface SdObjects {
  readonly nodes?: readonly any[];
  readonly services?: readonly any[];
  readonly pods?: readonly any[];
  readonly endpoints?: readonly any[];
  readonly endpointSlices?: readonly any[];
}

type Labels = Record<string, string>;

const META = "__meta_kubernetes_";

/** All targets of a role. */
export function targetsOf(role: SdRole, objects: SdObjects): TargetGroup[] {
  switch (role) {
    case "node":
      return (objects.nodes ?? []).flatMap(nodeTargets);
    case "service":
      return (objects.services ?? []).flatMap(serviceTargets);
    case "pod":
      return (objects.pods ?? []).flatMap(podTargets);
    case "endpoints":
      return backedTargets(objects, (objects.endpoints ?? []).map(fromEndpoints));
    case "endpointslice":
      return backedTargets(objects, (objects.endpointSlices ?? []).map(fromSlice));
  }
}

/** Where a node's kubelet may be asked, best first. */
const NODE_ADDRESSES = ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

function nodeTargets(node: any): TargetGroup[] {
  const addresses: any[] = node.status?.addresses ?? [];
  const address = NODE_ADDRESSES.map((type) => addresses.find((each) => each.type === type)).find((each) => each);
  if (!address) return [];
  const labels: Labels = { ...named("node", node.metadata), instance: node.metadata.name };
  put(labels, "node_provider_id", node.spec?.providerID);
  for (const { type, address: value } of addresses) labels[`${META}node_address_${sanitized(type)}`] ??= value;
  return [{ targets: [hostPort(address.address, node.status.daemonEndpoints?.kubeletEndpoint?.Port ?? 0)], labels }];
}

function serviceTargets(service: any): TargetGroup[] {
  const { metadata, spec } = service;
  return (spec?.ports ?? []).map((port: any) => {
    const labels: Labels = { [`${META}namespace`]: metadata.namespace, ...named("service", metadata) };
    put(labels, "service_port_name", port.name);
    put(labels, "service_port_number", port.port);
    put(labels, "service_port_protocol", port.protocol ?? "TCP");
    put(labels, "service_type", spec.type);
    if (spec.type === "ExternalName") put(labels, "service_external_name", spec.externalName);
    else put(labels, "service_cluster_ip", spec.clusterIP);
    if (spec.type === "LoadBalancer") put(labels, "service_loadbalancer_ip", spec.loadBalancerIP);
    return { targets: [`${metadata.name}.${metadata.namespace}.svc:${port.port}`], labels };
  });
}

function podTargets(pod: any): TargetGroup[] {
  const ip = pod.status?.podIP;
  if (!ip) return []; // Starting, or evicted.
  const labels: Labels = { [`${META}namespace`]: pod.metadata.namespace, ...podLabels(pod) };
  return containersOf(pod).flatMap(({ container, init }) => {
    const own = { ...labels, ...containerLabels(container, init) };
    put(own, "pod_container_id", statusOf(pod, container.name)?.containerID);
    const ports: any[] = container.ports ?? [];
    if (ports.length === 0) return [{ targets: [ip], labels: own }];
    return ports.map((port) => ({
      targets: [hostPort(ip, port.containerPort)],
      labels: { ...own, ...portLabels(port) },
    }));
  });
}

/** An Endpoints object or a slice, read alike. */
interface Backing {
  readonly namespace: string;
  readonly service: string | undefined;
  readonly labels: Labels;
  readonly addresses: readonly { ip: string; port?: number; targetRef?: any; labels: Labels }[];
}

function fromEndpoints({ metadata, subsets }: any): Backing {
  const addresses = (subsets ?? []).flatMap((subset: any) =>
    (subset.ports ?? []).flatMap((port: any) =>
      [[subset.addresses, "true"], [subset.notReadyAddresses, "false"]].flatMap(([list, ready]) =>
        (list ?? []).map((address: any) => {
          const labels: Labels = {};
          put(labels, "endpoint_port_name", port.name);
          put(labels, "endpoint_port_protocol", port.protocol ?? "TCP");
          put(labels, "endpoint_ready", ready);
          put(labels, "endpoint_address_target_kind", address.targetRef?.kind);
          put(labels, "endpoint_address_target_name", address.targetRef?.name);
          put(labels, "endpoint_node_name", address.nodeName);
          put(labels, "endpoint_hostname", address.hostname);
          return { ip: address.ip, port: port.port, targetRef: address.targetRef, labels };
        })
      )
    )
  );
  return { namespace: metadata.namespace, service: metadata.name, labels: named("endpoints", metadata), addresses };
}

function fromSlice({ metadata, addressType, endpoints, ports }: any): Backing {
  const addresses = (endpoints ?? []).flatMap((endpoint: any) =>
    (ports ?? []).flatMap((port: any) =>
      (endpoint.addresses ?? []).map((ip: string) => {
        const labels: Labels = {};
        put(labels, "endpointslice_port_name", port.name);
        put(labels, "endpointslice_port_protocol", port.protocol);
        put(labels, "endpointslice_port", port.port);
        put(labels, "endpointslice_port_app_protocol", port.appProtocol);
        for (const condition of ["ready", "serving", "terminating"]) {
          put(labels, `endpointslice_endpoint_conditions_${condition}`, endpoint.conditions?.[condition]);
        }
        put(labels, "endpointslice_endpoint_hostname", endpoint.hostname);
        put(labels, "endpointslice_address_target_kind", endpoint.targetRef?.kind);
        put(labels, "endpointslice_address_target_name", endpoint.targetRef?.name);
        put(labels, "endpointslice_endpoint_node_name", endpoint.nodeName);
        put(labels, "endpointslice_endpoint_zone", endpoint.zone);
        return { ip, port: port.port, targetRef: endpoint.targetRef, labels };
      })
    )
  );
  const labels = named("endpointslice", metadata);
  put(labels, "endpointslice_address_type", addressType);
  return {
    namespace: metadata.namespace,
    service: metadata.labels?.["kubernetes.io/service-name"],
    labels,
    addresses,
  };
}

/** A target for each address and port; and one for each further port of the pods behind them. */
function backedTargets(objects: SdObjects, backings: Backing[]): TargetGroup[] {
  const pods = new Map((objects.pods ?? []).map((pod) => [`${pod.metadata.namespace}/${pod.metadata.name}`, pod]));
  const services = new Map(
    (objects.services ?? []).map((service) => [`${service.metadata.namespace}/${service.metadata.name}`, service]),
  );
  return backings.flatMap(({ namespace, service, labels, addresses }) => {
    const common: Labels = { [`${META}namespace`]: namespace, ...labels };
    const known = services.get(`${namespace}/${service}`);
    if (known) Object.assign(common, named("service", known.metadata));
    const groups: TargetGroup[] = [], seen = new Map<any, Set<number>>();
    for (const { ip, port, targetRef, labels } of addresses) {
      const own: Labels = { ...common, ...labels };
      const pod = targetRef?.kind === "Pod"
        ? pods.get(`${targetRef.namespace ?? namespace}/${targetRef.name}`)
        : undefined;
      if (pod) {
        Object.assign(own, podLabels(pod));
        for (const { container, init } of containersOf(pod)) {
          const match = (container.ports ?? []).find((each: any) => each.containerPort === port);
          if (match) Object.assign(own, containerLabels(container, init), portLabels(match));
        }
        if (!seen.has(pod)) seen.set(pod, new Set());
        if (port !== undefined) seen.get(pod)!.add(port);
      }
      groups.push({ targets: [port === undefined ? ip : hostPort(ip, port)], labels: own });
    }
    for (const [pod, covered] of seen) {
      for (const { container, init } of pod.status?.podIP ? containersOf(pod) : []) {
        for (const port of container.ports ?? []) {
          if (covered.has(port.containerPort)) continue;
          groups.push({
            targets: [hostPort(pod.status.podIP, port.containerPort)],
            labels: { ...common, ...podLabels(pod), ...containerLabels(container, init), ...portLabels(port) },
          });
        }
      }
    }
    return groups;
  });
}

function podLabels(pod: any): Labels {
  const { metadata, spec, status } = pod;
  const labels = named("pod", metadata);
  put(labels, "pod_ip", status?.podIP);
  const ready = status?.conditions?.find((each: any) => each.type === "Ready")?.status ?? "unknown";
  put(labels, "pod_ready", ready.toLowerCase());
  put(labels, "pod_phase", status?.phase);
  put(labels, "pod_node_name", spec?.nodeName);
  put(labels, "pod_host_ip", status?.hostIP);
  put(labels, "pod_uid", metadata.uid);
  const controller = metadata.ownerReferences?.find((each: any) => each.controller);
  put(labels, "pod_controller_kind", controller?.kind);
  put(labels, "pod_controller_name", controller?.name);
  return labels;
}

function containersOf({ spec }: any): { container: any; init: boolean }[] {
  return [
    ...(spec?.containers ?? []).map((container: any) => ({ container, init: false })),
    ...(spec?.initContainers ?? []).map((container: any) => ({ container, init: true })),
  ];
}

function statusOf({ status }: any, name: string): any {
  return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])]
    .find((each) => each.name === name);
}

function containerLabels(container: any, init: boolean): Labels {
  return {
    [`${META}pod_container_name`]: container.name,
    [`${META}pod_container_image`]: container.image ?? "",
    [`${META}pod_container_init`]: String(init),
  };
}

function portLabels(port: any): Labels {
  return {
    [`${META}pod_container_port_name`]: port.name ?? "",
    [`${META}pod_container_port_number`]: String(port.containerPort),
    [`${META}pod_container_port_protocol`]: port.protocol ?? "TCP",
  };
}

/** An object's name, labels and annotations. */
function named(kind: string, metadata: any): Labels {
  const labels: Labels = { [`${META}${kind}_name`]: metadata.name };
  for (const part of ["label", "annotation"] as const) {
    for (const [key, value] of Object.entries<string>(metadata[`${part}s`] ?? {})) {
      labels[`${META}${kind}_${part}_${sanitized(key)}`] = value;
      labels[`${META}${kind}_${part}present_${sanitized(key)}`] = "true";
    }
  }
  return labels;
}

function put(labels: Labels, name: string, value: unknown): void {
  if (value !== undefined && value !== null && value !== "") labels[META + name] = String(value);
}

const sanitized = (name: string) => name.replace(/[^a-zA-Z0-9_]/g, "_");

const hostPort = (host: string, port: number) => host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
