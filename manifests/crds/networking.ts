import { AGE, type Column, type KindDefinition } from "./definition.ts";
import {
  all,
  anything,
  atMostOne,
  attachment,
  boolean,
  choice,
  described,
  duration,
  integer,
  labels,
  list,
  mapOf,
  object,
  percent,
  port,
  rule,
  type Schema,
  selector,
  string,
  strings,
  uint32,
  workloadSelector,
} from "./schema.ts";

const GROUP = "networking.istio.io";
const VERSIONS = ["v1", "v1beta1", "v1alpha3"] as const;

function column(name: string, jsonPath: string, description: string): Column {
  return { name, type: "string", jsonPath, description };
}

/** At most one of exact, prefix and regex, as StringMatch has it. */
const stringMatch = object({ exact: string, prefix: string, regex: string }, [], {
  not: { anyOf: [["exact", "prefix"], ["exact", "regex"], ["prefix", "regex"]].map((required) => ({ required })) },
});

const destination = object({ host: string, subset: string, port: object({ number: port }) }, ["host"]);
const headerChange = object({ add: labels, set: labels, remove: strings });
const headers = object({ request: headerChange, response: headerChange });
const percentage = object({ value: { type: "number", minimum: 0, maximum: 100 } });
const weight: Schema = { type: "integer", format: "int32", minimum: 0 };

const virtualService: KindDefinition = {
  group: GROUP,
  kind: "VirtualService",
  plural: "virtualservices",
  shortNames: ["vs"],
  versions: VERSIONS,
  columns: [
    column("Gateways", ".spec.gateways", "Names of the gateways the routes apply to."),
    column("Hosts", ".spec.hosts", "Hosts the routes apply to."),
    AGE,
  ],
  spec: object({
    hosts: strings,
    gateways: strings,
    exportTo: strings,
    http: list(object({
      name: string,
      match: list(object({
        name: string,
        uri: stringMatch,
        scheme: stringMatch,
        method: stringMatch,
        authority: stringMatch,
        headers: mapOf(stringMatch),
        withoutHeaders: mapOf(stringMatch),
        queryParams: mapOf(stringMatch),
        ignoreUriCase: boolean,
        port,
        gateways: strings,
        sourceLabels: labels,
        sourceNamespace: string,
        statPrefix: string,
      })),
      route: list(object({ destination, headers, weight }, ["destination"])),
      redirect: object(
        {
          uri: string,
          authority: string,
          scheme: string,
          port: uint32,
          derivePort: choice("FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"),
          redirectCode: uint32,
        },
        [],
        { not: { required: ["port", "derivePort"] } },
      ),
      directResponse: object({
        status: { type: "integer", minimum: 100, maximum: 599 },
        body: object({ string, bytes: { type: "string", format: "binary" } }, [], {
          not: { required: ["string", "bytes"] },
        }),
      }, ["status"]),
      delegate: object({ name: string, namespace: string }),
      rewrite: object({ uri: string, authority: string, uriRegexRewrite: object({ match: string, rewrite: string }) }),
      timeout: duration,
      retries: object({
        attempts: { type: "integer", format: "int32", minimum: 0 },
        perTryTimeout: duration,
        backoff: duration,
        retryOn: string,
        retryRemoteLocalities: { type: "boolean", nullable: true },
        retryIgnorePreviousHosts: { type: "boolean", nullable: true },
      }),
      fault: object({
        delay: object({ fixedDelay: duration, exponentialDelay: duration, percent, percentage }, [], {
          not: { required: ["fixedDelay", "exponentialDelay"] },
        }),
        abort: object(
          {
            httpStatus: { type: "integer", minimum: 200, maximum: 600 },
            grpcStatus: string,
            http2Error: string,
            percentage,
          },
          [],
          {
            not: {
              anyOf: [["httpStatus", "grpcStatus"], ["httpStatus", "http2Error"], ["grpcStatus", "http2Error"]].map((
                required,
              ) => ({ required })),
            },
          },
        ),
      }),
      mirror: destination,
      mirrorPercent: { ...uint32, nullable: true },
      mirror_percent: { ...uint32, nullable: true },
      mirrorPercentage: percentage,
      mirrors: list(object({ destination, percentage }, ["destination"])),
      corsPolicy: object({
        allowOrigin: strings,
        allowOrigins: list(stringMatch),
        allowMethods: strings,
        allowHeaders: strings,
        exposeHeaders: strings,
        maxAge: duration,
        allowCredentials: { type: "boolean", nullable: true },
        unmatchedPreflights: choice("UNSPECIFIED", "FORWARD", "IGNORE"),
      }),
      headers,
    })),
    tls: list(object({
      match: list(object({
        sniHosts: strings,
        destinationSubnets: strings,
        port,
        sourceLabels: labels,
        gateways: strings,
        sourceNamespace: string,
      }, ["sniHosts"])),
      route: list(object({ destination, weight }, ["destination"])),
    }, ["match"])),
    tcp: list(object({
      match: list(object({
        destinationSubnets: strings,
        port,
        sourceSubnet: string,
        sourceLabels: labels,
        gateways: strings,
        sourceNamespace: string,
      })),
      route: list(object({ destination, weight }, ["destination"])),
    })),
  }),
};

const connectionPool = object({
  tcp: object({
    maxConnections: { type: "integer", format: "int32" },
    connectTimeout: duration,
    tcpKeepalive: object({ probes: uint32, time: duration, interval: duration }),
    maxConnectionDuration: duration,
    idleTimeout: duration,
  }),
  http: object({
    http1MaxPendingRequests: { type: "integer", format: "int32" },
    http2MaxRequests: { type: "integer", format: "int32" },
    maxRequestsPerConnection: { type: "integer", format: "int32" },
    maxRetries: { type: "integer", format: "int32" },
    idleTimeout: duration,
    h2UpgradePolicy: choice("DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"),
    useClientProtocol: boolean,
    maxConcurrentStreams: { type: "integer", format: "int32" },
  }),
});

const loadBalancer = object(
  {
    simple: choice("UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"),
    consistentHash: object(
      {
        httpHeaderName: string,
        httpCookie: object({
          name: string,
          path: string,
          ttl: duration,
          attributes: list(object({ name: string, value: string }, ["name"])),
        }, ["name"]),
        useSourceIp: boolean,
        httpQueryParameterName: string,
        ringHash: object({ minimumRingSize: integer }),
        maglev: object({ tableSize: integer }),
        minimumRingSize: integer,
      },
      [],
      {
        not: {
          anyOf: [
            ["httpHeaderName", "httpCookie"],
            ["httpHeaderName", "useSourceIp"],
            ["httpHeaderName", "httpQueryParameterName"],
            ["httpCookie", "useSourceIp"],
            ["httpCookie", "httpQueryParameterName"],
            ["useSourceIp", "httpQueryParameterName"],
            ["ringHash", "maglev"],
          ].map((required) => ({ required })),
        },
      },
    ),
    localityLbSetting: object({
      enabled: { type: "boolean", nullable: true },
      distribute: list(object({ from: string, to: mapOf(uint32) })),
      failover: list(object({ from: string, to: string })),
      failoverPriority: strings,
    }),
    warmupDurationSecs: duration,
    warmup: object({
      duration,
      minimumPercent: { type: "number", minimum: 0, maximum: 100, nullable: true },
      aggression: { type: "number", minimum: 1, nullable: true },
    }, ["duration"]),
  },
  [],
  { not: { required: ["simple", "consistentHash"] } },
);

const outlierDetection = object({
  consecutiveErrors: { type: "integer", format: "int32" },
  splitExternalLocalOriginErrors: boolean,
  consecutiveLocalOriginFailures: { ...uint32, nullable: true },
  consecutiveGatewayErrors: { ...uint32, nullable: true },
  consecutive5xxErrors: { ...uint32, nullable: true },
  interval: duration,
  baseEjectionTime: duration,
  maxEjectionPercent: { type: "integer", format: "int32" },
  minHealthPercent: { type: "integer", format: "int32" },
});

const clientTls = object({
  mode: choice("DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"),
  clientCertificate: string,
  privateKey: string,
  caCertificates: string,
  credentialName: string,
  subjectAltNames: strings,
  sni: string,
  insecureSkipVerify: { type: "boolean", nullable: true },
  caCrl: string,
});

const trafficPolicy = object({
  connectionPool,
  loadBalancer,
  outlierDetection,
  tls: clientTls,
  portLevelSettings: list(
    object({ port: object({ number: port }), connectionPool, loadBalancer, outlierDetection, tls: clientTls }),
    { maxItems: 4096 },
  ),
  tunnel: object({ protocol: string, targetHost: string, targetPort: port }, ["targetHost", "targetPort"]),
  proxyProtocol: object({ version: choice("V1", "V2") }),
  retryBudget: object({ percent: { type: "number", minimum: 0, maximum: 100 }, minRetryConcurrency: uint32 }),
});

const destinationRule: KindDefinition = {
  group: GROUP,
  kind: "DestinationRule",
  plural: "destinationrules",
  shortNames: ["dr"],
  versions: VERSIONS,
  columns: [column("Host", ".spec.host", "Service the rule applies to."), AGE],
  spec: object({
    host: string,
    trafficPolicy,
    subsets: list(object({ name: string, labels, trafficPolicy }, ["name"])),
    exportTo: strings,
    workloadSelector: selector,
  }, ["host"]),
};

const serverTls = object(
  {
    mode: choice("PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"),
    httpsRedirect: boolean,
    serverCertificate: string,
    privateKey: string,
    caCertificates: string,
    caCrl: string,
    caCertCredentialName: string,
    subjectAltNames: strings,
    credentialName: string,
    credentialNames: list(string, { minItems: 1, maxItems: 2 }),
    tlsCertificates: list(object({ serverCertificate: string, privateKey: string, caCertificates: string }), {
      minItems: 1,
      maxItems: 2,
    }),
    verifyCertificateSpki: strings,
    verifyCertificateHash: strings,
    minProtocolVersion: choice("TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"),
    maxProtocolVersion: choice("TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"),
    cipherSuites: strings,
  },
  [],
  atMostOne("credentialName", "credentialNames", "tlsCertificates"),
);

const gateway: KindDefinition = {
  group: GROUP,
  kind: "Gateway",
  plural: "gateways",
  shortNames: ["gw"],
  versions: VERSIONS,
  spec: object({
    selector: labels,
    servers: list(object({
      name: string,
      bind: string,
      defaultEndpoint: string,
      hosts: strings,
      port: object({ number: port, name: string, protocol: string, targetPort: uint32 }, [
        "number",
        "protocol",
        "name",
      ]),
      tls: serverTls,
    }, ["port", "hosts"])),
  }),
};

const workloadEntrySpec = object(
  {
    address: { type: "string", maxLength: 256 },
    ports: mapOf(port, { maxProperties: 128 }),
    labels: mapOf(string, { maxProperties: 256 }),
    network: { type: "string", maxLength: 2048 },
    locality: { type: "string", maxLength: 2048 },
    weight: uint32,
    serviceAccount: { type: "string", maxLength: 253 },
  },
  [],
  all(
    {
      // A socket's path is absolute, or names an abstract socket, and has no ports.
      anyOf: [
        { not: { required: ["address"], properties: { address: { pattern: "^unix://" } } } },
        {
          required: ["address"],
          properties: { address: { pattern: "^unix://[/@]" } },
          not: { required: ["ports"] },
        },
      ],
    },
    rule("has(self.address) || has(self.network)", "Address is required"),
  ),
);

const serviceEntry: KindDefinition = {
  group: GROUP,
  kind: "ServiceEntry",
  plural: "serviceentries",
  shortNames: ["se"],
  versions: VERSIONS,
  columns: [
    column("Hosts", ".spec.hosts", "Hosts of the service."),
    column("Location", ".spec.location", "Whether the service is part of the mesh."),
    column("Resolution", ".spec.resolution", "How the service's addresses are found."),
    AGE,
  ],
  spec: object(
    {
      hosts: list({ type: "string", pattern: "^([^*].*|[*].+)$" }, { minItems: 1, maxItems: 256 }),
      addresses: list({ type: "string", maxLength: 64 }, { maxItems: 256 }),
      ports: list(
        object(
          {
            number: port,
            name: { type: "string", maxLength: 256 },
            protocol: { type: "string", maxLength: 256 },
            targetPort: port,
          },
          ["number", "name"],
        ),
        { maxItems: 256, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] },
      ),
      location: choice("MESH_EXTERNAL", "MESH_INTERNAL"),
      resolution: choice("NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"),
      endpoints: list(workloadEntrySpec, { maxItems: 4096 }),
      workloadSelector,
      exportTo: strings,
      subjectAltNames: strings,
    },
    ["hosts"],
    all(
      { not: { required: ["workloadSelector", "endpoints"] } },
      rule(
        "!has(self.resolution) || self.resolution != 'NONE' || !has(self.endpoints) || self.endpoints.size() == 0",
        "NONE mode cannot set endpoints",
      ),
      rule(
        "!has(self.resolution) || self.resolution != 'DNS_ROUND_ROBIN' || !has(self.endpoints) || self.endpoints.size() <= 1",
        "DNS_ROUND_ROBIN mode cannot have multiple endpoints",
      ),
      rule(
        "!has(self.addresses) || !has(self.resolution) || self.resolution == 'NONE' || self.resolution == 'STATIC' || !self.addresses.exists(address, address.contains('/'))",
        "CIDR addresses are allowed only for NONE/STATIC resolution types",
      ),
    ),
  ),
  specRequired: true,
};

const workloadEntry: KindDefinition = {
  group: GROUP,
  kind: "WorkloadEntry",
  plural: "workloadentries",
  shortNames: ["we"],
  versions: VERSIONS,
  columns: [AGE, column("Address", ".spec.address", "Address of the workload.")],
  spec: workloadEntrySpec,
  specRequired: true,
};

const probePort = object({ host: string, port }, ["port"]);

const workloadGroup: KindDefinition = {
  group: GROUP,
  kind: "WorkloadGroup",
  plural: "workloadgroups",
  shortNames: ["wg"],
  versions: VERSIONS,
  columns: [AGE],
  spec: object({
    metadata: object({ labels, annotations: labels }),
    template: { ...workloadEntrySpec, "x-kubernetes-validations": undefined },
    probe: object(
      {
        initialDelaySeconds: { type: "integer", format: "int32", minimum: 0 },
        timeoutSeconds: { type: "integer", format: "int32", minimum: 0 },
        periodSeconds: { type: "integer", format: "int32", minimum: 0 },
        successThreshold: { type: "integer", format: "int32", minimum: 0 },
        failureThreshold: { type: "integer", format: "int32", minimum: 0 },
        httpGet: object({
          path: string,
          port,
          host: string,
          scheme: { type: "string", enum: ["", "HTTP", "HTTPS"] },
          httpHeaders: list(object({ name: { type: "string", pattern: "^[-_A-Za-z0-9]+$" }, value: string })),
        }, ["port"]),
        tcpSocket: probePort,
        exec: object({ command: list({ type: "string", minLength: 1 }) }, ["command"]),
        grpc: object({ port, service: string }),
      },
      [],
      {
        not: {
          anyOf: [
            ["httpGet", "tcpSocket"],
            ["httpGet", "exec"],
            ["httpGet", "grpc"],
            ["tcpSocket", "exec"],
            ["tcpSocket", "grpc"],
            ["exec", "grpc"],
          ].map((required) => ({ required })),
        },
      },
    ),
  }, ["template"]),
  specRequired: true,
};

const sidecarPort = object({ number: port, protocol: string, name: string, targetPort: uint32 });

const sidecar: KindDefinition = {
  group: GROUP,
  kind: "Sidecar",
  plural: "sidecars",
  versions: VERSIONS,
  spec: object({
    workloadSelector,
    ingress: list(object({
      port: sidecarPort,
      bind: string,
      captureMode: choice("DEFAULT", "IPTABLES", "NONE"),
      defaultEndpoint: string,
      tls: serverTls,
      connectionPool,
    }, ["port"])),
    egress: list(object({
      port: sidecarPort,
      bind: string,
      captureMode: choice("DEFAULT", "IPTABLES", "NONE"),
      hosts: strings,
    }, ["hosts"])),
    inboundConnectionPool: connectionPool,
    outboundTrafficPolicy: object({ mode: choice("REGISTRY_ONLY", "ALLOW_ANY"), egressProxy: destination }),
  }),
};

const envoyFilter: KindDefinition = {
  group: GROUP,
  kind: "EnvoyFilter",
  plural: "envoyfilters",
  versions: ["v1alpha3"],
  spec: object(
    {
      workloadSelector,
      targetRefs: attachment.targetRefs,
      priority: { type: "integer", format: "int32" },
      configPatches: list(object({
        applyTo: choice(
          ...[
            "INVALID",
            "LISTENER",
            "FILTER_CHAIN",
            "NETWORK_FILTER",
            "HTTP_FILTER",
            "ROUTE_CONFIGURATION",
            "VIRTUAL_HOST",
          ],
          ...["HTTP_ROUTE", "CLUSTER", "EXTENSION_CONFIG", "BOOTSTRAP", "LISTENER_FILTER"],
        ),
        match: described("Which part of Envoy's configuration is patched.", {
          ...object({ context: choice("ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT") }),
          "x-kubernetes-preserve-unknown-fields": true,
        }),
        patch: object({
          operation: choice(
            ...["INVALID", "MERGE", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE"],
          ),
          filterClass: choice("UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"),
          value: anything,
        }),
      })),
    },
    [],
    atMostOne("workloadSelector", "targetRefs"),
  ),
};

const proxyConfig: KindDefinition = {
  group: GROUP,
  kind: "ProxyConfig",
  plural: "proxyconfigs",
  versions: ["v1beta1"],
  spec: object({
    selector,
    concurrency: { type: "integer", format: "int32", minimum: 0, nullable: true },
    environmentVariables: mapOf({ type: "string", maxLength: 2048 }),
    image: object({ imageType: string }),
  }),
};

/** Kinds of networking.istio.io. */
export const NETWORKING: readonly KindDefinition[] = [
  virtualService,
  destinationRule,
  gateway,
  serviceEntry,
  workloadEntry,
  workloadGroup,
  sidecar,
  envoyFilter,
  proxyConfig,
];
