// What the kinds of gateway.networking.k8s.io share: names, references, conditions and status.

import { AGE, type Column, type KindDefinition } from "../definition.ts";
import { choice, list, mapOf, object, rule, type Schema } from "../schema.ts";

export const GROUP = "gateway.networking.k8s.io";

/** One kind of the Gateway API, its versions newest first; unlike Istio's kinds each has a status of its own. */
export interface GatewayApiKind extends Omit<KindDefinition, "group" | "specRequired"> {
  readonly cluster?: true;
  /** Absent for kinds without status (ReferenceGrant). */
  readonly status?: Schema;
}

const DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS_NAME = `${DNS_LABEL}(\\.${DNS_LABEL})*`;

export const text = (maxLength: number, minLength = 0): Schema => ({
  type: "string",
  maxLength,
  ...(minLength > 0 ? { minLength } : {}),
});
export const matching = (pattern: string, maxLength: number, minLength = 1): Schema => ({
  type: "string",
  minLength,
  maxLength,
  pattern: `^${pattern}$`,
});

/** `*.example.com` too. */
export const hostname: Schema = matching(`(\\*\\.)?${DNS_NAME}`, 253);
export const preciseHostname: Schema = matching(DNS_NAME, 253);
export const sectionName: Schema = matching(DNS_NAME, 253);
export const namespaceName: Schema = matching(DNS_LABEL, 63);
export const kindName: Schema = matching("[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?", 63);
export const groupName: Schema = { type: "string", maxLength: 253, pattern: `^$|^${DNS_NAME}$` };
export const objectName: Schema = text(253, 1);
export const portNumber: Schema = { type: "integer", format: "int32", minimum: 1, maximum: 65535 };
/** GEP-2257: `10s`, `1h30m`. */
export const duration: Schema = { type: "string", pattern: "^([0-9]{1,5}(h|m|s|ms)){1,4}$" };
/** `example.com/name`, as vendors' own values are written. */
export const domainPrefixed: Schema = matching(
  `${DNS_NAME}\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+`,
  253,
);

const labelKey = "([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";

/** Labels or annotations given to generated objects. */
export function metadataMap(maxLength: number, maxProperties: number): Schema {
  return mapOf({ type: "string", minLength: 0, maxLength }, {
    maxProperties,
    ...rule(`self.all(key, key.matches('^${labelKey}$'))`, "keys must be names, with an optional DNS prefix"),
  });
}

/** TLS options: free values under prefixed names. */
export const options: Schema = mapOf({ type: "string", minLength: 0, maxLength: 4096 }, { maxProperties: 16 });

/** A list whose items are told apart by `keys`. */
export function keyedList(items: Schema, keys: readonly string[], extra: Schema = {}): Schema {
  return list(items, { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys, ...extra });
}

/** A list that is replaced as a whole. */
export function atomicList(items: Schema, extra: Schema = {}): Schema {
  return list(items, { "x-kubernetes-list-type": "atomic", ...extra });
}

export const secretRef: Schema = object({
  group: { ...groupName, default: "" },
  kind: { ...kindName, default: "Secret" },
  name: objectName,
  namespace: namespaceName,
}, ["name"]);

/** A reference to an object of the same namespace. */
export const localRef: Schema = object({ group: groupName, kind: kindName, name: objectName }, [
  "group",
  "kind",
  "name",
]);

const backend = {
  group: { ...groupName, default: "" },
  kind: { ...kindName, default: "Service" },
  name: objectName,
  namespace: namespaceName,
  port: portNumber,
} satisfies Record<string, Schema>;

const servicePort = rule(
  "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
  "Must have port for Service reference",
);

/** Where requests are mirrored to. */
export const backendObject: Schema = object(backend, ["name"], servicePort);

/** A backend with its share; `extra` holds what a kind of route adds. */
export function backendRef(extra: Record<string, Schema> = {}): Schema {
  return object(
    {
      ...backend,
      weight: { type: "integer", format: "int32", default: 1, minimum: 0, maximum: 1_000_000 },
      ...extra,
    },
    ["name"],
    servicePort,
  );
}

const parentRef: Schema = object({
  group: { ...groupName, default: GROUP },
  kind: { ...kindName, default: "Gateway" },
  namespace: namespaceName,
  name: objectName,
  sectionName,
  port: portNumber,
}, ["name"]);

export const parentRefs: Schema = atomicList(parentRef, { maxItems: 32 });

const condition: Schema = object({
  type: matching(`(${DNS_NAME}\\/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])`, 316),
  status: choice("True", "False", "Unknown"),
  reason: matching("[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", 1024),
  message: text(32768),
  lastTransitionTime: { type: "string", format: "date-time" },
  observedGeneration: { type: "integer", format: "int64", minimum: 0 },
}, ["lastTransitionTime", "message", "reason", "status", "type"]);

export const conditions: Schema = keyedList(condition, ["type"], { maxItems: 8 });
/** Of a parent or ancestor: whoever names one says something of it. */
const someConditions: Schema = { ...conditions, minItems: 1 };

/** Conditions as they are before any controller has spoken. */
export function pending(...types: string[]): Record<string, unknown>[] {
  return types.map((type) => ({
    type,
    status: "Unknown",
    reason: "Pending",
    message: "Waiting for controller",
    lastTransitionTime: "1970-01-01T00:00:00Z",
  }));
}

const controllerName: Schema = domainPrefixed;

export const routeStatus: Schema = object({
  parents: atomicList(object({ parentRef, controllerName, conditions: someConditions }, [
    "conditions",
    "controllerName",
    "parentRef",
  ]), {
    maxItems: 32,
  }),
}, ["parents"]);

export const policyStatus: Schema = object({
  ancestors: atomicList(
    object({ ancestorRef: parentRef, controllerName, conditions: someConditions }, [
      "ancestorRef",
      "conditions",
      "controllerName",
    ]),
    { maxItems: 16 },
  ),
}, ["ancestors"]);

export const HOSTNAMES: Column = { name: "Hostnames", type: "string", jsonPath: ".spec.hostnames" };
export const COLUMNS_OF_ROUTES: readonly Column[] = [HOSTNAMES, AGE];

export { AGE };
