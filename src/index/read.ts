// Readers of fields of any type: objects of custom kinds may hold anything where their CRD is lax.

import { isObject } from "./authorization/rule.ts";

export { isObject };

/** The object, or an empty one. */
export function objectOf(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}

/** The list, or an empty one. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The text, or "". */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** A port number from 1 to 65535. */
export function portOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65535 ? value : undefined;
}

/** Those pairs whose values are text. */
export function labelsOf(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === "string"),
  );
}
