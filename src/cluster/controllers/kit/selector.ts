interface Expression {
  key: string;
  operator: string;
  values?: string[];
}

/** A `metav1.LabelSelector`, or a `corev1.NodeSelectorTerm`'s expressions. */
export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: Expression[];
}

type Labels = Record<string, string> | undefined;

/** Whether every pair of `selector` is among the labels: the selector of a Service or a nodeSelector. */
export function matchesLabels(selector: Labels, labels: Labels): boolean {
  for (const key in selector) {
    if (labels === undefined || !Object.hasOwn(labels, key) || labels[key] !== selector[key]) return false;
  }
  return true;
}

/** Whether labels satisfy one expression. Gt and Lt are for nodes. An unknown operator matches nothing. */
export function matchesExpression({ key, operator, values = [] }: Expression, labels: Labels): boolean {
  const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return value !== undefined && integer(value) > integer(values[0]);
    case "Lt":
      return value !== undefined && integer(value) < integer(values[0]);
    default:
      return false;
  }
}

/** Whether labels satisfy a selector. An absent selector matches nothing, an empty one everything. */
export function matchesSelector(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (!selector) return false;
  return matchesLabels(selector.matchLabels, labels) &&
    (selector.matchExpressions ?? []).every((expression) => matchesExpression(expression, labels));
}

/** NaN, which compares as false, for anything but an integer. */
function integer(text: string | undefined): number {
  return text !== undefined && /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
}
