import type { KubeObject } from "../../contracts.ts";
import { type Condition, withCondition } from "../kit/conditions.ts";
import type { ControllerContext } from "../kit/context.ts";
import { isActive, isReady } from "../kit/pods.ts";
import { matchesSelector } from "../kit/selector.ts";
import { timestamp } from "../kit/time.ts";
import { AUTOSCALERS, DEPLOYMENTS, keyOf, PODS, REPLICA_SETS, splitKey, STATEFUL_SETS } from "../kit/types.ts";
import { writeStatus } from "../kit/writes.ts";
import { readMetric } from "./metrics.ts";

const COMPONENT = "horizontal-pod-autoscaler";

/** How often an autoscaler looks, as kube-controller-manager's `--horizontal-pod-autoscaler-sync-period`. */
const SYNC_MS = 15_000;
/** Within this share of the target nothing is done. */
const TOLERANCE = 0.1;
/** Before a scale down the highest recommendation of this long counts. */
const DOWN_WINDOW_S = 300;
/** At most so many times, or so many pods, are added in one step. */
const UP_FACTOR = 2, UP_PODS = 4;

/** Scales Deployments, ReplicaSets and StatefulSets by what their pods use. */
export function startAutoscalers({ api, caches, runner, events, clock, usage }: ControllerContext): void {
  const autoscalers = caches.of(AUTOSCALERS);
  const pods = caches.of(PODS);
  const targets: Record<string, { cache: ReturnType<typeof caches.of>; type: typeof DEPLOYMENTS }> = {
    Deployment: { cache: caches.of(DEPLOYMENTS), type: DEPLOYMENTS },
    ReplicaSet: { cache: caches.of(REPLICA_SETS), type: REPLICA_SETS },
    StatefulSet: { cache: caches.of(STATEFUL_SETS), type: STATEFUL_SETS },
  };
  /** What was recommended of late, by autoscaler. */
  const recommended = new Map<string, { atMs: number; replicas: number }[]>();
  const queue = runner.register("horizontalpodautoscaler", reconcile);

  autoscalers.onChange((event, autoscaler, previous) => {
    if (event === "DELETED") return void recommended.delete(keyOf(autoscaler));
    if (previous?.metadata.generation !== autoscaler.metadata.generation) queue.add(keyOf(autoscaler));
  });

  function reconcile(key: string): void {
    const autoscaler = autoscalers.get(key);
    if (!autoscaler) return;
    queue.addAfter(key, SYNC_MS);
    const { namespace } = splitKey(key), now = clock.now();
    const { scaleTargetRef, minReplicas = 1, maxReplicas } = autoscaler.spec;
    const set = (conditions: Condition[] | undefined, type: string, ok: boolean, reason: string, message: string) =>
      withCondition(conditions, { type, status: ok ? "True" : "False", reason, message }, now);
    const known = Object.hasOwn(targets, scaleTargetRef.kind) ? targets[scaleTargetRef.kind] : undefined;
    const target = known?.cache.find(namespace, scaleTargetRef.name);
    const status = { ...autoscaler.status, observedGeneration: autoscaler.metadata.generation };
    if (!known || !target) {
      const message = `there is no ${scaleTargetRef.kind} "${scaleTargetRef.name}" that can be scaled`;
      const conditions = set(status.conditions, "AbleToScale", false, "FailedGetScale", message);
      return void writeStatus(api, AUTOSCALERS, autoscaler, {
        currentReplicas: 0,
        desiredReplicas: 0,
        ...status,
        conditions,
      });
    }
    const replicas: number = target.spec.replicas ?? 1;
    const mine = pods.inNamespace(namespace!).filter((pod) =>
      isActive(pod) && matchesSelector(target.spec.selector, pod.metadata.labels)
    );
    const readings = (autoscaler.spec.metrics ?? []).map((metric: any) =>
      readMetric(metric, mine.filter(isReady), usage())
    );
    const valid = readings.filter((one: any) => "ratio" in one);
    let desired = replicas, conditions: Condition[] | undefined = status.conditions;
    if (replicas === 0) {
      conditions = set(
        conditions,
        "ScalingActive",
        false,
        "ScalingDisabled",
        "scaling is disabled since the replica count of the target is zero",
      );
    } else if (valid.length === 0) {
      const [{ reason = "InvalidMetrics", message = "there are no metrics" } = {}] = readings;
      conditions = set(
        conditions,
        "ScalingActive",
        false,
        reason,
        `the HPA was unable to compute the replica count: ${message}`,
      );
    } else {
      conditions = set(
        conditions,
        "ScalingActive",
        true,
        "ValidMetricFound",
        "the HPA was able to successfully calculate a replica count",
      );
      const wanted = Math.max(
        ...valid.map(({ ratio }: { ratio: number }) =>
          Math.abs(ratio - 1) <= TOLERANCE ? replicas : Math.ceil(ratio * Math.max(1, mine.filter(isReady).length))
        ),
      );
      // With a metric that says nothing, nothing is taken away.
      desired = valid.length < readings.length ? Math.max(wanted, replicas) : wanted;
      desired = stabilised(key, autoscaler, desired, replicas, now);
    }
    const unlimited = desired;
    if (replicas > 0) desired = Math.min(maxReplicas, Math.max(minReplicas, desired));
    const limited = unlimited > desired ? "TooManyReplicas" : unlimited < desired ? "TooFewReplicas" : "";
    conditions = set(
      conditions,
      "ScalingLimited",
      limited !== "",
      limited || "DesiredWithinRange",
      limited
        ? `the desired replica count is ${
          limited === "TooManyReplicas" ? "more than the maximum" : "less than the minimum"
        } replica count`
        : "the desired count is within the acceptable range",
    );
    conditions = set(
      conditions,
      "AbleToScale",
      true,
      desired === replicas ? "ReadyForNewScale" : "SucceededRescale",
      desired === replicas
        ? "recommended size matches current size"
        : `the HPA controller was able to update the target scale to ${desired}`,
    );
    if (desired !== replicas) {
      api.patch(known.type, namespace, target.metadata.name, "merge", { spec: { replicas: desired } }, {
        fieldManager: "horizontal-pod-autoscaler",
      });
      const than = desired > replicas ? "above target" : "All metrics below target";
      events.normal(autoscaler, COMPONENT, "SuccessfulRescale", `New size: ${desired}; reason: ${than}`);
    }
    const currentMetrics = valid.map(({ current }: { current: unknown }) => current);
    writeStatus(api, AUTOSCALERS, autoscaler, {
      ...status,
      currentReplicas: mine.length,
      desiredReplicas: desired,
      ...currentMetrics.length > 0 ? { currentMetrics } : {},
      ...desired === replicas ? {} : { lastScaleTime: timestamp(now) },
      conditions,
    });
  }

  /** The highest recommendation of the window before a scale down; a scale up goes in steps. */
  function stabilised(key: string, { spec }: KubeObject, wanted: number, replicas: number, now: number): number {
    const windowMs = 1000 * (spec.behavior?.scaleDown?.stabilizationWindowSeconds ?? DOWN_WINDOW_S);
    const recent = (recommended.get(key) ?? [{ atMs: now, replicas }]).filter(({ atMs }) => now - atMs < windowMs);
    recent.push({ atMs: now, replicas: wanted });
    recommended.set(key, recent);
    if (wanted < replicas) return Math.min(replicas, Math.max(...recent.map((one) => one.replicas)));
    return Math.min(wanted, Math.max(replicas * UP_FACTOR, replicas + UP_PODS));
  }
}
