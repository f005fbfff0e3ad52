// istio.workload.Address <-> model. Decoding checks what ztunnel checks (workload-xds.md §2): a resource that breaks a rule is
// refused alone, with its reason.

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as pb from "../gen/istio/workload/workload_pb.ts";
import type * as model from "../model/workload.ts";
import { checkPrefix, ipFromBytes, ipToBytes } from "./address_bytes.ts";
import { invalidResource } from "./convert_error.ts";

/** A decoded Address. */
export type AddressResource =
  | { readonly kind: "workload"; readonly workload: model.Workload }
  | { readonly kind: "service"; readonly service: model.Service };

/**
 * Decodes the bytes of an Address.
 *
 * @throws MeshError `invalid_resource`
 */
export function decodeAddress(bytes: Uint8Array): AddressResource {
  let address: pb.Address;
  try {
    address = fromBinary(pb.AddressSchema, bytes);
  } catch (cause) {
    throw invalidResource("not a protobuf Address", cause);
  }
  switch (address.type.case) {
    case "workload":
      return { kind: "workload", workload: workloadToModel(address.type.value) };
    case "service":
      return { kind: "service", service: serviceToModel(address.type.value) };
    default:
      throw invalidResource("neither a workload nor a service");
  }
}

/** Serialised Address of a workload. Equal workloads give equal bytes. */
export function encodeWorkload(workload: model.Workload): Uint8Array {
  return toBinary(
    pb.AddressSchema,
    create(pb.AddressSchema, { type: { case: "workload", value: workloadFromModel(workload) } }),
  );
}

/** Serialised Address of a service. Equal services give equal bytes. */
export function encodeService(service: model.Service): Uint8Array {
  return toBinary(
    pb.AddressSchema,
    create(pb.AddressSchema, { type: { case: "service", value: serviceFromModel(service) } }),
  );
}

/** @throws MeshError `invalid_resource` */
export function workloadToModel(w: pb.Workload): model.Workload {
  if (w.uid === "") throw invalidResource("a workload without uid");
  if (w.tunnelProtocol === pb.TunnelProtocol.LEGACY_ISTIO_MTLS) {
    throw invalidResource("tunnel protocol LEGACY_ISTIO_MTLS");
  }
  return {
    uid: w.uid,
    name: w.name,
    namespace: w.namespace,
    addresses: w.addresses.map(ipFromBytes),
    hostname: w.hostname,
    network: w.network,
    networkGateway: w.networkGateway && gatewayToModel(w.networkGateway),
    tunnelProtocol: named(TUNNEL, w.tunnelProtocol, "tunnel protocol"),
    nativeTunnel: w.nativeTunnel,
    trustDomain: w.trustDomain || "cluster.local",
    serviceAccount: w.serviceAccount || "default",
    waypoint: w.waypoint && gatewayToModel(w.waypoint),
    node: w.node,
    canonicalName: w.canonicalName,
    canonicalRevision: w.canonicalRevision,
    workloadType: named(WORKLOAD_TYPE, w.workloadType, "workload type"),
    workloadName: w.workloadName,
    status: named(STATUS, w.status, "workload status"),
    clusterId: w.clusterId || "Kubernetes",
    authorizationPolicies: w.authorizationPolicies,
    services: new Map(
      Object.entries(w.services).map(([key, list]) => [serviceKeyText(key), list.ports.map(portToModel)]),
    ),
    applicationTunnel: w.applicationTunnel &&
      {
        protocol: named(APP_TUNNEL, w.applicationTunnel.protocol, "application tunnel protocol"),
        port: port(w.applicationTunnel.port),
      },
    locality: w.locality && { region: w.locality.region, zone: w.locality.zone, subzone: w.locality.subzone },
    networkMode: named(NETWORK_MODE, w.networkMode, "network mode"),
    capacity: w.capacity ?? 1,
  };
}

/** @throws MeshError `invalid_resource` */
export function serviceToModel(s: pb.Service): model.Service {
  if (s.hostname === "") throw invalidResource("a service without hostname");
  return {
    name: s.name,
    namespace: s.namespace,
    hostname: s.hostname,
    addresses: s.addresses.map(networkAddressToModel),
    ports: s.ports.map(portToModel),
    subjectAltNames: s.subjectAltNames,
    waypoint: s.waypoint && gatewayToModel(s.waypoint),
    weightedWaypoints: s.weightedWaypoints.map(({ destination, weight }) => {
      if (!destination) throw invalidResource("a weighted waypoint without destination");
      return { destination: gatewayToModel(destination), weight };
    }),
    loadBalancing: s.loadBalancing && {
      routingPreference: s.loadBalancing.routingPreference.map((scope) => named(SCOPE, scope, "routing preference")),
      mode: named(LB_MODE, s.loadBalancing.mode, "load balancing mode"),
      healthPolicy: named(HEALTH, s.loadBalancing.healthPolicy, "health policy"),
    },
    ipFamilies: named(FAMILIES, s.ipFamilies, "IP families"),
    canonical: s.canonical,
    ingressUseWaypoint: s.ingressUseWaypoint,
    // An unknown visibility is PUBLIC, as in ztunnel.
    visibility: s.visibility === pb.Service_Visibility.NAMESPACE ? "NAMESPACE" : "PUBLIC",
  };
}

/** Fields at their default are left out, as istiod leaves them out. */
export function workloadFromModel(w: model.Workload): pb.Workload {
  const services: Record<string, pb.PortList> = {};
  for (const key of [...w.services.keys()].sort()) {
    services[key] = create(pb.PortListSchema, { ports: w.services.get(key)!.map(portFromModel) });
  }
  return create(pb.WorkloadSchema, {
    uid: w.uid,
    name: w.name,
    namespace: w.namespace,
    addresses: w.addresses.map(ipToBytes),
    hostname: w.hostname,
    network: w.network,
    networkGateway: w.networkGateway && gatewayFromModel(w.networkGateway),
    tunnelProtocol: pb.TunnelProtocol[w.tunnelProtocol],
    nativeTunnel: w.nativeTunnel,
    trustDomain: w.trustDomain === "cluster.local" ? "" : w.trustDomain,
    serviceAccount: w.serviceAccount,
    waypoint: w.waypoint && gatewayFromModel(w.waypoint),
    node: w.node,
    canonicalName: w.canonicalName,
    canonicalRevision: w.canonicalRevision,
    workloadType: pb.WorkloadType[w.workloadType],
    workloadName: w.workloadName,
    status: pb.WorkloadStatus[w.status],
    clusterId: w.clusterId,
    authorizationPolicies: [...w.authorizationPolicies],
    services,
    applicationTunnel: w.applicationTunnel &&
      { protocol: pb.ApplicationTunnel_Protocol[w.applicationTunnel.protocol], port: w.applicationTunnel.port },
    locality: w.locality && { region: w.locality.region, zone: w.locality.zone, subzone: w.locality.subzone },
    networkMode: pb.NetworkMode[w.networkMode],
    capacity: w.capacity === 1 ? undefined : w.capacity,
  });
}

export function serviceFromModel(s: model.Service): pb.Service {
  return create(pb.ServiceSchema, {
    name: s.name,
    namespace: s.namespace,
    hostname: s.hostname,
    addresses: s.addresses.map(networkAddressFromModel),
    ports: s.ports.map(portFromModel),
    subjectAltNames: [...s.subjectAltNames],
    waypoint: s.waypoint && gatewayFromModel(s.waypoint),
    weightedWaypoints: s.weightedWaypoints.map(({ destination, weight }) => ({
      destination: gatewayFromModel(destination),
      weight,
    })),
    loadBalancing: s.loadBalancing && {
      routingPreference: s.loadBalancing.routingPreference.map((scope) => pb.LoadBalancing_Scope[scope]),
      mode: s.loadBalancing.mode === "UNSPECIFIED"
        ? pb.LoadBalancing_Mode.UNSPECIFIED_MODE
        : pb.LoadBalancing_Mode[s.loadBalancing.mode],
      healthPolicy: pb.LoadBalancing_HealthPolicy[s.loadBalancing.healthPolicy],
    },
    ipFamilies: pb.IPFamilies[s.ipFamilies],
    canonical: s.canonical,
    ingressUseWaypoint: s.ingressUseWaypoint,
    visibility: pb.Service_Visibility[s.visibility],
  });
}

const TUNNEL = ["NONE", "HBONE"] as const;
const WORKLOAD_TYPE = ["DEPLOYMENT", "CRONJOB", "POD", "JOB"] as const;
const STATUS = ["HEALTHY", "UNHEALTHY"] as const;
const NETWORK_MODE = ["STANDARD", "HOST_NETWORK"] as const;
const APP_TUNNEL = ["NONE", "PROXY"] as const;
const APP_PROTOCOL = ["UNKNOWN", "HTTP11", "HTTP2", "GRPC", "TCP", "TLS"] as const;
/** 0, the unspecified scope, may not stand in a list. */
const SCOPE = [undefined, "REGION", "ZONE", "SUBZONE", "NODE", "CLUSTER", "NETWORK"] as const;
const LB_MODE = ["UNSPECIFIED", "STRICT", "FAILOVER", "PASSTHROUGH"] as const;
const HEALTH = ["ONLY_HEALTHY", "ALLOW_ALL"] as const;
const FAMILIES = ["AUTOMATIC", "IPV4_ONLY", "IPV6_ONLY", "DUAL"] as const;

/** The name of an enum value; a number that this version does not know refuses the resource, as ztunnel does. */
function named<const T extends string>(names: readonly (T | undefined)[], value: number, what: string): T {
  const name = names[value];
  if (name === undefined) throw invalidResource(`unknown ${what} ${value}`);
  return name;
}

function serviceKeyText(key: string): string {
  const slash = key.indexOf("/");
  if (slash <= 0 || slash === key.length - 1) throw invalidResource(`"${key}" is not namespace/hostname`);
  return key;
}

function port(value: number): number {
  if (value > 65535) throw invalidResource(`port ${value}`);
  return value;
}

function portToModel(p: pb.Port): model.Port {
  return {
    servicePort: port(p.servicePort),
    targetPort: port(p.targetPort),
    // A newer istiod may name a protocol that this version does not know: it is opaque to L4.
    appProtocol: APP_PROTOCOL[p.appProtocol] ?? "UNKNOWN",
  };
}

function portFromModel(p: model.Port): pb.Port {
  return create(pb.PortSchema, {
    servicePort: p.servicePort,
    targetPort: p.targetPort,
    appProtocol: pb.AppProtocol[p.appProtocol],
  });
}

function networkAddressToModel(a: pb.NetworkAddress): model.NetworkAddress {
  const address = ipFromBytes(a.address);
  // A prefix that spans the whole address is a host.
  if (a.length === undefined || a.length === (address.includes(":") ? 128 : 32)) return { network: a.network, address };
  return { network: a.network, address, length: checkPrefix(address, a.length) };
}

function networkAddressFromModel(a: model.NetworkAddress): pb.NetworkAddress {
  return create(pb.NetworkAddressSchema, { network: a.network, address: ipToBytes(a.address), length: a.length });
}

function gatewayToModel(g: pb.GatewayAddress): model.GatewayAddress {
  const hboneMtlsPort = port(g.hboneMtlsPort);
  switch (g.destination.case) {
    case "hostname": {
      const { namespace, hostname } = g.destination.value;
      return { destination: { hostname: { namespace, hostname } }, hboneMtlsPort };
    }
    case "address":
      return { destination: { address: networkAddressToModel(g.destination.value) }, hboneMtlsPort };
    default:
      throw invalidResource("a gateway address without destination");
  }
}

function gatewayFromModel(g: model.GatewayAddress): pb.GatewayAddress {
  return create(pb.GatewayAddressSchema, {
    hboneMtlsPort: g.hboneMtlsPort,
    destination: "hostname" in g.destination
      ? { case: "hostname", value: create(pb.NamespacedHostnameSchema, g.destination.hostname) }
      : { case: "address", value: networkAddressFromModel(g.destination.address) },
  });
}
