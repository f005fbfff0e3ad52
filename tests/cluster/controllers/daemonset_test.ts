import assert from "node:assert/strict";
import { CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS } from "../../../src/cluster/controllers/kit/types.ts";
import { type Harness, podTemplate, withHarness } from "./harness.ts";

function daemonSet(name: string, spec: Record<string, unknown> = {}, podSpec: Record<string, unknown> = {}): any {
  const template = podTemplate({ app: name });
  Object.assign(template.spec, podSpec);
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name, namespace: "default" },
    spec: { selector: { matchLabels: { app: name } }, template, updateStrategy: { type: "RollingUpdate" }, ...spec },
  };
}

const nodesOf = (harness: Harness) => harness.pods().map((pod) => pod.spec.nodeName).sort();
const status = (harness: Harness) => harness.api.get(DAEMON_SETS, "default", "ds")!.status;

function update(harness: Harness, image: string): void {
  const next: any = structuredClone(harness.api.get(DAEMON_SETS, "default", "ds"));
  next.spec.template.spec.containers[0].image = image;
  harness.api.update(DAEMON_SETS, next);
}

Deno.test("a DaemonSet has one pod on every node it selects and tolerates, those that come later included", async () => {
  await withHarness({ nodes: 2 }, async (harness) => {
    harness.addNode("tainted", { spec: { taints: [{ key: "dedicated", value: "x", effect: "NoSchedule" }] } });
    harness.addNode("cordoned", { spec: { unschedulable: true } });
    harness.api.create(DAEMON_SETS, daemonSet("ds"));
    await harness.run();
    assert.deepEqual(nodesOf(harness), ["cordoned", "node-0", "node-1"], "daemon pods run on cordoned nodes");
    harness.addNode("late");
    await harness.run();
    assert.deepEqual(nodesOf(harness), ["cordoned", "late", "node-0", "node-1"]);
    assert.deepEqual(
      [status(harness).desiredNumberScheduled, status(harness).numberReady, status(harness).numberAvailable],
      [4, 4, 4],
    );
    harness.api.patch(NODES, undefined, "tainted", "merge", { spec: { taints: [] } });
    await harness.run();
    assert.equal(nodesOf(harness).length, 5);
  });
});

Deno.test("a DaemonSet follows nodeSelector as labels change, and tolerations of everything reach every node", async () => {
  await withHarness({ nodes: 2 }, async (harness) => {
    harness.addNode("tainted", { spec: { taints: [{ key: "dedicated", effect: "NoExecute" }] } });
    harness.api.create(DAEMON_SETS, daemonSet("ds", {}, { tolerations: [{ operator: "Exists" }] }));
    await harness.run();
    assert.equal(nodesOf(harness).length, 3);
    harness.api.create(DAEMON_SETS, daemonSet("picky", {}, { nodeSelector: { disk: "ssd" } }));
    await harness.run();
    assert.equal(harness.pods().length, 3);
    harness.api.patch(NODES, undefined, "node-1", "merge", { metadata: { labels: { disk: "ssd" } } });
    await harness.run();
    assert.equal(harness.pods().length, 4);
    harness.api.patch(NODES, undefined, "node-1", "merge", { metadata: { labels: { disk: "hdd" } } });
    await harness.run();
    assert.equal(harness.pods().length, 3);
  });
});

Deno.test("a rolling update replaces daemon pods one node at a time by default", async () => {
  await withHarness({ nodes: 3 }, async (harness) => {
    harness.api.create(DAEMON_SETS, daemonSet("ds"));
    await harness.run();
    update(harness, "busybox:2");
    for (let round = 0; round < 30; round++) {
      await harness.settle();
      const running = harness.pods().filter((pod) => pod.status.phase === "Running").length;
      assert.ok(running >= 2, `${running} of 3 run`);
      const leaving = harness.api.list(PODS).find((pod) => pod.metadata.deletionTimestamp);
      const pending = harness.pods().find((pod) => pod.status.phase === "Pending" && pod.spec.nodeName);
      if (leaving) harness.api.delete(PODS, "default", leaving.metadata.name, { gracePeriodSeconds: 0 });
      else if (pending) harness.report(pending);
      else break;
    }
    assert.equal(status(harness).updatedNumberScheduled, 3);
    assert.equal(status(harness).observedGeneration, 2);
    assert.equal(harness.api.list(CONTROLLER_REVISIONS, { namespace: "default" }).length, 2);
  });
});

Deno.test("with maxSurge 1 and maxUnavailable 0, as ztunnel has, no node is ever without a ready pod", async () => {
  await withHarness({ nodes: 3 }, async (harness) => {
    const updateStrategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
    harness.api.create(DAEMON_SETS, daemonSet("ds", { updateStrategy }));
    await harness.run();
    update(harness, "busybox:2");
    for (let round = 0; round < 40; round++) {
      await harness.settle();
      const ready = harness.pods().filter((pod) => pod.status.phase === "Running");
      assert.equal(new Set(ready.map((pod) => pod.spec.nodeName)).size, 3);
      assert.ok(harness.pods().length <= 4);
      const leaving = harness.api.list(PODS).find((pod) => pod.metadata.deletionTimestamp);
      const pending = harness.pods().find((pod) => pod.status.phase === "Pending" && pod.spec.nodeName);
      if (pending) harness.report(pending);
      else if (leaving) harness.api.delete(PODS, "default", leaving.metadata.name, { gracePeriodSeconds: 0 });
      else break;
    }
    assert.deepEqual(harness.pods().map((pod) => pod.spec.containers[0].image), Array(3).fill("busybox:2"));
    assert.deepEqual(nodesOf(harness), ["node-0", "node-1", "node-2"]);
  });
});

Deno.test("a broken rollout is repaired by the next one, and OnDelete waits for hands", async () => {
  await withHarness({ nodes: 2 }, async (harness) => {
    harness.api.create(DAEMON_SETS, daemonSet("ds"));
    await harness.run();
    update(harness, "broken");
    await harness.settle();
    const leaving = harness.api.list(PODS).filter((pod) => pod.metadata.deletionTimestamp);
    assert.equal(leaving.length, 1);
    harness.api.delete(PODS, "default", leaving[0].metadata.name, { gracePeriodSeconds: 0 });
    await harness.settle();
    update(harness, "busybox:3");
    await harness.run();
    assert.deepEqual(harness.pods().map((pod) => pod.spec.containers[0].image), ["busybox:3", "busybox:3"]);
    harness.api.patch(DAEMON_SETS, "default", "ds", "merge", { spec: { updateStrategy: { type: "OnDelete" } } });
    update(harness, "busybox:4");
    await harness.run();
    assert.deepEqual(harness.pods().map((pod) => pod.spec.containers[0].image), ["busybox:3", "busybox:3"]);
    harness.api.delete(PODS, "default", harness.pods()[0].metadata.name);
    await harness.run();
    assert.deepEqual(harness.pods().map((pod) => pod.spec.containers[0].image).sort(), ["busybox:3", "busybox:4"]);
  });
});

Deno.test("a daemon pod that failed is replaced, with back-off when it goes on failing", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    harness.api.create(DAEMON_SETS, daemonSet("ds"));
    await harness.run();
    harness.report(harness.pods()[0], { phase: "Failed" });
    await harness.run();
    assert.equal(harness.pods().length, 1);
    harness.report(harness.pods()[0], { phase: "Failed" });
    await harness.run();
    assert.equal(harness.pods().length, 0, "the second failure waits");
    await harness.advance(2000);
    await harness.run();
    assert.equal(harness.pods().length, 1);
  });
});
