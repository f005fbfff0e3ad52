import { field } from "../errors.ts";
import { labelValueProblem, qualifiedNameProblem } from "../names.ts";
import { indexPath } from "../schema/schema.ts";
import type { FieldError } from "../types.ts";

/** A `metav1.LabelSelector`. */
export function validateSelector(selector: any, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries<string>(selector.matchLabels ?? {})) {
    const problem = qualifiedNameProblem(key);
    if (problem) errors.push(field.invalid(`${path}.matchLabels`, key, problem));
    const valueProblem = labelValueProblem(value);
    if (valueProblem) errors.push(field.invalid(`${path}.matchLabels`, value, valueProblem));
  }
  (selector.matchExpressions ?? []).forEach((expression: any, i: number) => {
    const at = indexPath(`${path}.matchExpressions`, i);
    const count = expression.values?.length ?? 0;
    if (["In", "NotIn"].includes(expression.operator)) {
      if (count === 0) {
        errors.push(field.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      }
    } else if (["Exists", "DoesNotExist"].includes(expression.operator)) {
      if (count > 0) {
        errors.push(
          field.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        );
      }
    } else errors.push(field.invalid(`${at}.operator`, expression.operator, "not a valid selector operator"));
    const problem = qualifiedNameProblem(expression.key ?? "");
    if (problem) errors.push(field.invalid(`${at}.key`, expression.key, problem));
  });
  return errors;
}
