// Building blocks of the structural OpenAPI v3 schemas that a CustomResourceDefinition carries. What a rule needs beyond
// them is CEL (`x-kubernetes-validations`), kept to cheap rules so that an API server's cost limits accept them; where
// plain OpenAPI can say the same it does, because that is enforced everywhere.

/** One node of a structural schema. */
export interface Schema {
  type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema;
  items?: Schema;
  required?: readonly string[];
  enum?: readonly (string | number)[];
  pattern?: string;
  format?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  nullable?: boolean;
  not?: Schema;
  anyOf?: readonly Schema[];
  oneOf?: readonly Schema[];
  "x-kubernetes-int-or-string"?: true;
  "x-kubernetes-preserve-unknown-fields"?: true;
  "x-kubernetes-list-type"?: "map" | "set" | "atomic";
  "x-kubernetes-list-map-keys"?: readonly string[];
  "x-kubernetes-validations"?: readonly Rule[];
}

/** A CEL rule and what the user reads when it does not hold. */
export interface Rule {
  rule: string;
  message: string;
}

export const string: Schema = { type: "string" };
export const boolean: Schema = { type: "boolean" };
export const integer: Schema = { type: "integer" };
export const number: Schema = { type: "number" };
export const strings: Schema = list(string);

/** A Kubernetes-style map of strings. */
export const labels: Schema = mapOf(string);

/** A Go duration such as `1h30m` or `250ms`. */
export const duration: Schema = { type: "string", pattern: "^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$" };

/** A TCP port. */
export const port: Schema = { type: "integer", minimum: 1, maximum: 65535 };

/** A number of 32 bits without sign, as protobuf's uint32. */
export const uint32: Schema = { type: "integer", minimum: 0, maximum: 4294967295 };

export const percent: Schema = { type: "integer", minimum: 0, maximum: 100 };

/** Anything: kept as it was written. */
export const anything: Schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

export function object(
  properties: Record<string, Schema>,
  required: readonly string[] = [],
  extra: Schema = {},
): Schema {
  return { type: "object", properties, ...(required.length > 0 ? { required } : {}), ...extra };
}

export function list(items: Schema, extra: Schema = {}): Schema {
  return { type: "array", items, ...extra };
}

export function mapOf(additionalProperties: Schema, extra: Schema = {}): Schema {
  return { type: "object", additionalProperties, ...extra };
}

/** A string out of a closed set. */
export function choice(...values: string[]): Schema {
  return { type: "string", enum: values };
}

/** A schema with a description, the text of `kubectl explain`. */
export function described(description: string, schema: Schema): Schema {
  return { ...schema, description };
}

/** Constraint: at most one of these fields is given. Spread it into {@linkcode object}'s `extra`. */
export function atMostOne(...fields: string[]): Schema {
  const pairs = fields.flatMap((a, i) => fields.slice(i + 1).map((b): Schema => ({ required: [a, b] })));
  const names = `${fields.slice(0, -1).join(", ")} or ${fields.at(-1)}`;
  return {
    not: pairs.length === 1 ? pairs[0] : { anyOf: pairs },
    "x-kubernetes-validations": [{
      // A sum costs an API server far less than a filtered list would.
      rule: `${fields.map((field) => `(has(self.${field}) ? 1 : 0)`).join(" + ")} <= 1`,
      message: `only one of ${names} can be set`,
    }],
  };
}

/** Joins constraints, their CEL rules and `not`s included. */
export function all(...constraints: Schema[]): Schema {
  const joined: Schema = Object.assign({}, ...constraints);
  const rules = constraints.flatMap((constraint) => constraint["x-kubernetes-validations"] ?? []);
  const nots = constraints.flatMap((constraint) => constraint.not ?? []);
  if (rules.length > 0) joined["x-kubernetes-validations"] = rules;
  if (nots.length > 1) joined.not = { anyOf: nots.flatMap((not) => not.anyOf ?? [not]) };
  return joined;
}

/** A constraint in CEL. */
export function rule(rule: string, message: string): Schema {
  return { "x-kubernetes-validations": [{ rule, message }] };
}

/** `matchLabels` of a workload selector: exact labels only. */
const matchLabels: Schema = mapOf({ type: "string", maxLength: 63, pattern: "^[^*]*$" }, {
  maxProperties: 4096,
  "x-kubernetes-validations": [
    { rule: "self.all(key, !key.contains('*'))", message: "wildcard not allowed in label key match" },
    { rule: "self.all(key, key.size() != 0)", message: "key must not be empty" },
  ],
});

/** `spec.selector` of the policies. */
export const selector: Schema = described(
  "Pods the object applies to, by labels; in the root namespace, of all namespaces.",
  object({ matchLabels }),
);

/** `spec.workloadSelector` of the networking kinds. */
export const workloadSelector: Schema = object({
  labels: mapOf({ type: "string", maxLength: 63, pattern: "^[^*]*$" }, { maxProperties: 256 }),
});

const policyTarget: Schema = object(
  {
    group: {
      type: "string",
      maxLength: 253,
      pattern: "^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    },
    kind: { type: "string", minLength: 1, maxLength: 63, pattern: "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$" },
    name: { type: "string", minLength: 1, maxLength: 253 },
    namespace: described("Has to be empty: references do not cross namespaces.", { type: "string", maxLength: 0 }),
  },
  ["kind", "name"],
);

/** The fields by which a policy is attached; use with {@linkcode oneAttachment}. */
export const attachment: Record<string, Schema> = {
  selector,
  targetRef: described("Deprecated in favour of targetRefs.", policyTarget),
  targetRefs: described(
    "Services, Gateways or GatewayClasses the object applies to.",
    list(policyTarget, { maxItems: 16 }),
  ),
};

export const oneAttachment: Schema = atMostOne("selector", "targetRef", "targetRefs");

/** `status` of every istio.io kind. */
export const status: Schema = {
  ...object({
    conditions: list(object({
      type: string,
      status: string,
      reason: string,
      message: string,
      observedGeneration: { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] },
      lastProbeTime: { type: "string", format: "date-time" },
      lastTransitionTime: { type: "string", format: "date-time" },
    })),
    observedGeneration: { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] },
    validationMessages: list(anything),
  }),
  "x-kubernetes-preserve-unknown-fields": true,
};
