import assert from "node:assert/strict";
import { type ContainerRecord, podPhase, podStatus, qosClass } from "../../../src/cluster/runtime/status.ts";
import type { KubeObject } from "../../../src/cluster/contracts.ts";

const NOW = "2026-01-01T00:00:10Z", BEFORE = "2026-01-01T00:00:00Z";

function record(name: string, change: Partial<ContainerRecord> = {}): ContainerRecord {
  return {
    ...{ name, image: "busybox", kind: "main", state: { waiting: { reason: "ContainerCreating" } }, lastState: {} },
    ...{ restartCount: 0, started: false, ready: false },
    ...change,
  } as ContainerRecord;
}
const running = { running: { startedAt: BEFORE } };
const exited = (exitCode: number) => ({
  terminated: { exitCode, reason: exitCode ? "Error" : "Completed", finishedAt: BEFORE },
});
const crashing = { waiting: { reason: "CrashLoopBackOff" } };

Deno.test("podPhase() follows the kubelet's rules", () => {
  const cases: [string, ContainerRecord[], string, string][] = [
    ["nothing started", [record("a")], "Always", "Pending"],
    ["running", [record("a", { state: running })], "Always", "Running"],
    ["one of two still waits", [record("a", { state: running }), record("b")], "Always", "Pending"],
    ["crash loop", [record("a", { state: crashing, lastState: exited(1) })], "Always", "Running"],
    ["ended well, Always", [record("a", { state: exited(0) })], "Always", "Running"],
    ["ended well, Never", [record("a", { state: exited(0) })], "Never", "Succeeded"],
    ["ended well, OnFailure", [record("a", { state: exited(0) })], "OnFailure", "Succeeded"],
    ["failed, Never", [record("a", { state: exited(1) }), record("b", { state: exited(0) })], "Never", "Failed"],
    ["failed, one runs", [record("a", { state: exited(1) }), record("b", { state: running })], "Never", "Running"],
    ["failed, OnFailure", [record("a", { state: exited(1) })], "OnFailure", "Running"],
    ["init runs", [record("i", { kind: "init", state: running }), record("a")], "Always", "Pending"],
    ["init failed, Never", [record("i", { kind: "init", state: exited(1) }), record("a")], "Never", "Failed"],
    [
      "init crash loop",
      [record("i", { kind: "init", state: crashing, lastState: exited(1) }), record("a")],
      "Always",
      "Pending",
    ],
    [
      "sidecar runs beside",
      [record("s", { kind: "sidecar", state: running, started: true }), record("a", { state: running })],
      "Always",
      "Running",
    ],
    [
      "only the sidecar is left",
      [record("s", { kind: "sidecar", state: running, started: true }), record("a", { state: exited(0) })],
      "Never",
      "Succeeded",
    ],
  ];
  for (const [name, records, policy, phase] of cases) assert.equal(podPhase(records, policy), phase, name);
});

const pod = (change: Record<string, unknown> = {}): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "default", uid: "u" },
  spec: { containers: [{ name: "a" }] },
  ...change,
});

function status(object: KubeObject, records: ContainerRecord[], sandboxReady = true) {
  return podStatus(object, {
    records,
    hostIP: "172.18.0.2",
    podIP: "10.244.0.2",
    sandboxReady,
    startTime: BEFORE,
    now: NOW,
  });
}
const condition = (result: any, type: string) => result.conditions.find((one: any) => one.type === type);

Deno.test("podStatus() reports readiness container by container", () => {
  const records = [
    record("a", { state: running, ready: true, started: true }),
    record("b", { state: running, started: true }),
  ];
  const result = status(pod(), records);
  assert.equal(condition(result, "Ready").status, "False");
  assert.equal(condition(result, "ContainersReady").message, "containers with unready status: [b]");
  records[1].ready = true;
  const better = status(pod({ status: result }), records);
  assert.equal(condition(better, "Ready").status, "True");
  assert.deepEqual(better.podIPs, [{ ip: "10.244.0.2" }]);
  assert.equal(better.containerStatuses[0].started, true);
});

Deno.test("podStatus() keeps transition times of what did not change, and conditions of others", () => {
  const held = {
    conditions: [
      { type: "Ready", status: "True", lastTransitionTime: BEFORE },
      { type: "example.org/gate", status: "True", lastTransitionTime: BEFORE },
      { type: "PodScheduled", status: "True", lastTransitionTime: BEFORE },
    ],
  };
  const result = status(pod({ status: held }), [record("a", { state: running, ready: true, started: true })]);
  assert.equal(condition(result, "Ready").lastTransitionTime, BEFORE);
  assert.equal(condition(result, "ContainersReady").lastTransitionTime, NOW);
  assert.equal(condition(result, "example.org/gate").status, "True");
  assert.equal(result.conditions.filter((one: any) => one.type === "PodScheduled").length, 1);
});

Deno.test("podStatus() holds Ready back until every readiness gate is open", () => {
  const gated = pod({ spec: { containers: [{ name: "a" }], readinessGates: [{ conditionType: "example.org/gate" }] } });
  const records = [record("a", { state: running, ready: true, started: true })];
  const result = status(gated, records);
  assert.equal(condition(result, "Ready").reason, "ReadinessGatesNotReady");
  assert.equal(condition(result, "ContainersReady").status, "True");
  gated.status = { conditions: [{ type: "example.org/gate", status: "True" }] };
  assert.equal(condition(status(gated, records), "Ready").status, "True");
});

Deno.test("qosClass() tells the three classes apart", () => {
  const of = (...resources: unknown[]) =>
    qosClass(pod({ spec: { containers: resources.map((one) => ({ resources: one })) } }));
  assert.equal(of({}), "BestEffort");
  assert.equal(of({ limits: { cpu: "1", memory: "1Gi" } }), "Guaranteed");
  assert.equal(of({ limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "1" } }), "Guaranteed");
  assert.equal(of({ limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "500m" } }), "Burstable");
  assert.equal(of({ requests: { cpu: "1" } }), "Burstable");
  assert.equal(of({ limits: { cpu: "1", memory: "1Gi" } }, {}), "Burstable");
});
