// istiod's configuration: flags with pilot-discovery's names, the rest from the environment.

import { parseArgs } from "node:util";
import { type ConfigOf, type EnvLookup, readConfig, setting } from "../../core/config.ts";
import { parseDurationMs } from "../../core/duration.ts";
import { MeshError } from "../../core/errors.ts";
import { splitHostPort } from "../../core/ip.ts";
import { UsageError } from "../../core/usage.ts";
import { CA_SERVER_SETTINGS } from "../../identity/config.ts";

/** Settings of the istiod role from the environment. */
export const ISTIOD_SETTINGS = {
  ...CA_SERVER_SETTINGS,
  podName: setting("POD_NAME", "string", "", "This pod; takes part in the leader election under this name"),
  namespace: setting(
    "POD_NAMESPACE",
    "string",
    "istio-system",
    "Where istiod runs; the mesh's root namespace by default",
  ),
  revision: setting("REVISION", "string", "default", "Revision of this control plane"),
  clusterId: setting("CLUSTER_ID", "string", "Kubernetes", "Name of the cluster"),
  ambient: setting(
    "PILOT_ENABLE_AMBIENT",
    "boolean",
    true,
    "Serve ambient workloads; this control plane serves no other",
  ),
  status: setting(
    "AMBIENT_ENABLE_STATUS",
    "boolean",
    true,
    "Write conditions into the status of policies and of what asks for waypoints",
  ),
  proxyImage: setting(
    "PROXY_IMAGE",
    "string",
    "",
    "Image of the proxies that are deployed for Gateways; empty: the image of istiod's own pod",
  ),
  proxyPullPolicy: setting(
    "PROXY_IMAGE_PULL_POLICY",
    "string",
    "",
    "Their imagePullPolicy; empty: Kubernetes' default",
  ),
  dryRunPolicies: setting(
    "AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY",
    "boolean",
    false,
    "Send policies under istio.io/dry-run to ztunnel, which then only logs",
  ),
  autoAllowWaypointPolicy: setting(
    "PILOT_AUTO_ALLOW_WAYPOINT_POLICY",
    "boolean",
    false,
    "Workloads behind a waypoint let its identity through, and nobody else unless a policy allows it",
  ),
  debounceAfterMs: setting("PILOT_DEBOUNCE_AFTER", "duration", 100, "Changes are pushed after this much quiet …"),
  debounceMaxMs: setting("PILOT_DEBOUNCE_MAX", "duration", 10_000, "… and at the latest after this"),
  identityCheck: setting(
    "PILOT_ENABLE_XDS_IDENTITY_CHECK",
    "boolean",
    true,
    "A client's identity must fit the node it says it is",
  ),
  debugAuth: setting(
    "ENABLE_DEBUG_ENDPOINT_AUTH",
    "boolean",
    true,
    "Debug pages want a token from other than loopback",
  ),
  customHost: setting("ISTIOD_CUSTOM_HOST", "list", [], "Further names of istiod's own certificate"),
  rootConfigMap: setting("PILOT_CA_CERT_CONFIGMAP", "string", "istio-ca-root-cert", "ConfigMap that carries the root"),
  maxReceiveBytes: setting("ISTIO_GPRC_MAXRECVMSGSIZE", "integer", 4 * 1024 * 1024, "Longest gRPC request"),
  trustDomain: setting("TRUST_DOMAIN", "string", "cluster.local", "Trust domain where the mesh configuration has none"),
};

interface Flag {
  readonly default: string;
  readonly doc: string;
  readonly boolean?: boolean;
}

/** Flags with their defaults. */
export const ISTIOD_FLAGS = {
  domain: { default: "cluster.local", doc: "DNS domain suffix of Services" },
  kubeconfig: { default: "", doc: "Path of a kubeconfig; in a pod its own account is used" },
  context: { default: "", doc: "Context of the kubeconfig" },
  meshConfigMap: { default: "", doc: "ConfigMap of the mesh configuration (default istio, or istio-<revision>)" },
  grpcAddr: { default: ":15010", doc: "xDS in plain text; empty: none" },
  secureGRPCAddr: { default: ":15012", doc: "xDS and CA over TLS; empty: none" },
  httpAddr: { default: ":8080", doc: "Readiness and debug pages" },
  monitoringAddr: { default: ":15014", doc: "Metrics, version and debug pages" },
  keepaliveMaxServerConnectionAge: { default: "0s", doc: "Clients are asked to connect anew after this; 0: never" },
  log_output_level: { default: "default:info", doc: "Levels: default:debug, or scope:level,…" },
  log_as_json: { default: "false", doc: "Log lines as JSON", boolean: true },
} as const satisfies Record<string, Flag>;

export type IstiodSettings = ConfigOf<typeof ISTIOD_SETTINGS>;

export interface IstiodConfig extends IstiodSettings {
  readonly domain: string;
  readonly kubeconfig: string;
  readonly context: string;
  readonly meshConfigMap: string;
  /** `host:port`; empty for a server that is switched off. */
  readonly listen: {
    readonly grpc: string;
    readonly secureGrpc: string;
    readonly http: string;
    readonly monitoring: string;
  };
  readonly maxConnectionAgeMs: number;
  readonly logLevels: string;
  readonly logJson: boolean;
}

/**
 * Reads flags and environment.
 *
 * @throws UsageError for flags, MeshError `invalid_config` for the environment
 */
export function readIstiodConfig(args: readonly string[], env: EnvLookup): IstiodConfig {
  // Istio's chart starts the control plane as "discovery".
  const flags = readFlags(args[0] === "discovery" ? args.slice(1) : args);
  const settings = readConfig(ISTIOD_SETTINGS, env);
  if (!settings.ambient) {
    throw new MeshError(
      "invalid_config",
      `PILOT_ENABLE_AMBIENT="false": this control plane serves ambient meshes only`,
    );
  }
  return {
    ...settings,
    domain: flags.domain,
    kubeconfig: flags.kubeconfig,
    context: flags.context,
    meshConfigMap: flags.meshConfigMap ||
      (settings.revision === "" || settings.revision === "default" ? "istio" : `istio-${settings.revision}`),
    listen: {
      grpc: address("grpcAddr", flags.grpcAddr),
      secureGrpc: address("secureGRPCAddr", flags.secureGRPCAddr),
      http: address("httpAddr", flags.httpAddr),
      monitoring: address("monitoringAddr", flags.monitoringAddr),
    },
    maxConnectionAgeMs: duration("keepaliveMaxServerConnectionAge", flags.keepaliveMaxServerConnectionAge),
    logLevels: flags.log_output_level.replace(/(^|,)default[:=]/g, "$1"),
    logJson: flags.log_as_json === "true",
  };
}

function readFlags(args: readonly string[]): Record<keyof typeof ISTIOD_FLAGS, string> {
  const table: Record<string, Flag> = ISTIOD_FLAGS;
  // Go's boolean flags take a value only after "=".
  const normal = args.flatMap((arg) => {
    const [, name, value] = /^--([\w]+)=(true|false)$/.exec(arg) ?? [];
    return name && table[name]?.boolean ? (value === "true" ? [`--${name}`] : []) : [arg];
  });
  try {
    const { values } = parseArgs({
      args: normal,
      options: Object.fromEntries(
        Object.entries(table).map(([name, { boolean }]) => [name, { type: boolean ? "boolean" : "string" } as const]),
      ),
    });
    return Object.fromEntries(
      Object.entries(table).map(([name, flag]) => [name, String(values[name] ?? flag.default)]),
    ) as Record<keyof typeof ISTIOD_FLAGS, string>;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new UsageError(
      `${message.split(". ")[0].replace(/^Unknown option/, "unknown flag")}; see \`ambientd istiod --help\``,
    );
  }
}

/** `:port` listens on every address. */
function address(flag: string, text: string): string {
  if (text === "") return "";
  const full = text.startsWith(":") ? `[::]${text}` : text;
  if (!splitHostPort(full)) throw new UsageError(`--${flag}="${text}" is not an address; write it like :15010`);
  return full;
}

function duration(flag: string, text: string): number {
  try {
    return parseDurationMs(text);
  } catch (cause) {
    throw new UsageError(`--${flag}: ${cause instanceof Error ? cause.message : cause}`);
  }
}

export function istiodHelp(): string {
  const flags = Object.entries(ISTIOD_FLAGS as Record<string, Flag>).map(([name, flag]) =>
    `  --${name}\n      ${flag.doc}${
      flag.default === "" || flag.boolean ? "" : ` (default ${JSON.stringify(flag.default)})`
    }`
  );
  const env = Object.values(ISTIOD_SETTINGS).map(({ env, doc, default: value }) =>
    `  ${[env].flat().join(", ")}\n      ${doc}${value === "" ? "" : ` (default ${JSON.stringify(value)})`}`
  );
  return `Run the control plane (istiod): discovery, certificate authority, status of policies.

Usage: ambientd istiod [flags]

Flags:
${flags.join("\n")}

Environment (durations in milliseconds here, written like 10s):
${env.join("\n")}
`;
}
