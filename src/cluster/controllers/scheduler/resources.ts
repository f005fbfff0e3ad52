import type { KubeObject } from "../../contracts.ts";
import { parseQuantity } from "../kit/quantity.ts";
import { isTerminated } from "../kit/pods.ts";

/** Amounts by resource name: cpu in cores, memory in bytes, others in their own unit. */
export type Amounts = Record<string, number>;

const known = new WeakMap<KubeObject, Amounts>();

/**
 * What a pod asks of its node: the sum over its containers, or the largest of its init containers where that is more;
 * init containers that keep running (restartPolicy Always) count with the containers. Overhead is added.
 */
export function requestsOf(pod: KubeObject): Amounts {
  let total = known.get(pod);
  if (total) return total;
  total = {};
  for (const container of pod.spec?.containers ?? []) add(total, container.resources?.requests);
  const sidecars: Amounts = {};
  const peak: Amounts = {};
  for (const container of pod.spec?.initContainers ?? []) {
    const requests = container.resources?.requests;
    if (container.restartPolicy === "Always") {
      add(sidecars, requests);
      add(total, requests);
      raise(peak, sidecars);
    } else {
      const own: Amounts = { ...sidecars };
      add(own, requests);
      raise(peak, own);
    }
  }
  raise(total, peak);
  add(total, pod.spec?.overhead);
  known.set(pod, total);
  return total;
}

/** Names of the resources of which the node has too little left, with "pods" where it runs as many as it may. */
export function lacking(pod: KubeObject, node: KubeObject, onNode: KubeObject[]): string[] {
  const allocatable = node.status?.allocatable ?? node.status?.capacity ?? {};
  const running = onNode.filter((other) => !isTerminated(other));
  const missing: string[] = [];
  if (allocatable.pods !== undefined && running.length + 1 > parseQuantity(allocatable.pods)) missing.push("pods");
  for (const [name, wanted] of Object.entries(requestsOf(pod))) {
    if (wanted === 0) continue;
    const used = running.reduce((sum, other) => sum + (requestsOf(other)[name] ?? 0), 0);
    // Tolerates the last bits of a sum of decimal fractions such as ten times 0.1.
    if (used + wanted > parseQuantity(allocatable[name]) * (1 + 1e-9)) missing.push(name);
  }
  return missing;
}

function add(total: Amounts, requests: Record<string, string> | undefined): void {
  for (const [name, quantity] of Object.entries(requests ?? {})) {
    total[name] = (total[name] ?? 0) + parseQuantity(quantity);
  }
}

function raise(total: Amounts, floor: Amounts): void {
  for (const [name, amount] of Object.entries(floor)) total[name] = Math.max(total[name] ?? 0, amount);
}
