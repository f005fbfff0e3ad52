import type { KubeObject } from "../../contracts.ts";
import type { FieldError, TypeVersion } from "../types.ts";
import { evaluateRules } from "./cel_rules.ts";
import { validateValue } from "./validate_value.ts";

/** Holds a custom object to its schema, then to the CEL rules of the schema. Rules that cannot be evaluated warn. */
export function validateCustomObject(
  version: TypeVersion,
  object: KubeObject,
  old: KubeObject | undefined,
  warnings: string[],
): FieldError[] {
  if (!version.schema) return [];
  const errors = validateValue(version.schema, object, "", true);
  // Rules may assume that values have the types the schema says.
  if (errors.length === 0) errors.push(...evaluateRules(version.schema, object, old, warnings));
  return errors;
}
