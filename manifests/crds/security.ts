import { AGE, type KindDefinition } from "./definition.ts";
import {
  all,
  anything,
  atMostOne,
  attachment,
  boolean,
  choice,
  described,
  duration,
  list,
  mapOf,
  object,
  oneAttachment,
  rule,
  type Schema,
  selector,
  string,
  strings,
} from "./schema.ts";

const text: Schema = { type: "string", minLength: 1 };

const source = object(
  {
    principals: strings,
    notPrincipals: strings,
    requestPrincipals: strings,
    notRequestPrincipals: strings,
    namespaces: strings,
    notNamespaces: strings,
    serviceAccounts: list({ type: "string", maxLength: 320 }, { maxItems: 16 }),
    notServiceAccounts: list({ type: "string", maxLength: 320 }, { maxItems: 16 }),
    ipBlocks: strings,
    notIpBlocks: strings,
    remoteIpBlocks: strings,
    notRemoteIpBlocks: strings,
  },
  [],
  {
    not: {
      anyOf: ["serviceAccounts", "notServiceAccounts"].flatMap((accounts) =>
        ["principals", "notPrincipals", "namespaces", "notNamespaces"].map((other) => ({ required: [accounts, other] }))
      ),
    },
  },
);

const authorizationPolicy: KindDefinition = {
  group: "security.istio.io",
  kind: "AuthorizationPolicy",
  plural: "authorizationpolicies",
  shortNames: ["ap"],
  versions: ["v1", "v1beta1"],
  columns: [
    { name: "Action", type: "string", jsonPath: ".spec.action", description: "What a matching request meets." },
    AGE,
  ],
  spec: object(
    {
      action: described("ALLOW when absent.", choice("ALLOW", "DENY", "AUDIT", "CUSTOM")),
      provider: described("Extension provider of the action CUSTOM.", object({ name: string })),
      rules: described(
        "A request matches the policy when it matches one rule; without rules nothing matches.",
        list(
          object({
            from: list(object({ source }), { maxItems: 512 }),
            to: list(
              object({
                operation: object({
                  hosts: strings,
                  notHosts: strings,
                  ports: strings,
                  notPorts: strings,
                  methods: strings,
                  notMethods: strings,
                  paths: strings,
                  notPaths: strings,
                }),
              }),
            ),
            when: list(object({ key: text, values: strings, notValues: strings }, ["key"], {
              anyOf: [{ required: ["values"] }, { required: ["notValues"] }],
            })),
          }),
          { maxItems: 512 },
        ),
      ),
      ...attachment,
    },
    [],
    oneAttachment,
  ),
};

const mtls = object({ mode: choice("UNSET", "DISABLE", "PERMISSIVE", "STRICT") });

const peerAuthentication: KindDefinition = {
  group: "security.istio.io",
  kind: "PeerAuthentication",
  plural: "peerauthentications",
  shortNames: ["pa"],
  versions: ["v1", "v1beta1"],
  columns: [{ name: "Mode", type: "string", jsonPath: ".spec.mtls.mode", description: "Mutual TLS mode." }, AGE],
  spec: object(
    {
      selector,
      mtls,
      portLevelMtls: mapOf(mtls, {
        maxProperties: 4096,
        "x-kubernetes-validations": [
          {
            rule: "self.all(key, key.matches('^[0-9]{1,5}$') && 0 < int(key) && int(key) <= 65535)",
            message: "port must be between 1-65535",
          },
        ],
      }),
    },
    [],
    all(
      { anyOf: [{ not: { required: ["portLevelMtls"] } }, { required: ["selector"] }] },
      rule(
        "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0)",
        "portLevelMtls requires selector",
      ),
    ),
  ),
};

const url: Schema = { type: "string", minLength: 1, maxLength: 2048, pattern: "^https?://[^/\\s]+" };

const requestAuthentication: KindDefinition = {
  group: "security.istio.io",
  kind: "RequestAuthentication",
  plural: "requestauthentications",
  shortNames: ["ra"],
  versions: ["v1", "v1beta1"],
  spec: object(
    {
      jwtRules: list(
        object(
          {
            issuer: text,
            audiences: list(text),
            jwks: string,
            jwksUri: url,
            jwks_uri: url,
            fromHeaders: list(object({ name: text, prefix: string }, ["name"])),
            fromParams: list(text),
            fromCookies: list(text),
            forwardOriginalToken: boolean,
            outputPayloadToHeader: string,
            outputClaimToHeaders: list(
              object({ header: { type: "string", minLength: 1, pattern: "^[-_A-Za-z0-9]+$" }, claim: text }, [
                "header",
                "claim",
              ]),
            ),
            spaceDelimitedClaims: { ...list(text), maxItems: 64 },
            timeout: duration,
            presence: choice("OPTIONAL", "REQUIRED"),
          },
          ["issuer"],
          atMostOne("jwks", "jwksUri", "jwks_uri"),
        ),
        { maxItems: 4096 },
      ),
      ...attachment,
    },
    [],
    oneAttachment,
  ),
};

/** Kinds of security.istio.io. */
export const SECURITY: readonly KindDefinition[] = [authorizationPolicy, peerAuthentication, requestAuthentication];

const side = object({ mode: choice("CLIENT_AND_SERVER", "CLIENT", "SERVER") });
const providers = list(object({ name: text }, ["name"]));

/** Kinds of telemetry.istio.io. */
export const TELEMETRY: readonly KindDefinition[] = [{
  group: "telemetry.istio.io",
  kind: "Telemetry",
  plural: "telemetries",
  shortNames: ["telemetry"],
  versions: ["v1alpha1", "v1"],
  columns: [AGE],
  spec: object(
    {
      accessLogging: list(object({
        disabled: boolean,
        filter: object({ expression: string }),
        match: side,
        providers,
      })),
      metrics: list(object({
        overrides: list(object({
          disabled: boolean,
          match: object(
            {
              customMetric: text,
              metric: choice(
                ...["ALL_METRICS", "REQUEST_COUNT", "REQUEST_DURATION", "REQUEST_SIZE", "RESPONSE_SIZE"],
                ...["TCP_OPENED_CONNECTIONS", "TCP_CLOSED_CONNECTIONS", "TCP_SENT_BYTES", "TCP_RECEIVED_BYTES"],
                ...["GRPC_REQUEST_MESSAGES", "GRPC_RESPONSE_MESSAGES"],
              ),
              mode: choice("CLIENT_AND_SERVER", "CLIENT", "SERVER"),
            },
            [],
            { not: { required: ["metric", "customMetric"] } },
          ),
          tagOverrides: mapOf(object({ operation: choice("UPSERT", "REMOVE"), value: string }, [], {
            // UPSERT, also by default, needs a value; REMOVE forbids one.
            oneOf: [
              {
                required: ["operation"],
                properties: { operation: { enum: ["REMOVE"] } },
                not: { required: ["value"] },
              },
              {
                required: ["value"],
                not: { required: ["operation"], properties: { operation: { enum: ["REMOVE"] } } },
              },
            ],
          })),
        })),
        providers,
        reportingInterval: duration,
      })),
      tracing: list(object({
        customTags: mapOf(object(
          {
            literal: object({ value: text }, ["value"]),
            environment: object({ name: text, defaultValue: string }, ["name"]),
            header: object({ name: text, defaultValue: string }, ["name"]),
            formatter: object({ value: text }, ["value"]),
          },
          [],
          {
            not: {
              anyOf: [["literal", "environment"], ["literal", "header"], ["environment", "header"]].map((required) => ({
                required,
              })),
            },
          },
        )),
        disableSpanReporting: boolean,
        enableIstioTags: boolean,
        match: side,
        providers,
        randomSamplingPercentage: { type: "number", minimum: 0, maximum: 100 },
        useRequestIdForTraceSampling: boolean,
      })),
      ...attachment,
    },
    [],
    oneAttachment,
  ),
}];

const plugin = {
  match: list(object({
    mode: choice("UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"),
    ports: list(object({ number: { type: "integer", minimum: 1, maximum: 65535 } }, ["number"])),
  })),
  phase: choice("UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"),
  priority: { type: "integer", format: "int32", nullable: true },
} satisfies Record<string, Schema>;

const wasm = {
  url: { type: "string", minLength: 1, pattern: "^((https?|oci|file)://.+|[^:]+(:[^/]+)?(/.*)?)$" },
  type: choice("UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"),
  pluginConfig: anything,
  pluginName: { type: "string", minLength: 1, maxLength: 256 },
  failStrategy: choice("FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"),
  imagePullPolicy: choice("UNSPECIFIED_POLICY", "IfNotPresent", "Always"),
  imagePullSecret: { type: "string", minLength: 1, maxLength: 253 },
  sha256: { type: "string", pattern: "(^$|^[a-f0-9]{64}$)" },
  verificationKey: string,
  vmConfig: object({
    env: list(
      object({
        name: { type: "string", minLength: 1, maxLength: 256 },
        value: string,
        valueFrom: choice("INLINE", "HOST"),
      }, [
        "name",
      ], {
        not: { required: ["valueFrom", "value"], properties: { valueFrom: { enum: ["HOST"] } } },
      }),
      { maxItems: 256, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] },
    ),
  }),
} satisfies Record<string, Schema>;

/** Kinds of extensions.istio.io. */
export const EXTENSIONS: readonly KindDefinition[] = [
  {
    group: "extensions.istio.io",
    kind: "WasmPlugin",
    plural: "wasmplugins",
    versions: ["v1alpha1"],
    columns: [AGE],
    spec: object({ ...wasm, ...plugin, ...attachment }, ["url"], oneAttachment),
    specRequired: true,
  },
  {
    group: "extensions.istio.io",
    kind: "TrafficExtension",
    plural: "trafficextensions",
    versions: ["v1alpha1"],
    columns: [AGE],
    spec: object(
      {
        ...plugin,
        wasm: object(wasm, ["url"]),
        lua: anything,
        selector,
        targetRefs: attachment.targetRefs,
      },
      [],
      all(atMostOne("selector", "targetRefs"), { oneOf: [{ required: ["wasm"] }, { required: ["lua"] }] }),
    ),
    specRequired: true,
  },
];
