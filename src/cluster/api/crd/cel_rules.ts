import type { KubeObject } from "../../contracts.ts";
import { field, show } from "../errors.ts";
import { fieldPath, indexPath, keyPath, type Schema, type ValidationRule } from "../schema/schema.ts";
import type { FieldError } from "../types.ts";
import { evaluateCel } from "./cel.ts";

const ERROR_LIMIT = 50;

interface Walk {
  errors: FieldError[];
  warnings: string[];
}

/** Whether a schema has rules anywhere; most parts have none and are not walked. */
const ruled = new WeakMap<Schema, boolean>();

function hasRules(schema: Schema): boolean {
  let known = ruled.get(schema);
  if (known === undefined) {
    known = (schema["x-kubernetes-validations"]?.length ?? 0) > 0 ||
      Object.values(schema.properties ?? {}).some(hasRules) ||
      (schema.items !== undefined && hasRules(schema.items)) ||
      (typeof schema.additionalProperties === "object" && hasRules(schema.additionalProperties));
    ruled.set(schema, known);
  }
  return known;
}

/** Evaluates the rules of `x-kubernetes-validations` throughout an object that has passed its schema. */
export function evaluateRules(
  schema: Schema,
  object: KubeObject,
  old: KubeObject | undefined,
  warnings: string[],
): FieldError[] {
  const walk: Walk = { errors: [], warnings };
  visit(schema, object, old, "", walk, true);
  return walk.errors;
}

function visit(schema: Schema, value: unknown, old: unknown, path: string, walk: Walk, top = false): void {
  if (value === null || value === undefined || walk.errors.length >= ERROR_LIMIT || !hasRules(schema)) return;
  const rules = schema["x-kubernetes-validations"];
  if (rules?.length) {
    const self = toCel(schema, value, top);
    const oldSelf = old === undefined || old === null ? undefined : toCel(schema, old, top);
    for (const rule of rules) evaluate(rule, value, self, oldSelf, path, walk);
  }
  if (Array.isArray(value)) {
    if (!schema.items) return;
    const before = oldItems(schema, old);
    value.forEach((item, i) => visit(schema.items!, item, before?.(item), indexPath(path, i), walk));
    return;
  }
  if (typeof value !== "object") return;
  const previous = typeof old === "object" && old !== null ? old as Record<string, unknown> : {};
  for (const [key, item] of Object.entries(value)) {
    const named = schema.properties && Object.hasOwn(schema.properties, key) ? schema.properties[key] : undefined;
    if (named) visit(named, item, previous[key], fieldPath(path, key), walk);
    else if (typeof schema.additionalProperties === "object") {
      visit(schema.additionalProperties, item, previous[key], keyPath(path, key), walk);
    }
  }
}

/** Finds the old item for a new one in lists whose items can be told apart. */
function oldItems(schema: Schema, old: unknown): ((item: any) => unknown) | undefined {
  const keys = schema["x-kubernetes-list-map-keys"];
  if (schema["x-kubernetes-list-type"] !== "map" || !keys || !Array.isArray(old)) return undefined;
  const id = (item: any) => JSON.stringify(keys.map((key) => item?.[key]));
  const byId = new Map(old.map((item) => [id(item), item]));
  return (item) => byId.get(id(item));
}

function evaluate(
  rule: ValidationRule,
  value: unknown,
  self: unknown,
  oldSelf: unknown,
  path: string,
  walk: Walk,
): void {
  // Rules of transitions say nothing of objects that are new.
  if (/\boldSelf\b/.test(rule.rule) && oldSelf === undefined) return;
  const variables = oldSelf === undefined ? { self } : { self, oldSelf };
  const outcome = evaluateCel(rule.rule, variables);
  const where = path === "" ? "<nil>" : path;
  if ("unsupported" in outcome) {
    walk.warnings.push(`${where}: rule ${show(rule.rule)} was not evaluated: ${outcome.unsupported}`);
    return;
  }
  if ("value" in outcome && outcome.value === true) return;
  const at = rule.fieldPath ? `${path}${rule.fieldPath}` : where;
  if ("failed" in outcome) {
    walk.errors.push(field.invalid(at, kindOf(value), `rule evaluation error: ${outcome.failed}`));
    return;
  }
  walk.errors.push(problem(rule, at.replace(/^\./, ""), value, messageOf(rule, variables)));
}

function messageOf(rule: ValidationRule, variables: Record<string, unknown>): string {
  if (rule.messageExpression) {
    const outcome = evaluateCel(rule.messageExpression, variables);
    if ("value" in outcome && typeof outcome.value === "string" && outcome.value.trim() !== "") return outcome.value;
  }
  return rule.message ?? `failed rule: ${rule.rule.trim()}`;
}

function problem(rule: ValidationRule, path: string, value: unknown, message: string): FieldError {
  switch (rule.reason) {
    case "FieldValueForbidden":
      return field.forbidden(path, message);
    case "FieldValueRequired":
      return field.required(path, message);
    case "FieldValueDuplicate":
      return field.duplicate(path, kindOf(value));
    default:
      return field.invalid(path, kindOf(value), message);
  }
}

/** Objects and lists are named by their kind in messages, other values shown. */
function kindOf(value: unknown): unknown {
  if (Array.isArray(value)) return "array";
  return typeof value === "object" && value !== null ? "object" : value;
}

/** JSON as CEL values: integers are bigints there. */
function toCel(schema: Schema | undefined, value: unknown, top = false): unknown {
  if (typeof value === "number") {
    return Number.isSafeInteger(value) && schema?.type !== "number" ? BigInt(value) : value;
  }
  if (Array.isArray(value)) return value.map((item) => toCel(schema?.items, item));
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    // Of an object's metadata rules see the name alone.
    if (top && key === "metadata") {
      const { name, generateName } = item as Record<string, unknown>;
      result.metadata = {
        ...(name === undefined ? {} : { name }),
        ...(generateName === undefined ? {} : { generateName }),
      };
      continue;
    }
    const inner = schema?.properties && Object.hasOwn(schema.properties, key)
      ? schema.properties[key]
      : typeof schema?.additionalProperties === "object"
      ? schema.additionalProperties
      : undefined;
    result[key] = toCel(inner, item);
  }
  return result;
}
