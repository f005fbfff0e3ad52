import assert from "node:assert/strict";
import type { KubeObject, PodUsage } from "../../../src/cluster/contracts.ts";
import { readMetric } from "../../../src/cluster/controllers/autoscaler/metrics.ts";
import { AUTOSCALERS, DEPLOYMENTS, PODS } from "../../../src/cluster/controllers/kit/types.ts";
import { withHarness } from "./harness.ts";

const pod = (name: string, request?: string): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { containers: [{ name: "c", resources: request ? { requests: { cpu: request } } : {} }] },
});
const used = (name: string, millicores: number): PodUsage => ({
  ...{ namespace: "default", pod: name, node: "n", atMs: 0, windowMs: 15_000 },
  containers: [{ name: "c", cpuNanocores: millicores * 1e6, cpuSeconds: 1, memoryBytes: 64 << 20 }],
});
const cpu = (target: object) => ({ type: "Resource", resource: { name: "cpu", target } });

for (
  const { name, metric, pods, usage, expected } of [
    {
      name: "utilization is used by requested, over all pods",
      metric: cpu({ type: "Utilization", averageUtilization: 50 }),
      pods: [pod("a", "100m"), pod("b", "100m")],
      usage: [used("a", 150), used("b", 50)],
      expected: 2,
    },
    {
      name: "an average value needs no requests",
      metric: {
        type: "Resource",
        resource: { name: "memory", target: { type: "AverageValue", averageValue: "32Mi" } },
      },
      pods: [pod("a")],
      usage: [used("a", 1)],
      expected: 2,
    },
    {
      name: "a request that is missing is named",
      metric: cpu({ type: "Utilization", averageUtilization: 50 }),
      pods: [pod("a")],
      usage: [used("a", 1)],
      expected: /missing request for cpu in container c of pod a/,
    },
    {
      name: "without measurements there is nothing to say",
      metric: cpu({ type: "Utilization", averageUtilization: 50 }),
      pods: [pod("a", "1")],
      usage: [],
      expected: /no metrics returned/,
    },
    {
      name: "external metrics have no source here",
      metric: { type: "External", external: {} },
      pods: [],
      usage: [],
      expected: /no source of metrics of type External/,
    },
  ]
) {
  Deno.test(`readMetric(): ${name}`, () => {
    const result = readMetric(metric, pods, usage);
    if (expected instanceof RegExp) assert.match((result as { message: string }).message, expected);
    else assert.equal((result as { ratio: number }).ratio, expected);
  });
}

Deno.test("an autoscaler scales up by what the pods use, down only after its window, and within its limits", () =>
  withHarness({}, async (harness) => {
    let millicores = 100;
    harness.usage = () => harness.api.list(PODS).map(({ metadata }) => used(metadata.name, millicores));
    const labels = { app: "web" };
    harness.api.create(DEPLOYMENTS, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "default" },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: { containers: [{ name: "c", image: "x", resources: { requests: { cpu: "100m" } } }] },
        },
      },
    });
    await harness.settle();
    await harness.run();
    harness.api.create(AUTOSCALERS, {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name: "web", namespace: "default" },
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        minReplicas: 1,
        maxReplicas: 3,
        metrics: [cpu({ type: "Utilization", averageUtilization: 50 })],
        behavior: { scaleDown: { stabilizationWindowSeconds: 60 } },
      },
    });
    const replicas = () => harness.api.get(DEPLOYMENTS, "default", "web")!.spec.replicas;
    const status = () => harness.api.get(AUTOSCALERS, "default", "web")!.status;
    await harness.settle();
    assert.equal(replicas(), 2);
    assert.equal(status().currentMetrics[0].resource.current.averageUtilization, 100);
    await harness.run();
    await harness.advance(15_000);
    assert.equal(replicas(), 3, "twice as much as wanted is four, the limit three");
    assert.equal(status().conditions.find((one: any) => one.type === "ScalingLimited").reason, "TooManyReplicas");
    await harness.run();
    millicores = 5;
    await harness.advance(30_000);
    assert.equal(replicas(), 3, "the window holds");
    await harness.advance(60_000);
    assert.equal(replicas(), 1);
    harness.api.delete(DEPLOYMENTS, "default", "web");
    await harness.advance(15_000);
    assert.equal(status().conditions.find((one: any) => one.type === "AbleToScale").reason, "FailedGetScale");
  }));
