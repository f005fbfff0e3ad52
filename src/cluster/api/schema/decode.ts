import { ApiError } from "../../api_error.ts";
import { fieldPath, indexPath, keyPath, type Schema } from "./schema.ts";

/** What decoding found beside the object. */
export interface DecodeNotes {
  /** Paths of fields that the schema does not know. */
  unknown: string[];
}

/**
 * Reads JSON as a built-in type as Go's decoder does: unknown fields are left out (and noted), nulls count as absent,
 * values of a wrong type are refused.
 *
 * @throws {ApiError} 400 with the Go type's and field's name as kubectl users know it
 */
export function decodeBuiltin(schema: Schema, value: unknown, kind: string, version: string, notes: DecodeNotes): any {
  try {
    return decode(schema, value, "", notes, kind);
  } catch (error) {
    if (!(error instanceof TypeMismatch)) throw error;
    throw ApiError.badRequest(`${kind} in version "${version}" cannot be handled as a ${kind}: ${error.message}`);
  }
}

class TypeMismatch extends Error {}

function mismatch(value: unknown, wanted: string, path: string, owner: string): TypeMismatch {
  const got = Array.isArray(value)
    ? "array"
    : typeof value === "boolean"
    ? "bool"
    : typeof value === "object"
    ? "object"
    : typeof value === "number"
    ? `number${Number.isInteger(value) && wanted !== "string" ? ` ${value}` : ""}`
    : typeof value;
  const plain = path.replace(/\[\d+\]/g, "");
  return new TypeMismatch(
    plain === ""
      ? `json: cannot unmarshal ${got} into Go value of type v1.${owner}`
      : `json: cannot unmarshal ${got} into Go struct field ${owner}.${plain} of type ${wanted}`,
  );
}

function decode(schema: Schema, value: unknown, path: string, notes: DecodeNotes, owner: string): any {
  if (schema["x-kubernetes-int-or-string"]) {
    if (typeof value === "string" || Number.isInteger(value)) return value;
    throw mismatch(value, "intstr.IntOrString", path, owner);
  }
  switch (schema.type) {
    case undefined:
      return structuredClone(value);
    case "string":
      if (typeof value === "string") {
        if (schema.format === "byte" && !isBase64(value)) {
          throw new TypeMismatch(`illegal base64 data at input byte ${value.search(/[^A-Za-z0-9+/]/)}`);
        }
        if (schema.format === "date-time" && Number.isNaN(Date.parse(value))) {
          throw new TypeMismatch(`parsing time "${value}" as "2006-01-02T15:04:05Z07:00": cannot parse "${value}"`);
        }
        if (schema.quantity && !isQuantity(value)) {
          throw new TypeMismatch(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
          );
        }
        return value;
      }
      if (schema.quantity && typeof value === "number") return String(value);
      throw mismatch(value, "string", path, owner);
    case "boolean":
      if (typeof value === "boolean") return value;
      throw mismatch(value, "bool", path, owner);
    case "integer": {
      const limit = schema.format === "int32" ? 2 ** 31 : 2 ** 63;
      if (typeof value === "number" && Number.isInteger(value) && value < limit && value >= -limit) return value;
      throw mismatch(value, schema.format ?? "int64", path, owner);
    }
    case "number":
      if (typeof value === "number") return value;
      throw mismatch(value, "float64", path, owner);
    case "array": {
      if (!Array.isArray(value)) throw mismatch(value, `[]${goName(schema.items)}`, path, owner);
      return value.map((item, i) =>
        item === null && schema.items!.type !== undefined
          ? zero(schema.items!)
          : decode(schema.items!, item, indexPath(path, i), notes, owner)
      );
    }
    case "object":
      return decodeObject(schema, value, path, notes, owner);
  }
}

function decodeObject(schema: Schema, value: unknown, path: string, notes: DecodeNotes, owner: string): any {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw mismatch(value, goName(schema), path, owner);
  }
  const result: Record<string, unknown> = {};
  const source = value as Record<string, unknown>;
  if (schema["x-kubernetes-preserve-unknown-fields"]) return structuredClone(source);
  if (schema.additionalProperties && schema.additionalProperties !== true) {
    const items = schema.additionalProperties;
    for (const key of Object.keys(source)) {
      const item = source[key];
      setOwn(
        result,
        key,
        item === null || item === undefined ? zero(items) : decode(items, item, keyPath(path, key), notes, owner),
      );
    }
    return result;
  }
  const properties = schema.properties ?? {};
  const inner = schema.typeName ? schema.typeName.slice(schema.typeName.lastIndexOf(".") + 1) : owner;
  for (const key of Object.keys(source)) {
    const item = source[key];
    if (!Object.hasOwn(properties, key)) {
      notes.unknown.push(fieldPath(path, key));
      continue;
    }
    if (item === null || item === undefined) continue;
    result[key] = decode(properties[key], item, fieldPath(path, key), notes, inner);
  }
  return result;
}

/** Defines `key` even where it is called `__proto__`. */
function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else target[key] = value;
}

function zero(schema: Schema): unknown {
  switch (schema.type) {
    case "string":
      return schema.quantity ? "0" : "";
    case "integer":
    case "number":
      return 0;
    case "boolean":
      return false;
    case "array":
      return [];
    case "object":
      return {};
    default:
      return null;
  }
}

function goName(schema: Schema | undefined): string {
  if (!schema) return "object";
  if (schema.typeName) return `v1.${schema.typeName.slice(schema.typeName.lastIndexOf(".") + 1)}`;
  if (schema.type === "array") return `[]${goName(schema.items)}`;
  if (typeof schema.additionalProperties === "object") return `map[string]${goName(schema.additionalProperties)}`;
  return {
    integer: schema.format ?? "int64",
    boolean: "bool",
    number: "float64",
    string: "string",
  }[schema.type as string] ??
    "object";
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function isBase64(text: string): boolean {
  return BASE64.test(text.replaceAll(/[\r\n]/g, ""));
}

const QUANTITY = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/;

/** Whether the text is a quantity as `resource.ParseQuantity` takes it. */
export function isQuantity(text: string): boolean {
  return QUANTITY.test(text);
}
