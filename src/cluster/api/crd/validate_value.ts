import { field, show } from "../errors.ts";
import { fieldPath, indexPath, type Schema } from "../schema/schema.ts";
import type { FieldError } from "../types.ts";
import { formatProblem } from "./formats.ts";
import { matchesPattern } from "./patterns.ts";

const ERROR_LIMIT = 50;

/** Validates JSON against a structural schema, with the texts of Kubernetes' validator. */
export function validateValue(schema: Schema, value: unknown, path: string, isObject = false): FieldError[] {
  const errors: FieldError[] = [];
  new Validation(errors).visit(schema, value, path, isObject);
  return errors;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

class Validation {
  constructor(readonly errors: FieldError[]) {}

  visit(schema: Schema, value: unknown, path: string, isObject = false): void {
    if (this.errors.length >= ERROR_LIMIT) return;
    const where = path === "" ? "<nil>" : path;
    if (value === null) {
      if (!schema.nullable && schema.type !== undefined) this.#wrongType(where, schema.type, value);
      return;
    }
    if (!this.#hasType(schema, value)) {
      this.#wrongType(where, schema["x-kubernetes-int-or-string"] ? "integer,string" : schema.type!, value);
      return;
    }
    if (schema.enum && !schema.enum.some((item) => JSON.stringify(item) === JSON.stringify(value))) {
      this.errors.push(field.notSupported(where, value, schema.enum));
    }
    if (typeof value === "string") this.#string(schema, value, where);
    else if (typeof value === "number") this.#number(schema, value, where);
    else if (Array.isArray(value)) this.#list(schema, value, path, where);
    else if (typeof value === "object") this.#object(schema, value as Record<string, unknown>, path, where, isObject);
    this.#combinations(schema, value, path, where, isObject);
  }

  #hasType(schema: Schema, value: unknown): boolean {
    if (schema["x-kubernetes-int-or-string"]) return typeof value === "string" || Number.isInteger(value);
    switch (schema.type) {
      case "integer":
        return typeof value === "number" && Number.isInteger(value);
      case "number":
        return typeof value === "number";
      case "array":
        return Array.isArray(value);
      case "object":
        return typeof value === "object" && !Array.isArray(value);
      case "string":
        return typeof value === "string";
      case "boolean":
        return typeof value === "boolean";
      case undefined:
        return true;
    }
  }

  #wrongType(where: string, wanted: string, value: unknown): void {
    const got = typeName(value);
    this.errors.push({
      type: "TypeInvalid",
      field: where,
      message: `Invalid value: "${got}": ${where} in body must be of type ${wanted}: "${got}"`,
    });
  }

  #invalid(where: string, value: unknown, text: string): void {
    this.errors.push(field.invalid(where, value, `${where} in body ${text}`));
  }

  #string(schema: Schema, value: string, where: string): void {
    const length = schema.maxLength !== undefined || schema.minLength !== undefined ? [...value].length : 0;
    if (schema.maxLength !== undefined && length > schema.maxLength) {
      this.errors.push({
        type: "TooLong",
        field: where,
        message: `Too long: may not be more than ${schema.maxLength} bytes`,
      });
    }
    if (schema.minLength !== undefined && length < schema.minLength) {
      this.#invalid(where, value, `should be at least ${schema.minLength} chars long`);
    }
    if (schema.pattern !== undefined && !matchesPattern(schema.pattern, value)) {
      this.#invalid(where, value, `should match '${schema.pattern}'`);
    }
    if (schema.format !== undefined && formatProblem(schema.format, value)) {
      this.#invalid(where, value, `must be of type ${schema.format}: ${show(value)}`);
    }
  }

  #number(schema: Schema, value: number, where: string): void {
    const { minimum, maximum } = schema;
    if (minimum !== undefined && (schema.exclusiveMinimum ? value <= minimum : value < minimum)) {
      this.#invalid(where, value, `should be greater than ${schema.exclusiveMinimum ? "" : "or equal to "}${minimum}`);
    }
    if (maximum !== undefined && (schema.exclusiveMaximum ? value >= maximum : value > maximum)) {
      this.#invalid(where, value, `should be less than ${schema.exclusiveMaximum ? "" : "or equal to "}${maximum}`);
    }
    if (schema.multipleOf !== undefined && schema.multipleOf !== 0) {
      const quotient = value / schema.multipleOf;
      if (Math.abs(quotient - Math.round(quotient)) > 1e-9) {
        this.#invalid(where, value, `should be a multiple of ${schema.multipleOf}`);
      }
    }
    if (schema.format === "int32" && (value > 2147483647 || value < -2147483648)) {
      this.#invalid(where, value, `must be of type int32: ${show(value)}`);
    }
  }

  #list(schema: Schema, value: unknown[], path: string, where: string): void {
    if (schema.maxItems !== undefined && value.length > schema.maxItems) {
      this.errors.push({
        type: "TooMany",
        field: where,
        message: `Too many: ${value.length}: must have at most ${schema.maxItems} items`,
      });
      // Looking at each of too many would only cost time.
      return;
    }
    if (schema.minItems !== undefined && value.length < schema.minItems) {
      this.#invalid(where, value.length, `should have at least ${schema.minItems} items`);
    }
    const items = schema.items;
    if (items) value.forEach((item, i) => this.visit(items, item, indexPath(path, i)));
    const listType = schema["x-kubernetes-list-type"];
    if (listType === "set" || schema.uniqueItems) this.#unique(value, path, (item) => item);
    if (listType === "map") {
      const keys = schema["x-kubernetes-list-map-keys"] ?? [];
      this.#unique(value, path, (item) => Object.fromEntries(keys.map((key) => [key, (item as any)?.[key]])));
    }
  }

  #unique(list: unknown[], path: string, idOf: (item: unknown) => unknown): void {
    const seen = new Set<string>();
    list.forEach((item, i) => {
      const id = JSON.stringify(idOf(item)) ?? "null";
      if (seen.has(id)) this.errors.push(field.duplicate(indexPath(path, i), idOf(item)));
      seen.add(id);
    });
  }

  #object(schema: Schema, value: Record<string, unknown>, path: string, where: string, isObject: boolean): void {
    const count = Object.keys(value).length;
    if (schema.maxProperties !== undefined && count > schema.maxProperties) {
      this.errors.push({
        type: "TooMany",
        field: where,
        message: `Too many: ${count}: must have at most ${schema.maxProperties} items`,
      });
      return;
    }
    if (schema.minProperties !== undefined && count < schema.minProperties) {
      this.#invalid(where, count, `should have at least ${schema.minProperties} properties`);
    }
    for (const name of schema.required ?? []) {
      if (!Object.hasOwn(value, name)) this.errors.push(field.required(fieldPath(path, name)));
    }
    for (const [key, item] of Object.entries(value)) {
      if (isObject && key === "metadata") continue;
      const known = schema.properties && Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
      const inner = known ??
        (typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined);
      if (inner) this.visit(inner, item, fieldPath(path, key));
    }
  }

  #combinations(schema: Schema, value: unknown, path: string, where: string, isObject: boolean): void {
    for (const part of schema.allOf ?? []) this.visit(part, value, path, isObject);
    const passes = (part: Schema) => validateValue(part, value, path, isObject).length === 0;
    if (schema.anyOf && !schema.anyOf.some(passes)) {
      this.errors.push(field.invalid(where, "", `"${where}" must validate at least one schema (anyOf)`));
    }
    if (schema.oneOf) {
      const valid = schema.oneOf.filter(passes).length;
      if (valid !== 1) {
        const found = valid === 0 ? "Found none valid" : `Found ${valid} valid alternatives`;
        this.errors.push(
          field.invalid(where, "", `"${where}" must validate one and only one schema (oneOf). ${found}`),
        );
      }
    }
    if (schema.not && passes(schema.not)) {
      this.errors.push(field.invalid(where, "", `"${where}" must not validate the schema (not)`));
    }
  }
}
