// What an L7 proxy (waypoint, ingress or egress gateway) is told: one model for Gateway API and Istio APIs, plain JSON-able data.
// `index` lowers objects to it, xDS carries it, `http` compiles it. A proxy's configuration is the set of resources sent to it; a
// resource names what it belongs to, so that a change of one route or policy is a change of one resource.

import type { IpRange, StringMatch } from "./policy.ts";
import type { RoutingScope } from "./workload.ts";

/** One resource of an L7 proxy's configuration; `name` is unique within its `kind`. */
export type ProxyResource = L7Settings | L7Listener | VirtualHost | Destination | L7Policy | TlsSecret;
export type ProxyResourceKind = ProxyResource["kind"];

/** `kind/name`, the resource's name in xDS. */
export function proxyResourceKey(resource: { kind: ProxyResourceKind; name: string }): string {
  return `${resource.kind}/${resource.name}`;
}

// --- settings

export type PathNormalization = "NONE" | "BASE" | "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES";

/** What holds for the whole proxy; exactly one, named `mesh`. */
export interface L7Settings {
  readonly kind: "settings";
  readonly name: string;
  readonly trustDomain: string;
  /** `meshConfig.pathNormalization`; BASE by default. */
  readonly pathNormalization: PathNormalization;
  /** undefined: no access log (Istio's default). */
  readonly accessLog?: { readonly encoding: "TEXT" | "JSON"; readonly format: string };
  readonly tracing?: TracingSettings;
  /** How many of the addresses in X-Forwarded-For before the last are our own proxies (`gatewayTopology.numTrustedProxies`). */
  readonly trustedProxies: number;
}

export interface TracingSettings {
  /** OTLP over HTTP (JSON or protobuf) or gRPC. */
  readonly protocol: "OTLP_HTTP" | "OTLP_GRPC";
  /** `host:port`. */
  readonly address: string;
  /** OTLP/HTTP path, `/v1/traces` by default. */
  readonly path: string;
  /** 0-100. */
  readonly samplingPercent: number;
}

// --- listeners

/** What is spoken on a listener. AUTO: found out by the first bytes, as Istio does for ports without a name. */
export type ListenerProtocol = "HTTP" | "HTTPS" | "TLS_PASSTHROUGH" | "TCP" | "AUTO";

/**
 * What traffic a listener takes. Gateways bind ports; a waypoint takes what its HBONE port is asked for: a Service's addresses (or hostname) and
 * port, or any port of attached workloads.
 */
export type ListenerBinding =
  | { readonly kind: "port"; readonly port: number }
  | {
    readonly kind: "service";
    /** `namespace/hostname`. */
    readonly service: string;
    readonly hostname: string;
    /** Virtual IPs in canonical text. */
    readonly addresses: readonly string[];
    readonly port: number;
  }
  | {
    readonly kind: "workload"; /** Addresses of attached workloads by uid. */
    readonly workloads: Readonly<Record<string, readonly string[]>>;
  };

export interface L7Listener {
  readonly kind: "listener";
  /** E.g. `http.80` of a Gateway (`<namespace>/<gateway>/<section>`), `inbound-vip|9080|http|reviews.default.svc.cluster.local`. */
  readonly name: string;
  readonly binding: ListenerBinding;
  readonly protocol: ListenerProtocol;
  /** Server names (SNI, Host) that it takes; `*` for any, `*.example.com` for any below. Several listeners may share a port. */
  readonly hostnames: readonly string[];
  readonly tls?: ListenerTls;
  /** 301 to https for everything (`tls.httpsRedirect`). */
  readonly httpsRedirect: boolean;
  /** TCP and TLS_PASSTHROUGH: where bytes go. */
  readonly tcp?: TcpRoute;
  /** The object behind it, for dumps: `Gateway/default/bookinfo-gateway`. */
  readonly origin: string;
}

export interface ListenerTls {
  /** SIMPLE: server certificate; MUTUAL: and a client's, checked by `caSecret`; OPTIONAL_MUTUAL: checked when there. */
  readonly mode: "SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL";
  /** Names of {@linkcode TlsSecret}s: the first that suits the client is used. */
  readonly secrets: readonly string[];
  readonly caSecret?: string;
  readonly minVersion: "TLSv1_2" | "TLSv1_3";
}

export interface TcpRoute {
  readonly destinations: readonly WeightedDestination[];
  readonly idleTimeoutMs?: number;
}

/** A server's private key: never in logs or dumps. Sent only to gateways that may use it. */
export interface TlsSecret {
  readonly kind: "secret";
  /** `kubernetes://<namespace>/<name>`; `frontend://<namespace>/<gateway>/<port>` for roots that a Gateway puts together. */
  readonly name: string;
  readonly certificateChain: string;
  readonly privateKey: string;
  /** Roots for clients' (or upstream servers') certificates. */
  readonly ca?: string;
}

// --- routes

/** Routes for some names of one listener. The engine takes the most specific name (exact, longest wildcard, `*`), then the first route that matches. */
export interface VirtualHost {
  readonly kind: "virtualHost";
  readonly name: string;
  /** Name of the {@linkcode L7Listener}. */
  readonly listener: string;
  /** Lower case, without port: `*`, `*.example.com`, `shop.example.com`. */
  readonly hostnames: readonly string[];
  /** In order of precedence, already sorted by the API's rules. */
  readonly routes: readonly Route[];
}

export interface Route {
  /** Shown in logs and dumps: the VirtualService route's name, or `<namespace>.<route>.<rule>`. */
  readonly name: string;
  /** The object it comes from: `HTTPRoute/default/reviews`. */
  readonly origin: string;
  readonly match: RouteMatch;
  readonly action: RouteAction;
  readonly requestHeaders?: HeaderChanges;
  readonly responseHeaders?: HeaderChanges;
  readonly cors?: CorsPolicy;
  readonly fault?: Fault;
}

/** All that is given must hold. */
export interface RouteMatch {
  /** Without the query. Absent: any. `prefix` of Gateway API ends at a segment's border (`segments: true`), Istio's does not. */
  readonly path?: PathMatch;
  readonly method?: TextMatch;
  readonly scheme?: TextMatch;
  readonly authority?: TextMatch;
  readonly headers: readonly HeaderMatch[];
  readonly query: readonly HeaderMatch[];
  /** Istio's sourceLabels/sourceNamespace: known to the proxy by the source workload. */
  readonly sourceNamespace?: string;
  readonly sourceLabels?: Readonly<Record<string, string>>;
}

export type PathMatch =
  | { readonly kind: "exact"; readonly value: string; readonly ignoreCase?: boolean }
  | { readonly kind: "prefix"; readonly value: string; readonly segments: boolean; readonly ignoreCase?: boolean }
  | { readonly kind: "regex"; /** RE2, matching the whole path. */ readonly value: string };

export type TextMatch =
  | { readonly kind: "exact"; readonly value: string; readonly ignoreCase?: boolean }
  | { readonly kind: "prefix"; readonly value: string; readonly ignoreCase?: boolean }
  | { readonly kind: "regex"; /** RE2, matching the whole text. */ readonly value: string };

export interface HeaderMatch {
  /** Header names in lower case; query parameters as written. */
  readonly name: string;
  /** Absent: presence is enough. */
  readonly value?: TextMatch;
  /** `withoutHeaders`: the condition must not hold. */
  readonly invert?: boolean;
}

export type RouteAction =
  | ForwardAction
  | RedirectAction
  | {
    readonly kind: "direct";
    readonly status: number; /** UTF-8 text, or base64 with `binary`. */
    readonly body: string;
    readonly binary?: boolean;
  };

export interface ForwardAction {
  readonly kind: "forward";
  /** All weights 0, or none: 500 as Gateway API asks. A destination with `invalid` answers its share with that status. */
  readonly destinations: readonly WeightedDestination[];
  readonly rewrite?: Rewrite;
  /** The whole request, retries included; 0 or absent: none. */
  readonly timeoutMs?: number;
  readonly retry?: RetryPolicy;
  readonly mirrors: readonly Mirror[];
}

export interface WeightedDestination {
  /** Name of a {@linkcode Destination}. */
  readonly destination: string;
  readonly weight: number;
  /** This share is answered with the status instead: 500 for a backend that is missing or not granted. */
  readonly invalid?: number;
  readonly requestHeaders?: HeaderChanges;
  readonly responseHeaders?: HeaderChanges;
}

export interface Rewrite {
  readonly authority?: string;
  readonly path?:
    | { readonly kind: "full"; readonly value: string }
    /** Replaces what the prefix match took. */
    | { readonly kind: "prefix"; readonly value: string }
    | { readonly kind: "regex"; readonly pattern: string; readonly substitution: string };
}

export interface RedirectAction {
  readonly kind: "redirect";
  readonly status: number;
  readonly scheme?: string;
  readonly host?: string;
  /** Absent: by scheme, or the listener's. */
  readonly port?: number;
  /** Gateway API: the listener's port when neither scheme nor port is given; Istio: the request's own port (`FROM_REQUEST`) or the scheme's default. */
  readonly portRule: "LISTENER" | "FROM_REQUEST" | "SCHEME_DEFAULT";
  readonly path?: { readonly kind: "full"; readonly value: string } | {
    readonly kind: "prefix";
    readonly value: string;
  };
}

export interface RetryPolicy {
  /** Retries after the first attempt; 0 turns Istio's default off. */
  readonly retries: number;
  /** Envoy's names: `connect-failure`, `5xx`, `gateway-error`, `reset`, `refused-stream`, `retriable-4xx`, gRPC's `cancelled`, `unavailable`, … */
  readonly on: readonly string[];
  readonly statusCodes: readonly number[];
  /** 0: no limit for one attempt. */
  readonly perTryTimeoutMs: number;
  readonly backoffMs: number;
  readonly retryRemoteLocalities: boolean;
}

/** Istio's default: two retries where the request cannot have been processed. */
export const DEFAULT_RETRY: RetryPolicy = Object.freeze({
  retries: 2,
  on: ["connect-failure", "refused-stream", "unavailable", "cancelled"],
  statusCodes: [],
  perTryTimeoutMs: 0,
  backoffMs: 25,
  retryRemoteLocalities: false,
});

export interface Mirror {
  readonly destination: string;
  /** Share in millionths. */
  readonly millionths: number;
}

export interface HeaderChanges {
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly add: readonly (readonly [name: string, value: string])[];
  readonly remove: readonly string[];
}

export interface CorsPolicy {
  readonly allowOrigins:
    readonly (TextMatch | { readonly kind: "wildcard"; /** `*`, `https://*.example.com`. */ readonly value: string })[];
  readonly allowMethods: readonly string[];
  readonly allowHeaders: readonly string[];
  readonly exposeHeaders: readonly string[];
  readonly maxAgeSeconds?: number;
  readonly allowCredentials: boolean;
  /** Whether a preflight of another origin goes on to the backend (Istio's FORWARD) or is answered without CORS headers. */
  readonly unmatchedPreflights: "FORWARD" | "IGNORE";
}

/** Shares in millionths. */
export interface Fault {
  readonly delay?: { readonly millionths: number; readonly delayMs: number };
  readonly abort?: { readonly millionths: number; readonly status?: number; readonly grpcStatus?: number };
}

// --- destinations

/** Where requests go: a service's port, or a subset of it ("cluster" in Envoy's words). */
export interface Destination {
  readonly kind: "destination";
  /** `outbound|9080|v1|reviews.default.svc.cluster.local`; on waypoints `inbound-vip|9080|http|reviews.default.svc.cluster.local`. */
  readonly name: string;
  readonly hostname: string;
  readonly namespace: string;
  readonly port: number;
  /** "" for the whole service. */
  readonly subset: string;
  readonly endpoints: EndpointSource;
  /** What to speak: HTTP1 also upgrades; USE_CLIENT speaks what the client spoke (h2UpgradePolicy); TCP for bytes. */
  readonly protocol: "HTTP1" | "HTTP2" | "USE_CLIENT" | "TCP";
  readonly tls?: UpstreamTls;
  readonly loadBalancer: LoadBalancer;
  readonly limits: ConnectionLimits;
  readonly outlierDetection?: OutlierDetection;
  /** Send through the service's waypoint when it has one: gateways with `istio.io/ingress-use-waypoint`. */
  readonly useWaypoint: boolean;
  /** The DestinationRule that shaped it, `namespace/name`; "" for none. For dumps. */
  readonly rule: string;
}

export type EndpointSource =
  /** The workloads that serve `service` (`namespace/hostname`) on its port, from workload discovery; `only` names the uids of a subset. */
  | { readonly kind: "service"; readonly service: string; readonly only?: readonly string[] }
  | { readonly kind: "static"; readonly endpoints: readonly StaticEndpoint[] }
  /** Resolved by DNS and refreshed. */
  | { readonly kind: "dns"; readonly endpoints: readonly StaticEndpoint[] }
  /** The address that the client asked for (PASSTHROUGH). */
  | { readonly kind: "original" };

export interface StaticEndpoint {
  /** IP address, or host name for `dns`. */
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  readonly locality?: { readonly region: string; readonly zone: string; readonly subzone: string };
}

/** TLS towards the backend, inside HBONE where the backend is in the mesh. */
export interface UpstreamTls {
  readonly mode: "SIMPLE" | "MUTUAL";
  /** Server name; "" derives it from the destination's hostname. */
  readonly sni: string;
  readonly subjectAltNames: readonly string[];
  /** Secret with `ca` (and for MUTUAL the client's certificate); absent: the system's roots. */
  readonly secret?: string;
  readonly insecureSkipVerify: boolean;
}

export interface LoadBalancer {
  readonly policy: "LEAST_REQUEST" | "ROUND_ROBIN" | "RANDOM" | "PASSTHROUGH" | "CONSISTENT_HASH";
  readonly hash?: ConsistentHash;
  readonly warmupMs?: number;
  readonly locality?: LocalityBalancing;
}

export interface ConsistentHash {
  readonly on:
    | { readonly kind: "header"; readonly name: string }
    | { readonly kind: "query"; readonly name: string }
    | { readonly kind: "sourceIp" }
    | { readonly kind: "cookie"; readonly name: string; readonly path: string; readonly ttlSeconds: number };
  readonly algorithm: "RING_HASH" | "MAGLEV";
  /** RING_HASH: entries at least; MAGLEV: table size. */
  readonly size: number;
}

export interface LocalityBalancing {
  /** Nearer localities first, farther ones when they have no healthy endpoint (needs outlier detection, or trafficDistribution). */
  readonly failover: readonly { readonly from: string; readonly to: string }[];
  readonly failoverEnabled: boolean;
  /**
   * Instead of the distance: endpoints come first that share more of these with us, counted from the first on that differs.
   * With `value`, an endpoint shares it whose own is that value.
   */
  readonly priorities?: readonly LocalityPriority[];
  /** From locality (`region/zone/*`) to locality with weights of 100. */
  readonly distribute: readonly { readonly from: string; readonly to: Readonly<Record<string, number>> }[];
}

export interface LocalityPriority {
  readonly scope: RoutingScope;
  readonly value?: string;
}

/** `connectionPool`; absent values: no limit. */
export interface ConnectionLimits {
  readonly maxConnections?: number;
  readonly maxPendingRequests?: number;
  readonly maxRequests?: number;
  readonly maxRetries?: number;
  readonly maxRequestsPerConnection?: number;
  readonly connectTimeoutMs: number;
  /** Of a connection without requests; Istio: one hour. */
  readonly idleTimeoutMs: number;
  /** A connection older than this takes no more requests; one of bytes ends. */
  readonly maxConnectionDurationMs?: number;
  /** Of TCP connections to backends that are not reached by HBONE. */
  readonly keepalive?: { readonly idleSeconds: number; readonly intervalSeconds: number; readonly probes: number };
}

export const DEFAULT_LIMITS: ConnectionLimits = Object.freeze({ connectTimeoutMs: 10_000, idleTimeoutMs: 3_600_000 });

export interface OutlierDetection {
  /** 0: off. */
  readonly consecutive5xx: number;
  readonly consecutiveGatewayErrors: number;
  readonly consecutiveLocalOriginFailures: number;
  readonly splitExternalLocalOriginErrors: boolean;
  readonly intervalMs: number;
  readonly baseEjectionMs: number;
  readonly maxEjectionPercent: number;
  /** Below this share of healthy endpoints everyone is used (panic); 0: never. */
  readonly minHealthPercent: number;
}

// --- policies

/** AuthorizationPolicy as an L7 proxy evaluates it: rules are OR-ed; within a rule `from`, `to` and `when` must all hold. */
export interface L7Policy {
  readonly kind: "policy";
  /** `namespace/name`. */
  readonly name: string;
  /** Names of the listeners it is for; `*` for all of the proxy's. */
  readonly listeners: readonly string[];
  readonly action: "ALLOW" | "DENY" | "AUDIT";
  readonly dryRun: boolean;
  readonly rules: readonly L7Rule[];
}

/** Each list is OR-ed; an empty list asks for nothing. */
export interface L7Rule {
  readonly from: readonly L7Source[];
  readonly to: readonly L7Operation[];
  readonly when: readonly L7Condition[];
}

/** Each field that is given must hold: one of its values (none of them, for `not…`). */
export interface L7Source {
  readonly principals?: readonly StringMatch[];
  readonly notPrincipals?: readonly StringMatch[];
  readonly requestPrincipals?: readonly StringMatch[];
  readonly notRequestPrincipals?: readonly StringMatch[];
  readonly namespaces?: readonly StringMatch[];
  readonly notNamespaces?: readonly StringMatch[];
  readonly serviceAccounts?: readonly { readonly namespace: string; readonly serviceAccount: string }[];
  readonly notServiceAccounts?: readonly { readonly namespace: string; readonly serviceAccount: string }[];
  /** Of the connection's peer. */
  readonly ipBlocks?: readonly IpRange[];
  readonly notIpBlocks?: readonly IpRange[];
  /** Of the original client (X-Forwarded-For, PROXY protocol). */
  readonly remoteIpBlocks?: readonly IpRange[];
  readonly notRemoteIpBlocks?: readonly IpRange[];
}

export interface L7Operation {
  readonly hosts?: readonly StringMatch[];
  readonly notHosts?: readonly StringMatch[];
  readonly ports?: readonly number[];
  readonly notPorts?: readonly number[];
  readonly methods?: readonly StringMatch[];
  readonly notMethods?: readonly StringMatch[];
  readonly paths?: readonly L7PathMatch[];
  readonly notPaths?: readonly L7PathMatch[];
}

/** `template`: Istio's `{*}` (one segment) and `{**}` (any rest). */
export type L7PathMatch = StringMatch | { readonly kind: "template"; readonly value: string };

/** One `when`: at least one of `values` (when given) and none of `notValues`. Keys as in Istio: `request.headers[x]`, `source.ip`, `destination.port`, … */
export interface L7Condition {
  readonly key: string;
  readonly values: readonly string[];
  readonly notValues: readonly string[];
}
