import type { KubeObject } from "../../contracts.ts";
import { builtinSchema } from "../schema/builtin.ts";
import { decodeBuiltin } from "../schema/decode.ts";
import { fieldPath, indexPath, type Schema } from "../schema/schema.ts";
import type { ResourceType, TypeVersion } from "../types.ts";

/** Makes a private copy of a custom object: metadata decoded, unknown fields pruned, defaults filled in. */
export function decodeCustomObject(
  type: ResourceType,
  version: TypeVersion,
  source: KubeObject,
  unknown: string[],
  withDefaults = true,
): KubeObject {
  const { metadata, ...rest } = source;
  const object = structuredClone(rest) as KubeObject;
  const notes = { unknown: [] as string[] };
  object.metadata = decodeBuiltin(builtinSchema("meta.ObjectMeta"), metadata ?? {}, type.kind, version.name, notes);
  unknown.push(...notes.unknown.map((path) => `metadata.${path}`));
  if (version.schema) {
    prune(version.schema, object, "", unknown, true);
    if (withDefaults) applyDefaults(version.schema, object);
  }
  return object;
}

/** Fields that objects have whatever their schema says. */
const OBJECT_FIELDS = new Set(["apiVersion", "kind", "metadata"]);

/** Removes what the schema does not specify, in place. */
export function prune(schema: Schema, value: unknown, path: string, unknown: string[], isObject = false): void {
  if (Array.isArray(value)) {
    if (schema.items) value.forEach((item, i) => prune(schema.items!, item, indexPath(path, i), unknown));
    return;
  }
  if (typeof value !== "object" || value === null) return;
  const record = value as Record<string, unknown>;
  const embedded = isObject || schema["x-kubernetes-embedded-resource"] === true;
  for (const key of Object.keys(record)) {
    if (embedded && OBJECT_FIELDS.has(key)) continue;
    const inner = schema.properties && Object.hasOwn(schema.properties, key)
      ? schema.properties[key]
      : typeof schema.additionalProperties === "object"
      ? schema.additionalProperties
      : undefined;
    if (inner) prune(inner, record[key], fieldPath(path, key), unknown);
    else if (!schema["x-kubernetes-preserve-unknown-fields"] && schema.additionalProperties !== true) {
      // A schema without type is open where it was marked so further up.
      unknown.push(fieldPath(path, key));
      delete record[key];
    }
  }
}

/** Fills in the defaults of absent fields, in place; a null in a field that takes none counts as absent, and goes. */
export function applyDefaults(schema: Schema, value: unknown): void {
  if (Array.isArray(value)) {
    if (schema.items) { for (const item of value) applyDefaults(schema.items, item); }
    return;
  }
  if (typeof value !== "object" || value === null) return;
  const record = value as Record<string, unknown>;
  for (const [key, inner] of Object.entries(schema.properties ?? {})) {
    if (record[key] === null && !inner.nullable) delete record[key];
    if (record[key] === undefined && inner.default !== undefined) record[key] = structuredClone(inner.default);
    if (record[key] !== undefined) applyDefaults(inner, record[key]);
  }
  if (typeof schema.additionalProperties === "object") {
    for (const key of Object.keys(record)) {
      if (schema.properties && Object.hasOwn(schema.properties, key)) continue;
      if (record[key] === null && !schema.additionalProperties.nullable) delete record[key];
      else applyDefaults(schema.additionalProperties, record[key]);
    }
  }
}
