// `GET /config_dump`: what this proxy knows, under the names that ztunnel gives it.

import { VERSION } from "../../core/version.ts";
import type { CertificateDump } from "../../identity/cache.ts";
import type { AuthorizationPolicy, GatewayAddress, PolicyMatch, Port, Service, Workload } from "../../model/mod.ts";
import type { MeshState, PodState } from "../../proxy/mod.ts";
import { serviceKey } from "../../model/mod.ts";

export interface DumpSources {
  readonly state: MeshState;
  readonly certificates: readonly CertificateDump[];
  readonly config: Readonly<Record<string, unknown>>;
  readonly pods: Readonly<Record<string, PodState>>;
}

export function configDump({ state, certificates, config, pods }: DumpSources): Record<string, unknown> {
  return {
    workloads: [...state.workloads()].map(workload),
    services: [...state.services()].map((one) => service(state, one)),
    policies: state.policies.all().map(policy),
    stagedServices: Object.fromEntries(state.stagedServices().map((key) => [key, endpoints(state, key)])),
    staticConfig: { workloads: [], services: [], policies: [] },
    version: { version: VERSION, name: "ambientd" },
    config,
    certificates,
    workloadState: pods,
  };
}

const titled = (text: string): string => text.charAt(0) + text.slice(1).toLowerCase();

function ports(list: readonly Port[]): Record<string, number> {
  return Object.fromEntries(list.map((port) => [port.servicePort, port.targetPort]));
}

function gateway(one: GatewayAddress | undefined): unknown {
  if (!one) return undefined;
  const { destination } = one;
  return {
    destination: "hostname" in destination
      ? `${destination.hostname.namespace}/${destination.hostname.hostname}`
      : `${destination.address.network}/${destination.address.address}`,
    hboneMtlsPort: one.hboneMtlsPort,
  };
}

function workload(one: Workload): Record<string, unknown> {
  return {
    workloadIps: one.addresses,
    waypoint: gateway(one.waypoint),
    networkGateway: gateway(one.networkGateway),
    protocol: one.tunnelProtocol === "HBONE" ? "HBONE" : "TCP",
    networkMode: one.networkMode === "HOST_NETWORK" ? "HostNetwork" : "Standard",
    uid: one.uid,
    name: one.name,
    namespace: one.namespace,
    trustDomain: one.trustDomain,
    serviceAccount: one.serviceAccount,
    network: one.network,
    workloadName: one.workloadName,
    workloadType: one.workloadType.toLowerCase(),
    canonicalName: one.canonicalName,
    canonicalRevision: one.canonicalRevision,
    hostname: one.hostname,
    node: one.node,
    nativeTunnel: one.nativeTunnel || undefined,
    applicationTunnel: one.applicationTunnel,
    authorizationPolicies: one.authorizationPolicies,
    status: titled(one.status),
    clusterId: one.clusterId,
    locality: one.locality ?? {},
    services: [...one.services.keys()],
    capacity: one.capacity,
  };
}

function endpoints(state: MeshState, key: string): Record<string, unknown> {
  return Object.fromEntries([...state.endpoints(key)].map((endpoint) => [endpoint.workload.uid, {
    workloadUid: endpoint.workload.uid,
    port: ports(endpoint.ports),
    status: titled(endpoint.workload.status),
  }]));
}

function service(state: MeshState, one: Service): Record<string, unknown> {
  const vips = (ranges: boolean) =>
    one.addresses.filter((vip) => (vip.length !== undefined) === ranges).map((vip) =>
      `${vip.network}/${vip.address}${vip.length === undefined ? "" : `/${vip.length}`}`
    );
  const balancing = one.loadBalancing;
  return {
    name: one.name,
    namespace: one.namespace,
    hostname: one.hostname,
    vips: vips(false),
    cidrVips: vips(true),
    ports: ports(one.ports),
    endpoints: endpoints(state, serviceKey(one)),
    subjectAltNames: one.subjectAltNames,
    waypoint: gateway(one.waypoint),
    weightedWaypoints: one.weightedWaypoints.map(({ destination, weight }) => ({
      destination: gateway(destination),
      weight,
    })),
    loadBalancer: balancing && {
      routingPreferences: balancing.routingPreference.map(titled),
      mode: titled(balancing.mode),
      healthPolicy: balancing.healthPolicy === "ALLOW_ALL" ? "AllowAll" : "OnlyHealthy",
    },
    ipFamilies: IP_FAMILIES[one.ipFamilies],
    canonical: one.canonical,
    visibility: titled(one.visibility),
  };
}

const IP_FAMILIES = { AUTOMATIC: undefined, IPV4_ONLY: "IPv4", IPV6_ONLY: "IPv6", DUAL: "Dual" } as const;

const SCOPES = { GLOBAL: "Global", NAMESPACE: "Namespace", WORKLOAD_SELECTOR: "WorkloadSelector" } as const;

function policy(one: AuthorizationPolicy): Record<string, unknown> {
  return {
    name: one.name,
    namespace: one.namespace,
    scope: SCOPES[one.scope],
    action: titled(one.action),
    rules: one.rules.map((rule) => rule.map((clause) => clause.map(match))),
    dryRun: one.dryRun,
  };
}

/** Only the fields that say something. */
function match(one: PolicyMatch): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [field, values] of Object.entries(one) as [string, readonly any[]][]) {
    if (values.length === 0) continue;
    out[field] = values.map((value) => {
      if (typeof value === "object" && "kind" in value) {
        return value.kind === "presence" ? { Presence: {} } : { [titled(value.kind.toUpperCase())]: value.value };
      }
      return typeof value === "object" && "length" in value ? `${value.address}/${value.length}` : value;
    });
  }
  return out;
}
