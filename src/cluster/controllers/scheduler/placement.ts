import type { KubeObject } from "../../contracts.ts";
import { matchesExpression, matchesLabels } from "../kit/selector.ts";

export interface Taint {
  key: string;
  value?: string;
  effect: "NoSchedule" | "PreferNoSchedule" | "NoExecute";
  timeAdded?: string;
}

export interface Toleration {
  key?: string;
  operator?: string;
  value?: string;
  effect?: string;
  tolerationSeconds?: number;
}

export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === "Exists") return true;
  // An empty key is for Exists only.
  return !!toleration.key && (toleration.value ?? "") === (taint.value ?? "");
}

/** The first taint with one of the effects that no toleration covers. */
export function untolerated(
  taints: Taint[] | undefined,
  tolerations: Toleration[] | undefined,
  effects: Taint["effect"][],
): Taint | undefined {
  return taints?.find((taint) =>
    effects.includes(taint.effect) && !tolerations?.some((toleration) => tolerates(toleration, taint))
  );
}

/** Whether the node is one that the pod's nodeSelector and required node affinity ask for. */
export function matchesNode(spec: any, node: KubeObject): boolean {
  if (!matchesLabels(spec?.nodeSelector, node.metadata.labels)) return false;
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return !required || (required.nodeSelectorTerms ?? []).some((term: any) => matchesTerm(term, node));
}

/** One term of node affinity. A term without any requirement matches no node. */
export function matchesTerm(term: any, node: KubeObject): boolean {
  const expressions = term?.matchExpressions ?? [];
  const fields = term?.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  return expressions.every((expression: any) => matchesExpression(expression, node.metadata.labels)) &&
    fields.every((field: any) => matchesExpression(field, { "metadata.name": node.metadata.name }));
}
