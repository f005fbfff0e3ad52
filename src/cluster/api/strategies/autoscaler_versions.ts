import type { KubeObject } from "../../contracts.ts";

/** Where `autoscaling/v1` keeps what it has no field for, under Kubernetes' own names. */
const METRICS = "autoscaling.alpha.kubernetes.io/metrics", BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior";

/** A HorizontalPodAutoscaler in another version. */
export function convertAutoscaler(object: KubeObject, version: string): KubeObject {
  const apiVersion = `autoscaling/${version}`;
  if (object.apiVersion === apiVersion) return object;
  return version === "v1" ? toV1({ ...object, apiVersion }) : toV2({ ...object, apiVersion });
}

function isCpu(metric: any): boolean {
  return metric.type === "Resource" && metric.resource?.name === "cpu";
}

function toV1(object: KubeObject): KubeObject {
  const { metrics = [], behavior, ...spec } = object.spec ?? {};
  const cpu = metrics.find((one: any) => isCpu(one) && one.resource.target?.averageUtilization !== undefined);
  const others = metrics.filter((one: any) => one !== cpu);
  const annotations = { ...object.metadata.annotations };
  if (others.length > 0) annotations[METRICS] = JSON.stringify(others);
  if (behavior) annotations[BEHAVIOR] = JSON.stringify(behavior);
  const { currentMetrics = [], conditions: _, ...status } = object.status ?? {};
  const current = currentMetrics.find(isCpu)?.resource.current?.averageUtilization;
  return {
    ...object,
    metadata: { ...object.metadata, ...Object.keys(annotations).length > 0 ? { annotations } : {} },
    spec: { ...spec, ...cpu ? { targetCPUUtilizationPercentage: cpu.resource.target.averageUtilization } : {} },
    ...object.status
      ? { status: { ...status, ...current === undefined ? {} : { currentCPUUtilizationPercentage: current } } }
      : {},
  };
}

function toV2(object: KubeObject): KubeObject {
  const { targetCPUUtilizationPercentage: percent, ...spec } = object.spec ?? {};
  const { [METRICS]: others, [BEHAVIOR]: behavior, ...annotations } = object.metadata.annotations ?? {};
  const metrics = [
    ...percent === undefined || percent === null
      ? []
      : [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: percent } } }],
    ...parsed(others, Array.isArray) ?? [],
  ];
  const metadata = { ...object.metadata, annotations };
  if (Object.keys(annotations).length === 0) delete (metadata as KubeObject["metadata"]).annotations;
  const converted: KubeObject = {
    ...object,
    metadata,
    spec: {
      ...spec,
      ...metrics.length > 0 ? { metrics } : {},
      ...behavior === undefined ? {} : { behavior: parsed(behavior, (value) => typeof value === "object") },
    },
  };
  const { currentCPUUtilizationPercentage: _, ...status } = object.status ?? {};
  if (object.status) converted.status = status;
  return converted;
}

/** What an annotation holds, unless somebody wrote nonsense into it. */
function parsed(text: string | undefined, is: (value: unknown) => boolean): any {
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text);
    return is(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
