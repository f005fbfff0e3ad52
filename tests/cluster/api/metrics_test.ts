import assert from "node:assert/strict";
import { runningPod, TestServer } from "./support.ts";

Deno.test("metrics.k8s.io is discovered, and tells what the pods of a selector use", async () => {
  await using test = await TestServer.start();
  runningPod(test, "p");
  runningPod(test, "unmeasured");
  const groups = await test.call("GET", "/apis");
  assert.ok(groups.body.groups.some((group: { name: string }) => group.name === "metrics.k8s.io"));
  const resources = await test.call("GET", "/apis/metrics.k8s.io/v1beta1");
  assert.deepEqual(resources.body.resources.map((one: { kind: string }) => one.kind), ["NodeMetrics", "PodMetrics"]);
  const pods = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods";
  const { body } = await test.call("GET", pods);
  assert.deepEqual(body.items.map((item: any) => [item.metadata.name, item.window, item.containers]), [
    ["p", "15.000s", [{ name: "c", usage: { cpu: "2500000n", memory: "3072Ki" } }]],
  ]);
  assert.equal((await test.call("GET", `${pods}/p`)).body.kind, "PodMetrics");
  assert.equal((await test.call("GET", `${pods}/unmeasured`)).code, 404);
  assert.equal((await test.call("GET", `${pods}?labelSelector=app%3Dother`)).body.items.length, 0);
  assert.equal((await test.call("DELETE", `${pods}/p`)).code, 405);
});

Deno.test("a node's kubelet tells who may read nodes/metrics what its containers use", async () => {
  await using test = await TestServer.start();
  runningPod(test, "p");
  const port = test.kubeletPort;
  const { code, text } = await test.call("GET", "/metrics/cadvisor", { port });
  assert.equal(code, 200, text);
  assert.match(
    text,
    /^container_cpu_usage_seconds_total\{container="c",.*namespace="default",pod="p",cpu="total"\} 1.5$/m,
  );
  assert.match(text, /^container_memory_working_set_bytes\{container="c",.*pod="p"\} 3145728$/m);
  assert.match((await test.call("GET", "/metrics", { port })).text, /^kubelet_running_pods 1$/m);
  assert.equal((await test.call("GET", "/healthz", { port, token: null })).code, 200);
  assert.equal((await test.call("GET", "/metrics/cadvisor", { port, token: null })).code, 403);
  assert.equal((await test.call("GET", "/metrics", { port, token: "wrong" })).code, 401);
  assert.equal((await test.call("GET", "/pods", { port })).code, 404);
  assert.equal((await test.call("POST", "/metrics", { port })).code, 405);
});

Deno.test("a HorizontalPodAutoscaler is the same object in autoscaling/v1 and v2", async () => {
  await using test = await TestServer.start();
  const path = (version: string) => `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers`;
  const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
  const body = {
    apiVersion: "autoscaling/v1",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: "web" },
    spec: { scaleTargetRef, minReplicas: 1, maxReplicas: 3, targetCPUUtilizationPercentage: 60 },
  };
  const created = await test.call("POST", path("v1"), { body });
  assert.equal(created.code, 201, created.text);
  assert.deepEqual(created.body.spec, body.spec);
  const target = { type: "Utilization", averageUtilization: 60 };
  const cpu = { type: "Resource", resource: { name: "cpu", target } };
  const memory = {
    type: "Resource",
    resource: { name: "memory", target: { type: "AverageValue", averageValue: "1Gi" } },
  };
  assert.deepEqual((await test.call("GET", `${path("v2")}/web`)).body.spec.metrics, [cpu]);
  const patched = await test.call("PATCH", `${path("v2")}/web`, {
    body: { spec: { metrics: [cpu, memory], behavior: { scaleDown: { stabilizationWindowSeconds: 5 } } } },
    type: "application/merge-patch+json",
  });
  assert.equal(patched.code, 200, patched.text);
  const first = (await test.call("GET", `${path("v1")}/web`)).body;
  assert.equal(first.spec.targetCPUUtilizationPercentage, 60);
  first.spec.maxReplicas = 5;
  assert.equal((await test.call("PUT", `${path("v1")}/web`, { body: first })).code, 200);
  const { spec, metadata } = (await test.call("GET", `${path("v2")}/web`)).body;
  assert.deepEqual([spec.maxReplicas, spec.metrics, spec.behavior.scaleDown.stabilizationWindowSeconds], [
    5,
    [cpu, memory],
    5,
  ]);
  assert.equal(metadata.annotations, undefined);
  const bad = await test.call("POST", path("v1"), { body: { ...body, metadata: { name: "bad" }, spec: {} } });
  assert.equal(bad.code, 422);
});
