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
  /** Objects beside those of all. */
  readonly world?: readonly any[];
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

/** A gateway next to the rules, as their `workloadSelector` wants it. */
export const NEAR: ProxyTarget = {
  kind: "gateway",
  namespace: "default",
  labels: { istio: "ingressgateway", "gateway.networking.k8s.io/gateway-name": "waypoint" },
  serviceAccount: "near",
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
  ...["a", "b", "e"].map((name, i) =>
    service(name, `10.96.0.${i + 10}`, {}, [
      { name: "http", port: 80 },
      { name: "http-two", port: 81 },
      { name: "tcp", port: 9000 },
      { name: "tls", port: 9443 },
    ])
  ),
  service("c", "10.96.0.3", {
    namespace: "other",
    labels: {
      "istio.io/use-waypoint": "waypoint",
      "istio.io/use-waypoint-namespace": "default",
    },
  }),
  ...["istio-system", "default"].map((namespace) =>
    service("istio-ingressgateway", "10.96.0.9", {
      namespace,
      spec: { selector: { istio: "ingressgateway" }, type: "LoadBalancer" },
    }, [
      { name: "http2", port: 80, targetPort: 8080 },
      { name: "https", port: 443, targetPort: 8443 },
      { name: "tcp", port: 9000, targetPort: 9000 },
    ])
  ),
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
  {
    apiVersion: "networking.istio.io/v1",
    kind: "Gateway",
    metadata: meta("ingress"),
    spec: {
      selector: { istio: "ingressgateway" },
      servers: [
        { port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] },
        { port: { number: 443, name: "tls", protocol: "TLS" }, hosts: ["*"], tls: { mode: "PASSTHROUGH" } },
        { port: { number: 9000, name: "tcp", protocol: "TCP" }, hosts: ["*"] },
      ],
    },
  },
  // What shows the destinations of a, and of its subset, at both kinds of proxies.
  {
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { ...meta("all"), creationTimestamp: "2030-01-01T00:00:00Z" },
    spec: {
      hosts: ["all.example.com", "e.default.svc.cluster.local"],
      gateways: ["ingress", "mesh"],
      http: [80, 81].flatMap((number) => [
        { route: [{ destination: { host: "a", port: { number } } }] },
        { route: [{ destination: { host: "a", subset: "v1", port: { number } } }] },
      ]),
    },
  },
  ...["one", "two"].map((name) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: meta(name),
    data: { deployment: `metadata: { labels: { overlay: ${name} } }`, "ca.crt": PEM(name) },
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

/** Two listeners that ask clients for certificates, by one ConfigMap. */
function tlsListeners(spec: any): void {
  const tls = { certificateRefs: [{ name: "one" }] };
  spec.listeners = [443, 444].map((port) => ({ name: `l${port}`, protocol: "HTTPS", port, tls }));
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
  "tls.frontend.default.validation.caCertificateRefs": [{ group: "", kind: "ConfigMap", name: "one" }],
  "tls.frontend.perPort[].tls.validation.caCertificateRefs": [{ group: "", kind: "ConfigMap", name: "one" }],
  "tls.frontend.perPort[].tls": { validation: { caCertificateRefs: [{ group: "", kind: "ConfigMap", name: "two" }] } },
  "tls.frontend.perPort[].port": 443,
  "listeners[].allowedRoutes.namespaces.selector.matchExpressions[]": { key: "k", operator: "Exists" },
};

const virtualService = (spec: any) => ({
  apiVersion: "networking.istio.io/v1",
  kind: "VirtualService",
  metadata: meta("v"),
  spec: { ...spec, http: [{ route: [{ destination: { host: "a", port: { number: 80 } } }] }] },
});

const rule0 = (spec: any) => spec.http[0];
const noRoute = (spec: any) => delete spec.http[0].route;

/** A destination at `place`. */
const destinationHints = (place: string): Record<string, Hint> => ({
  [`${place}.host`]: SERVICES,
  [`${place}.subset`]: { values: ["one", "two"] },
  [`${place}.port.number`]: PORTS,
});

const REGEX: Hint = { values: ["o.*", "t.*"] };

const VIRTUAL_HINTS: Record<string, Hint> = {
  ...destinationHints("http[].route[].destination"),
  ...destinationHints("http[].mirror"),
  ...destinationHints("http[].mirrors[].destination"),
  "http[].route[].weight": { prepare: (spec) => rule0(spec).route.push({ destination: { host: "b" }, weight: 3 }) },
  "http[].redirect": { prepare: noRoute },
  "http[].redirect.scheme": { values: ["http", "https"] },
  "http[].redirect.redirectCode": { values: [302, 308] },
  "http[].redirect.derivePort": { values: ["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] },
  "http[].directResponse": { prepare: noRoute },
  "http[].directResponse.status": { values: [200, 503] },
  "http[].directResponse.body.bytes": { values: ["AAAA", "BBBB"] },
  "http[].delegate": { prepare: noRoute },
  "http[].corsPolicy": { prepare: (spec) => rule0(spec).corsPolicy = { allowOrigins: [{ exact: "https://x" }] } },
  "http[].corsPolicy.allowOrigins": { prepare: (spec) => rule0(spec).corsPolicy = {} },
  "http[].corsPolicy.allowOrigin": { prepare: (spec) => delete rule0(spec).corsPolicy.allowOrigins },
  "http[].corsPolicy.unmatchedPreflights": { same: ["UNSPECIFIED", "FORWARD"] },
  "http[].fault.abort.httpStatus": { values: [500, 503] },
  "http[].fault.abort.percentage.value": {
    prepare: (spec) => rule0(spec).fault = { abort: { httpStatus: 500, percentage: {} } },
  },
  "http[].fault.delay.percentage.value": {
    prepare: (spec) => rule0(spec).fault = { delay: { fixedDelay: "1s", percentage: {} } },
  },
  "http[].fault.delay.percent": { prepare: (spec) => rule0(spec).fault = { delay: { fixedDelay: "1s" } } },
  "http[].mirrorPercent": { prepare: (spec) => rule0(spec).mirror = { host: "b" } },
  "http[].mirror_percent": { prepare: (spec) => rule0(spec).mirror = { host: "b" } },
  "http[].mirrorPercentage": { prepare: (spec) => rule0(spec).mirror = { host: "b" } },
  "http[].retries.retryOn": { values: ["5xx", "reset"] },
  "http[].match[].port": { values: [80, 81] },
  "http[].match[].gateways": { values: [["mesh"], ["ingress"]] },
  "http[].match[].sourceNamespace": { values: ["default", "istio-system"] },
  "http[].match[].sourceLabels": { values: [{ app: "one" }, { istio: "ingressgateway" }] },
  "http[].match[].ignoreUriCase": { prepare: (spec) => rule0(spec).match = [{ uri: { exact: "/x" } }] },
  "http[].match[].statPrefix": { prepare: (spec) => rule0(spec).match = [{ uri: { exact: "/x" } }] },
  "http[].rewrite.uriRegexRewrite.match": REGEX,
  "http[].rewrite.uriRegexRewrite.rewrite": {
    prepare: (spec) => rule0(spec).rewrite = { uriRegexRewrite: { match: "^/x" } },
    values: ["/one", "/two"],
  },
  ...Object.fromEntries(["tls", "tcp"].flatMap((list) => [
    ...Object.entries(destinationHints(`${list}[].route[].destination`)),
    [`${list}[]`, {
      prepare: (spec: any) => {
        delete spec.http;
        const match = list === "tls" ? [{ sniHosts: ["x.example.com", "a.default.svc.cluster.local"] }] : undefined;
        spec[list] = [{ ...match && { match }, route: [{ destination: { host: "b", port: { number: 9000 } } }] }];
      },
    }],
    [`${list}[].route[].destination.port.number`, { values: [9000, 80] }],
    [`${list}[].route[].weight`, {
      prepare: (spec: any) =>
        spec[list][0].route.push({ destination: { host: "b", port: { number: 9000 } }, weight: 3 }),
    }],
    [`${list}[].match[].port`, { values: [9000, 443] }],
    [`${list}[].match[].gateways`, { values: [["mesh"], ["ingress"]] }],
    [`${list}[].match[].sniHosts`, { values: [["one.example.com"], ["two.example.com"]] }],
    [`${list}[].match[].sourceNamespace`, { values: ["default", "istio-system"] }],
    [`${list}[].match[].sourceLabels`, { values: [{ app: "one" }, { istio: "ingressgateway" }] }],
    [`${list}[].match[].destinationSubnets`, { values: [["10.96.0.1"], ["192.0.2.0/24"]] }],
    [`${list}[].match[].sourceSubnet`, { values: ["10.96.0.1", "192.0.2.0/24"] }],
  ])),
};

const VIRTUAL_EXAMPLES = {
  "http[].mirror": { host: "b", port: { number: 80 } },
  "http[].mirrors[].destination": { host: "b", port: { number: 80 } },
  "http[].directResponse": { status: 200 },
  "http[].fault.delay": { fixedDelay: "1s" },
  "http[].rewrite.uriRegexRewrite": { match: "x", rewrite: "y" },
};

/** A traffic policy at `place`, and those of ports below it. */
function policyHints(place: string, policy: (spec: any) => any): Record<string, Hint> {
  const below = (place: string, of: (spec: any) => any): Record<string, Hint> => ({
    [`${place}.loadBalancer.simple`]: { same: ["UNSPECIFIED", "LEAST_CONN", "LEAST_REQUEST"], defaults: [] },
    [`${place}.loadBalancer.localityLbSetting`]: {
      prepare: (spec) => of(spec).outlierDetection = { consecutive5xxErrors: 3 },
    },
    [`${place}.loadBalancer.consistentHash.maglev.tableSize`]: { values: [11, 13] },
    [`${place}.loadBalancer.consistentHash.ringHash`]: {
      prepare: (spec) => of(spec).loadBalancer = { consistentHash: { useSourceIp: true } },
    },
    [`${place}.loadBalancer.consistentHash.maglev`]: {
      prepare: (spec) => of(spec).loadBalancer = { consistentHash: { useSourceIp: true } },
    },
    [`${place}.loadBalancer.consistentHash.minimumRingSize`]: {
      prepare: (spec) => of(spec).loadBalancer = { consistentHash: { useSourceIp: true } },
    },
    [`${place}.connectionPool.http.h2UpgradePolicy`]: { same: ["DEFAULT", "DO_NOT_UPGRADE"] },
    [`${place}.tls`]: { prepare: (spec) => of(spec).tls = { mode: "SIMPLE" } },
    [`${place}.tls.credentialName`]: { prepare: (spec) => of(spec).tls.mode = "MUTUAL" },
    [`${place}.tls.mode`]: { same: ["DISABLE", "ISTIO_MUTUAL"] },
  });
  const port = `${place}.portLevelSettings[]`,
    first = (spec: any) => {
      policy(spec).portLevelSettings ??= [{ port: { number: 80 } }];
      return policy(spec).portLevelSettings[0];
    };
  return {
    ...below(place, policy),
    ...below(port, first),
    [port]: { prepare: (spec) => first(spec) },
    [`${port}.port.number`]: {
      prepare: (spec) => first(spec).connectionPool = { tcp: { maxConnections: 5 } },
      values: [80, 81],
    },
  };
}

const DESTINATION_EXAMPLES = {};

function serverTls(spec: any): void {
  Object.assign(spec.servers[0], {
    hosts: ["x.example.com"],
    port: { number: 443, name: "https", protocol: "HTTPS" },
    tls: { mode: "SIMPLE", credentialName: "one" },
  });
}

const serviceEntry = (spec: any) => ({
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: meta("s"),
  spec: { hosts: ["entry.example.com"], ports: [{ number: 80, name: "http", protocol: "HTTP" }], ...spec },
});

const ENTRY_HINTS: Record<string, Hint> = {
  hosts: { values: [["one.example.com"], ["two.example.com"]] },
  addresses: { values: [["198.51.100.7"], ["198.51.100.9"]] },
  "ports[].protocol": { values: ["HTTP", "TCP"] },
  "endpoints[].address": { values: ["192.0.2.8", "192.0.2.9"] },
  "endpoints[].ports": { values: [{ http: 81 }, { http: 82 }] },
  "endpoints[].labels": { values: [{ app: "one" }, { app: "two" }] },
  workloadSelector: { prepare: (spec) => delete spec.endpoints },
  "workloadSelector.labels": { values: [{ app: "a" }, { app: "b" }] },
  exportTo: { values: [["*"], ["~"]] },
  // Names are looked up anew again and again, whatever the resolution by DNS.
  resolution: { same: ["DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] },
};

const ENTRY_ELSEWHERE = {
  "ports[].name": "what endpoints' `ports` call it; says the protocol where `protocol` does not",
  location: "what is in the mesh shows by its tunnel, not by its entry",
};

const IPS: Hint = { values: [["192.0.2.1"], ["192.0.2.2"]] };

const BY_SELECTOR = { targetRef: "excludes the selector", targetRefs: "excludes the selector" };
const BY_TARGET = { selector: "excludes targets", targetRef: "excludes targetRefs" };

const POLICY_HINTS: Record<string, Hint> = {
  "rules[].from[].source.ipBlocks": IPS,
  "rules[].from[].source.notIpBlocks": IPS,
  "rules[].from[].source.remoteIpBlocks": IPS,
  "rules[].from[].source.notRemoteIpBlocks": IPS,
  "rules[].to[].operation.ports": { values: [["80"], ["81"]] },
  "rules[].to[].operation.notPorts": { values: [["80"], ["81"]] },
  "rules[].when[].key": { values: ["source.ip", "source.namespace"] },
  "rules[].when[].values": IPS,
  "rules[].when[].notValues": IPS,
  action: { defaults: ["ALLOW"] },
  "selector.matchLabels": { values: [{ app: "a" }, { app: "b" }] },
  "targetRefs[].kind": { values: ["Service", "Gateway"] },
  "targetRefs[].group": { values: ["", "other.example.com"] },
  "targetRefs[].name": { values: ["a", "b"] },
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
      "tls.frontend": { prepare: tlsListeners },
      "tls.frontend.perPort[].port": { values: [443, 444] },
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
  {
    name: "VirtualService at a waypoint",
    kind: "networking.istio.io/VirtualService",
    base: virtualService({ hosts: ["a.default.svc.cluster.local"] }),
    targets: [WAYPOINT],
    hints: {
      ...VIRTUAL_HINTS,
      "hosts": { values: [["a.default.svc.cluster.local"], ["b.default.svc.cluster.local"]] },
      "gateways": { values: [["mesh"], ["nobody"]] },
      "exportTo": { values: [["*"], ["other"]] },
      "tls[].match[].sniHosts": { values: [["a.default.svc.cluster.local"], ["other.example.com"]] },
      "tls[].match[].port": { values: [9443, 443] },
    },
    examples: VIRTUAL_EXAMPLES,
  },
  {
    name: "VirtualService at an ingress gateway",
    kind: "networking.istio.io/VirtualService",
    base: virtualService({ hosts: ["*"], gateways: ["ingress"] }),
    targets: [INGRESS],
    hints: {
      ...VIRTUAL_HINTS,
      "hosts": { values: [["one.example.com"], ["two.example.com"]] },
      "gateways": { values: [["ingress"], ["nobody"]] },
      "exportTo": { values: [["*"], ["."]] },
    },
    examples: VIRTUAL_EXAMPLES,
  },
  ...[WAYPOINT, NEAR].map((target): FieldCase => ({
    name: `DestinationRule at a ${target.kind}`,
    kind: "networking.istio.io/DestinationRule",
    base: {
      apiVersion: "networking.istio.io/v1",
      kind: "DestinationRule",
      metadata: meta("d"),
      spec: { host: "a", subsets: [{ name: "v1", labels: { version: "v1" } }] },
    },
    targets: [target],
    hints: {
      host: { values: ["a", "b"] },
      exportTo: { values: [["*"], ["other"]] },
      "workloadSelector.matchLabels": {
        values: [{ "gateway.networking.k8s.io/gateway-name": "waypoint" }, { k: "two" }],
      },
      "subsets[].name": { values: ["v1", "other"] },
      ...policyHints("trafficPolicy", (spec) => spec.trafficPolicy ??= {}),
      ...policyHints("subsets[].trafficPolicy", (spec) => spec.subsets[0].trafficPolicy ??= {}),
    },
    examples: DESTINATION_EXAMPLES,
  })),
  {
    name: "Gateway of Istio",
    kind: "networking.istio.io/Gateway",
    base: {
      apiVersion: "networking.istio.io/v1",
      kind: "Gateway",
      metadata: meta("ingress"),
      spec: {
        selector: { istio: "ingressgateway" },
        servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
      },
    },
    targets: [INGRESS],
    hints: {
      "selector": { values: [{ istio: "ingressgateway" }, { istio: "other" }] },
      "servers[].hosts": { values: [["one.example.com"], ["two.example.com"]] },
      "servers[].port.number": { values: [80, 81] },
      "servers[].port.protocol": { values: ["HTTP", "TCP"] },
      "servers[].tls": { prepare: serverTls },
      "servers[].tls.httpsRedirect": { prepare: (spec) => Object.assign(spec.servers[0].port, { protocol: "HTTP" }) },
      "servers[].tls.credentialNames": { prepare: (spec) => delete spec.servers[0].tls.credentialName },
      "servers[].tls.minProtocolVersion": { same: ["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2"] },
    },
    elsewhere: {
      "servers[].name": "a name for metrics of Envoy's",
      "servers[].port.name": "a name; part of a listener's where TLS ends",
    },
  },
  {
    name: "ServiceEntry with endpoints",
    kind: "networking.istio.io/ServiceEntry",
    base: serviceEntry({
      resolution: "STATIC",
      endpoints: [{ address: "192.0.2.1" }],
      addresses: ["198.51.100.1"],
    }),
    targets: [WAYPOINT, INGRESS],
    hints: ENTRY_HINTS,
    elsewhere: ENTRY_ELSEWHERE,
  },
  {
    name: "ServiceEntry of names",
    kind: "networking.istio.io/ServiceEntry",
    base: serviceEntry({ resolution: "DNS" }),
    targets: [WAYPOINT, INGRESS],
    hints: ENTRY_HINTS,
    elsewhere: ENTRY_ELSEWHERE,
  },
  {
    name: "WorkloadEntry",
    kind: "networking.istio.io/WorkloadEntry",
    base: {
      apiVersion: "networking.istio.io/v1",
      kind: "WorkloadEntry",
      metadata: meta("w"),
      spec: { address: "192.0.2.7", labels: { app: "a" } },
    },
    targets: [WAYPOINT],
    hints: {
      address: { values: ["192.0.2.8", "192.0.2.9"] },
      ports: { values: [{ http: 81 }, { http: 82 }] },
      labels: { values: [{ app: "a" }, { app: "b" }] },
    },
  },
  ...[
    {
      name: "of workloads (ztunnel)",
      spec: { selector: { matchLabels: { app: "a" } } },
      targets: [],
      actions: ["ALLOW", "DENY"],
      elsewhere: BY_SELECTOR,
    },
    {
      name: "of a gateway's pods",
      spec: { selector: { matchLabels: { istio: "ingressgateway" } } },
      targets: [NEAR],
      actions: ["ALLOW", "DENY"],
      elsewhere: BY_SELECTOR,
    },
    {
      name: "of a service (waypoint)",
      spec: { targetRefs: [{ group: "", kind: "Service", name: "a" }] },
      targets: [WAYPOINT],
      elsewhere: BY_TARGET,
    },
    {
      name: "of a gateway",
      spec: { targetRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: "web" }] },
      targets: [WEB],
      elsewhere: BY_TARGET,
    },
  ].flatMap(({ name, spec, targets, elsewhere, actions = ["ALLOW", "DENY", "AUDIT"] }) =>
    actions.map((action): FieldCase => ({
      name: `AuthorizationPolicy ${name}, ${action}`,
      kind: "security.istio.io/AuthorizationPolicy",
      base: {
        apiVersion: "security.istio.io/v1",
        kind: "AuthorizationPolicy",
        metadata: meta("p"),
        spec: { ...spec, action, rules: [{ to: [{ operation: { ports: ["80"] } }] }] },
      },
      targets,
      hints: {
        ...POLICY_HINTS,
        ...targets[0] === WEB && { "targetRefs[].name": { values: ["web", "other"] } },
        ...targets[0] === NEAR && {
          "selector.matchLabels": { values: [{ istio: "ingressgateway" }, { istio: "other" }] },
        },
      },
      examples: { "rules[].when[]": { key: "source.ip", values: ["192.0.2.1"] } },
      elsewhere,
    }))
  ),
  {
    name: "PeerAuthentication",
    kind: "security.istio.io/PeerAuthentication",
    base: {
      apiVersion: "security.istio.io/v1",
      kind: "PeerAuthentication",
      metadata: meta("p"),
      spec: { selector: { matchLabels: { app: "a" } }, mtls: { mode: "PERMISSIVE" } },
    },
    // What is not said here is inherited: STRICT.
    world: [{
      apiVersion: "security.istio.io/v1",
      kind: "PeerAuthentication",
      metadata: meta("default"),
      spec: { mtls: { mode: "STRICT" } },
    }],
    targets: [],
    hints: {
      "mtls.mode": { same: ["UNSET", "STRICT"] },
      portLevelMtls: { prepare: (spec) => spec.portLevelMtls = { "80": {} } },
      "portLevelMtls{}.mode": { same: ["UNSET", "PERMISSIVE"] },
      "selector.matchLabels": { values: [{ app: "a" }, { app: "b" }] },
    },
    examples: { "portLevelMtls{}key": "80" },
  },
];
