import type { KubeObject } from "../../contracts.ts";
import type { Schema } from "../schema/schema.ts";
import type { FieldError } from "../types.ts";

/** Evaluates the rules of `x-kubernetes-validations` throughout an object. */
export function evaluateRules(
  _schema: Schema,
  _object: KubeObject,
  _old: KubeObject | undefined,
  _warnings: string[],
): FieldError[] {
  return [];
}
