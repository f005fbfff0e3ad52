import assert from "node:assert/strict";
import { PODS, STATEFUL_SETS, VOLUME_CLAIMS } from "../../../src/cluster/controllers/kit/types.ts";
import { type Harness, podTemplate, withHarness } from "./harness.ts";

function statefulSet(replicas: number, spec: Record<string, unknown> = {}): any {
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "db", namespace: "default" },
    spec: {
      replicas,
      serviceName: "db",
      selector: { matchLabels: { app: "db" } },
      template: podTemplate({ app: "db" }),
      ...spec,
    },
  };
}

const names = (harness: Harness) => harness.pods().map((pod) => pod.metadata.name);
const images = (harness: Harness) => harness.pods().map((pod) => pod.spec.containers[0].image);
const status = (harness: Harness) => harness.api.get(STATEFUL_SETS, "default", "db")!.status;

function update(harness: Harness, image: string): void {
  const next: any = structuredClone(harness.api.get(STATEFUL_SETS, "default", "db"));
  next.spec.template.spec.containers[0].image = image;
  harness.api.update(STATEFUL_SETS, next);
}

Deno.test("a StatefulSet makes its pods in order, each after the one before is ready, with stable names", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(STATEFUL_SETS, statefulSet(3));
    await harness.settle();
    assert.deepEqual(names(harness), ["db-0"]);
    harness.report(harness.pods()[0]);
    await harness.settle();
    assert.deepEqual(names(harness), ["db-0", "db-1"]);
    await harness.run();
    assert.deepEqual(names(harness), ["db-0", "db-1", "db-2"]);
    const [first] = harness.pods();
    assert.deepEqual([first.spec.hostname, first.spec.subdomain], ["db-0", "db"]);
    assert.equal(first.metadata.labels!["statefulset.kubernetes.io/pod-name"], "db-0");
    assert.equal(first.metadata.labels!["apps.kubernetes.io/pod-index"], "0");
    assert.deepEqual(
      [status(harness).readyReplicas, status(harness).currentReplicas, status(harness).updatedReplicas],
      [3, 3, 3],
    );
    harness.api.delete(PODS, "default", "db-1");
    await harness.run();
    assert.deepEqual(names(harness), ["db-0", "db-1", "db-2"]);
  });
});

Deno.test("a StatefulSet scales down from the highest number, one at a time", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(STATEFUL_SETS, statefulSet(3));
    await harness.run();
    harness.api.patch(STATEFUL_SETS, "default", "db", "merge", { spec: { replicas: 1 } });
    await harness.settle();
    assert.deepEqual(names(harness), ["db-0", "db-1"]);
    await harness.run();
    assert.deepEqual(names(harness), ["db-0"]);
  });
});

Deno.test("Parallel management makes all pods at once", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(STATEFUL_SETS, statefulSet(4, { podManagementPolicy: "Parallel", ordinals: { start: 5 } }));
    await harness.settle();
    assert.deepEqual(names(harness), ["db-5", "db-6", "db-7", "db-8"]);
  });
});

Deno.test("a rolling update goes from the highest number down and stops at the partition", async () => {
  await withHarness({}, async (harness) => {
    const updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition: 1 } };
    harness.api.create(STATEFUL_SETS, statefulSet(3, { updateStrategy }));
    await harness.run();
    update(harness, "busybox:2");
    await harness.settle();
    assert.deepEqual(names(harness), ["db-0", "db-1"], "db-2 goes first, alone");
    await harness.run();
    assert.deepEqual(images(harness), ["busybox", "busybox:2", "busybox:2"]);
    assert.notEqual(status(harness).currentRevision, status(harness).updateRevision);
    harness.api.delete(PODS, "default", "db-0");
    await harness.run();
    assert.deepEqual(
      images(harness),
      ["busybox", "busybox:2", "busybox:2"],
      "below the partition the old revision stays",
    );
    harness.api.patch(STATEFUL_SETS, "default", "db", "merge", {
      spec: { updateStrategy: { rollingUpdate: { partition: 0 } } },
    });
    await harness.run();
    assert.deepEqual(images(harness), Array(3).fill("busybox:2"));
    assert.equal(status(harness).currentRevision, status(harness).updateRevision);
  });
});

Deno.test("volumeClaimTemplates become claims that are Bound, named by pod, mounted by it, and outlive it", async () => {
  await withHarness({}, async (harness) => {
    const volumeClaimTemplates = [{
      metadata: { name: "data" },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
    }];
    harness.api.create(STATEFUL_SETS, statefulSet(2, { volumeClaimTemplates }));
    await harness.run();
    const claims = harness.api.list(VOLUME_CLAIMS, { namespace: "default" });
    assert.deepEqual(claims.map((claim) => [claim.metadata.name, claim.status?.phase]).sort(), [
      ["data-db-0", "Bound"],
      ["data-db-1", "Bound"],
    ]);
    assert.deepEqual(harness.pods()[1].spec.volumes[0], {
      name: "data",
      persistentVolumeClaim: { claimName: "data-db-1" },
    });
    harness.api.delete(STATEFUL_SETS, "default", "db");
    await harness.run();
    assert.deepEqual(names(harness), []);
    assert.equal(harness.api.list(VOLUME_CLAIMS, { namespace: "default" }).length, 2);
  });
});

Deno.test("a controller at rest writes nothing", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(STATEFUL_SETS, statefulSet(3));
    await harness.run();
    const before = harness.versions([STATEFUL_SETS, PODS]);
    await harness.restart();
    assert.deepEqual(harness.versions([STATEFUL_SETS, PODS]), before);
  });
});
