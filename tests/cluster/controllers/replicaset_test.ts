import assert from "node:assert/strict";
import { byDeletionOrder } from "../../../src/cluster/controllers/kit/pods.ts";
import { PODS, REPLICA_SETS } from "../../../src/cluster/controllers/kit/types.ts";
import { podTemplate, withHarness } from "./harness.ts";

function replicaSet(name: string, replicas: number): any {
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: { name, namespace: "default" },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: podTemplate({ app: name }) },
  };
}

Deno.test("byDeletionOrder() takes the least useful pod first", () => {
  const pod = (name: string, fields: any = {}): any => ({
    metadata: { name, creationTimestamp: fields.created ?? "2026-01-01T00:00:00Z", annotations: fields.annotations },
    spec: { nodeName: fields.node === undefined ? name : fields.node },
    status: {
      phase: fields.phase ?? "Running",
      conditions: [{
        type: "Ready",
        status: fields.ready === false ? "False" : "True",
        lastTransitionTime: fields.since ?? "2026-01-01T00:00:00Z",
      }],
      containerStatuses: [{ restartCount: fields.restarts ?? 0 }],
    },
  });
  const inOrder = [
    pod("unscheduled", { node: null, phase: "Pending", ready: false }),
    pod("pending", { phase: "Pending", ready: false }),
    pod("not-ready", { ready: false }),
    pod("cheap", { annotations: { "controller.kubernetes.io/pod-deletion-cost": "-5" } }),
    pod("crowded-b", { node: "shared", restarts: 3 }),
    pod("crowded-a", { node: "shared" }),
    pod("ready-lately", { since: "2026-01-01T00:10:00Z" }),
    pod("restarted", { restarts: 2 }),
    pod("young", { created: "2026-01-01T00:05:00Z" }),
    pod("steady"),
  ];
  for (let turn = 0; turn < inOrder.length; turn++) {
    const shuffled = [...inOrder.slice(turn), ...inOrder.slice(0, turn)];
    assert.deepEqual(byDeletionOrder(shuffled).map((p) => p.metadata.name), inOrder.map((p) => p.metadata.name));
  }
});

Deno.test("a ReplicaSet replaces a pod that is deleted or has ended, and scales both ways", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(REPLICA_SETS, replicaSet("rs", 3));
    await harness.run();
    assert.equal(harness.pods().length, 3);
    harness.api.delete(PODS, "default", harness.pods()[0].metadata.name);
    await harness.settle();
    assert.equal(harness.pods().length, 3, "a pod that is ending is replaced at once");
    await harness.run();
    harness.report(harness.pods()[0], { phase: "Failed" });
    await harness.run();
    assert.equal(harness.pods().length, 3);
    harness.api.patch(REPLICA_SETS, "default", "rs", "merge", { spec: { replicas: 60 } });
    await harness.run();
    assert.equal(harness.pods().length, 60);
    harness.api.patch(REPLICA_SETS, "default", "rs", "merge", { spec: { replicas: 1 } });
    await harness.run();
    assert.equal(harness.pods().length, 1);
    assert.equal(harness.api.get(REPLICA_SETS, "default", "rs")!.status.availableReplicas, 1);
  });
});

Deno.test("a ReplicaSet adopts matching pods without a controller and releases those that stop to match", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(PODS, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "stray", namespace: "default", labels: { app: "rs" } },
      spec: { containers: [{ name: "c", image: "busybox" }] },
    });
    harness.api.create(REPLICA_SETS, replicaSet("rs", 2));
    await harness.run();
    const stray = () => harness.api.get(PODS, "default", "stray")!;
    assert.equal(stray().metadata.ownerReferences![0].name, "rs");
    assert.equal(harness.pods().length, 2);
    harness.api.patch(PODS, "default", "stray", "merge", { metadata: { labels: { app: "other" } } });
    await harness.run();
    assert.deepEqual(stray().metadata.ownerReferences ?? [], []);
    assert.equal(harness.pods().length, 3, "the released pod lives on and has been replaced");
  });
});
