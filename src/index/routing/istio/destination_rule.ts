// DestinationRule, read once for each version of an object.

import type { KubeObject } from "../../../kube/types.ts";
import type { ConnectionLimits, ConsistentHash, LocalityBalancing, OutlierDetection } from "../../../model/l7.ts";
import type { RoutingScope } from "../../../model/workload.ts";
import type { Labels } from "../../labels.ts";
import { isObject, labelsOf, objectOf } from "../../read.ts";
import { isHeaderName } from "../gateway_api/filters.ts";
import { readHostname } from "../hostname.ts";
import { Fields, Notes } from "../notes.ts";

export interface ParsedDestinationRule {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  readonly age: string;
  /** As written: may be short. */
  readonly host: string;
  readonly exportTo: readonly string[] | undefined;
  /** Labels of the proxies that it is for; undefined for all. */
  readonly workloads: Labels | undefined;
  readonly policy: TrafficPolicy | undefined;
  readonly subsets: ReadonlyMap<string, Subset>;
  readonly notes: Notes;
}

export interface Subset {
  readonly labels: Labels;
  readonly policy: TrafficPolicy | undefined;
}

/** What is not said is undefined. */
export interface TrafficPolicy {
  readonly loadBalancer?: LoadBalancerSettings;
  readonly pool?: PoolSettings;
  readonly outlier?: OutlierDetection;
  readonly tls?: TlsSettings;
  readonly ports: ReadonlyMap<number, TrafficPolicy>;
}

export interface LoadBalancerSettings {
  readonly policy: "LEAST_REQUEST" | "ROUND_ROBIN" | "RANDOM" | "PASSTHROUGH" | "CONSISTENT_HASH";
  readonly hash?: ConsistentHash;
  readonly warmupMs?: number;
  readonly locality?: LocalityBalancing;
  /** `localityLbSetting.enabled: false`. */
  readonly localityOff: boolean;
}

export interface PoolSettings {
  readonly limits: Partial<ConnectionLimits>;
  readonly upgrade: boolean;
  readonly useClient: boolean;
}

export interface TlsSettings {
  readonly mode: "DISABLE" | "SIMPLE" | "MUTUAL" | "ISTIO_MUTUAL";
  readonly credentialName: string;
  readonly sni: string;
  readonly subjectAltNames: readonly string[];
  readonly insecureSkipVerify: boolean;
  /** Cannot be done: no connection may be made. */
  readonly broken: boolean;
}

const read = new WeakMap<KubeObject, ParsedDestinationRule>();

export function readDestinationRule(object: KubeObject): ParsedDestinationRule {
  let rule = read.get(object);
  if (!rule) read.set(object, rule = parse(object));
  return rule;
}

function parse({ metadata, spec }: KubeObject): ParsedDestinationRule {
  const { name, namespace = "default", generation = 0, creationTimestamp = "" } = metadata, notes = new Notes();
  const fields = new Fields(spec, "", notes, ["host", "trafficPolicy", "subsets", "exportTo", "workloadSelector"]);
  const host = readHostname(fields.raw("host"));
  if (host === undefined) fields.wrong("host", fields.raw("host"));
  const subsets = new Map<string, Subset>();
  for (const subset of fields.objects("subsets", ["name", "labels", "trafficPolicy"])) {
    const labels = Object.fromEntries(subset.pairs("labels"));
    subsets.set(subset.text("name"), { labels, policy: readPolicy(subset, "trafficPolicy") });
  }
  const selector = fields.raw("workloadSelector");
  fields.object("workloadSelector", ["matchLabels"]);
  return {
    namespace,
    name,
    generation,
    age: `${creationTimestamp} ${namespace}/${name}`,
    host: host ?? "",
    exportTo: fields.has("exportTo") ? fields.texts("exportTo") : undefined,
    workloads: isObject(selector) ? labelsOf(objectOf(selector).matchLabels) : undefined,
    policy: readPolicy(fields, "trafficPolicy"),
    subsets,
    notes,
  };
}

const POLICY_FIELDS = ["loadBalancer", "connectionPool", "outlierDetection", "tls"];

function readPolicy(owner: Fields, field: string): TrafficPolicy | undefined {
  if (!owner.has(field)) return undefined;
  // `tunnel`, `proxyProtocol` and `retryBudget` are named as not supported by the list of known fields.
  const fields = owner.object(field, [...POLICY_FIELDS, "portLevelSettings"]), ports = new Map<number, TrafficPolicy>();
  for (const one of fields.objects("portLevelSettings", ["port", ...POLICY_FIELDS])) {
    const port = one.object("port", ["number"]).count("number", 1, 65535);
    if (port === undefined) one.wrong("port", one.raw("port"));
    else if (!ports.has(port)) ports.set(port, { ...settings(one), ports: new Map() });
  }
  return { ...settings(fields), ports };
}

function settings(fields: Fields): Omit<TrafficPolicy, "ports"> {
  return {
    loadBalancer: fields.has("loadBalancer") ? loadBalancer(fields) : undefined,
    pool: fields.has("connectionPool") ? connectionPool(fields) : undefined,
    outlier: fields.has("outlierDetection") ? outlierDetection(fields) : undefined,
    tls: fields.has("tls") ? tls(fields) : undefined,
  };
}

const SIMPLE: Readonly<Record<string, LoadBalancerSettings["policy"]>> = {
  "": "LEAST_REQUEST",
  UNSPECIFIED: "LEAST_REQUEST",
  LEAST_CONN: "LEAST_REQUEST",
  LEAST_REQUEST: "LEAST_REQUEST",
  ROUND_ROBIN: "ROUND_ROBIN",
  RANDOM: "RANDOM",
  PASSTHROUGH: "PASSTHROUGH",
};

function loadBalancer(owner: Fields): LoadBalancerSettings {
  const fields = owner.object("loadBalancer", [
    "simple",
    "consistentHash",
    "localityLbSetting",
    "warmupDurationSecs",
    "warmup",
  ]);
  const simple = fields.text("simple");
  if (!Object.hasOwn(SIMPLE, simple)) fields.wrong("simple", simple);
  const hash = fields.has("consistentHash") ? consistentHash(fields) : undefined;
  const locality = fields.object("localityLbSetting", ["enabled", "distribute", "failover", "failoverPriority"]);
  const warmup = fields.object("warmup", ["duration", "minimumPercent", "aggression"]);
  for (const field of ["minimumPercent", "aggression"]) {
    if (warmup.has(field)) warmup.without(field, "endpoints warm up evenly, from a tenth of their share");
  }
  return {
    policy: hash ? "CONSISTENT_HASH" : Object.hasOwn(SIMPLE, simple) ? SIMPLE[simple] : "LEAST_REQUEST",
    hash,
    warmupMs: fields.duration("warmupDurationSecs") ?? warmup.duration("duration"),
    locality: fields.has("localityLbSetting") ? localityBalancing(locality) : undefined,
    localityOff: locality.raw("enabled") === false,
  };
}

function localityBalancing(fields: Fields): LocalityBalancing {
  return {
    failover: fields.objects("failover", ["from", "to"]).map((one) => ({ from: one.text("from"), to: one.text("to") })),
    failoverEnabled: false,
    priorities: failoverPriorities(fields),
    distribute: fields.objects("distribute", ["from", "to"]).map((one) => ({
      from: one.text("from"),
      to: Object.fromEntries(
        Object.entries(objectOf(one.raw("to"))).filter((pair): pair is [string, number] => {
          if (typeof pair[1] === "number" && pair[1] >= 0 && pair[1] < 2 ** 31) return true;
          one.wrong("to", pair[1]);
          return false;
        }),
      ),
    })),
  };
}

/** Labels that say where a workload is, by which Istio's default for other networks goes, too. */
const SCOPES: Readonly<Record<string, RoutingScope>> = {
  "topology.kubernetes.io/region": "REGION",
  "topology.kubernetes.io/zone": "ZONE",
  "topology.istio.io/subzone": "SUBZONE",
  "topology.istio.io/network": "NETWORK",
  "topology.istio.io/cluster": "CLUSTER",
  "kubernetes.io/hostname": "NODE",
};

/** `label`, or `label=value`. Proxies know where endpoints are, and none of their other labels. */
function failoverPriorities(fields: Fields): LocalityBalancing["priorities"] {
  if (!fields.has("failoverPriority")) return undefined;
  const priorities = fields.texts("failoverPriority").flatMap((text, i) => {
    const equals = text.indexOf("="), label = equals < 0 ? text : text.slice(0, equals);
    if (Object.hasOwn(SCOPES, label)) {
      return { scope: SCOPES[label], value: equals < 0 ? undefined : text.slice(equals + 1) };
    }
    fields.wrong(`failoverPriority[${i}]`, text);
    return [];
  });
  if (priorities.length === 0) return undefined;
  if (fields.has("failover")) fields.without("failover", "failoverPriority decides");
  return priorities;
}

/** It becomes part of a header. */
const COOKIE_PATH = /^[\x21-\x3a\x3c-\x7e]*$/;

function consistentHash(owner: Fields): ConsistentHash | undefined {
  const fields = owner.object("consistentHash", [
    "httpHeaderName",
    "httpCookie",
    "useSourceIp",
    "httpQueryParameterName",
    "ringHash",
    "maglev",
    "minimumRingSize",
  ]);
  const cookie = fields.object("httpCookie", ["name", "path", "ttl"]);
  let on: ConsistentHash["on"] | undefined;
  const header = fields.text("httpHeaderName").toLowerCase(), query = fields.text("httpQueryParameterName");
  if (isHeaderName(header)) on = { kind: "header", name: header };
  else if (query !== "") on = { kind: "query", name: query };
  else if (isHeaderName(cookie.text("name")) && COOKIE_PATH.test(cookie.text("path"))) {
    on = {
      kind: "cookie",
      name: cookie.text("name"),
      path: cookie.text("path"),
      ttlSeconds: Math.min(2 ** 31 - 1, Math.round((cookie.duration("ttl") ?? 0) / 1000)),
    };
  } else if (fields.flag("useSourceIp")) on = { kind: "sourceIp" };
  if (!on) {
    fields.wrong("", owner.raw("consistentHash"));
    return undefined;
  }
  if (fields.has("maglev")) {
    const size = fields.object("maglev", ["tableSize"]).count("tableSize", 2, 5_000_011);
    return { on, algorithm: "MAGLEV", size: size ?? 65_537 };
  }
  const ring = fields.object("ringHash", ["minimumRingSize"]).count("minimumRingSize", 0, 8_388_608);
  return { on, algorithm: "RING_HASH", size: ring || fields.count("minimumRingSize", 0, 8_388_608) || 1024 };
}

function connectionPool(owner: Fields): PoolSettings {
  const pool = owner.object("connectionPool", ["tcp", "http"]);
  const tcp = pool.object("tcp", [
    "maxConnections",
    "connectTimeout",
    "idleTimeout",
    "maxConnectionDuration",
    "tcpKeepalive",
  ]);
  const http = pool.object("http", [
    "http1MaxPendingRequests",
    "http2MaxRequests",
    "maxRequestsPerConnection",
    "maxRetries",
    "idleTimeout",
    "h2UpgradePolicy",
    "useClientProtocol",
  ]);
  // 0 means "not set" to Istio, which leaves no way to ask for none.
  const limit = (fields: Fields, field: string) => fields.count(field) || undefined;
  const limits: Partial<ConnectionLimits> = {
    maxConnections: limit(tcp, "maxConnections"),
    maxPendingRequests: limit(http, "http1MaxPendingRequests"),
    maxRequests: limit(http, "http2MaxRequests"),
    maxRequestsPerConnection: limit(http, "maxRequestsPerConnection"),
    maxRetries: limit(http, "maxRetries"),
    connectTimeoutMs: tcp.duration("connectTimeout") || undefined,
    idleTimeoutMs: http.duration("idleTimeout") ?? tcp.duration("idleTimeout"),
    maxConnectionDurationMs: tcp.duration("maxConnectionDuration") || undefined,
    keepalive: tcp.has("tcpKeepalive") ? keepalive(tcp) : undefined,
  };
  const upgrade = http.text("h2UpgradePolicy");
  if (!["", "DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"].includes(upgrade)) http.wrong("h2UpgradePolicy", upgrade);
  return {
    limits: Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
    upgrade: upgrade === "UPGRADE",
    useClient: http.flag("useClientProtocol"),
  };
}

/** What is not given is as in Linux: two hours of silence, then nine probes 75 seconds apart. */
function keepalive(owner: Fields): ConnectionLimits["keepalive"] {
  const fields = owner.object("tcpKeepalive", ["probes", "time", "interval"]);
  const seconds = (field: string, fallback: number) => {
    const ms = fields.duration(field);
    return ms === undefined || ms === 0 ? fallback : Math.min(32_767, Math.ceil(ms / 1000));
  };
  return {
    idleSeconds: seconds("time", 7200),
    intervalSeconds: seconds("interval", 75),
    probes: fields.count("probes", 0, 127) || 9,
  };
}

function outlierDetection(owner: Fields): OutlierDetection {
  const fields = owner.object("outlierDetection", [
    "consecutiveErrors",
    "consecutive5xxErrors",
    "consecutiveGatewayErrors",
    "consecutiveLocalOriginFailures",
    "splitExternalLocalOriginErrors",
    "interval",
    "baseEjectionTime",
    "maxEjectionPercent",
    "minHealthPercent",
  ]);
  return {
    consecutive5xx: fields.count("consecutive5xxErrors") ?? 5,
    consecutiveGatewayErrors: fields.count("consecutiveGatewayErrors") ?? fields.count("consecutiveErrors") ?? 0,
    consecutiveLocalOriginFailures: fields.count("consecutiveLocalOriginFailures") ?? 5,
    splitExternalLocalOriginErrors: fields.flag("splitExternalLocalOriginErrors"),
    intervalMs: fields.duration("interval") || 10_000,
    baseEjectionMs: fields.duration("baseEjectionTime") || 30_000,
    maxEjectionPercent: fields.count("maxEjectionPercent", 0, 100) ?? 10,
    minHealthPercent: fields.count("minHealthPercent", 0, 100) ?? 0,
  };
}

function tls(owner: Fields): TlsSettings {
  const fields = owner.object("tls", [
    "mode",
    "credentialName",
    "caCertificates",
    "sni",
    "subjectAltNames",
    "insecureSkipVerify",
  ]);
  const said = fields.text("mode", "DISABLE");
  const mode = (["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] as const).find((one) => one === said);
  if (!mode) fields.wrong("mode", said);
  const roots = fields.text("caCertificates"),
    credentialName = fields.text("credentialName").replace(/^[a-z]+:\/\//, "");
  // Files of the proxy's own: ours has none but the system's roots.
  if (roots !== "" && roots !== "system") fields.wrong("caCertificates", roots);
  if (mode === "MUTUAL" && credentialName === "") fields.wrong("credentialName", credentialName);
  return {
    mode: mode ?? "SIMPLE",
    credentialName,
    sni: fields.text("sni", "", 253),
    subjectAltNames: fields.texts("subjectAltNames").filter((name) => name !== ""),
    insecureSkipVerify: fields.flag("insecureSkipVerify"),
    broken: fields.bad,
  };
}

/** What holds for one port of a destination, or of a subset of it. */
export function policyFor(
  rule: ParsedDestinationRule | undefined,
  subset: Subset | undefined,
  port: number,
): Omit<TrafficPolicy, "ports"> {
  const merged = merge({}, rule?.policy, port);
  return merge(merged, subset?.policy, port);
}

/** A field of `over` replaces the one below it; a port's settings replace all of them, since they inherit nothing (Istio's rule). */
function merge(
  below: Omit<TrafficPolicy, "ports">,
  over: TrafficPolicy | undefined,
  port: number,
): Omit<TrafficPolicy, "ports"> {
  if (!over) return below;
  const own = over.ports.get(port);
  if (own) return { loadBalancer: own.loadBalancer, pool: own.pool, outlier: own.outlier, tls: own.tls };
  return {
    loadBalancer: over.loadBalancer ?? below.loadBalancer,
    pool: over.pool ?? below.pool,
    outlier: over.outlier ?? below.outlier,
    tls: over.tls ?? below.tls,
  };
}
