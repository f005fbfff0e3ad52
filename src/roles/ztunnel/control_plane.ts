import { dedicatedWorkload, type ZtunnelConfig } from "./config.ts";
import type { StateFeed } from "./feed.ts";
import type { CertificateSource } from "../../identity/types.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Registry } from "../../telemetry/metrics.ts";
import { defaultControlPlaneAddress } from "../../xds/client/config.ts";

/** `XDS_HEADER_<name>`, `CA_HEADER_<name>`. */
function headersFrom(env: Readonly<Record<string, string>>, prefix: string): Record<string, string> {
  const entries = Object.entries(env).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(entries.map(([name, value]) => [name.slice(prefix.length).toLowerCase(), value]));
}

function withScheme(address: string, config: ZtunnelConfig): string {
  if (address === "") return defaultControlPlaneAddress(config.inCluster !== "");
  return /^https?:\/\//.test(address) ? address : `https://${address}`;
}

/** Where this ztunnel's certificates come from. gRPC is loaded only when a CA is asked. */
export async function certificateSource(
  config: ZtunnelConfig,
  env: Readonly<Record<string, string>>,
): Promise<CertificateSource & { close?(): void }> {
  if (config.fakeCa) {
    const { FakeCa } = await import("./fake_ca.ts");
    return new FakeCa(config.fakeCaDir, config.secretTtlMs);
  }
  const { CaClient } = await import("../../identity/ca_client.ts");
  return new CaClient({
    address: withScheme(config.caAddress, config),
    rootCa: config.caRoot,
    altHostname: config.caAltHostname || undefined,
    token: config.token,
    clusterId: config.clusterId,
    headers: headersFrom(env, "CA_HEADER_"),
    ttlMs: config.secretTtlMs,
    impersonate: dedicatedWorkload(config) === undefined,
  });
}

export interface DiscoveryOptions {
  readonly config: ZtunnelConfig;
  readonly env: Readonly<Record<string, string>>;
  readonly feed: StateFeed;
  readonly logger: Logger;
  readonly registry: Registry;
  readonly signal: AbortSignal;
  /** Everything subscribed to has been received once. */
  readonly onSynced: () => void;
}

/** Feeds the state from a file or from istiod until the signal aborts. */
export async function runDiscovery(options: DiscoveryOptions): Promise<void> {
  const { config, env, feed, logger, registry, signal, onSynced } = options;
  const local = config.localXds || (config.localXdsPath && await Deno.readTextFile(config.localXdsPath));
  if (local) {
    const { parseLocalXds } = await import("./local_xds.ts");
    feed.local(parseLocalXds(local));
    onSynced();
    return;
  }
  const { addressType, authorizationType, DeltaXdsClient, XdsClientMetrics, ztunnelNode } = await import(
    "../../xds/client/mod.ts"
  );
  const client = new DeltaXdsClient({
    address: withScheme(config.xdsAddress, config),
    rootCa: config.xdsRoot,
    altHostname: config.xdsAltHostname || undefined,
    token: config.token,
    clusterId: config.clusterId,
    headers: headersFrom(env, "XDS_HEADER_"),
    node: ztunnelNode({
      instanceIp: config.instanceIp,
      podName: config.podName,
      podNamespace: config.podNamespace,
      nodeName: config.localNode,
      env,
    }),
    types: [
      addressType((update) => feed.addresses(update)),
      authorizationType((update) => feed.authorizations(update)),
    ],
    logger: logger.child("xds"),
    metrics: new XdsClientMetrics(registry),
    onSynced,
  });
  await client.run(signal);
}
