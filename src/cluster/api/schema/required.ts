import { field } from "../errors.ts";
import type { FieldError } from "../types.ts";
import { fieldPath, indexPath, keyPath, type Schema } from "./schema.ts";

/** Fields that the published schema calls required and the real server takes when they are absent. */
const OPTIONAL_ANYWAY = new Set([
  "io.k8s.api.apps.v1.StatefulSetSpec.serviceName",
  "io.k8s.api.networking.v1.NetworkPolicySpec.podSelector",
  "io.k8s.api.rbac.v1.PolicyRule.verbs",
  "io.k8s.api.core.v1.NodeSelectorTerm",
  "io.k8s.api.core.v1.LocalObjectReference.name",
]);

/** Reports required fields that are missing in an object's spec. Booleans may always be absent. */
export function validateRequired(schema: Schema, object: Record<string, any>): FieldError[] {
  const errors: FieldError[] = [];
  const spec = schema.properties?.spec;
  if (spec && object.spec !== undefined) visit(spec, object.spec, "spec", errors);
  return errors;
}

function visit(schema: Schema, value: unknown, path: string, errors: FieldError[]): void {
  if (Array.isArray(value)) {
    if (schema.items) value.forEach((item, i) => visit(schema.items!, item, indexPath(path, i), errors));
    return;
  }
  if (typeof value !== "object" || value === null) return;
  if (typeof schema.additionalProperties === "object") {
    for (const [key, item] of Object.entries(value)) {
      visit(schema.additionalProperties, item, keyPath(path, key), errors);
    }
    return;
  }
  if (!schema.properties) return;
  for (const name of schema.required ?? []) {
    const inner = schema.properties[name];
    const given = (value as Record<string, unknown>)[name];
    const absent = given === undefined || (given === "" && inner.type === "string");
    if (!absent || inner.type === "boolean" || OPTIONAL_ANYWAY.has(`${schema.typeName}.${name}`)) continue;
    errors.push(field.required(fieldPath(path, name)));
  }
  for (const [name, item] of Object.entries(value)) {
    const inner = Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    if (inner) visit(inner, item, fieldPath(path, name), errors);
  }
}
