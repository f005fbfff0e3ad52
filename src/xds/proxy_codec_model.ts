// The shapes of src/model/l7.ts, field by field, with the ranges that the engine relies on.

import type * as m from "../model/l7.ts";
import type { StringMatch } from "../model/policy.ts";
import {
  type Body,
  bool,
  fitting,
  integer,
  ipAddress,
  ipRange,
  list,
  milliseconds,
  number,
  object,
  oneOf,
  optional,
  pair,
  record,
  type Shape,
  text,
  variants,
} from "./proxy_codec_shape.ts";

const NAME = text(4096, 1), WORD = text(4096), HOST = text(512, 1), LONG = text(65_536);
/** A certificate chain, or the body of a direct answer. */
const DOCUMENT = text(4 * 1024 * 1024);
const PORT = integer(1, 65_535), COUNT = integer(0, 2 ** 32 - 1), WEIGHT = integer(0, 2 ** 31 - 1);
const MILLIONTHS = integer(0, 1_000_000), PERCENT = number(0, 100);
/** Pseudo-headers (`:authority`) are names that Istio's API takes. */
const HEADER = fitting(/^:?[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "a header's name", 256);
/** Bytes that would end a header line, and begin another, are no part of a value. */
const HEADER_VALUE = fitting(/^[^\0\r\n]*$/, "a header's value", 65_536);

const stringMatch = variants<StringMatch>({
  exact: { value: LONG },
  prefix: { value: LONG },
  suffix: { value: LONG },
  presence: {},
});

// --- settings

const settings: Body<m.L7Settings> = {
  name: NAME,
  trustDomain: NAME,
  pathNormalization: oneOf("NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"),
  accessLog: optional(object({ encoding: oneOf("TEXT", "JSON"), format: LONG })),
  tracing: optional(object<m.TracingSettings>({
    protocol: oneOf("OTLP_HTTP", "OTLP_GRPC"),
    address: NAME,
    path: WORD,
    samplingPercent: PERCENT,
  })),
  trustedProxies: integer(0, 1_000),
};

// --- listeners

const binding = variants<m.ListenerBinding>({
  port: { port: PORT },
  service: {
    service: NAME,
    hostname: HOST,
    addresses: list(ipAddress),
    port: PORT,
  },
  workload: { workloads: record(list(ipAddress)) },
});

const headerChanges: Shape<m.HeaderChanges> = object({
  set: list(pair(HEADER, HEADER_VALUE)),
  add: list(pair(HEADER, HEADER_VALUE)),
  remove: list(HEADER),
});

const weighted = object<m.WeightedDestination>({
  destination: WORD,
  weight: WEIGHT,
  invalid: optional(integer(400, 599)),
  requestHeaders: optional(headerChanges),
  responseHeaders: optional(headerChanges),
});

const listener: Body<m.L7Listener> = {
  name: NAME,
  binding,
  protocol: oneOf("HTTP", "HTTPS", "TLS_PASSTHROUGH", "TCP", "AUTO"),
  hostnames: list(HOST),
  tls: optional(object<m.ListenerTls>({
    mode: oneOf("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"),
    secrets: list(NAME),
    caSecret: optional(NAME),
    minVersion: oneOf("TLSv1_2", "TLSv1_3"),
  })),
  httpsRedirect: bool,
  tcp: optional(object<m.TcpRoute>({ destinations: list(weighted), idleTimeoutMs: optional(milliseconds) })),
  origin: WORD,
};

const secret: Body<m.TlsSecret> = {
  name: NAME,
  certificateChain: DOCUMENT,
  privateKey: DOCUMENT,
  ca: optional(DOCUMENT),
};

// --- routes

const textMatch = variants<m.TextMatch>({
  exact: { value: LONG, ignoreCase: optional(bool) },
  prefix: { value: LONG, ignoreCase: optional(bool) },
  regex: { value: LONG },
});

const pathMatch = variants<m.PathMatch>({
  exact: { value: LONG, ignoreCase: optional(bool) },
  prefix: { value: LONG, segments: bool, ignoreCase: optional(bool) },
  regex: { value: LONG },
});

const headerMatch = object<m.HeaderMatch>({ name: HEADER, value: optional(textMatch), invert: optional(bool) });
/** Query parameters have any name. */
const queryMatch = object<m.HeaderMatch>({ name: NAME, value: optional(textMatch), invert: optional(bool) });

const routeMatch = object<m.RouteMatch>({
  path: optional(pathMatch),
  method: optional(textMatch),
  scheme: optional(textMatch),
  authority: optional(textMatch),
  headers: list(headerMatch),
  query: list(queryMatch),
  sourceNamespace: optional(WORD),
  sourceLabels: optional(record(WORD)),
});

type Replacement = Exclude<m.RedirectAction["path"], undefined>;
type Rewriting = Exclude<m.Rewrite["path"], undefined>;
const path = { value: HEADER_VALUE };

const rewrite = object<m.Rewrite>({
  authority: optional(HEADER_VALUE),
  path: optional(variants<Rewriting>({
    full: path,
    prefix: path,
    regex: { pattern: LONG, substitution: HEADER_VALUE },
  })),
});

const retry = object<m.RetryPolicy>({
  retries: integer(0, 2 ** 31 - 1),
  on: list(NAME),
  statusCodes: list(integer(100, 599)),
  perTryTimeoutMs: milliseconds,
  backoffMs: milliseconds,
  retryRemoteLocalities: bool,
});

const action = variants<m.RouteAction>({
  forward: {
    destinations: list(weighted),
    rewrite: optional(rewrite),
    timeoutMs: optional(milliseconds),
    retry: optional(retry),
    mirrors: list(object<m.Mirror>({ destination: NAME, millionths: MILLIONTHS })),
  },
  redirect: {
    status: integer(300, 399),
    scheme: optional(fitting(/^[a-z][a-z0-9+.-]*$/, "a URL's scheme", 64)),
    host: optional(HEADER_VALUE),
    port: optional(PORT),
    portRule: oneOf("LISTENER", "FROM_REQUEST", "SCHEME_DEFAULT"),
    path: optional(variants<Replacement>({ full: path, prefix: path })),
  },
  direct: { status: integer(200, 599), body: DOCUMENT, binary: optional(bool) },
});

const cors = object<m.CorsPolicy>({
  allowOrigins: list(variants<m.CorsPolicy["allowOrigins"][number]>({
    exact: { value: LONG, ignoreCase: optional(bool) },
    prefix: { value: LONG, ignoreCase: optional(bool) },
    regex: { value: LONG },
    wildcard: { value: LONG },
  })),
  allowMethods: list(HEADER_VALUE),
  allowHeaders: list(HEADER_VALUE),
  exposeHeaders: list(HEADER_VALUE),
  maxAgeSeconds: optional(number(0, Number.MAX_SAFE_INTEGER)),
  allowCredentials: bool,
  unmatchedPreflights: oneOf("FORWARD", "IGNORE"),
});

const fault = object<m.Fault>({
  delay: optional(object({ millionths: MILLIONTHS, delayMs: milliseconds })),
  abort: optional(object<Exclude<m.Fault["abort"], undefined>>({
    millionths: MILLIONTHS,
    status: optional(integer(200, 599)),
    grpcStatus: optional(integer(0, 16)),
  })),
});

const virtualHost: Body<m.VirtualHost> = {
  name: NAME,
  listener: NAME,
  hostnames: list(HOST),
  routes: list(object<m.Route>({
    name: WORD,
    origin: WORD,
    match: routeMatch,
    action,
    requestHeaders: optional(headerChanges),
    responseHeaders: optional(headerChanges),
    cors: optional(cors),
    fault: optional(fault),
  })),
};

// --- destinations

const staticEndpoint = object<m.StaticEndpoint>({
  address: HOST,
  port: PORT,
  weight: WEIGHT,
  locality: optional(object({ region: WORD, zone: WORD, subzone: WORD })),
});

const endpoints = variants<m.EndpointSource>({
  service: { service: NAME, only: optional(list(NAME)) },
  static: { endpoints: list(staticEndpoint) },
  dns: { endpoints: list(staticEndpoint) },
  original: {},
});

const hash = object<m.ConsistentHash>({
  on: variants<m.ConsistentHash["on"]>({
    header: { name: HEADER },
    query: { name: NAME },
    sourceIp: {},
    cookie: {
      name: HEADER,
      // These become part of a Set-Cookie header.
      path: fitting(/^[\x21-\x3a\x3c-\x7e]*$/, "a cookie's path", 4096),
      ttlSeconds: number(0, 2 ** 31 - 1),
    },
  }),
  algorithm: oneOf("RING_HASH", "MAGLEV"),
  // Envoy's largest ring has 8 Mi entries; a proxy's memory is not for one service alone.
  size: integer(1, 8 * 1024 * 1024),
});

const destination: Body<m.Destination> = {
  name: NAME,
  hostname: WORD,
  namespace: WORD,
  port: integer(0, 65_535),
  subset: WORD,
  endpoints,
  protocol: oneOf("HTTP1", "HTTP2", "USE_CLIENT", "TCP"),
  tls: optional(object<m.UpstreamTls>({
    mode: oneOf("SIMPLE", "MUTUAL"),
    sni: text(512),
    subjectAltNames: list(NAME),
    secret: optional(NAME),
    insecureSkipVerify: bool,
  })),
  loadBalancer: object<m.LoadBalancer>({
    policy: oneOf("LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "PASSTHROUGH", "CONSISTENT_HASH"),
    hash: optional(hash),
    warmupMs: optional(milliseconds),
    locality: optional(object<m.LocalityBalancing>({
      failover: list(object({ from: WORD, to: WORD })),
      failoverEnabled: bool,
      distribute: list(object({ from: WORD, to: record(number(0, 2 ** 31 - 1)) })),
      priorities: optional(list(object<m.LocalityPriority>({
        scope: oneOf("REGION", "ZONE", "SUBZONE", "NODE", "CLUSTER", "NETWORK"),
        value: optional(WORD),
      }))),
    })),
  }),
  limits: object<m.ConnectionLimits>({
    maxConnections: optional(COUNT),
    maxPendingRequests: optional(COUNT),
    maxRequests: optional(COUNT),
    maxRetries: optional(COUNT),
    maxRequestsPerConnection: optional(COUNT),
    connectTimeoutMs: milliseconds,
    idleTimeoutMs: milliseconds,
    maxConnectionDurationMs: optional(milliseconds),
    keepalive: optional(object({
      idleSeconds: integer(1, 32_767),
      intervalSeconds: integer(1, 32_767),
      probes: integer(1, 127),
    })),
  }),
  outlierDetection: optional(object<m.OutlierDetection>({
    consecutive5xx: COUNT,
    consecutiveGatewayErrors: COUNT,
    consecutiveLocalOriginFailures: COUNT,
    splitExternalLocalOriginErrors: bool,
    intervalMs: milliseconds,
    baseEjectionMs: milliseconds,
    maxEjectionPercent: PERCENT,
    minHealthPercent: PERCENT,
  })),
  useWaypoint: bool,
  rule: WORD,
};

// --- policies

const account = object({ namespace: WORD, serviceAccount: WORD });

const source = object<m.L7Source>({
  principals: optional(list(stringMatch)),
  notPrincipals: optional(list(stringMatch)),
  requestPrincipals: optional(list(stringMatch)),
  notRequestPrincipals: optional(list(stringMatch)),
  namespaces: optional(list(stringMatch)),
  notNamespaces: optional(list(stringMatch)),
  serviceAccounts: optional(list(account)),
  notServiceAccounts: optional(list(account)),
  ipBlocks: optional(list(ipRange)),
  notIpBlocks: optional(list(ipRange)),
  remoteIpBlocks: optional(list(ipRange)),
  notRemoteIpBlocks: optional(list(ipRange)),
});

const l7Path = variants<m.L7PathMatch>({
  exact: { value: LONG },
  prefix: { value: LONG },
  suffix: { value: LONG },
  presence: {},
  template: { value: LONG },
});

const operation = object<m.L7Operation>({
  hosts: optional(list(stringMatch)),
  notHosts: optional(list(stringMatch)),
  ports: optional(list(PORT)),
  notPorts: optional(list(PORT)),
  methods: optional(list(stringMatch)),
  notMethods: optional(list(stringMatch)),
  paths: optional(list(l7Path)),
  notPaths: optional(list(l7Path)),
});

const policy: Body<m.L7Policy> = {
  name: NAME,
  listeners: list(NAME),
  action: oneOf("ALLOW", "DENY", "AUDIT"),
  dryRun: bool,
  rules: list(object<m.L7Rule>({
    from: list(source),
    to: list(operation),
    when: list(object<m.L7Condition>({ key: NAME, values: list(LONG), notValues: list(LONG) })),
  })),
};

/** Any resource of an L7 proxy. */
export const proxyResource: Shape<m.ProxyResource> = variants<m.ProxyResource>({
  settings,
  listener,
  virtualHost,
  destination,
  policy,
  secret,
});
