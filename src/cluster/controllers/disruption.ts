import type { KubeObject } from "../contracts.ts";
import { type Condition, withCondition } from "./kit/conditions.ts";
import type { ControllerContext } from "./kit/context.ts";
import { isReady, isTerminated } from "./kit/pods.ts";
import { scaledValue } from "./kit/quantity.ts";
import { type LabelSelector, matchesSelector } from "./kit/selector.ts";
import {
  controllerOf,
  DEPLOYMENTS,
  DISRUPTION_BUDGETS,
  keyOf,
  PODS,
  REPLICA_SETS,
  STATEFUL_SETS,
} from "./kit/types.ts";
import { writeStatus } from "./kit/writes.ts";

/** How long an eviction that was granted may take before it no longer counts. */
const EVICTION_MS = 120_000;

/** Keeps the status of PodDisruptionBudgets, which says whether an eviction would be granted. */
export function startDisruptionBudgets({ api, caches, runner, clock }: ControllerContext): void {
  const budgets = caches.of(DISRUPTION_BUDGETS);
  const pods = caches.of(PODS);
  const owners = { Deployment: caches.of(DEPLOYMENTS), StatefulSet: caches.of(STATEFUL_SETS) };
  const sets = caches.of(REPLICA_SETS);
  const queue = runner.register("disruption", reconcile);

  budgets.onChange((_event, budget) => queue.add(keyOf(budget)));
  pods.onChange((_event, pod, previous) => {
    for (const budget of budgets.inNamespace(pod.metadata.namespace!)) {
      if (selects(budget, pod) || (previous && selects(budget, previous))) queue.add(keyOf(budget));
    }
  });
  for (const cache of [...Object.values(owners), sets]) {
    cache.onChange((event, owner, previous) => {
      if (event !== "DELETED" && owner.spec.replicas === previous?.spec.replicas) return;
      for (const budget of budgets.inNamespace(owner.metadata.namespace!)) queue.add(keyOf(budget));
    });
  }

  /** How many pods there should be: the sum over the pods' controllers of what they ask for. */
  function expectedPods(covered: KubeObject[]): number {
    const counted = new Map<string, number>();
    for (const pod of covered) {
      const owner = controllerOf(pod);
      if (!owner) {
        counted.set(pod.metadata.uid!, 1);
        continue;
      }
      const set = owner.kind === "ReplicaSet" ? sets.find(pod.metadata.namespace, owner.name) : undefined;
      const above = set && controllerOf(set);
      const deployment = above?.kind === "Deployment"
        ? owners.Deployment.find(pod.metadata.namespace, above.name)
        : undefined;
      const stateful = owner.kind === "StatefulSet"
        ? owners.StatefulSet.find(pod.metadata.namespace, owner.name)
        : undefined;
      const scaled = deployment ?? set ?? stateful;
      if (scaled) counted.set(scaled.metadata.uid!, scaled.spec.replicas ?? 1);
      else counted.set(pod.metadata.uid!, 1);
    }
    return [...counted.values()].reduce((sum, n) => sum + n, 0);
  }

  function reconcile(key: string): void {
    const budget = budgets.get(key);
    if (!budget) return;
    const covered = pods.inNamespace(budget.metadata.namespace!).filter((pod) =>
      selects(budget, pod) && !isTerminated(pod)
    );
    const { minAvailable, maxUnavailable } = budget.spec;
    const expected = maxUnavailable !== undefined || typeof minAvailable === "string"
      ? expectedPods(covered)
      : covered.length;
    const desired = maxUnavailable !== undefined
      ? Math.max(0, expected - scaledValue(maxUnavailable, expected, "up"))
      : scaledValue(minAvailable ?? 1, expected, "up");
    const now = clock.now();
    const disrupted: Record<string, string> = {};
    for (const [name, at] of Object.entries(budget.status?.disruptedPods ?? {}) as [string, string][]) {
      const pod = covered.find((pod) => pod.metadata.name === name);
      const left = Date.parse(at) + EVICTION_MS - now;
      if (!pod || pod.metadata.deletionTimestamp || left <= 0) continue;
      disrupted[name] = at;
      queue.addAfter(key, left);
    }
    const healthy =
      covered.filter((pod) => isReady(pod) && !pod.metadata.deletionTimestamp && !(pod.metadata.name in disrupted))
        .length;
    const allowed = expected > 0 ? Math.max(0, healthy - desired) : 0;
    const conditions: Condition[] = withCondition(budget.status?.conditions, {
      type: "DisruptionAllowed",
      status: allowed > 0 ? "True" : "False",
      reason: allowed > 0 ? "SufficientPods" : "InsufficientPods",
      message: "",
      observedGeneration: budget.metadata.generation,
    }, now);
    writeStatus(api, DISRUPTION_BUDGETS, budget, {
      currentHealthy: healthy,
      desiredHealthy: desired,
      disruptionsAllowed: allowed,
      expectedPods: expected,
      ...(Object.keys(disrupted).length > 0 ? { disruptedPods: disrupted } : {}),
      observedGeneration: budget.metadata.generation,
      conditions,
    });
  }
}

/** policy/v1: an absent selector selects nothing, an empty one every pod of the namespace. */
function selects(budget: KubeObject, pod: KubeObject): boolean {
  return matchesSelector(budget.spec?.selector as LabelSelector | undefined, pod.metadata.labels);
}
