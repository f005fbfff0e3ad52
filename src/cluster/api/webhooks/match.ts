import type { KubeObject } from "../../contracts.ts";
import { evaluateCel } from "../crd/cel.ts";
import { groupVersion, type ResourceType, type TypeVersion } from "../types.ts";

export type Operation = "CREATE" | "UPDATE" | "DELETE";

/** One write, as webhooks may want to see it. */
export interface Admission {
  type: ResourceType;
  version: TypeVersion;
  operation: Operation;
  namespace: string | undefined;
  name: string;
  subresource?: string;
  object: KubeObject | undefined;
  old: KubeObject | undefined;
  /** Labels of the namespace the object is in; of the object itself where it is a namespace. */
  namespaceLabels: Record<string, string> | undefined;
}

function listed(list: string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes("*") || list.includes(value));
}

/** Whether a rule names the write. By `Equivalent` any version of the type counts. */
function ruleMatches(rule: any, { type, version, operation, subresource }: Admission, equivalent: boolean): boolean {
  const scope = type.namespaced ? "Namespaced" : "Cluster";
  if (rule.scope && rule.scope !== "*" && rule.scope !== scope) return false;
  if (!listed(rule.operations, operation) || !listed(rule.apiGroups, type.group)) return false;
  const versions = equivalent ? type.versions.map(({ name }) => name) : [version.name];
  if (!versions.some((name) => listed(rule.apiVersions, name))) return false;
  const wanted = subresource ? `${type.plural}/${subresource}` : type.plural;
  return (rule.resources ?? []).some((resource: string) =>
    resource === wanted || resource === "*/*" || (resource === "*" && !subresource) ||
    (subresource !== undefined && (resource === `*/${subresource}` || resource === `${type.plural}/*`))
  );
}

/** A `metav1.LabelSelector`; an empty one chooses everything. */
export function selects(selector: any, labels: Record<string, string> | undefined): boolean {
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) if (labels?.[key] !== value) return false;
  return (selector?.matchExpressions ?? []).every(({ key, operator, values = [] }: any) => {
    const value = labels?.[key];
    switch (operator) {
      case "In":
        return value !== undefined && values.includes(value);
      case "NotIn":
        return value === undefined || !values.includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
      default:
        return false;
    }
  });
}

/** Whether a webhook is to be called for a write. Conditions that cannot be evaluated count as met: it is called. */
export function webhookMatches(hook: any, admission: Admission): boolean {
  const equivalent = (hook.matchPolicy ?? "Equivalent") === "Equivalent";
  if (!(hook.rules ?? []).some((rule: any) => ruleMatches(rule, admission, equivalent))) return false;
  const ofNamespace = admission.type.namespaced || admission.type.key === "/namespaces";
  if (ofNamespace && !selects(hook.namespaceSelector, admission.namespaceLabels)) return false;
  const { object, old } = admission;
  const chosen = [object, old].some((candidate) =>
    candidate && selects(hook.objectSelector, candidate.metadata.labels)
  );
  if (!chosen) return false;
  return (hook.matchConditions ?? []).every(({ expression }: { expression: string }) => {
    const request = { operation: admission.operation, name: admission.name, namespace: admission.namespace ?? "" };
    const outcome = evaluateCel(expression, { object: object ?? null, oldObject: old ?? null, request });
    return !("value" in outcome) || outcome.value === true;
  });
}

/** Kind and resource of a write in the forms an AdmissionReview has them. */
export function describeType({ type, version }: Admission): { kind: object; resource: object; apiVersion: string } {
  return {
    kind: { group: type.group, version: version.name, kind: type.kind },
    resource: { group: type.group, version: version.name, resource: type.plural },
    apiVersion: groupVersion(type.group, version.name),
  };
}
