import { all, choice, described, mapOf, object, rule, type Schema } from "../schema.ts";
import {
  AGE,
  atomicList,
  conditions,
  domainPrefixed,
  type GatewayApiKind,
  groupName,
  hostname,
  keyedList,
  kindName,
  localRef,
  matching,
  metadataMap,
  namespaceName,
  objectName,
  options,
  pending,
  portNumber,
  secretRef,
  sectionName,
  text,
} from "./common.ts";

const VERSIONS = ["v1", "v1beta1"] as const;

const accepted = (type: string) => `.status.conditions[?(@.type=="${type}")].status`;

const gatewayClass: GatewayApiKind = {
  kind: "GatewayClass",
  plural: "gatewayclasses",
  shortNames: ["gc"],
  versions: VERSIONS,
  cluster: true,
  columns: [
    { name: "Controller", type: "string", jsonPath: ".spec.controllerName" },
    { name: "Accepted", type: "string", jsonPath: accepted("Accepted") },
    AGE,
    { name: "Description", type: "string", jsonPath: ".spec.description", priority: 1 },
  ],
  spec: object({
    controllerName: {
      ...domainPrefixed,
      ...rule("self == oldSelf", "Value is immutable"),
    },
    description: text(64),
    parametersRef: object({ group: groupName, kind: kindName, name: objectName, namespace: namespaceName }, [
      "group",
      "kind",
      "name",
    ]),
  }, ["controllerName"]),
  status: {
    ...object({
      conditions: { ...conditions, default: pending("Accepted") },
      supportedFeatures: keyedList(object({ name: { type: "string" } }, ["name"]), ["name"], { maxItems: 64 }),
    }),
    default: { conditions: pending("Accepted") },
  },
};

const labelSelector: Schema = object({
  matchLabels: mapOf({ type: "string" }),
  matchExpressions: atomicList(
    object({ key: { type: "string" }, operator: { type: "string" }, values: atomicList({ type: "string" }) }, ["key", "operator"]),
  ),
});

/** Which routes, or other kinds, of which namespaces may attach. */
function fromNamespaces(initial: string, ...more: string[]): Schema {
  return {
    ...object({ from: { ...choice("All", "Selector", "Same", ...more), default: initial }, selector: labelSelector }),
    default: { from: initial },
  };
}

const allowedRoutes: Schema = {
  ...object({
    namespaces: fromNamespaces("Same"),
    kinds: atomicList(object({ group: { ...groupName, default: "gateway.networking.k8s.io" }, kind: kindName }, ["kind"]), {
      maxItems: 8,
    }),
  }),
  default: { namespaces: { from: "Same" } },
};

const clientValidation: Schema = object({
  caCertificateRefs: atomicList(
    object({ group: groupName, kind: kindName, name: objectName, namespace: namespaceName }, ["group", "kind", "name"]),
    { minItems: 1, maxItems: 16 },
  ),
  mode: { ...choice("AllowValidOnly", "AllowInsecureFallback"), default: "AllowValidOnly" },
}, ["caCertificateRefs"]);

const listenerTls: Schema = object(
  {
    mode: { ...choice("Terminate", "Passthrough"), default: "Terminate" },
    certificateRefs: atomicList(secretRef, { maxItems: 64 }),
    frontendValidation: clientValidation,
    options,
  },
  [],
  rule(
    "self.mode == 'Terminate' ? (has(self.certificateRefs) && size(self.certificateRefs) > 0) || (has(self.options) && size(self.options) > 0) : true",
    "certificateRefs or options must be specified when mode is Terminate",
  ),
);

const protocol: Schema = matching(
  "[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9]+",
  255,
);

const listener: Schema = object({
  name: sectionName,
  hostname,
  port: portNumber,
  protocol: { ...protocol, pattern: `^(${protocol.pattern!.slice(1, -1)})$` },
  tls: listenerTls,
  allowedRoutes,
}, ["name", "port", "protocol"]);

const listenerRules = all(
  rule(
    "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
    "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
  ),
  rule(
    "self.all(l, (l.protocol == 'HTTPS' && has(l.tls)) ? (!has(l.tls.mode) || l.tls.mode == '' || l.tls.mode == 'Terminate') : true)",
    "tls mode must be Terminate for protocol HTTPS",
  ),
  rule(
    "self.all(l, l.protocol in ['TCP', 'UDP'] ? (!has(l.hostname) || l.hostname == '') : true)",
    "hostname must not be specified for protocols ['TCP', 'UDP']",
  ),
  rule(
    "self.all(l1, self.exists_one(l2, l1.name == l2.name))",
    "Listener name must be unique within the Gateway",
  ),
  rule(
    "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))",
    "Combination of port, protocol and hostname must be unique for each listener",
  ),
);

const addressType: Schema = {
  ...matching("Hostname|IPAddress|NamedAddress|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+", 253),
  default: "IPAddress",
};
addressType.pattern = `^(${addressType.pattern!.slice(1, -1)})$`;

const addressRules = all(
  rule(
    "self.all(a1, !has(a1.type) || a1.type != 'IPAddress' || !has(a1.value) || self.exists_one(a2, has(a2.type) && a2.type == a1.type && has(a2.value) && a2.value == a1.value))",
    "IPAddress values must be unique",
  ),
  rule(
    "self.all(a1, !has(a1.type) || a1.type != 'Hostname' || !has(a1.value) || self.exists_one(a2, has(a2.type) && a2.type == a1.type && has(a2.value) && a2.value == a1.value))",
    "Hostname values must be unique",
  ),
);

const gateway: GatewayApiKind = {
  kind: "Gateway",
  plural: "gateways",
  shortNames: ["gtw"],
  versions: VERSIONS,
  columns: [
    { name: "Class", type: "string", jsonPath: ".spec.gatewayClassName" },
    { name: "Address", type: "string", jsonPath: ".status.addresses[*].value" },
    { name: "Programmed", type: "string", jsonPath: accepted("Programmed") },
    AGE,
  ],
  spec: object({
    gatewayClassName: objectName,
    listeners: keyedList(listener, ["name"], { minItems: 1, maxItems: 64, ...listenerRules }),
    addresses: atomicList(object({ type: addressType, value: text(253) }), { maxItems: 16, ...addressRules }),
    infrastructure: object({
      labels: metadataMap(63, 8),
      annotations: metadataMap(4096, 16),
      parametersRef: localRef,
    }),
    allowedListeners: object({ namespaces: fromNamespaces("None", "None") }),
    backendTLS: object({ clientCertificateRef: secretRef }),
    tls: object({
      backend: object({ clientCertificateRef: secretRef }),
      frontend: object({
        default: object({ validation: clientValidation }),
        perPort: keyedList(
          object({ port: portNumber, tls: object({ validation: clientValidation }) }, ["port", "tls"]),
          ["port"],
          { maxItems: 64 },
        ),
      }, ["default"]),
    }),
    defaultScope: choice("All", "None"),
  }, ["gatewayClassName", "listeners"]),
  status: {
    ...object({
      addresses: atomicList(object({ type: addressType, value: text(253, 1) }, ["value"]), { maxItems: 16 }),
      attachedListenerSets: { type: "integer", format: "int32" },
      conditions: { ...conditions, default: pending("Accepted", "Programmed") },
      listeners: keyedList(
        object({
          name: sectionName,
          attachedRoutes: { type: "integer", format: "int32" },
          supportedKinds: atomicList(
            object({ group: { ...groupName, default: "gateway.networking.k8s.io" }, kind: kindName }, ["kind"]),
            { maxItems: 8 },
          ),
          conditions,
        }, ["attachedRoutes", "conditions", "name"]),
        ["name"],
        { maxItems: 64 },
      ),
    }),
    default: { conditions: pending("Accepted", "Programmed") },
  },
};

const referenceGrant: GatewayApiKind = {
  kind: "ReferenceGrant",
  plural: "referencegrants",
  shortNames: ["refgrant"],
  versions: ["v1", "v1beta1"],
  columns: [AGE],
  spec: described(
    "Allows objects of other namespaces to refer to objects of this one.",
    object({
      from: atomicList(object({ group: groupName, kind: kindName, namespace: namespaceName }, ["group", "kind", "namespace"]), {
        minItems: 1,
        maxItems: 16,
      }),
      to: atomicList(object({ group: groupName, kind: kindName, name: objectName }, ["group", "kind"]), {
        minItems: 1,
        maxItems: 16,
      }),
    }, ["from", "to"]),
  ),
};

export const GATEWAYS: readonly GatewayApiKind[] = [gatewayClass, gateway, referenceGrant];
