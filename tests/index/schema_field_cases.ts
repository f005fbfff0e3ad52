// The worlds of schema_fields_test.ts: an object of each kind that works, and how its fields come to matter.

import type { ProxyTarget } from "../../src/index/mod.ts";

/** How a field comes to matter. */
export interface Hint {
  /** Makes room: takes away what excludes it, adds what it needs. Holds for the fields below it, too. */
  readonly prepare?: (spec: any) => void;
  /** Instead of made-up ones. */
  readonly values?: readonly unknown[];
  /** Values that mean the same. */
  readonly same?: readonly unknown[];
  /** Values that mean what holds without the field. */
  readonly defaults?: readonly unknown[];
}

export interface FieldCase {
  readonly name: string;
  /** `group/Kind` of the definition. */
  readonly kind: string;
  readonly base: any;
  readonly targets: readonly ProxyTarget[];
  readonly hints?: Readonly<Record<string, Hint>>;
  /** Values of fields that others need. */
  readonly examples?: Readonly<Record<string, unknown>>;
  /** A kind without status: what it cannot do shows by its effect alone. */
  readonly statusless?: true;
  /** Fields that have no meaning here, and why. */
  readonly elsewhere?: Readonly<Record<string, string>>;
}

const meta = (name: string, namespace = "default", labels = {}) => ({ name, namespace, generation: 1, labels });

const service = (name: string, ip: string, extra: any = {}, ports: any[] = [{ name: "http", port: 80 }]) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: meta(name, extra.namespace, extra.labels),
  spec: { clusterIP: ip, selector: { app: name }, ports, ...extra.spec },
});

const pod = (name: string, app: string, ip: string, labels = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    ...meta(name, "default", { app, ...labels }),
    annotations: { "ambient.istio.io/redirection": "enabled" },
  },
  spec: { serviceAccountName: "default", nodeName: "n", containers: [] },
  status: { phase: "Running", podIP: ip, podIPs: [{ ip }], conditions: [{ type: "Ready", status: "True" }] },
});

const PEM = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----`;
const KEY = "-----BEGIN PRIVATE KEY-----\nk\n-----END PRIVATE KEY-----";
const secret = (name: string, namespace = "default") => ({
  apiVersion: "v1",
  kind: "Secret",
  type: "kubernetes.io/tls",
  metadata: meta(name, namespace),
  data: { "tls.crt": btoa(PEM(`${namespace}${name}`)), "tls.key": btoa(KEY), "ca.crt": btoa(PEM("roots")) },
});

export const WAYPOINT: ProxyTarget = { kind: "waypoint", namespace: "default", gateway: "waypoint" };
export const WEB: ProxyTarget = {
  kind: "gateway",
  namespace: "default",
  gateway: "web",
  labels: { "gateway.networking.k8s.io/gateway-name": "web" },
  serviceAccount: "web-istio",
};
export const INGRESS: ProxyTarget = {
  kind: "gateway",
  namespace: "istio-system",
  labels: { istio: "ingressgateway" },
  serviceAccount: "istio-ingressgateway-service-account",
};

const GATEWAY_API = "gateway.networking.k8s.io/v1";

export const WORLD: readonly any[] = [
  {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: {
      name: "default",
      labels: { "istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "waypoint" },
    },
  },
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "other", labels: { one: "1", k: "one" } } },
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "istio-system", labels: {} } },
  {
    apiVersion: GATEWAY_API,
    kind: "Gateway",
    metadata: meta("waypoint", "default", { "istio.io/waypoint-for": "all" }),
    spec: { gatewayClassName: "istio-waypoint", listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }] },
    status: { addresses: [{ type: "Hostname", value: "waypoint.default.svc.cluster.local" }] },
  },
  service("waypoint", "10.96.0.50", {}, [{ name: "mesh", port: 15008 }]),
  {
    apiVersion: GATEWAY_API,
    kind: "Gateway",
    metadata: meta("web"),
    spec: { gatewayClassName: "istio", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] },
  },
  service("a", "10.96.0.1", {}, [{ name: "http", port: 80 }, { name: "http-two", port: 81 }, {
    name: "tcp",
    port: 9000,
  }]),
  service("b", "10.96.0.2", {}, [{ name: "http", port: 80 }, { name: "http-two", port: 81 }, {
    name: "tcp",
    port: 9000,
  }]),
  service("c", "10.96.0.3", {
    namespace: "other",
    labels: {
      "istio.io/use-waypoint": "waypoint",
      "istio.io/use-waypoint-namespace": "default",
    },
  }),
  service("istio-ingressgateway", "10.96.0.9", {
    namespace: "istio-system",
    spec: { selector: { istio: "ingressgateway" }, type: "LoadBalancer" },
  }, [
    { name: "http2", port: 80, targetPort: 8080 },
    { name: "https", port: 443, targetPort: 8443 },
    { name: "tcp", port: 9000, targetPort: 9000 },
  ]),
  pod("a-1", "a", "10.0.0.1", { version: "v1", k: "one" }),
  pod("a-2", "a", "10.0.0.2", { version: "v2", k: "two" }),
  pod("b-1", "b", "10.0.0.3"),
  ...["one", "two", "cert"].flatMap((name) => [secret(name), secret(name, "istio-system"), secret(name, "other")]),
  // What other namespaces may reach: by a route from here, and a route from there.
  {
    apiVersion: GATEWAY_API,
    kind: "HTTPRoute",
    metadata: meta("granted"),
    spec: { parentRefs: [{ name: "web" }], rules: [{ backendRefs: [{ namespace: "other", name: "c", port: 80 }] }] },
  },
  {
    apiVersion: GATEWAY_API,
    kind: "HTTPRoute",
    metadata: meta("guest", "other"),
    spec: { parentRefs: [{ namespace: "default", name: "web" }], rules: [{ backendRefs: [{ name: "c", port: 80 }] }] },
  },
  {
    apiVersion: GATEWAY_API,
    kind: "GRPCRoute",
    metadata: meta("grpc"),
    spec: { parentRefs: [{ name: "web" }], rules: [{ backendRefs: [{ name: "b", port: 80 }] }] },
  },
  ...["one", "two"].map((name) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: meta(name),
    data: { deployment: `metadata: { labels: { overlay: ${name} } }` },
  })),
];

const FILTERS: Readonly<Record<string, string>> = {
  requestHeaderModifier: "RequestHeaderModifier",
  responseHeaderModifier: "ResponseHeaderModifier",
  requestMirror: "RequestMirror",
  requestRedirect: "RequestRedirect",
  urlRewrite: "URLRewrite",
  extensionRef: "ExtensionRef",
  cors: "CORS",
  externalAuth: "ExternalAuth",
};

/** Each field of a filter with the type that goes with it. */
function filterHints(place: string, holder: (spec: any) => any): Record<string, Hint> {
  return Object.fromEntries(
    Object.entries(FILTERS).map(([field, type]) => [
      `${place}.filters[].${field}`,
      {
        prepare: (spec: any) => {
          holder(spec).filters = [{ type }];
          if (type === "RequestRedirect") delete holder(spec).backendRefs;
        },
      },
    ]),
  );
}

const SERVICES: Hint = { values: ["a", "b"] };
const PORTS: Hint = { values: [80, 81] };
const NAMESPACES: Hint = { values: ["default", "other"] };

/** Of a reference to a service at `place`. */
function backendHints(place: string): Record<string, Hint> {
  return {
    [`${place}.name`]: SERVICES,
    [`${place}.port`]: PORTS,
    [`${place}.namespace`]: NAMESPACES,
    [`${place}.kind`]: { values: ["Service", "Other"], defaults: ["Service"] },
    [`${place}.group`]: { values: ["", "other.example.com"], defaults: [""] },
  };
}

const PATHS = (place: string, holder: (spec: any) => any, field: string): Record<string, Hint> => ({
  [`${place}.type`]: {
    prepare: (spec) => {
      holder(spec)[field] = { path: { replaceFullPath: "/x", replacePrefixMatch: "/x" } };
      spec.rules[0].matches = [{ path: { type: "PathPrefix", value: "/p" } }];
    },
  },
  [`${place}.replaceFullPath`]: { prepare: (spec) => (holder(spec)[field] = { path: { type: "ReplaceFullPath" } }) },
  [`${place}.replacePrefixMatch`]: {
    prepare: (spec) => {
      holder(spec)[field] = { path: { type: "ReplacePrefixMatch" } };
      spec.rules[0].matches = [{ path: { type: "PathPrefix", value: "/p" } }];
    },
  },
});

const parentHints = (name: string, kind: string): Record<string, Hint> => ({
  "parentRefs[].name": { values: [name, "nobody"] },
  "parentRefs[].namespace": { values: ["default", "other"], defaults: ["default"] },
  "parentRefs[].kind": { values: [kind, "Other"], defaults: [kind] },
  "parentRefs[].group": {
    values: [kind === "Gateway" ? "gateway.networking.k8s.io" : "", "other.example.com"],
    defaults: ["gateway.networking.k8s.io"],
  },
  "parentRefs[].sectionName": { values: ["http", "other"], defaults: ["http"] },
  "parentRefs[].port": { values: [80, 81], defaults: [80] },
});

const PATH_EXAMPLES = {
  "rules[].filters[].requestMirror.backendRef": { name: "b", port: 80 },
  "rules[].filters[].externalAuth.backendRef": { name: "b", port: 80 },
  "rules[].filters[].externalAuth.protocol": "HTTP",
};

const rule = (spec: any) => spec.rules[0];
const firstFilter = (spec: any) => spec.rules[0].filters[0];

const CHANGES = { set: [{ name: "x", value: "1" }] };
/** What every type of filter needs. */
const EVERY_FILTER = {
  requestHeaderModifier: CHANGES,
  responseHeaderModifier: CHANGES,
  requestMirror: { backendRef: { name: "b", port: 80 } },
  requestRedirect: { hostname: "x" },
  urlRewrite: { hostname: "x" },
  cors: { allowOrigins: ["https://x"] },
};

const HTTP_HINTS: Record<string, Hint> = {
  ...filterHints("rules[]", rule),
  ...filterHints("rules[].backendRefs[]", (spec) => spec.rules[0].backendRefs[0]),
  ...backendHints("rules[].backendRefs[]"),
  ...backendHints("rules[].filters[].requestMirror.backendRef"),
  ...PATHS("rules[].filters[].requestRedirect.path", firstFilter, "requestRedirect"),
  ...PATHS("rules[].filters[].urlRewrite.path", firstFilter, "urlRewrite"),
  "rules[].backendRefs[].weight": {
    prepare: (spec) => spec.rules[0].backendRefs.push({ name: "b", port: 80 }),
    values: [1, 5],
    defaults: [1],
  },
  "rules[].backendRefs[].filters": { prepare: (spec) => spec.rules[0].backendRefs[0].filters ??= [{}] },
  "rules[].filters[].requestMirror.fraction.denominator": { values: [50, 70] },
  "rules[].filters[].requestMirror.fraction.numerator": { values: [3, 7] },
  "rules[].matches[].path.type": {
    prepare: (spec) => spec.rules[0].matches = [{ path: { value: "/x" } }],
    defaults: ["PathPrefix"],
  },
  "rules[].matches[].path.value": { values: ["/one", "/two"] },
  "rules[].filters[].type": { prepare: (spec) => spec.rules[0].filters = [EVERY_FILTER] },
  "rules[].backendRefs[].filters[].type": { prepare: (spec) => spec.rules[0].backendRefs[0].filters = [EVERY_FILTER] },
  "rules[].filters[].requestRedirect.statusCode": { defaults: [302] },
  "rules[].filters[].cors.maxAge": { defaults: [5] },
  "rules[].filters[].cors.allowOrigins": { values: [["https://one"], ["https://two"]] },
  "rules[].retry.codes": { values: [[500], [503]] },
};

const httpRoute = (parent: any) => ({
  apiVersion: GATEWAY_API,
  kind: "HTTPRoute",
  metadata: meta("r"),
  spec: { parentRefs: [parent], rules: [{ backendRefs: [{ name: "a", port: 80 }] }] },
});

const grpcRoute = (parent: any) => ({ ...httpRoute(parent), kind: "GRPCRoute" });

function tlsListener(spec: any): void {
  Object.assign(spec.listeners[0], { protocol: "HTTPS", port: 443, tls: { certificateRefs: [{ name: "one" }] } });
}

function withRoute(): void {}

const GATEWAY_HINTS: Record<string, Hint> = {
  gatewayClassName: { values: ["istio", "other"] },
  "listeners[].hostname": { values: ["one.example.com", "two.example.com"] },
  "listeners[].protocol": { values: ["HTTP", "TCP"] },
  "listeners[].tls.mode": { defaults: ["Terminate"] },
  "listeners[].tls.certificateRefs[].kind": { values: ["Secret", "Other"], defaults: ["Secret"] },
  "listeners[].tls.certificateRefs[].group": { values: ["", "other.example.com"], defaults: [""] },
  "listeners[].tls.certificateRefs[].namespace": { ...NAMESPACES, defaults: ["default"] },
  "listeners[].tls.options": {
    values: [{ "gateway.istio.io/tls-terminate-mode": "MUTUAL" }, { "other.example.com/option": "x" }],
  },
  "listeners[].allowedRoutes.namespaces.from": { prepare: withRoute },
  "listeners[].allowedRoutes.namespaces.selector": {
    prepare: (spec) => spec.listeners[0].allowedRoutes = { namespaces: { from: "Selector" } },
  },
  "listeners[].allowedRoutes.namespaces.selector.matchLabels": { values: [{ k: "one" }, { k: "two" }] },
  "listeners[].allowedRoutes.namespaces.selector.matchExpressions[].key": { values: ["k", "two"] },
  "listeners[].allowedRoutes.namespaces.selector.matchExpressions[].operator": { values: ["Exists", "DoesNotExist"] },
  "listeners[].allowedRoutes.namespaces.selector.matchExpressions[].values": {
    prepare: (spec) =>
      spec.listeners[0].allowedRoutes.namespaces.selector = { matchExpressions: [{ key: "k", operator: "In" }] },
    values: [["one"], ["two"]],
  },
  "listeners[].allowedRoutes.kinds[].kind": { values: ["HTTPRoute", "GRPCRoute"] },
  "listeners[].allowedRoutes.kinds[].group": {
    values: ["gateway.networking.k8s.io", "other.example.com"],
    defaults: ["gateway.networking.k8s.io"],
  },
  "addresses[]": { prepare: (spec) => spec.addresses = [{ type: "Hostname", value: "x.example.com" }] },
  "addresses[].type": { values: ["IPAddress", "Hostname", "NamedAddress"], defaults: ["IPAddress"] },
  "addresses[].value": { values: ["one.example.com", "two.example.com"] },
  defaultScope: { defaults: ["None"] },
  "allowedListeners.namespaces.from": { defaults: ["None"] },
  "allowedListeners.namespaces.selector": {
    prepare: (spec) => spec.allowedListeners = { namespaces: { from: "Selector" } },
  },
  "infrastructure.parametersRef.name": { values: ["one", "two"] },
  "infrastructure.parametersRef.kind": { values: ["ConfigMap", "Other"] },
  "infrastructure.parametersRef.group": { values: ["", "other.example.com"] },
};

const GATEWAY_EXAMPLES = {
  "listeners[].tls.certificateRefs[].name": "one",
  "infrastructure.parametersRef": { group: "", kind: "ConfigMap", name: "one" },
  "listeners[].allowedRoutes.namespaces.selector.matchExpressions[]": { key: "k", operator: "Exists" },
};

export const CASES: readonly FieldCase[] = [
  {
    name: "HTTPRoute at a gateway",
    kind: "gateway.networking.k8s.io/HTTPRoute",
    base: httpRoute({ name: "web" }),
    targets: [WEB],
    hints: { ...HTTP_HINTS, ...parentHints("web", "Gateway") },
    examples: PATH_EXAMPLES,
  },
  {
    name: "HTTPRoute at a service",
    kind: "gateway.networking.k8s.io/HTTPRoute",
    base: httpRoute({ group: "", kind: "Service", name: "a" }),
    targets: [WAYPOINT],
    hints: { ...HTTP_HINTS, ...parentHints("a", "Service") },
    examples: PATH_EXAMPLES,
    elsewhere: { hostnames: "names of services are their own" },
  },
  {
    name: "GRPCRoute at a gateway",
    kind: "gateway.networking.k8s.io/GRPCRoute",
    base: grpcRoute({ name: "web" }),
    targets: [WEB],
    hints: { ...HTTP_HINTS, ...parentHints("web", "Gateway") },
    examples: PATH_EXAMPLES,
  },
  {
    name: "Gateway of the Gateway API",
    kind: "gateway.networking.k8s.io/Gateway",
    base: {
      apiVersion: GATEWAY_API,
      kind: "Gateway",
      metadata: meta("web"),
      spec: { gatewayClassName: "istio", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] },
    },
    targets: [WEB],
    hints: {
      ...GATEWAY_HINTS,
      "listeners[].tls": { prepare: tlsListener },
      "listeners[].port": { values: [80, 81] },
    },
    examples: GATEWAY_EXAMPLES,
  },
  {
    name: "Gateway of a waypoint",
    kind: "gateway.networking.k8s.io/Gateway",
    base: WORLD.find(({ kind, metadata }) => kind === "Gateway" && metadata.name === "waypoint"),
    targets: [WAYPOINT],
    hints: GATEWAY_HINTS,
    examples: GATEWAY_EXAMPLES,
  },
  {
    name: "ReferenceGrant",
    statusless: true,
    kind: "gateway.networking.k8s.io/ReferenceGrant",
    base: {
      apiVersion: GATEWAY_API,
      kind: "ReferenceGrant",
      metadata: meta("g", "other"),
      spec: {
        from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "default" }],
        to: [{ group: "", kind: "Service" }],
      },
    },
    targets: [WEB],
    hints: {
      "from[].group": { values: ["gateway.networking.k8s.io", "other.example.com"] },
      "from[].kind": { values: ["HTTPRoute", "GRPCRoute"] },
      "from[].namespace": NAMESPACES,
      "to[].group": { values: ["", "other.example.com"] },
      "to[].kind": { values: ["Service", "Secret"] },
      "to[].name": { values: ["c", "other"] },
    },
  },
];
