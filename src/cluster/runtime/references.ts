import type { KubeObject } from "../contracts.ts";

/** What a pod's fields are read from besides its own object. */
export interface PodFacts {
  pod: KubeObject;
  podIP?: string;
  nodeName: string;
  hostIP: string;
  /** The node's allocatable amounts, which stand in for limits that a container does not set. */
  allocatable: { cpu: string; memory: string };
}

/**
 * The value that a `fieldRef.fieldPath` names, as the downward API writes it.
 *
 * @returns undefined when there is no such field
 */
export function fieldValue(facts: PodFacts, path: string): string | undefined {
  const { pod } = facts;
  const keyed = /^metadata\.(annotations|labels)\['(.*)'\]$/.exec(path);
  if (keyed) {
    const map = pod.metadata[keyed[1] as "labels"] ?? {};
    return Object.hasOwn(map, keyed[2]) ? map[keyed[2]] : "";
  }
  switch (path) {
    case "metadata.name":
      return pod.metadata.name;
    case "metadata.namespace":
      return pod.metadata.namespace ?? "";
    case "metadata.uid":
      return pod.metadata.uid ?? "";
    case "metadata.labels":
    case "metadata.annotations":
      return Object.entries(pod.metadata[path.slice(9)] as Record<string, string> ?? {}).sort(([a], [b]) =>
        a < b ? -1 : 1
      )
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`).join("\n");
    case "spec.nodeName":
      return facts.nodeName;
    case "spec.serviceAccountName":
      return pod.spec?.serviceAccountName ?? "default";
    case "status.hostIP":
    case "status.hostIPs":
      return facts.hostIP;
    case "status.podIP":
    case "status.podIPs":
      return facts.podIP ?? "";
    default:
      return undefined;
  }
}

const SUFFIX: Record<string, number> = {
  ...{ m: 1e-3, "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18, n: 1e-9, u: 1e-6 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 },
};

/** The number of a Kubernetes quantity such as `500m`, `2Gi` or `1e3`; NaN when it is none. */
export function quantity(text: string | number): number {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i)?$/.exec(String(text).trim());
  return match ? Number(match[1]) * SUFFIX[match[2] ?? ""] : NaN;
}

/**
 * The value of a `resourceFieldRef`: the amount divided by the divisor, rounded up.
 *
 * @returns undefined when there is no such container or resource
 */
export function resourceValue(
  facts: PodFacts,
  ref: { resource: string; divisor?: string; containerName?: string },
  ownContainer?: string,
): string | undefined {
  const name = ref.containerName ?? ownContainer;
  const spec = facts.pod.spec ?? {};
  const container = [...spec.containers ?? [], ...spec.initContainers ?? []].find((one: any) => one.name === name);
  const match = /^(limits|requests)\.(cpu|memory|ephemeral-storage)$/.exec(ref.resource);
  if (!container || !match) return undefined;
  const [, kind, resource] = match;
  const set = container.resources?.[kind]?.[resource] ??
    (kind === "limits" ? facts.allocatable[resource as "cpu" | "memory"] : undefined) ?? "0";
  const divisor = quantity(ref.divisor && ref.divisor !== "0" ? ref.divisor : "1");
  // Floating point must not turn 3.0000000000000004 into 4.
  return String(Math.ceil(Number((quantity(set) / divisor).toPrecision(12))));
}

/** Replaces `$(NAME)` by the variable's value; unknown names stay as they are and `$$(NAME)` is a literal `$(NAME)`. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^()]*)\)/g, (whole, name) => {
    if (whole === "$$") return "$";
    return Object.hasOwn(env, name) ? env[name] : whole;
  });
}

/** A Secret's or ConfigMap's values as bytes, by key. */
export function dataOf(object: KubeObject): Map<string, Uint8Array> {
  const data = new Map<string, Uint8Array>();
  const encoder = new TextEncoder();
  if (object.kind === "Secret") {
    for (const [key, value] of Object.entries(object.data ?? {})) data.set(key, fromBase64(String(value)));
    return data;
  }
  for (const [key, value] of Object.entries(object.data ?? {})) data.set(key, encoder.encode(String(value)));
  for (const [key, value] of Object.entries(object.binaryData ?? {})) data.set(key, fromBase64(String(value)));
  return data;
}

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
