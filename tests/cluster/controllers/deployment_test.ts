import assert from "node:assert/strict";
import type { KubeObject } from "../../../src/cluster/contracts.ts";
import { DEPLOYMENTS, PODS, REPLICA_SETS } from "../../../src/cluster/controllers/kit/types.ts";
import { deployment, type Harness, podTemplate, withHarness } from "./harness.ts";

function get(harness: Harness, name = "web"): KubeObject {
  return harness.api.get(DEPLOYMENTS, "default", name)!;
}

function sets(harness: Harness): KubeObject[] {
  return harness.api.list(REPLICA_SETS, { namespace: "default" }).sort((a, b) => revision(a) - revision(b));
}

function revision(object: KubeObject): number {
  return Number(object.metadata.annotations?.["deployment.kubernetes.io/revision"]);
}

function change(harness: Harness, edit: (next: any) => void): void {
  const next: any = structuredClone(get(harness));
  edit(next);
  harness.api.update(DEPLOYMENTS, next);
}

const condition = (object: KubeObject, type: string) => object.status?.conditions?.find((c: any) => c.type === type);

Deno.test("a Deployment becomes ReplicaSet, pods and bindings within a few turns, all linked by owner", async () => {
  await withHarness({ nodes: 2 }, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 3));
    await harness.settle();
    const [set] = sets(harness);
    assert.match(set.metadata.name, /^web-[a-z0-9]+$/);
    assert.equal(set.metadata.labels!["pod-template-hash"], set.metadata.name.slice(4));
    assert.equal(set.spec.selector.matchLabels["pod-template-hash"], set.metadata.name.slice(4));
    const pods = harness.pods();
    assert.equal(pods.length, 3);
    for (const pod of pods) {
      assert.equal(pod.metadata.ownerReferences![0].uid, set.metadata.uid);
      assert.ok(pod.spec.nodeName);
    }
    assert.equal(new Set(pods.map((pod) => pod.spec.nodeName)).size, 2, "spread over both nodes");
    await harness.run();
    const { status } = get(harness);
    assert.deepEqual(
      [status.replicas, status.updatedReplicas, status.readyReplicas, status.availableReplicas],
      [3, 3, 3, 3],
    );
    assert.equal(status.observedGeneration, get(harness).metadata.generation);
    assert.equal(condition(get(harness), "Available").status, "True");
    assert.equal(condition(get(harness), "Progressing").reason, "NewReplicaSetAvailable");
    assert.equal(revision(get(harness)), 1);
    assert.deepEqual(harness.events("web"), [
      `ScalingReplicaSet: Scaled up replica set ${set.metadata.name} from 0 to 3`,
    ]);
  });
});

Deno.test("a rolling update never has fewer available or more pods than maxUnavailable and maxSurge allow", async (t) => {
  const cases = [
    { replicas: 4, maxSurge: "25%", maxUnavailable: "25%", least: 3, most: 5 },
    { replicas: 10, maxSurge: "30%", maxUnavailable: 0, least: 10, most: 13 },
    { replicas: 3, maxSurge: 0, maxUnavailable: 1, least: 2, most: 3 },
    { replicas: 1, maxSurge: "100%", maxUnavailable: "25%", least: 1, most: 2 },
  ];
  for (const { replicas, maxSurge, maxUnavailable, least, most } of cases) {
    await t.step(`${replicas} pods, surge ${maxSurge}, unavailable ${maxUnavailable}`, async () => {
      await withHarness({}, async (harness) => {
        const strategy = { type: "RollingUpdate", rollingUpdate: { maxSurge, maxUnavailable } };
        harness.api.create(DEPLOYMENTS, deployment("web", replicas, { strategy }));
        await harness.run();
        change(harness, (next) => next.spec.template.spec.containers[0].image = "busybox:2");
        for (let round = 0; round < 200; round++) {
          await harness.settle();
          const all = harness.pods();
          const available = all.filter((pod) => pod.status?.phase === "Running").length;
          assert.ok(available >= least, `${available} available, at least ${least} wanted`);
          assert.ok(all.length <= most, `${all.length} pods, at most ${most} allowed`);
          const pending = all.find((pod) => pod.status?.phase === "Pending" && pod.spec.nodeName);
          const leaving = harness.api.list(PODS).find((pod) => pod.metadata.deletionTimestamp);
          if (leaving) harness.api.delete(PODS, "default", leaving.metadata.name, { gracePeriodSeconds: 0 });
          else if (pending) harness.report(pending);
          else break;
        }
        assert.deepEqual(sets(harness).map((set) => set.spec.replicas), [0, replicas]);
        assert.equal(condition(get(harness), "Progressing").reason, "NewReplicaSetAvailable");
        assert.equal(revision(get(harness)), 2);
      });
    });
  }
});

Deno.test("a Recreate update starts the new pods only when every old pod is gone", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 2, { strategy: { type: "Recreate" } }));
    await harness.run();
    change(harness, (next) => next.spec.template.spec.containers[0].image = "busybox:2");
    await harness.settle();
    const leaving = harness.api.list(PODS, { namespace: "default" });
    assert.equal(leaving.length, 2);
    assert.ok(leaving.every((pod) => pod.metadata.deletionTimestamp));
    assert.equal(sets(harness).length, 1);
    harness.api.delete(PODS, "default", leaving[0].metadata.name, { gracePeriodSeconds: 0 });
    await harness.settle();
    assert.equal(harness.pods().length, 0);
    await harness.run();
    assert.deepEqual(harness.pods().map((pod) => pod.spec.containers[0].image), ["busybox:2", "busybox:2"]);
  });
});

Deno.test("going back to an earlier template reuses its ReplicaSet as the newest revision", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 1));
    await harness.run();
    const [first] = sets(harness);
    change(harness, (next) => next.spec.template.spec.containers[0].image = "busybox:2");
    await harness.run();
    // What `kubectl rollout undo` does: the template of the old ReplicaSet without its hash label.
    const template = structuredClone(first.spec.template);
    delete template.metadata.labels["pod-template-hash"];
    change(harness, (next) => next.spec.template = template);
    await harness.run();
    assert.equal(sets(harness).length, 2);
    const again = sets(harness)[1];
    assert.equal(again.metadata.uid, first.metadata.uid);
    assert.deepEqual([revision(again), again.spec.replicas], [3, 1]);
    assert.equal(again.metadata.annotations!["deployment.kubernetes.io/revision-history"], "1");
    assert.equal(revision(get(harness)), 3);
  });
});

Deno.test("a paused Deployment does not roll out but scales; resuming rolls out", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 2));
    await harness.run();
    change(harness, (next) => {
      next.spec.paused = true;
      next.spec.template.spec.containers[0].image = "busybox:2";
      next.spec.replicas = 4;
    });
    await harness.run();
    assert.deepEqual(sets(harness).map((set) => set.spec.replicas), [4]);
    assert.equal(condition(get(harness), "Progressing").reason, "DeploymentPaused");
    change(harness, (next) => next.spec.paused = false);
    await harness.run();
    assert.deepEqual(sets(harness).map((set) => set.spec.replicas), [0, 4]);
  });
});

Deno.test("scaling in the middle of a rollout keeps the proportions of old and new", async () => {
  await withHarness({}, async (harness) => {
    const strategy = { type: "RollingUpdate", rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } };
    harness.api.create(DEPLOYMENTS, deployment("web", 10, { strategy }));
    await harness.run();
    change(harness, (next) => next.spec.template.spec.containers[0].image = "broken");
    await harness.settle();
    for (const pod of harness.api.list(PODS).filter((pod) => pod.metadata.deletionTimestamp)) {
      harness.api.delete(PODS, "default", pod.metadata.name, { gracePeriodSeconds: 0 });
    }
    await harness.settle();
    assert.deepEqual(sets(harness).map((set) => set.spec.replicas), [8, 5]);
    change(harness, (next) => next.spec.replicas = 15);
    await harness.settle();
    // kube's own example: 8 and 5 of 13 become 11 and 7 of 18.
    assert.deepEqual(sets(harness).map((set) => set.spec.replicas), [11, 7]);
  });
});

Deno.test("a rollout without progress within the deadline says so, and recovers", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 1, { progressDeadlineSeconds: 60 }));
    await harness.settle();
    assert.equal(condition(get(harness), "Progressing").status, "True");
    await harness.advance(120_000);
    assert.deepEqual(
      [condition(get(harness), "Progressing").status, condition(get(harness), "Progressing").reason],
      ["False", "ProgressDeadlineExceeded"],
    );
    await harness.run();
    assert.equal(condition(get(harness), "Progressing").reason, "NewReplicaSetAvailable");
  });
});

Deno.test("revisions beyond revisionHistoryLimit are deleted, oldest first", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 1, { revisionHistoryLimit: 2 }));
    for (let version = 2; version <= 6; version++) {
      await harness.run();
      change(harness, (next) => next.spec.template.spec.containers[0].image = `busybox:${version}`);
    }
    await harness.run();
    assert.deepEqual(sets(harness).map(revision), [4, 5, 6]);
  });
});

Deno.test("minReadySeconds delays availability", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 1, { minReadySeconds: 10 }));
    await harness.run();
    assert.equal(get(harness).status.readyReplicas, 1);
    assert.equal(get(harness).status.availableReplicas, undefined);
    await harness.advance(11_000);
    assert.equal(get(harness).status.availableReplicas, 1);
  });
});

Deno.test("a ReplicaSet of the wanted name that belongs to somebody else makes another hash", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 1));
    await harness.settle();
    const [set] = sets(harness);
    harness.api.delete(DEPLOYMENTS, "default", "web");
    await harness.run();
    harness.api.create(REPLICA_SETS, {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: { name: set.metadata.name, namespace: "default", labels: { other: "yes" } },
      spec: { replicas: 0, selector: { matchLabels: { other: "yes" } }, template: podTemplate({ other: "yes" }) },
    });
    harness.api.create(DEPLOYMENTS, deployment("web", 1));
    await harness.run();
    assert.equal(get(harness).status.collisionCount, 1);
    assert.equal(get(harness).status.availableReplicas, 1);
  });
});

Deno.test("a controller at rest writes nothing, also after a restart", async () => {
  await withHarness({}, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 3));
    await harness.run();
    const before = harness.versions([DEPLOYMENTS, REPLICA_SETS, PODS]);
    await harness.restart();
    await harness.settle();
    assert.deepEqual(harness.versions([DEPLOYMENTS, REPLICA_SETS, PODS]), before);
  });
});
