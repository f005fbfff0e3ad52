import { CertificateCache } from "../../identity/cache.ts";
import { CaClient } from "../../identity/ca_client.ts";
import type { MeshState } from "../../proxy/state/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Registry } from "../../telemetry/metrics.ts";
import { defaultControlPlaneAddress } from "../../xds/client/config.ts";
import {
  type AddressResource,
  addressType,
  DeltaXdsClient,
  proxyResourceType,
  type ProxyUpdate,
  type Reject,
  type Update,
  XdsClientMetrics,
  type XdsNode,
} from "../../xds/client/mod.ts";
import type { WaypointConfig } from "./config.ts";
import { addXdsConnectionStats } from "./envoy_stats.ts";

/** `XDS_HEADER_<name>`, `CA_HEADER_<name>`. */
function headersFrom(env: Readonly<Record<string, string>>, prefix: string): Record<string, string> {
  const entries = Object.entries(env).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(entries.map(([name, value]) => [name.slice(prefix.length).toLowerCase(), value]));
}

function withScheme(address: string, { inCluster }: WaypointConfig): string {
  if (address === "") return defaultControlPlaneAddress(inCluster !== "");
  return /^https?:\/\//.test(address) ? address : `https://${address}`;
}

/** Where the proxy's own certificate comes from. */
export function caClient(config: WaypointConfig, env: Readonly<Record<string, string>>): CaClient {
  return new CaClient({
    address: withScheme(config.caAddress, config),
    rootCa: config.caRoot,
    altHostname: config.caAltHostname || undefined,
    token: config.token,
    clusterId: config.clusterId,
    headers: headersFrom(env, "CA_HEADER_"),
    ttlMs: config.secretTtlMs,
    impersonate: false,
  });
}

export function certificateCache(client: CaClient, logger: Logger): CertificateCache {
  return new CertificateCache({ client, logger: logger.child("identity") });
}

export interface DiscoveryOptions {
  readonly config: WaypointConfig;
  readonly env: Readonly<Record<string, string>>;
  readonly node: XdsNode;
  readonly state: MeshState;
  /** Takes a change of the configuration; what it returns is refused. */
  readonly onResources: (update: ProxyUpdate) => readonly Reject[] | void;
  readonly logger: Logger;
  readonly registry: Registry;
  readonly signal: AbortSignal;
  /** Configuration and workloads have been received once. */
  readonly onSynced: () => void;
}

/** Keeps configuration and workloads up to date until the signal aborts. */
export async function runDiscovery(options: DiscoveryOptions): Promise<void> {
  const { config, env, node, state, logger, registry, signal, onResources, onSynced } = options;
  const client = new DeltaXdsClient({
    address: withScheme(config.xdsAddress, config),
    rootCa: config.xdsRoot,
    altHostname: config.xdsAltHostname || undefined,
    token: config.token,
    clusterId: config.clusterId,
    headers: headersFrom(env, "XDS_HEADER_"),
    node,
    // Workloads first: endpoints are there when routes ask for them.
    types: [addressType((update) => takeAddresses(state, update)), proxyResourceType(onResources)],
    logger: logger.child("xds"),
    metrics: new XdsClientMetrics(registry),
    onSynced,
  });
  addXdsConnectionStats(registry, () => client.connected);
  await client.run(signal);
}

function takeAddresses(state: MeshState, { added, removed }: Update<AddressResource>): void {
  for (const name of removed) state.removeAddress(name);
  for (const { value } of added) {
    if (value.kind === "service") state.upsertService(value.service);
    else state.upsertWorkload(value.workload);
  }
  state.changed();
}
