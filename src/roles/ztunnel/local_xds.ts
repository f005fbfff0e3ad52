// The mesh from a YAML file in place of istiod, in the form of ztunnel's LOCAL_XDS: for tests, benches and small set-ups.

import { parse } from "yaml";
import { canonicalIp } from "../../core/ip.ts";
import { MeshError } from "../../core/errors.ts";
import {
  type AuthorizationPolicy,
  EMPTY_MATCH,
  type GatewayAddress,
  type IpRange,
  type NetworkAddress,
  type PolicyMatch,
  type Port,
  type Service,
  type StringMatch,
  type Workload,
} from "../../model/mod.ts";

export interface LocalMesh {
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  readonly policies: readonly AuthorizationPolicy[];
}

type Raw = Record<string, any>;

/**
 * Reads `workloads`, `services` and `policies` with the keys of config_dump; what is left out has xDS's default.
 *
 * @throws MeshError `invalid_local_xds`
 */
export function parseLocalXds(text: string): LocalMesh {
  try {
    const raw = (parse(text) ?? {}) as Raw;
    const workloads = list(raw.workloads).map(toWorkload);
    return { workloads, services: list(raw.services).map(toService), policies: list(raw.policies).map(toPolicy) };
  } catch (cause) {
    throw new MeshError("invalid_local_xds", "cannot read the local xDS", { cause });
  }
}

function list(value: unknown): Raw[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Error(`want a list, not ${JSON.stringify(value)}`);
  return value;
}

function need(raw: Raw, field: string): string {
  if (typeof raw[field] !== "string") throw new Error(`"${field}" is missing in ${JSON.stringify(raw)}`);
  return raw[field];
}

function ip(text: string): string {
  const found = canonicalIp(text);
  if (!found) throw new Error(`"${text}" is not an address`);
  return found;
}

function toWorkload(raw: Raw): Workload {
  const services = new Map<string, readonly Port[]>();
  for (const [key, ports] of Object.entries((raw.services ?? {}) as Record<string, Raw>)) {
    services.set(key, toPorts(ports));
  }
  return {
    uid: need(raw, "uid"),
    name: need(raw, "name"),
    namespace: need(raw, "namespace"),
    addresses: ((raw.workloadIps ?? []) as string[]).map(ip),
    hostname: raw.hostname ?? "",
    network: raw.network ?? "",
    networkGateway: toGateway(raw.networkGateway),
    tunnelProtocol: raw.protocol === "HBONE" ? "HBONE" : "NONE",
    nativeTunnel: raw.nativeTunnel ?? false,
    trustDomain: raw.trustDomain || "cluster.local",
    serviceAccount: raw.serviceAccount || "default",
    waypoint: toGateway(raw.waypoint),
    node: raw.node ?? "",
    canonicalName: raw.canonicalName ?? "",
    canonicalRevision: raw.canonicalRevision ?? "",
    workloadType: String(raw.workloadType ?? "POD").toUpperCase() as Workload["workloadType"],
    workloadName: raw.workloadName ?? raw.name,
    status: String(raw.status ?? "healthy").toUpperCase() as Workload["status"],
    clusterId: raw.clusterId ?? "Kubernetes",
    authorizationPolicies: raw.authorizationPolicies ?? [],
    services,
    applicationTunnel: raw.applicationTunnel && {
      protocol: raw.applicationTunnel.protocol ?? "NONE",
      port: raw.applicationTunnel.port ?? 0,
    },
    locality: raw.locality && { region: "", zone: "", subzone: "", ...raw.locality },
    networkMode: raw.networkMode === "HostNetwork" ? "HOST_NETWORK" : "STANDARD",
    capacity: raw.capacity ?? 1,
  };
}

function toService(raw: Raw): Service {
  return {
    name: need(raw, "name"),
    namespace: need(raw, "namespace"),
    hostname: need(raw, "hostname"),
    addresses: [...(raw.vips ?? []), ...(raw.cidrVips ?? [])].map(toAddress),
    ports: toPorts(raw.ports ?? {}),
    subjectAltNames: raw.subjectAltNames ?? [],
    waypoint: toGateway(raw.waypoint),
    weightedWaypoints: list(raw.weightedWaypoints).map((one) => ({
      destination: toGateway(one.destination)!,
      weight: one.weight ?? 0,
    })),
    loadBalancing: raw.loadBalancer && {
      routingPreference: (raw.loadBalancer.routingPreferences ?? []).map((scope: string) => scope.toUpperCase()),
      mode: String(raw.loadBalancer.mode ?? "UNSPECIFIED").toUpperCase() as "FAILOVER",
      healthPolicy: raw.loadBalancer.healthPolicy === "AllowAll" ? "ALLOW_ALL" : "ONLY_HEALTHY",
    },
    ipFamilies: "AUTOMATIC",
    canonical: raw.canonical ?? false,
    ingressUseWaypoint: false,
    visibility: "PUBLIC",
  };
}

/** `{80: 8080}` */
function toPorts(raw: Raw): Port[] {
  return Object.entries(raw).map(([servicePort, targetPort]) => ({
    servicePort: Number(servicePort),
    targetPort: Number(targetPort),
    appProtocol: "UNKNOWN",
  }));
}

/** `network/1.2.3.4` or `network/1.2.3.0/24`; the network may be empty. */
function toAddress(text: string): NetworkAddress {
  const [network, address, length] = text.includes("/") ? text.split("/") : ["", text];
  return { network, address: ip(address), ...(length === undefined ? {} : { length: Number(length) }) };
}

function toGateway(raw: Raw | undefined): GatewayAddress | undefined {
  if (!raw) return undefined;
  const { destination } = raw;
  return {
    destination: typeof destination === "string"
      ? { address: toAddress(destination) }
      : { hostname: { namespace: need(destination, "namespace"), hostname: need(destination, "hostname") } },
    hboneMtlsPort: raw.hboneMtlsPort ?? 15008,
  };
}

const SCOPES: Record<string, AuthorizationPolicy["scope"]> = {
  Global: "GLOBAL",
  Namespace: "NAMESPACE",
  WorkloadSelector: "WORKLOAD_SELECTOR",
};

function toPolicy(raw: Raw): AuthorizationPolicy {
  const scope = SCOPES[raw.scope];
  if (!scope) throw new Error(`scope "${raw.scope}" is not Global, Namespace or WorkloadSelector`);
  return {
    namespace: need(raw, "namespace"),
    name: need(raw, "name"),
    scope,
    action: raw.action === "Deny" ? "DENY" : "ALLOW",
    rules: list(raw.rules).map((rule) => list(rule).map((clause) => list(clause).map((match) => toMatch(match)))),
    dryRun: raw.dryRun ?? false,
  };
}

function toMatch(raw: Raw): PolicyMatch {
  const strings = (field: string) => list(raw[field]).map(toStringMatch);
  const ranges = (field: string): IpRange[] =>
    ((raw[field] ?? []) as string[]).map((text) => {
      const [address, length] = text.split("/");
      return {
        address: ip(address),
        length: length === undefined ? (address.includes(":") ? 128 : 32) : Number(length),
      };
    });
  const accounts = (field: string) =>
    list(raw[field]).map((one) => ({ namespace: need(one, "namespace"), serviceAccount: need(one, "serviceAccount") }));
  return {
    ...EMPTY_MATCH,
    namespaces: strings("namespaces"),
    notNamespaces: strings("notNamespaces"),
    principals: strings("principals"),
    notPrincipals: strings("notPrincipals"),
    sourceIps: ranges("sourceIps"),
    notSourceIps: ranges("notSourceIps"),
    destinationIps: ranges("destinationIps"),
    notDestinationIps: ranges("notDestinationIps"),
    destinationPorts: raw.destinationPorts ?? [],
    notDestinationPorts: raw.notDestinationPorts ?? [],
    serviceAccounts: accounts("serviceAccounts"),
    notServiceAccounts: accounts("notServiceAccounts"),
  };
}

function toStringMatch(raw: Raw): StringMatch {
  for (const kind of ["exact", "prefix", "suffix"] as const) {
    const value = raw[kind] ?? raw[kind[0].toUpperCase() + kind.slice(1)];
    if (typeof value === "string") return { kind, value };
  }
  return { kind: "presence" };
}
