import type { KubeObject } from "../../contracts.ts";
import type { ControllerContext } from "../kit/context.ts";
import { canonicalJson } from "../kit/hash.ts";
import { matchesLabels } from "../kit/selector.ts";
import {
  controllerOf,
  ENDPOINT_SLICES,
  ENDPOINTS,
  keyOf,
  NODES,
  ownerReference,
  PODS,
  SERVICES,
} from "../kit/types.ts";
import { remove } from "../kit/writes.ts";
import { type AddressType, buildEndpoints, buildSubsets, familyOf, type PortGroup } from "./build.ts";
import { packSlices } from "./pack.ts";

const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
const MANAGER = "endpointslice-controller.k8s.io";
const SERVICE_NAME = "kubernetes.io/service-name";
const HEADLESS = "service.kubernetes.io/headless";
const ZONE = "topology.kubernetes.io/zone";

/** Labels of a Service that its slices do not carry over: they have their own. */
const OWN_LABELS = new Set([MANAGED_BY, SERVICE_NAME, HEADLESS]);

/** Keeps the EndpointSlices, and the Endpoints object, of every Service that has a selector. */
export function startEndpoints({ api, caches, runner }: ControllerContext): void {
  const services = caches.of(SERVICES);
  const slices = caches.of(ENDPOINT_SLICES);
  const legacy = caches.of(ENDPOINTS);
  const pods = caches.of(PODS);
  const nodes = caches.of(NODES);
  slices.index("service", (slice) => {
    const service = slice.metadata.labels?.[SERVICE_NAME];
    return service ? [`${slice.metadata.namespace}/${service}`] : [];
  });
  const queue = runner.register("endpointslice", reconcile);

  services.onChange((_event, service) => queue.add(keyOf(service)));
  slices.onChange((event, slice) => {
    const service = slice.metadata.labels?.[SERVICE_NAME];
    if (service && isOurs(slice) && event !== "ADDED") queue.add(`${slice.metadata.namespace}/${service}`);
  });
  pods.onChange((event, pod, previous) => {
    if (event === "MODIFIED" && previous && !endpointChanged(pod, previous)) return;
    for (const service of services.inNamespace(pod.metadata.namespace!)) {
      const { selector } = service.spec;
      if (!selector || Object.keys(selector).length === 0) continue;
      if (
        matchesLabels(selector, pod.metadata.labels) ||
        (previous && matchesLabels(selector, previous.metadata.labels))
      ) queue.add(keyOf(service));
    }
  });
  nodes.onChange((_event, node, previous) => {
    if (node.metadata.labels?.[ZONE] === previous?.metadata.labels?.[ZONE]) return;
    for (const service of services.all()) queue.add(keyOf(service));
  });

  const zoneOf = (node: string) => nodes.find(undefined, node)?.metadata.labels?.[ZONE];

  function reconcile(key: string): void {
    const service = services.get(key);
    const mine = slices.by("service", key).filter(isOurs);
    const selector = service?.spec.selector;
    const selects = selector && Object.keys(selector).length > 0 && service.spec.type !== "ExternalName";
    if (!service || service.metadata.deletionTimestamp || !selects) {
      // Without a selector the slices are somebody else's; those of a Service that is gone its owner reference takes.
      for (const slice of mine) remove(api, ENDPOINT_SLICES, slice);
      if (!service) removeLegacy(key);
      return;
    }
    const matching = pods.inNamespace(service.metadata.namespace!).filter((pod) =>
      matchesLabels(selector, pod.metadata.labels)
    );
    for (const family of ["IPv4", "IPv6"] as AddressType[]) {
      const present = mine.filter((slice) => slice.addressType === family);
      if (!families(service).includes(family)) {
        for (const slice of present) remove(api, ENDPOINT_SLICES, slice);
        continue;
      }
      const groups = buildEndpoints(service, matching, family, zoneOf);
      writeSlices(service, family, present, groups);
      if (family === families(service)[0]) writeLegacy(service, groups);
    }
  }

  function writeSlices(service: KubeObject, family: AddressType, present: KubeObject[], groups: PortGroup[]): void {
    const labels = sliceLabels(service);
    const { keep, create, drop } = packSlices(present, groups);
    for (const { slice, ports, endpoints } of keep) {
      const same = canonicalJson([slice.ports ?? [], slice.endpoints ?? [], slice.metadata.labels]) ===
        canonicalJson([ports, endpoints, labels]);
      if (same) continue;
      const next = structuredClone(slice);
      next.metadata.labels = labels;
      next.ports = ports;
      next.endpoints = endpoints;
      api.update(ENDPOINT_SLICES, next);
    }
    for (const { ports, endpoints } of create) {
      api.create(ENDPOINT_SLICES, {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: {
          name: "",
          generateName: `${service.metadata.name}-`,
          namespace: service.metadata.namespace,
          labels,
          ownerReferences: [ownerReference(service)],
        },
        addressType: family,
        ports,
        endpoints,
      });
    }
    for (const slice of drop) remove(api, ENDPOINT_SLICES, slice);
  }

  function writeLegacy(service: KubeObject, groups: PortGroup[]): void {
    const subsets = buildSubsets(service, groups);
    const labels = legacyLabels(service);
    const present = legacy.find(service.metadata.namespace, service.metadata.name);
    if (!present) {
      api.create(ENDPOINTS, {
        apiVersion: "v1",
        kind: "Endpoints",
        metadata: { name: service.metadata.name, namespace: service.metadata.namespace, labels },
        subsets,
      });
      return;
    }
    if (canonicalJson([present.subsets ?? [], present.metadata.labels ?? {}]) === canonicalJson([subsets, labels])) {
      return;
    }
    const next = structuredClone(present);
    next.metadata.labels = labels;
    next.subsets = subsets;
    api.update(ENDPOINTS, next);
  }

  /** Endpoints have no owner reference; those made here are known by their label. */
  function removeLegacy(key: string): void {
    const present = legacy.get(key);
    if (present?.metadata.labels?.["endpoints.kubernetes.io/managed-by"] === "endpoint-controller") {
      remove(api, ENDPOINTS, present);
    }
  }
}

function isOurs(slice: KubeObject): boolean {
  return slice.metadata.labels?.[MANAGED_BY] === MANAGER && controllerOf(slice)?.kind === "Service";
}

function families(service: KubeObject): AddressType[] {
  const listed: AddressType[] = service.spec.ipFamilies ?? [];
  if (listed.length > 0) return listed;
  const ip = service.spec.clusterIP;
  return [ip && ip !== "None" ? familyOf(ip) : "IPv4"];
}

function isHeadless(service: KubeObject): boolean {
  return service.spec.clusterIP === "None";
}

function sliceLabels(service: KubeObject): Record<string, string> {
  const inherited = Object.entries(service.metadata.labels ?? {}).filter(([key]) => !OWN_LABELS.has(key));
  return {
    ...Object.fromEntries(inherited),
    [MANAGED_BY]: MANAGER,
    [SERVICE_NAME]: service.metadata.name,
    ...(isHeadless(service) ? { [HEADLESS]: "" } : {}),
  };
}

function legacyLabels(service: KubeObject): Record<string, string> {
  return {
    ...service.metadata.labels,
    "endpoints.kubernetes.io/managed-by": "endpoint-controller",
    ...(isHeadless(service) ? { [HEADLESS]: "" } : {}),
  };
}

/** Whether a pod changed in a way that an endpoint shows. */
function endpointChanged(pod: KubeObject, previous: KubeObject): boolean {
  const facts = (object: KubeObject) => [
    object.metadata.labels,
    object.metadata.deletionTimestamp,
    object.spec?.nodeName,
    object.status?.phase,
    object.status?.podIPs,
    object.status?.podIP,
    (object.status?.conditions ?? []).find((condition: any) => condition.type === "Ready")?.status,
  ];
  return canonicalJson(facts(pod)) !== canonicalJson(facts(previous));
}
