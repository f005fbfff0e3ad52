// Service -> the mesh's service (istiod-behaviour.md §2).

import { canonicalIp } from "../core/ip.ts";
import type { KubeObject, KubeService, ServicePort } from "../kube/types.ts";
import {
  type AppProtocol,
  type IpFamilies,
  type LoadBalancing,
  type Port,
  type RoutingScope,
  type Service,
  serviceKey,
} from "../model/workload.ts";
import { ANNOTATION, LABEL, type Labels } from "./labels.ts";
import type { MeshSettings } from "./settings.ts";

/** A service with what its endpoints are found and numbered by. */
export interface ServiceInfo {
  /** `namespace/hostname`. */
  readonly key: string;
  readonly service: Service;
  /** Undefined: endpoints come from EndpointSlices that somebody else writes. */
  readonly selector?: Labels;
  readonly ports: readonly ServiceInfoPort[];
}

export interface ServiceInfoPort extends Port {
  /** Name of the service port, which EndpointSlices repeat. */
  readonly name: string;
  /** Name of the container port; `targetPort` is then 0. */
  readonly targetName: string;
}

/** The service, or undefined for an ExternalName: that is DNS alone. */
export function buildService(
  service: KubeService,
  namespace: KubeObject | undefined,
  network: string,
  settings: MeshSettings,
): ServiceInfo | undefined {
  const { spec, metadata } = service;
  if (spec.type === "ExternalName") return undefined;
  const ns = metadata.namespace ?? "default";
  const hostname = `${metadata.name}.${ns}.svc.${settings.clusterDomain}`;
  const ips = (spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ""]).map(canonicalIp);
  const ports = (spec.ports ?? []).filter(isTcp).map(buildPort);
  const ingress = metadata.labels?.[LABEL.ingressUseWaypoint] ?? namespace?.metadata.labels?.[LABEL.ingressUseWaypoint];
  return {
    key: serviceKey({ namespace: ns, hostname }),
    service: {
      name: metadata.name,
      namespace: ns,
      hostname,
      addresses: ips.filter((ip) => ip !== undefined).map((address) => ({ network, address })),
      ports: ports.map(({ servicePort, targetPort, appProtocol }) => ({ servicePort, targetPort, appProtocol })),
      subjectAltNames: [],
      weightedWaypoints: [],
      loadBalancing: loadBalancing(service, namespace),
      ipFamilies: ipFamilies(spec.ipFamilies),
      canonical: true,
      ingressUseWaypoint: ingress === "true",
      visibility: "PUBLIC",
    },
    selector: spec.selector && Object.keys(spec.selector).length > 0 ? spec.selector : undefined,
    ports,
  };
}

function isTcp({ protocol }: ServicePort): boolean {
  return (protocol ?? "TCP") === "TCP";
}

function buildPort(port: ServicePort): ServiceInfoPort {
  const target = port.targetPort ?? port.port, named = typeof target === "string" && !/^\d+$/.test(target);
  return {
    name: port.name ?? "",
    servicePort: port.port,
    targetPort: named ? 0 : Number(target),
    targetName: named ? target : "",
    appProtocol: appProtocol(port),
  };
}

const BY_NAME: Readonly<Record<string, AppProtocol>> = {
  http: "HTTP11",
  http2: "HTTP2",
  grpc: "GRPC",
  https: "TLS",
  tls: "TLS",
  tcp: "TCP",
};
const KUBERNETES_NAMES: Readonly<Record<string, AppProtocol>> = {
  "kubernetes.io/h2c": "HTTP2",
  "kubernetes.io/ws": "HTTP11",
  "kubernetes.io/wss": "TLS",
};
/** SMTP, DNS, MySQL, MongoDB: the server speaks first, or the protocol is known not to be HTTP. */
const WELL_KNOWN_TCP = new Set([25, 53, 3306, 27017]);

/** `appProtocol`, else the part of the port's name before the first dash. */
export function appProtocol(port: ServicePort): AppProtocol {
  const said = port.appProtocol ?? port.name ?? "";
  if (Object.hasOwn(KUBERNETES_NAMES, said)) return KUBERNETES_NAMES[said];
  const name = said.toLowerCase();
  if (name.startsWith("grpc-web")) return "UNKNOWN";
  const prefix = name.split("-", 1)[0];
  if (Object.hasOwn(BY_NAME, prefix)) return BY_NAME[prefix];
  return WELL_KNOWN_TCP.has(port.port) ? "TCP" : "UNKNOWN";
}

const FAILOVER: Readonly<Record<string, readonly RoutingScope[]>> = {
  PreferClose: ["NETWORK", "REGION", "ZONE"],
  PreferSameZone: ["NETWORK", "REGION", "ZONE"],
  PreferSameNode: ["NETWORK", "REGION", "ZONE", "SUBZONE", "NODE"],
  PreferSameNetwork: ["NETWORK"],
};

function loadBalancing({ spec, metadata }: KubeService, namespace: KubeObject | undefined): LoadBalancing | undefined {
  const healthPolicy = spec.publishNotReadyAddresses ? "ALLOW_ALL" : "ONLY_HEALTHY";
  if (spec.internalTrafficPolicy === "Local") return { routingPreference: ["NODE"], mode: "STRICT", healthPolicy };
  const distribution = spec.trafficDistribution ?? metadata.annotations?.[ANNOTATION.trafficDistribution] ??
    namespace?.metadata.annotations?.[ANNOTATION.trafficDistribution] ?? "";
  if (Object.hasOwn(FAILOVER, distribution)) {
    return { routingPreference: FAILOVER[distribution], mode: "FAILOVER", healthPolicy };
  }
  return spec.publishNotReadyAddresses ? { routingPreference: [], mode: "UNSPECIFIED", healthPolicy } : undefined;
}

function ipFamilies(families: readonly string[] | undefined): IpFamilies {
  if (families?.length === 2) return "DUAL";
  if (families?.length !== 1) return "AUTOMATIC";
  return families[0] === "IPv6" ? "IPV6_ONLY" : "IPV4_ONLY";
}
