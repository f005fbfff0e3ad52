import { type ConfigOf, type EnvLookup, readConfig, setting } from "../../core/config.ts";
import { MeshError } from "../../core/errors.ts";
import { CA_CLIENT_SETTINGS } from "../../identity/config.ts";
import { PROXY_SETTINGS, type WorkloadInfo } from "../../proxy/mod.ts";
import { XDS_CLIENT_SETTINGS } from "../../xds/client/config.ts";

/** Settings of the ztunnel role, with ztunnel's names. */
export const ZTUNNEL_SETTINGS = {
  ...PROXY_SETTINGS,
  ...XDS_CLIENT_SETTINGS,
  ...CA_CLIENT_SETTINGS,
  proxyMode: setting(
    "PROXY_MODE",
    "string",
    "shared",
    "shared: pods come by ZDS; dedicated: one workload, this process's network",
  ),
  proxyWorkloadInfo: setting(
    "PROXY_WORKLOAD_INFO",
    "string",
    "",
    "namespace/name/service-account of the dedicated workload",
  ),
  zdsPath: setting(
    ["INPOD_UDS", "ZTUNNEL_UDS_ADDRESS"],
    "string",
    "/var/run/ztunnel/ztunnel.sock",
    "Where the CNI agent listens",
  ),
  localXds: setting("LOCAL_XDS", "string", "", "Workloads, services and policies as YAML, in place of istiod"),
  localXdsPath: setting("LOCAL_XDS_PATH", "string", "", "The same from a file"),
  fakeCa: setting("FAKE_CA", "boolean", false, "Sign certificates in this process. For tests and benches only"),
  fakeCaDir: setting(
    "FAKE_CA_DIR",
    "string",
    "",
    "With FAKE_CA: directory of ca-cert.pem, ca-key.pem and root-cert.pem, to share one CA",
  ),
  podName: setting("POD_NAME", "string", "", "ztunnel's own pod"),
  podNamespace: setting("POD_NAMESPACE", "string", "", "Its namespace"),
  instanceIp: setting("INSTANCE_IP", "string", "", "Its address"),
  inCluster: setting("KUBERNETES_SERVICE_HOST", "string", "", "Set in pods: chooses the default address of istiod"),
  logLevel: setting("RUST_LOG", "string", "info", "Levels: debug, or scope=level,…"),
  logFormat: setting("LOG_FORMAT", "string", "plain", "plain or json"),
  adminAddress: setting("ADMIN_ADDR", "string", "localhost:15000", "config_dump, logging, quitquitquit"),
  statsAddress: setting("STATS_ADDR", "string", "[::]:15020", "Metrics"),
  readinessAddress: setting("READINESS_ADDR", "string", "[::]:15021", "/healthz/ready"),
  terminationDeadlineMs: setting(
    "CONNECTION_TERMINATION_DEADLINE",
    "duration",
    0,
    "How long connections may go on after SIGTERM; 0: by the grace period",
  ),
  gracePeriodSeconds: setting(
    "TERMINATION_GRACE_PERIOD_SECONDS",
    "integer",
    0,
    "The pod's grace period; 0 when not known",
  ),
  preferredNamespace: setting(
    "PREFERED_SERVICE_NAMESPACE",
    "string",
    "",
    "Namespace whose Services win where several have a name",
  ),
  dnsCapture: setting("ISTIO_META_DNS_CAPTURE", "boolean", true, "Answer DNS on 15053"),
};

export type ZtunnelConfig = ConfigOf<typeof ZTUNNEL_SETTINGS>;

/**
 * Reads and checks the role's configuration.
 *
 * @throws MeshError `invalid_config`
 */
export function readZtunnelConfig(env: EnvLookup): ZtunnelConfig {
  const config = readConfig(ZTUNNEL_SETTINGS, env);
  const bad = (message: string) => new MeshError("invalid_config", message);
  if (!["shared", "dedicated"].includes(config.proxyMode.toLowerCase())) {
    throw bad(`PROXY_MODE="${config.proxyMode}" is neither "shared" nor "dedicated"`);
  }
  if (config.localXds !== "" && config.localXdsPath !== "") {
    throw bad("LOCAL_XDS and LOCAL_XDS_PATH exclude each other");
  }
  if (!["plain", "json"].includes(config.logFormat)) {
    throw bad(`LOG_FORMAT="${config.logFormat}" is neither plain nor json`);
  }
  dedicatedWorkload(config);
  return config;
}

/** The one workload of dedicated mode; undefined in shared mode. */
export function dedicatedWorkload(config: ZtunnelConfig): WorkloadInfo | undefined {
  if (config.proxyMode.toLowerCase() !== "dedicated") return undefined;
  const [namespace, name, serviceAccount, ...rest] = config.proxyWorkloadInfo.split("/");
  if (!namespace || !name || !serviceAccount || rest.length > 0) {
    throw new MeshError(
      "invalid_config",
      `PROXY_WORKLOAD_INFO="${config.proxyWorkloadInfo}" is not namespace/name/service-account`,
    );
  }
  return { namespace, name, serviceAccount };
}

/** How long connections may go on once draining begins. */
export function drainDeadlineMs(config: ZtunnelConfig): number {
  if (config.terminationDeadlineMs > 0) return config.terminationDeadlineMs;
  const grace = config.gracePeriodSeconds;
  if (grace <= 0) return 5_000;
  return Math.max(1, grace > 10 ? grace - 5 : grace - 1) * 1000;
}
