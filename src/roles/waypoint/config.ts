import { type ConfigOf, type EnvLookup, readConfig, type Setting, setting } from "../../core/config.ts";
import { describeError, MeshError } from "../../core/errors.ts";
import { parseDurationMs } from "../../core/duration.ts";
import { UsageError } from "../../core/usage.ts";
import { CA_CLIENT_SETTINGS } from "../../identity/config.ts";
import { XDS_CLIENT_SETTINGS } from "../../xds/client/config.ts";

// Workloads and services come whole: endpoints and labels need all of them.
const { xdsOnDemand: _, ...XDS_SETTINGS } = XDS_CLIENT_SETTINGS;

/** Settings of the L7 proxy, with the names of Istio's agent. */
export const WAYPOINT_SETTINGS = {
  ...XDS_SETTINGS,
  ...CA_CLIENT_SETTINGS,
  caAddress: setting(
    ["CA_ADDR", "CA_ADDRESS"],
    "string",
    "",
    "The CA, e.g. istiod.istio-system.svc:15012; empty: as xDS",
  ),
  proxyConfig: setting(
    "PROXY_CONFIG",
    "string",
    "",
    "Istio's ProxyConfig as JSON; discoveryAddress, concurrency, drainDuration, terminationDrainDuration and proxyMetadata are read",
  ),
  podName: setting("POD_NAME", "string", "", "This pod"),
  podNamespace: setting("POD_NAMESPACE", "string", "default", "Its namespace"),
  instanceIp: setting("INSTANCE_IP", "string", "", "Its address"),
  nodeName: setting(["NODE_NAME", "ISTIO_META_NODE_NAME"], "string", "", "The node it runs on"),
  serviceAccount: setting("SERVICE_ACCOUNT", "string", "default", "Its service account: its identity in the mesh"),
  trustDomain: setting("TRUST_DOMAIN", "string", "cluster.local", "The mesh's trust domain"),
  network: setting(["ISTIO_META_NETWORK", "NETWORK"], "string", "", "The network that its addresses belong to"),
  workloadName: setting("ISTIO_META_WORKLOAD_NAME", "string", "", "Its Deployment, for telemetry"),
  meshId: setting("ISTIO_META_MESH_ID", "string", "cluster.local", "The mesh, for telemetry"),
  podInfoDirectory: setting("POD_INFO_DIR", "string", "/etc/istio/pod", "Where the pod's labels are mounted"),
  inCluster: setting("KUBERNETES_SERVICE_HOST", "string", "", "Set in pods: chooses the default address of istiod"),
  adminAddress: setting(
    "ADMIN_ADDR",
    "string",
    "localhost:15000",
    "config_dump, clusters, logging, drain, quitquitquit",
  ),
  statsAddress: setting("STATS_ADDR", "string", "[::]:15020", "Metrics, the agent's and the proxy's in one"),
  readinessAddress: setting("READINESS_ADDR", "string", "[::]:15021", "/healthz/ready"),
  proxyStatsAddress: setting("PROXY_STATS_ADDR", "string", "[::]:15090", "/stats/prometheus, the proxy's alone"),
  hboneAddress: setting("HBONE_ADDR", "string", "[::]:15008", "Where a waypoint takes tunnels"),
  showClients: setting(
    "PRESERVE_CLIENT_ADDRESS",
    "boolean",
    true,
    "Applications behind a waypoint see their clients' addresses, each client having connections of its own; false: the waypoint's, and shared",
  ),
  gatewayHost: setting("GATEWAY_BIND", "string", "::", "The address on which a gateway's ports are opened"),
  terminationDrainMs: setting(
    "TERMINATION_DRAIN_DURATION_SECONDS",
    "integer",
    0,
    "How long clients that have not heard of it are still served after SIGTERM; 0: by ProxyConfig, else 5",
  ),
  gracePeriodSeconds: setting(
    "TERMINATION_GRACE_PERIOD_SECONDS",
    "integer",
    30,
    "The pod's grace period: what runs may go on until shortly before its end",
  ),
  logLevel: setting("RUST_LOG", "string", "", "Levels: debug, or scope=level,…; --log_output_level wins"),
  logFormat: setting("LOG_FORMAT", "string", "plain", "plain or json"),
} satisfies Record<string, Setting<any>>;

/** How an L7 proxy is used; Istio's `proxy waypoint` and `proxy router`. */
export type WaypointMode = "waypoint" | "router";

export interface WaypointArguments {
  readonly mode: WaypointMode;
  /** `default.svc.cluster.local`, for the node's id; "" when not given. */
  readonly domain: string;
  /** `default:info`, as Istio writes it; "" when not given. */
  readonly logLevel: string;
  readonly logAsJson: boolean;
}

export type WaypointConfig = ConfigOf<typeof WAYPOINT_SETTINGS> & {
  readonly mode: WaypointMode;
  /** The node's DNS domain. */
  readonly domain: string;
  /** From ProxyConfig. */
  readonly proxyMetadata: Readonly<Record<string, string>>;
  /** How long new connections are still taken after SIGTERM, and then how long what runs may go on; milliseconds. */
  readonly drainMs: number;
  readonly graceMs: number;
  readonly levels: string;
  readonly json: boolean;
};

/** Flags of Istio's agent that say nothing here: `--name value` or `--name=value`. */
const IGNORED = new Set([
  "--proxyLogLevel",
  "--proxyComponentLogLevel",
  "--serviceCluster",
  "--templateFile",
  "--stsPort",
  "--concurrency",
  "--tokenManagerPlugin",
  "--meshConfig",
  "--outlierLogPath",
  "--log_target",
  "--log_stacktrace_level",
]);

/** Reads `[proxy] waypoint|router [flags]`. @throws UsageError */
export function parseArguments(args: readonly string[]): WaypointArguments {
  const rest = args[0] === "proxy" ? args.slice(1) : [...args];
  let mode: WaypointMode = "waypoint";
  if (rest[0] === "waypoint" || rest[0] === "router") mode = rest.shift() as WaypointMode;
  let domain = "", logLevel = "", logAsJson = false;
  while (rest.length > 0) {
    const [flag, ...inline] = rest.shift()!.split("=");
    if (flag === "--log_as_json") {
      logAsJson = true;
      continue;
    }
    const known = flag === "--domain" || flag === "--log_output_level" || IGNORED.has(flag);
    if (!known) throw new UsageError(`unknown argument "${flag}"; run \`ambientd waypoint --help\``);
    const value = inline.length > 0 ? inline.join("=") : rest.shift();
    if (value === undefined) throw new UsageError(`${flag} needs a value`);
    if (flag === "--domain") domain = value;
    if (flag === "--log_output_level") logLevel = value.replace(/(^|,)(default|all):/g, "$1");
  }
  return { mode, domain, logLevel, logAsJson };
}

/** @throws MeshError `invalid_config` naming every value that cannot be used; UsageError */
export function readWaypointConfig(env: EnvLookup, args: readonly string[]): WaypointConfig {
  const parsed = parseArguments(args);
  const config = readConfig(WAYPOINT_SETTINGS, env);
  if (!["plain", "json"].includes(config.logFormat)) {
    throw new MeshError("invalid_config", `LOG_FORMAT="${config.logFormat}" is neither plain nor json`);
  }
  const proxy = readProxyConfig(config.proxyConfig);
  const xdsAddress = config.xdsAddress || proxy.discoveryAddress;
  const drainMs = config.terminationDrainMs > 0 ? config.terminationDrainMs * 1000 : proxy.drainMs;
  return Object.freeze({
    ...config,
    xdsAddress,
    caAddress: config.caAddress || xdsAddress,
    mode: parsed.mode,
    domain: parsed.domain || `${config.podNamespace}.svc.cluster.local`,
    proxyMetadata: proxy.proxyMetadata,
    drainMs,
    graceMs: Math.max(0, config.gracePeriodSeconds * 1000 - drainMs - LAST_MS),
    levels: parsed.logLevel || config.logLevel || "info",
    json: parsed.logAsJson || config.logFormat === "json",
  });
}

const DEFAULT_DRAIN_MS = 5_000;
/** Left of the grace period for ending itself. */
const LAST_MS = 2_000;

function readProxyConfig(
  text: string,
): { discoveryAddress: string; proxyMetadata: Record<string, string>; drainMs: number } {
  if (text.trim() === "") return { discoveryAddress: "", proxyMetadata: {}, drainMs: DEFAULT_DRAIN_MS };
  try {
    const raw = JSON.parse(text);
    const drain = raw.terminationDrainDuration;
    return {
      discoveryAddress: String(raw.discoveryAddress ?? ""),
      proxyMetadata: Object.fromEntries(
        Object.entries(raw.proxyMetadata ?? {}).map(([key, value]) => [key, String(value)]),
      ),
      drainMs: drain === undefined ? DEFAULT_DRAIN_MS : parseDurationMs(String(drain)),
    };
  } catch (cause) {
    throw new MeshError("invalid_config", `cannot read PROXY_CONFIG: ${describeError(cause)}`, { cause });
  }
}
