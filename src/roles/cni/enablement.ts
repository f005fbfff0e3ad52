import { parse } from "yaml";
import { MeshError } from "../../core/errors.ts";

/** The part of a Pod that the agent reads. */
export interface AgentPod {
  metadata: {
    uid: string;
    name: string;
    namespace: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    deletionTimestamp?: unknown;
  };
  spec: { nodeName?: string; hostNetwork?: boolean; serviceAccountName?: string };
  status?: { phase?: string; podIP?: string; podIPs?: { ip?: string }[] };
}

export type Labels = Readonly<Record<string, string>>;

export interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
    readonly values?: readonly string[];
  }[];
}

/** A pod joins when any pair matches: both halves must, and an empty half matches everything. */
export interface EnablementSelector {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
}

const MODE = "istio.io/dataplane-mode";

export const DEFAULT_SELECTORS: readonly EnablementSelector[] = [
  { podSelector: { matchLabels: { [MODE]: "ambient" } } },
  {
    podSelector: { matchExpressions: [{ key: MODE, operator: "NotIn", values: ["none"] }] },
    namespaceSelector: { matchLabels: { [MODE]: "ambient" } },
  },
];

/** Annotation by which the agent says that a pod is captured. */
export const REDIRECTION = "ambient.istio.io/redirection";
const SIDECAR = "sidecar.istio.io/status";

/**
 * Reads `AMBIENT_ENABLEMENT_SELECTOR`; "" is Istio's default.
 *
 * @throws MeshError `invalid_config`
 */
export function parseSelectors(text: string): readonly EnablementSelector[] {
  if (text.trim() === "") return DEFAULT_SELECTORS;
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw new MeshError("invalid_config", "cannot read AMBIENT_ENABLEMENT_SELECTOR as YAML", { cause });
  }
  if (!Array.isArray(value) || value.some((pair) => typeof pair !== "object" || pair === null)) {
    throw new MeshError("invalid_config", "AMBIENT_ENABLEMENT_SELECTOR is not a list of selector pairs");
  }
  for (const pair of value as EnablementSelector[]) {
    for (const half of [pair.podSelector, pair.namespaceSelector]) {
      for (const { operator } of half?.matchExpressions ?? []) {
        if (!["In", "NotIn", "Exists", "DoesNotExist"].includes(operator)) {
          throw new MeshError("invalid_config", `AMBIENT_ENABLEMENT_SELECTOR: "${operator}" is not an operator`);
        }
      }
    }
  }
  return value as EnablementSelector[];
}

export function matchesLabels(selector: LabelSelector | undefined, labels: Labels): boolean {
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    if (labels[key] !== value) return false;
  }
  return (selector?.matchExpressions ?? []).every(({ key, operator, values }) => {
    const value = labels[key];
    switch (operator) {
      case "In":
        return value !== undefined && (values ?? []).includes(value);
      case "NotIn":
        return value === undefined || !(values ?? []).includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
    }
  });
}

export interface Enablement {
  readonly selectors: readonly EnablementSelector[];
  readonly excludeNamespaces: readonly string[];
}

/** Whether a pod belongs into the mesh, with the reason for people. */
export function wantsCapture(
  pod: AgentPod,
  namespaceLabels: Labels,
  rules: Enablement,
): { readonly wanted: boolean; readonly because: string } {
  if (pod.spec.hostNetwork) return { wanted: false, because: "it uses the host's network" };
  if (pod.metadata.annotations?.[SIDECAR] !== undefined) return { wanted: false, because: "it has a sidecar" };
  if (rules.excludeNamespaces.includes(pod.metadata.namespace)) {
    return { wanted: false, because: `namespace "${pod.metadata.namespace}" is excluded` };
  }
  const labels = pod.metadata.labels ?? {};
  const wanted = rules.selectors.some((pair) =>
    matchesLabels(pair.podSelector, labels) && matchesLabels(pair.namespaceSelector, namespaceLabels)
  );
  return { wanted, because: wanted ? "its labels or its namespace's ask for it" : "no label asks for it" };
}

/** The pod has ended: its containers will not run again. */
export function isTerminal(pod: AgentPod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export function podIps(pod: AgentPod): string[] {
  const ips = (pod.status?.podIPs ?? []).map((entry) => entry.ip ?? "").filter((ip) => ip !== "");
  return ips.length > 0 ? ips : pod.status?.podIP ? [pod.status.podIP] : [];
}
