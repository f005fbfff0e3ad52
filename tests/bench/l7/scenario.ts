// What both proxies of the L7 bench are configured to do, as our configuration model says it; envoy.ts says the same to Envoy.

import {
  DEFAULT_LIMITS,
  DEFAULT_RETRY,
  type Destination,
  type L7Listener,
  type L7Policy,
  type ProxyResource,
  type Route,
} from "../../../src/model/mod.ts";

export interface Scenario {
  /** AuthorizationPolicies; the last is the one that allows. */
  readonly policies: number;
  /** Routes; the one that requests take is the last. */
  readonly routes: number;
}

/** Where one proxy listens. */
export interface ProxyPorts {
  /** HTTP/1.1 and HTTP/2 by prior knowledge. */
  readonly http: number;
  /** The same in TLS 1.3, by ALPN. */
  readonly https: number;
  /** CONNECT over HTTP/2 over mutual TLS. */
  readonly hbone: number;
}

/** Where the backend listens: HTTP/1.1, and HTTP/2 by prior knowledge. */
export interface BackendPorts {
  readonly http1: number;
  readonly http2: number;
}

export const BACKEND_ADDRESS = "127.0.0.1";
/** What a tunnel is opened to. */
export const SERVICE = { hostname: "echo.bench.svc.cluster.local", address: "10.96.0.7", port: 80 };
export const SECRET = "kubernetes://bench/gateway";
/** Path prefixes that lead to the backend by HTTP/1.1 and by HTTP/2. */
export const TO_HTTP1 = "/b/", TO_HTTP2 = "/h2/";

/** `%START_TIME%` and so on: Istio's default format. */
export const LOG_FORMAT = "";

function destination(name: string, port: number, protocol: Destination["protocol"]): Destination {
  return {
    kind: "destination",
    name,
    hostname: SERVICE.hostname,
    namespace: "bench",
    port: SERVICE.port,
    subset: "",
    endpoints: { kind: "static", endpoints: [{ address: BACKEND_ADDRESS, port, weight: 1 }] },
    protocol,
    loadBalancer: { policy: "LEAST_REQUEST" },
    limits: DEFAULT_LIMITS,
    useWaypoint: false,
    rule: "",
  };
}

function route(name: string, prefix: string, to: string): Route {
  return {
    name,
    origin: `HTTPRoute/bench/${name}`,
    match: { path: { kind: "prefix", value: prefix, segments: false }, headers: [], query: [] },
    action: {
      kind: "forward",
      destinations: [{ destination: to, weight: 1 }],
      retry: DEFAULT_RETRY,
      mirrors: [],
    },
  };
}

/** Prefixes of routes that no request takes. */
export function otherPrefixes(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `/service-${i}/`);
}

export interface BenchPolicy {
  readonly name: string;
  readonly paths: string;
  readonly methods: readonly string[];
}

/** Of the policies, all ALLOW, the last lets everything through that the bench sends. */
export function policies(count: number): BenchPolicy[] {
  const others = Array.from({ length: count - 1 }, (_, i) => ({
    name: `policy-${String(i).padStart(5, "0")}`,
    paths: `/other-${i}/`,
    methods: ["GET", "POST"],
  }));
  return [...others, { name: "policy-last", paths: "/", methods: ["GET", "POST"] }];
}

function policy({ name, paths, methods }: BenchPolicy): L7Policy {
  return {
    kind: "policy",
    name: `bench/${name}`,
    listeners: ["*"],
    action: "ALLOW",
    dryRun: false,
    rules: [{
      from: [{ ipBlocks: [{ address: "127.0.0.0", length: 8 }] }],
      to: [{
        methods: methods.map((value) => ({ kind: "exact", value })),
        paths: [{ kind: "prefix", value: paths }],
      }],
      when: [],
    }],
  };
}

/** The configuration as istiod would send it. */
export function resources(
  scenario: Scenario,
  ports: ProxyPorts,
  backend: BackendPorts,
  certificate: { chain: string; key: string },
): ProxyResource[] {
  const listener = (name: string, rest: Pick<L7Listener, "binding" | "protocol" | "tls">): L7Listener => ({
    kind: "listener",
    name,
    hostnames: ["*"],
    httpsRedirect: false,
    origin: "Gateway/bench/gateway",
    ...rest,
  });
  const listeners = [
    listener("http", { binding: { kind: "port", port: ports.http }, protocol: "HTTP" }),
    listener("https", {
      binding: { kind: "port", port: ports.https },
      protocol: "HTTPS",
      tls: { mode: "SIMPLE", secrets: [SECRET], minVersion: "TLSv1_3" },
    }),
    listener("service", {
      binding: {
        kind: "service",
        service: `bench/${SERVICE.hostname}`,
        hostname: SERVICE.hostname,
        addresses: [SERVICE.address],
        port: SERVICE.port,
      },
      protocol: "HTTP",
    }),
  ];
  const routes = [
    ...otherPrefixes(scenario.routes - 2).map((prefix, i) => route(`other-${i}`, prefix, "outbound|80||other")),
    route("http2", TO_HTTP2, "outbound|80||http2"),
    route("http1", TO_HTTP1, "outbound|80||http1"),
  ];
  return [
    {
      kind: "settings",
      name: "mesh",
      trustDomain: "cluster.local",
      pathNormalization: "BASE",
      accessLog: { encoding: "TEXT", format: LOG_FORMAT },
      trustedProxies: 0,
    },
    { kind: "secret", name: SECRET, certificateChain: certificate.chain, privateKey: certificate.key },
    destination("outbound|80||http1", backend.http1, "HTTP1"),
    destination("outbound|80||http2", backend.http2, "HTTP2"),
    destination("outbound|80||other", backend.http1, "HTTP1"),
    ...policies(scenario.policies).map(policy),
    ...listeners.map((one) => ({
      kind: "virtualHost" as const,
      name: `${one.name}/any`,
      listener: one.name,
      hostnames: ["*"],
      routes,
    })),
    ...listeners,
  ];
}
