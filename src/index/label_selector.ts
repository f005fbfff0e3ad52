import { isObject } from "./authorization/rule.ts";
import type { Labels } from "./labels.ts";

/**
 * A Kubernetes label selector with `matchLabels` and `matchExpressions`. An empty one selects everything; one that cannot be read
 * (another type, unknown fields or operators) selects nothing.
 */
export function matchesLabelSelector(selector: unknown, labels: Labels | undefined): boolean {
  if (!isObject(selector)) return false;
  for (const [field, value] of Object.entries(selector)) {
    if (value === undefined || value === null) continue;
    if (field === "matchLabels") {
      if (!isObject(value)) return false;
      for (const [key, wanted] of Object.entries(value)) if (labels?.[key] !== wanted) return false;
    } else if (field === "matchExpressions") {
      if (!Array.isArray(value) || !value.every((one) => isObject(one) && holds(one, labels))) return false;
    } else return false;
  }
  return true;
}

function holds({ key, operator, values }: Record<string, unknown>, labels: Labels | undefined): boolean {
  if (typeof key !== "string") return false;
  const actual = labels?.[key], list = Array.isArray(values) ? values : [];
  switch (operator) {
    case "In":
      return actual !== undefined && list.includes(actual);
    case "NotIn":
      return list.length > 0 && !list.includes(actual);
    case "Exists":
      return actual !== undefined;
    case "DoesNotExist":
      return actual === undefined;
    default:
      return false;
  }
}
