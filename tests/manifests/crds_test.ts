import assert from "node:assert/strict";
import Ajv, { type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import { parseAllDocuments } from "yaml";
import { customResourceDefinitions, ISTIO_KINDS } from "../../manifests/crds/mod.ts";
import type { Schema } from "../../manifests/crds/schema.ts";
import { typeFields } from "./package_types.ts";

const ajv = new (Ajv as any)({ strict: false, allErrors: true });
(addFormats as any)(ajv);
ajv.addFormat("int32", true).addFormat("binary", true);

const DEFINITIONS = customResourceDefinitions();

function definition(kind: string): any {
  const found = DEFINITIONS.find(({ spec }) => spec.names.kind === kind);
  assert.ok(found, kind);
  return found;
}

const validators = new Map<string, ValidateFunction>();
function validate(kind: string, object: unknown): string[] {
  let validator = validators.get(kind);
  if (!validator) {
    validator = ajv.compile(definition(kind).spec.versions[0].schema.openAPIV3Schema) as ValidateFunction;
    validators.set(kind, validator);
  }
  return validator(object) ? [] : validator.errors!.map(({ instancePath, message }) => `${instancePath} ${message}`);
}

/** Kinds with what apis.md says of them: storage version first, short names, printer columns. */
const KINDS: [name: string, versions: string[], short: string[], columns: string[]][] = [
  ["authorizationpolicies.security.istio.io", ["v1", "v1beta1"], ["ap"], ["Action", "Age"]],
  ["peerauthentications.security.istio.io", ["v1", "v1beta1"], ["pa"], ["Mode", "Age"]],
  ["requestauthentications.security.istio.io", ["v1", "v1beta1"], ["ra"], []],
  ["virtualservices.networking.istio.io", ["v1", "v1beta1", "v1alpha3"], ["vs"], ["Gateways", "Hosts", "Age"]],
  ["destinationrules.networking.istio.io", ["v1", "v1beta1", "v1alpha3"], ["dr"], ["Host", "Age"]],
  ["gateways.networking.istio.io", ["v1", "v1beta1", "v1alpha3"], ["gw"], []],
  ["serviceentries.networking.istio.io", ["v1", "v1beta1", "v1alpha3"], ["se"], [
    "Hosts",
    "Location",
    "Resolution",
    "Age",
  ]],
  ["workloadentries.networking.istio.io", ["v1", "v1beta1", "v1alpha3"], ["we"], ["Age", "Address"]],
  ["workloadgroups.networking.istio.io", ["v1", "v1beta1", "v1alpha3"], ["wg"], ["Age"]],
  ["sidecars.networking.istio.io", ["v1", "v1beta1", "v1alpha3"], [], []],
  ["envoyfilters.networking.istio.io", ["v1alpha3"], [], []],
  ["proxyconfigs.networking.istio.io", ["v1beta1"], [], []],
  ["telemetries.telemetry.istio.io", ["v1alpha1", "v1"], ["telemetry"], ["Age"]],
  ["wasmplugins.extensions.istio.io", ["v1alpha1"], [], ["Age"]],
  ["trafficextensions.extensions.istio.io", ["v1alpha1"], [], ["Age"]],
];

Deno.test("customResourceDefinitions() has Istio's kinds with their versions, short names and columns", () => {
  const seen = DEFINITIONS.map(({ metadata, spec }) => {
    assert.equal(metadata.name, `${spec.names.plural}.${spec.group}`);
    assert.equal(spec.scope, "Namespaced");
    assert.deepEqual(spec.names.categories, ["istio-io", `${spec.group.split(".")[0]}-istio-io`]);
    assert.deepEqual(
      spec.versions.map((version: any) => version.storage),
      spec.versions.map((_: any, i: number) => i === 0),
    );
    for (const version of spec.versions) {
      assert.ok(version.served);
      assert.deepEqual(version.subresources, { status: {} });
    }
    const columns = (spec.versions[0].additionalPrinterColumns ?? []).map(({ name }: any) => name);
    return [metadata.name, spec.versions.map(({ name }: any) => name), spec.names.shortNames ?? [], columns];
  });
  const byName = (a: any, b: any) => a[0] < b[0] ? -1 : 1;
  assert.deepEqual(seen.sort(byName), [...KINDS].sort(byName));
});

/** What Kubernetes demands of a structural schema beyond OpenAPI. */
function structuralProblems(schema: Schema, path: string): string[] {
  const problems: string[] = [];
  const inValue = (value: Schema, path: string): void => {
    for (const key of Object.keys(value)) {
      if (
        ["type", "description", "default", "additionalProperties", "nullable"].includes(key) || key.startsWith("x-")
      ) {
        problems.push(`${path}: ${key} inside of a value validation`);
      }
    }
    const nested = [...(value.anyOf ?? []), ...(value.oneOf ?? []), ...(value.not ? [value.not] : [])];
    for (const part of [...nested, ...Object.values(value.properties ?? {})]) inValue(part, path);
    for (const name of [...(value.required ?? []), ...Object.keys(value.properties ?? {})]) {
      if (schema.properties && !(name in schema.properties)) problems.push(`${path}: ${name} is not declared`);
    }
  };
  if (!schema.type && !schema["x-kubernetes-int-or-string"]) problems.push(`${path}: no type`);
  if (schema.properties && schema.additionalProperties) {
    problems.push(`${path}: properties beside additionalProperties`);
  }
  for (const name of schema.required ?? []) {
    if (!(name in (schema.properties ?? {}))) problems.push(`${path}: required ${name} is not declared`);
  }
  for (const pattern of schema.pattern ? [schema.pattern] : []) new RegExp(pattern, "u");
  if (!schema["x-kubernetes-int-or-string"]) {
    for (const value of [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.not ? [schema.not] : [])]) {
      inValue(value, path);
    }
  }
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    problems.push(...structuralProblems(property, `${path}.${name}`));
  }
  if (schema.additionalProperties) problems.push(...structuralProblems(schema.additionalProperties, `${path}[*]`));
  if (schema.type === "array" && !schema.items) problems.push(`${path}: a list without items`);
  if (schema.items) problems.push(...structuralProblems(schema.items, `${path}[]`));
  return problems;
}

Deno.test("schemas of the definitions are structural", () => {
  const problems = ISTIO_KINDS.flatMap(({ kind, spec }) => structuralProblems(spec, kind));
  assert.deepEqual(problems, []);
});

function fields(schema: Schema, path: string): string[] {
  const inner = schema.items ?? schema.additionalProperties;
  if (schema["x-kubernetes-preserve-unknown-fields"]) return [`${path}/*`];
  return [
    ...Object.entries(schema.properties ?? {}).flatMap(([name, property]) => [
      `${path}.${name}`,
      ...fields(property, `${path}.${name}`),
    ]),
    ...(inner ? fields(inner, path) : []),
  ];
}

Deno.test("schemas know every field that the package @kubernetes-models/istio knows, so that none is pruned", async () => {
  const missing: string[] = [];
  for (const { group, kind, versions, spec } of ISTIO_KINDS) {
    // The package is of an Istio that had no TrafficExtension yet.
    if (kind === "TrafficExtension") continue;
    const own = fields(spec, kind);
    const open = own.filter((field) => field.endsWith("/*")).map((field) => field.slice(0, -2));
    for (const field of await typeFields(group, versions[0], kind)) {
      if (!own.includes(field) && !open.some((prefix) => field.startsWith(prefix))) missing.push(field);
    }
  }
  assert.deepEqual(missing, []);
});

const VALID = `
kind: AuthorizationPolicy
spec: {}
---
kind: AuthorizationPolicy
spec:
  selector: {matchLabels: {app: productpage}}
  action: ALLOW
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/sleep], notNamespaces: [other]}}]
    to: [{operation: {methods: [GET], ports: ["9080"], notPaths: [/admin*]}}]
    when: [{key: "request.headers[x]", values: [a]}, {key: source.ip, notValues: [10.0.0.0/8]}]
---
kind: AuthorizationPolicy
spec:
  targetRefs: [{kind: Service, group: "", name: productpage}]
  action: DENY
  rules: [{from: [{source: {serviceAccounts: [default/sleep]}}]}]
---
kind: AuthorizationPolicy
spec: {action: CUSTOM, provider: {name: ext}, rules: [{}]}
---
kind: PeerAuthentication
spec: {mtls: {mode: STRICT}}
---
kind: PeerAuthentication
spec: {selector: {matchLabels: {app: a}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {"8080": {mode: DISABLE}}}
---
kind: RequestAuthentication
spec: {jwtRules: [{issuer: x, jwksUri: "https://example.com/jwks", fromHeaders: [{name: h, prefix: "Bearer "}], timeout: 5s}]}
---
kind: VirtualService
spec:
  hosts: ["*"]
  gateways: [bookinfo-gateway]
  http:
  - match: [{uri: {exact: /productpage}}, {uri: {prefix: /static}, headers: {end-user: {regex: .*}}}]
    route: [{destination: {host: productpage, port: {number: 9080}, subset: v1}, weight: 90}, {destination: {host: b}, weight: 10}]
    timeout: 1m30s
    retries: {attempts: 3, perTryTimeout: 250ms, retryOn: 5xx}
    fault: {delay: {percentage: {value: 0.1}, fixedDelay: 5s}}
    corsPolicy: {allowOrigins: [{exact: "https://a"}], maxAge: 24h}
---
kind: DestinationRule
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s}}}
    outlierDetection: {consecutive5xxErrors: 7, interval: 5m}
    tls: {mode: ISTIO_MUTUAL}
  subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}]
---
kind: Gateway
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: cert}}
---
kind: ServiceEntry
spec:
  hosts: [example.com, "*.example.org"]
  ports: [{number: 443, name: https, protocol: TLS}]
  location: MESH_EXTERNAL
  resolution: DNS
---
kind: ServiceEntry
spec:
  hosts: [vm.internal]
  ports: [{number: 80, name: http}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1, labels: {a: b}, ports: {http: 8080}}, {address: "unix:///var/run/x.sock"}]
---
kind: WorkloadEntry
spec: {address: 10.0.0.9, serviceAccount: vm, network: n1, weight: 2}
---
kind: WorkloadGroup
spec: {template: {serviceAccount: vm, ports: {http: 80}}, probe: {httpGet: {port: 80, path: /}}}
---
kind: Telemetry
spec:
  accessLogging: [{providers: [{name: envoy}], match: {mode: SERVER}}]
  metrics: [{overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {a: {value: "'x'"}, b: {operation: REMOVE}}}]}]
  tracing: [{randomSamplingPercentage: 12.5, customTags: {t: {literal: {value: x}}}}]
---
kind: Sidecar
spec: {egress: [{hosts: ["./*"]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
---
kind: EnvoyFilter
spec: {configPatches: [{applyTo: HTTP_FILTER, match: {context: GATEWAY, listener: {portNumber: 80}}, patch: {operation: ADD, value: {name: x}}}]}
---
kind: ProxyConfig
spec: {concurrency: 2, environmentVariables: {A: b}, image: {imageType: distroless}}
---
kind: WasmPlugin
spec: {url: "oci://example.com/plugin:v1", phase: AUTHN, pluginConfig: {anything: [1, 2]}, vmConfig: {env: [{name: H, valueFrom: HOST}]}}
---
kind: TrafficExtension
spec: {lua: {inlineCode: x}, phase: STATS}
`;

for (const document of parseAllDocuments(VALID)) {
  const object = document.toJS() as any;
  const title = JSON.stringify(object.spec).slice(0, 60);
  Deno.test(`the schema of ${object.kind} accepts ${title}`, () => assert.deepEqual(validate(object.kind, object), []));
}

const INVALID = `
kind: AuthorizationPolicy
why: unknown action
spec: {action: MAYBE}
---
kind: AuthorizationPolicy
why: selector and targetRefs
spec: {selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: x}]}
---
kind: AuthorizationPolicy
why: targetRef and targetRefs
spec: {targetRef: {kind: Service, name: x}, targetRefs: [{kind: Service, name: x}]}
---
kind: AuthorizationPolicy
why: target in another namespace
spec: {targetRefs: [{kind: Service, name: x, namespace: y}]}
---
kind: AuthorizationPolicy
why: target without a name
spec: {targetRefs: [{kind: Service}]}
---
kind: AuthorizationPolicy
why: wildcard label
spec: {selector: {matchLabels: {app: "p*"}}}
---
kind: AuthorizationPolicy
why: principals beside service accounts
spec: {rules: [{from: [{source: {serviceAccounts: [a/b], principals: [x]}}]}]}
---
kind: AuthorizationPolicy
why: condition without values
spec: {rules: [{when: [{key: source.ip}]}]}
---
kind: AuthorizationPolicy
why: rules that are no list
spec: {rules: {}}
---
kind: PeerAuthentication
why: unknown mode
spec: {mtls: {mode: strict}}
---
kind: PeerAuthentication
why: port levels without a selector
spec: {portLevelMtls: {"80": {mode: STRICT}}}
---
kind: RequestAuthentication
why: no issuer
spec: {jwtRules: [{jwks: x}]}
---
kind: RequestAuthentication
why: jwks and jwksUri
spec: {jwtRules: [{issuer: a, jwks: x, jwksUri: "https://x"}]}
---
kind: RequestAuthentication
why: a URL of another scheme
spec: {jwtRules: [{issuer: a, jwksUri: "ftp://x"}]}
---
kind: VirtualService
why: two string matches
spec: {hosts: [a], http: [{match: [{uri: {exact: a, prefix: b}}]}]}
---
kind: VirtualService
why: a timeout that is no duration
spec: {hosts: [a], http: [{timeout: 5}]}
---
kind: VirtualService
why: a destination without a host
spec: {hosts: [a], http: [{route: [{destination: {subset: v1}}]}]}
---
kind: VirtualService
why: a percentage above 100
spec: {hosts: [a], http: [{fault: {abort: {httpStatus: 500, percentage: {value: 101}}}}]}
---
kind: DestinationRule
why: no host
spec: {subsets: []}
---
kind: DestinationRule
why: unknown load balancer
spec: {host: a, trafficPolicy: {loadBalancer: {simple: BEST}}}
---
kind: DestinationRule
why: a subset without a name
spec: {host: a, subsets: [{labels: {v: "1"}}]}
---
kind: Gateway
why: two kinds of certificates
spec: {servers: [{port: {number: 1, name: a, protocol: HTTPS}, hosts: [a], tls: {credentialName: a, credentialNames: [b]}}]}
---
kind: Gateway
why: a port out of range
spec: {servers: [{port: {number: 70000, name: a, protocol: HTTP}, hosts: [a]}]}
---
kind: ServiceEntry
why: the host *
spec: {hosts: ["*"]}
---
kind: ServiceEntry
why: no hosts
spec: {resolution: DNS}
---
kind: ServiceEntry
why: selector and endpoints
spec: {hosts: [a], workloadSelector: {labels: {a: b}}, endpoints: [{address: 1.1.1.1}]}
---
kind: WorkloadEntry
why: a socket with a relative path
spec: {address: "unix://relative"}
---
kind: WorkloadEntry
why: a socket with ports
spec: {address: "unix:///a", ports: {http: 1}}
---
kind: WorkloadGroup
why: no template
spec: {metadata: {}}
---
kind: WorkloadGroup
why: two probes
spec: {template: {}, probe: {httpGet: {port: 1}, tcpSocket: {port: 1}}}
---
kind: Telemetry
why: REMOVE with a value
spec: {metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: x}}}]}]}
---
kind: Telemetry
why: UPSERT without a value
spec: {metrics: [{overrides: [{tagOverrides: {a: {operation: UPSERT}}}]}]}
---
kind: WasmPlugin
why: no url
spec: {phase: AUTHN}
---
kind: WasmPlugin
why: HOST with a value
spec: {url: "oci://a", vmConfig: {env: [{name: a, valueFrom: HOST, value: b}]}}
---
kind: TrafficExtension
why: neither wasm nor lua
spec: {phase: STATS}
`;

for (const document of parseAllDocuments(INVALID)) {
  const { kind, why, spec } = document.toJS() as any;
  Deno.test(`the schema of ${kind} refuses ${why}`, () => assert.notDeepEqual(validate(kind, { kind, spec }), []));
}
