// AuthorizationPolicy -> what ztunnel enforces, and what its author is told (istiod-behaviour.md §4 and §5).

import type { KubeObject } from "../../kube/types.ts";
import type { AuthorizationPolicy, PolicyAction, PolicyScope } from "../../model/policy.ts";
import { ANNOTATION, type Labels } from "../labels.ts";
import type { MeshSettings } from "../settings.ts";
import type { StatusCondition } from "../status.ts";
import { Findings } from "./findings.ts";
import { convertRule, isObject } from "./rule.ts";

/** The outcome for one policy. */
export interface ConvertedPolicy {
  /** What ztunnel gets; undefined when the policy is none of its business. */
  readonly policy?: AuthorizationPolicy;
  /** Whom a WORKLOAD_SELECTOR policy is for. */
  readonly selector?: Labels;
  /** Undefined for policies with targets: L7 proxies enforce them, and `routing` tells about them. */
  readonly condition?: StatusCondition;
}

const SPEC_FIELDS = ["action", "provider", "rules", "selector", "targetRef", "targetRefs"];

export function convertAuthorizationPolicy(object: KubeObject, settings: MeshSettings): ConvertedPolicy {
  const { name, namespace = "default", annotations } = object.metadata;
  const spec: Record<string, unknown> = isObject(object.spec) ? object.spec : {};
  const findings = new Findings();
  const targets = targetsOf(spec);
  if (targets.length > 0 && spec.selector === undefined) return {};

  const action = spec.action ?? "ALLOW";
  if (action === "CUSTOM" || action === "AUDIT") {
    return { condition: rejected(`ztunnel does not support the ${action} action`) };
  }
  const dryRun = annotations?.[ANNOTATION.dryRun] === "true";
  if (dryRun && !settings.dryRunPolicies) {
    return { condition: rejected(`ztunnel does not support the ${ANNOTATION.dryRun} annotation`) };
  }

  // An action that nobody knows, or a field, may mean any restriction: it is met by denying.
  if (action !== "ALLOW" && action !== "DENY") findings.value("action", action);
  for (const field of Object.keys(spec)) if (!SPEC_FIELDS.includes(field)) findings.field(field);
  if (spec.provider !== undefined && spec.provider !== null) findings.value("provider", spec.provider);
  if (targets.length > 0) findings.value("targetRefs beside selector", targets.map(({ name }) => name));
  const selector = selectorOf(spec.selector, findings);
  const known: PolicyAction = action === "ALLOW" ? "ALLOW" : "DENY";
  const denyAll = findings.unreadable.length > 0;
  const policy: AuthorizationPolicy = {
    namespace,
    name,
    scope: scopeOf(selector, namespace, settings),
    action: known,
    rules: denyAll ? (known === "ALLOW" ? [] : [[]]) : convertRules(spec.rules, known, namespace, findings),
    dryRun,
  };
  return { policy, selector, condition: denyAll ? brokenPolicy(findings) : accepted(known, findings) };
}

function convertRules(
  rules: unknown,
  action: PolicyAction,
  namespace: string,
  findings: Findings,
): AuthorizationPolicy["rules"] {
  if (rules === undefined || rules === null) return [];
  if (!Array.isArray(rules)) {
    findings.value("rules", rules);
    return action === "ALLOW" ? [] : [[]];
  }
  return rules.flatMap((rule, i) => {
    const clauses = convertRule(rule, `rules[${i}]`, { action, namespace, findings });
    return clauses ? [clauses] : [];
  });
}

function scopeOf(selector: Labels | undefined, namespace: string, { rootNamespace }: MeshSettings): PolicyScope {
  if (selector) return "WORKLOAD_SELECTOR";
  return namespace === rootNamespace ? "GLOBAL" : "NAMESPACE";
}

/** The labels of `spec.selector`. What cannot be read is noted and left out, so that the policy covers more, not fewer. */
function selectorOf(selector: unknown, findings: Findings): Labels | undefined {
  if (selector === undefined || selector === null) return undefined;
  if (!isObject(selector)) {
    findings.value("selector", selector);
    return {};
  }
  const labels: Record<string, string> = {};
  for (const [field, value] of Object.entries(selector)) {
    if (field !== "matchLabels") findings.field(`selector.${field}`);
    else if (!isObject(value)) findings.value("selector.matchLabels", value);
    else {
      for (const [key, text] of Object.entries(value)) {
        if (typeof text === "string") labels[key] = text;
        else findings.value(`selector.matchLabels["${key}"]`, text);
      }
    }
  }
  return labels;
}

interface Target {
  readonly kind: string;
  readonly name: string;
}

function targetsOf({ targetRef, targetRefs }: Record<string, unknown>): Target[] {
  const all = [...(isObject(targetRef) ? [targetRef] : []), ...(Array.isArray(targetRefs) ? targetRefs : [])];
  return all.filter(isObject).map(({ kind, name }) => ({ kind: text(kind), name: text(name) }));
}

function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

function rejected(message: string): StatusCondition {
  return { type: "ZtunnelAccepted", status: "False", reason: "UnsupportedValue", message };
}

function brokenPolicy(findings: Findings): StatusCondition {
  return {
    type: "ZtunnelAccepted",
    status: "True",
    reason: "UnsupportedValue",
    message: `cannot be understood (${findings.unreadable.join("; ")}). ` +
      "Until that is corrected the policy denies all traffic of the workloads it applies to.",
  };
}

/** Says what was taken over, and what was not. */
function accepted(action: PolicyAction, findings: Findings): StatusCondition {
  const base = { type: "ZtunnelAccepted", status: "True" } as const;
  if (findings.clean) return { ...base, reason: "Accepted", message: "attached to ztunnel" };
  const parts: string[] = [];
  if (findings.http.size > 0) {
    parts.push(
      `ztunnel does not support HTTP attributes (found: ${[...findings.http].sort().join(", ")}). ` +
        "In ambient mode you must use a waypoint proxy to enforce HTTP rules.",
    );
  }
  if (findings.unreadable.length > 0) parts.push(`These cannot be understood: ${findings.unreadable.join("; ")}.`);
  const [what, which] = findings.http.size > 0 ? ["HTTP attributes", "HTTP attributes"] : ["them", "they"];
  if (action === "ALLOW") {
    parts.push(
      findings.omittedRules > 0
        ? `Within an ALLOW policy, rules matching ${what} are omitted. This will be more restrictive than requested.`
        : "Within an ALLOW policy, they match nothing. This will be more restrictive than requested.",
    );
  } else if (findings.deniesAll) {
    parts.push(
      `Within a DENY policy, ${which} are left out; a rule without anything else denies all traffic. ` +
        "This will be more restrictive than requested.",
    );
  } else {
    parts.push(
      findings.widened
        ? `Within a DENY policy, ${which} are left out and the rest is enforced. This will be more restrictive than requested.`
        : "Within a DENY policy, such exceptions do not count. This will be more restrictive than requested.",
    );
  }
  return { ...base, reason: "UnsupportedValue", message: parts.join(" ") };
}
