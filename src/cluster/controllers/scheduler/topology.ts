import type { KubeObject } from "../../contracts.ts";
import { isActive } from "../kit/pods.ts";
import { type LabelSelector, matchesSelector } from "../kit/selector.ts";
import { matchesNode, untolerated } from "./placement.ts";

/** What the scheduler knows of the cluster while it looks for a place. */
export interface ClusterView {
  nodes: KubeObject[];
  podsOn(node: string): KubeObject[];
  namespaceLabels(namespace: string): Record<string, string> | undefined;
}

interface AffinityTerm {
  labelSelector?: LabelSelector;
  namespaces?: string[];
  namespaceSelector?: LabelSelector;
  topologyKey: string;
}

const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";

function podsInDomain(view: ClusterView, node: KubeObject, topologyKey: string): KubeObject[] {
  const value = node.metadata.labels?.[topologyKey];
  if (value === undefined) return [];
  return view.nodes.filter((other) => other.metadata.labels?.[topologyKey] === value)
    .flatMap((other) => view.podsOn(other.metadata.name)).filter(isActive);
}

/** Whether `other` is a pod that `term`, written in a pod of namespace `home`, speaks of. */
function speaksOf(view: ClusterView, term: AffinityTerm, home: string, other: KubeObject): boolean {
  const namespace = other.metadata.namespace!;
  const named = term.namespaces?.includes(namespace) ||
    (term.namespaceSelector !== undefined &&
      matchesSelector(term.namespaceSelector, view.namespaceLabels(namespace))) ||
    (!term.namespaces?.length && term.namespaceSelector === undefined && namespace === home);
  return !!named && matchesSelector(term.labelSelector, other.metadata.labels);
}

/** Why required pod affinity and anti-affinity keep the pod from the node, in kube's words, or undefined. */
export function podAffinityReason(view: ClusterView, pod: KubeObject, node: KubeObject): string | undefined {
  const home = pod.metadata.namespace!;
  for (const term of (pod.spec?.affinity?.podAffinity?.[REQUIRED] ?? []) as AffinityTerm[]) {
    if (podsInDomain(view, node, term.topologyKey).some((other) => speaksOf(view, term, home, other))) continue;
    // The first pod of a group that wants to be near its own kind goes anywhere that has the topology.
    const alone = !view.nodes.some((other) =>
      view.podsOn(other.metadata.name).some((present) => isActive(present) && speaksOf(view, term, home, present))
    );
    if (alone && speaksOf(view, term, home, pod) && node.metadata.labels?.[term.topologyKey] !== undefined) continue;
    return "node(s) didn't match pod affinity rules";
  }
  for (const term of (pod.spec?.affinity?.podAntiAffinity?.[REQUIRED] ?? []) as AffinityTerm[]) {
    if (podsInDomain(view, node, term.topologyKey).some((other) => speaksOf(view, term, home, other))) {
      return "node(s) didn't match pod anti-affinity rules";
    }
  }
  for (const elsewhere of view.nodes) {
    for (const other of view.podsOn(elsewhere.metadata.name)) {
      const terms: AffinityTerm[] = other.spec?.affinity?.podAntiAffinity?.[REQUIRED] ?? [];
      if (terms.length === 0 || !isActive(other)) continue;
      for (const term of terms) {
        const domain = elsewhere.metadata.labels?.[term.topologyKey];
        if (domain === undefined || node.metadata.labels?.[term.topologyKey] !== domain) continue;
        if (speaksOf(view, term, other.metadata.namespace!, pod)) {
          return "node(s) didn't satisfy existing pods anti-affinity rules";
        }
      }
    }
  }
  return undefined;
}

/** Why a DoNotSchedule topology spread constraint keeps the pod from the node, in kube's words, or undefined. */
export function spreadReason(view: ClusterView, pod: KubeObject, node: KubeObject): string | undefined {
  for (const constraint of pod.spec?.topologySpreadConstraints ?? []) {
    if ((constraint.whenUnsatisfiable ?? "DoNotSchedule") !== "DoNotSchedule") continue;
    const domain = node.metadata.labels?.[constraint.topologyKey];
    if (domain === undefined) return "node(s) didn't match pod topology spread constraints (missing required label)";
    const counts = new Map<string, number>();
    for (const other of view.nodes) {
      const value = other.metadata.labels?.[constraint.topologyKey];
      if (value === undefined) continue;
      if ((constraint.nodeAffinityPolicy ?? "Honor") === "Honor" && !matchesNode(pod.spec, other)) continue;
      if (
        constraint.nodeTaintsPolicy === "Honor" &&
        untolerated(other.spec?.taints, pod.spec?.tolerations, ["NoSchedule", "NoExecute"])
      ) continue;
      const matching = view.podsOn(other.metadata.name).filter((present) =>
        isActive(present) && present.metadata.namespace === pod.metadata.namespace &&
        matchesSelector(constraint.labelSelector, present.metadata.labels)
      );
      counts.set(value, (counts.get(value) ?? 0) + matching.length);
    }
    const fewDomains = constraint.minDomains !== undefined && counts.size < constraint.minDomains;
    const least = fewDomains || counts.size === 0 ? 0 : Math.min(...counts.values());
    const self = matchesSelector(constraint.labelSelector, pod.metadata.labels) ? 1 : 0;
    if ((counts.get(domain) ?? 0) + self - least > constraint.maxSkew) {
      return "node(s) didn't match pod topology spread constraints";
    }
  }
  return undefined;
}
