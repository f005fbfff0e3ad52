// The part of the mesh configuration (ConfigMap `istio`) that L7 proxies are told.

import type { L7Settings, PathNormalization, TracingSettings } from "../../model/l7.ts";
import { isObject } from "../authorization/rule.ts";

/** How the mesh routes, beside what the ambient index knows of it. */
export interface RoutingSettings {
  readonly l7: L7Settings;
  /** `defaultServiceExportTo` and its siblings, [`*`] by default. */
  readonly defaultServiceExportTo: readonly string[];
  readonly defaultVirtualServiceExportTo: readonly string[];
  readonly defaultDestinationRuleExportTo: readonly string[];
}

const NORMALIZATIONS: readonly PathNormalization[] = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];

/** Fields that this mesh heeds, here or elsewhere, or that say of Envoy and its sidecars what has no counterpart. */
const FIELDS: ReadonlySet<string> = new Set([
  "accessLogEncoding",
  "accessLogFile",
  "accessLogFormat",
  "defaultConfig",
  "defaultDestinationRuleExportTo",
  "defaultProviders",
  "defaultServiceExportTo",
  "defaultVirtualServiceExportTo",
  "enablePrometheusMerge",
  "extensionProviders",
  "pathNormalization",
  "rootNamespace",
  "serviceScopeConfigs",
  "trustDomain",
]);
const PROXY_FIELDS: ReadonlySet<string> = new Set([
  "discoveryAddress",
  "gatewayTopology",
  "meshId",
  "proxyMetadata",
  "tracing",
]);

/** What holds without a mesh configuration. */
export const DEFAULT_ROUTING_SETTINGS: RoutingSettings = readRoutingSettings({}).settings;

/**
 * Reads the mesh configuration. What cannot be used is left at its default and named in `problems`; an unknown path normalization
 * becomes the strictest one, since policies depend on it.
 */
export function readRoutingSettings(
  raw: Readonly<Record<string, unknown>>,
  trustDomain = "cluster.local",
): { settings: RoutingSettings; problems: string[] } {
  const problems: string[] = [];
  const bad = (place: string, value: unknown) =>
    problems.push(`cannot use ${place}=${JSON.stringify(value)?.slice(0, 80)}`);
  const object = (place: string, value: unknown): Record<string, unknown> => {
    if (value === undefined || value === null) return {};
    if (isObject(value)) return value;
    bad(place, value);
    return {};
  };
  const exportTo = (field: string): string[] => {
    const value = raw[field];
    if (value === undefined || value === null) return ["*"];
    if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value.length > 0 ? value : ["*"];
    bad(field, value);
    return ["."];
  };
  const proxy = object("defaultConfig", raw.defaultConfig);
  const topology = object("defaultConfig.gatewayTopology", proxy.gatewayTopology);
  for (const field of Object.keys(raw)) if (!FIELDS.has(field)) problems.push(`${field} is not supported`);
  for (const field of Object.keys(proxy)) {
    if (!PROXY_FIELDS.has(field)) problems.push(`defaultConfig.${field} is not supported`);
  }
  const hops = topology.numTrustedProxies ?? 0;
  if (!isCount(hops)) bad("defaultConfig.gatewayTopology.numTrustedProxies", hops);

  const normal = object("pathNormalization", raw.pathNormalization).normalization ?? "BASE";
  const known = normal === "DEFAULT" ? "BASE" : NORMALIZATIONS.find((one) => one === normal);
  if (!known) bad("pathNormalization.normalization", normal);
  return {
    settings: {
      l7: {
        kind: "settings",
        name: "mesh",
        trustDomain,
        pathNormalization: known ?? "DECODE_AND_MERGE_SLASHES",
        accessLog: accessLog(raw, bad),
        tracing: tracing(raw, proxy, bad),
        trustedProxies: isCount(hops) ? hops : 0,
      },
      defaultServiceExportTo: exportTo("defaultServiceExportTo"),
      defaultVirtualServiceExportTo: exportTo("defaultVirtualServiceExportTo"),
      defaultDestinationRuleExportTo: exportTo("defaultDestinationRuleExportTo"),
    },
    problems,
  };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 1000;
}

type Bad = (place: string, value: unknown) => void;

/** `accessLogFile` switches it on; an empty `format` stands for Istio's default. */
function accessLog(raw: Readonly<Record<string, unknown>>, bad: Bad): L7Settings["accessLog"] {
  const { accessLogFile: file = "", accessLogEncoding: encoding = "TEXT", accessLogFormat: format = "" } = raw;
  if (file === "" || file === null) return undefined;
  if (file !== "/dev/stdout") bad("accessLogFile", file);
  if (encoding !== "TEXT" && encoding !== "JSON") bad("accessLogEncoding", encoding);
  if (typeof format !== "string") bad("accessLogFormat", format);
  return { encoding: encoding === "JSON" ? "JSON" : "TEXT", format: typeof format === "string" ? format : "" };
}

/** The first OpenTelemetry provider that `defaultProviders.tracing` names. */
function tracing(
  raw: Readonly<Record<string, unknown>>,
  proxy: Readonly<Record<string, unknown>>,
  bad: Bad,
): TracingSettings | undefined {
  const defaults = isObject(raw.defaultProviders) ? raw.defaultProviders.tracing : undefined;
  if (!Array.isArray(defaults)) {
    if (defaults !== undefined) bad("defaultProviders.tracing", defaults);
    return undefined;
  }
  const providers = Array.isArray(raw.extensionProviders) ? raw.extensionProviders.filter(isObject) : [];
  for (const name of defaults) {
    const provider = providers.find((one) => one.name === name), otlp = provider?.opentelemetry;
    if (!isObject(otlp) || typeof otlp.service !== "string" || typeof otlp.port !== "number") {
      bad("defaultProviders.tracing", name);
      continue;
    }
    const sampling = isObject(proxy.tracing) ? proxy.tracing.sampling : undefined;
    const http = isObject(otlp.http) ? otlp.http : undefined;
    // `namespace/host` says which namespace a short name belongs to; the address needs the host alone.
    const host = otlp.service.slice(otlp.service.indexOf("/") + 1);
    return {
      protocol: http ? "OTLP_HTTP" : "OTLP_GRPC",
      address: `${host}:${otlp.port}`,
      path: typeof http?.path === "string" ? http.path : "/v1/traces",
      samplingPercent: typeof sampling === "number" && sampling >= 0 && sampling <= 100 ? sampling : 1,
    };
  }
  return undefined;
}
