import type { KubeObject, PodUsage } from "../../contracts.ts";
import { parseQuantity } from "../kit/quantity.ts";

/** What a metric says now. */
export interface Reading {
  /** Times the target: 1 is right, 2 means twice as much as wanted. */
  readonly ratio: number;
  /** As `status.currentMetrics` holds it. */
  readonly current: unknown;
}

/** Why a metric says nothing. */
export interface Silence {
  readonly reason: string;
  readonly message: string;
}

/** Reads a metric of a HorizontalPodAutoscaler: CPU and memory, of whole pods or of one container of each. */
export function readMetric(metric: any, pods: readonly KubeObject[], usage: readonly PodUsage[]): Reading | Silence {
  const kind = metric.type === "Resource" ? "resource" : metric.type === "ContainerResource" ? "containerResource" : "";
  const reason = `FailedGet${metric.type}Metric`;
  if (kind === "") return { reason, message: `there is no source of metrics of type ${metric.type} in this cluster` };
  const { name, container, target } = metric[kind];
  if (name !== "cpu" && name !== "memory") return { reason, message: `the resource "${name}" is not measured` };
  let used = 0, requested = 0, measured = 0;
  for (const pod of pods) {
    const found = usage.find((one) => one.namespace === pod.metadata.namespace && one.pod === pod.metadata.name);
    if (!found) continue;
    measured++;
    for (const one of found.containers.filter((each) => container === undefined || each.name === container)) {
      used += name === "cpu" ? one.cpuNanocores / 1e9 : one.memoryBytes;
    }
    for (const spec of pod.spec.containers.filter((each: any) => container === undefined || each.name === container)) {
      const request = spec.resources?.requests?.[name] ?? spec.resources?.limits?.[name];
      if (request === undefined && target.averageUtilization !== undefined) {
        return { reason, message: `missing request for ${name} in container ${spec.name} of pod ${pod.metadata.name}` };
      }
      requested += parseQuantity(request);
    }
  }
  if (measured === 0) return { reason, message: "no metrics returned from resource metrics API" };
  const average = used / measured;
  const averageValue = name === "cpu" ? `${Math.round(average * 1000)}m` : String(Math.round(average));
  const current = (extra: object) => ({
    type: metric.type,
    [kind]: { name, ...container === undefined ? {} : { container }, current: { averageValue, ...extra } },
  });
  if (target.averageUtilization !== undefined) {
    const averageUtilization = requested === 0 ? 0 : Math.floor(used * 100 / requested);
    return { ratio: averageUtilization / target.averageUtilization, current: current({ averageUtilization }) };
  }
  return { ratio: average / (parseQuantity(target.averageValue ?? target.value) || Infinity), current: current({}) };
}
