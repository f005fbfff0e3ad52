import assert from "node:assert/strict";
import type { DeleteOptions, GroupResource, KubeObject } from "../../../src/cluster/contracts.ts";
import {
  CONFIG_MAPS,
  CRDS,
  DEPLOYMENTS,
  NAMESPACES,
  NODES,
  PODS,
  REPLICA_SETS,
  SECRETS,
} from "../../../src/cluster/controllers/kit/types.ts";
import { deployment, type Harness, withHarness } from "./harness.ts";

function configMap(harness: Harness, name: string, owners: KubeObject[] = [], extra: any = {}): KubeObject {
  return harness.api.create(CONFIG_MAPS, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name,
      namespace: "default",
      ownerReferences: owners.map((owner) => ({
        apiVersion: owner.apiVersion,
        kind: owner.kind,
        name: owner.metadata.name,
        uid: owner.metadata.uid!,
        blockOwnerDeletion: true,
      })),
      ...extra,
    },
  });
}

const exists = (harness: Harness, name: string, type: GroupResource = CONFIG_MAPS) =>
  harness.api.get(type, type === NODES ? undefined : "default", name) !== undefined;

async function defineThings(harness: Harness): Promise<GroupResource> {
  harness.api.create(CRDS, {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "things.test.io" },
    spec: {
      group: "test.io",
      scope: "Namespaced",
      names: { plural: "things", singular: "thing", kind: "Thing", listKind: "ThingList" },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
    },
  });
  await harness.settle();
  return { group: "test.io", resource: "things" };
}

async function remove(
  harness: Harness,
  name: string,
  propagationPolicy: DeleteOptions["propagationPolicy"],
): Promise<void> {
  harness.api.delete(CONFIG_MAPS, "default", name, { propagationPolicy });
  await harness.settle();
}

Deno.test("background deletion takes the whole tree; an object with another owner stays", async () => {
  await withHarness({}, async (harness) => {
    const [a, other] = [configMap(harness, "a"), configMap(harness, "other")];
    const b = configMap(harness, "b", [a]);
    configMap(harness, "c", [b]);
    configMap(harness, "shared", [a, other]);
    await harness.settle();
    await remove(harness, "a", "Background");
    assert.deepEqual(["a", "b", "c"].filter((name) => exists(harness, name)), []);
    const shared = harness.api.get(CONFIG_MAPS, "default", "shared")!;
    assert.deepEqual(shared.metadata.ownerReferences!.map(({ name }) => name), ["other"]);
  });
});

Deno.test("foreground deletion keeps the owner until its dependents are gone", async () => {
  await withHarness({}, async (harness) => {
    const a = configMap(harness, "a");
    const b = configMap(harness, "b", [a], { finalizers: ["test/hold"] });
    configMap(harness, "c", [b]);
    await harness.settle();
    await remove(harness, "a", "Foreground");
    assert.ok(exists(harness, "a"));
    assert.ok(harness.api.get(CONFIG_MAPS, "default", "b")!.metadata.deletionTimestamp);
    assert.ok(!exists(harness, "c"));
    harness.api.patch(CONFIG_MAPS, "default", "b", "merge", { metadata: { finalizers: [] } });
    await harness.settle();
    assert.ok(!exists(harness, "a") && !exists(harness, "b"));
  });
});

Deno.test("orphaning leaves the dependents, without the reference", async () => {
  await withHarness({}, async (harness) => {
    const a = configMap(harness, "a");
    configMap(harness, "b", [a]);
    await harness.settle();
    await remove(harness, "a", "Orphan");
    assert.ok(!exists(harness, "a"));
    assert.deepEqual(harness.api.get(CONFIG_MAPS, "default", "b")!.metadata.ownerReferences ?? [], []);
  });
});

Deno.test("an object whose owner never was, or is another of the same name, is deleted; one of an unknown kind stays", async () => {
  await withHarness({}, async (harness) => {
    const a = configMap(harness, "a");
    const fake = (uid: string): any => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", uid } });
    configMap(harness, "wrong-uid", [fake("other")]);
    configMap(harness, "never", [{ ...fake("none"), metadata: { name: "none", uid: "none" } }]);
    configMap(harness, "unknown", [{ apiVersion: "x.io/v1", kind: "Thing", metadata: { name: "t", uid: "t" } }]);
    configMap(harness, "right", [a]);
    await harness.settle();
    assert.deepEqual(["wrong-uid", "never", "unknown", "right"].filter((name) => exists(harness, name)), [
      "unknown",
      "right",
    ]);
  });
});

Deno.test("what happened while no controller ran is made up for at the start", async () => {
  await withHarness({}, async (harness) => {
    const a = configMap(harness, "a");
    configMap(harness, "b", [a]);
    await harness.stop();
    harness.api.delete(CONFIG_MAPS, "default", "a");
    await harness.restart();
    assert.ok(!exists(harness, "b"));
  });
});

Deno.test("a cluster-scoped owner takes its namespaced dependents along", async () => {
  await withHarness({}, async (harness) => {
    const node = harness.addNode("short-lived");
    configMap(harness, "of-node", [node]);
    await harness.settle();
    assert.ok(exists(harness, "of-node"));
    harness.api.delete(NODES, undefined, "short-lived");
    await harness.settle();
    assert.ok(!exists(harness, "of-node"));
  });
});

Deno.test("custom objects own and are owned", async () => {
  await withHarness({}, async (harness) => {
    const type = await defineThings(harness);
    const owner = harness.api.create(type, {
      apiVersion: "test.io/v1",
      kind: "Thing",
      metadata: { name: "owner", namespace: "default" },
    });
    configMap(harness, "owned", [owner]);
    await harness.settle();
    assert.ok(exists(harness, "owned"));
    harness.api.delete(type, "default", "owner");
    await harness.settle();
    assert.ok(!exists(harness, "owned"));
  });
});

Deno.test("kubectl delete deployment, in each of its three ways", async () => {
  for (const propagationPolicy of ["Background", "Foreground", "Orphan"] as const) {
    await withHarness({}, async (harness) => {
      harness.api.create(DEPLOYMENTS, deployment("web", 2));
      await harness.run();
      harness.api.delete(DEPLOYMENTS, "default", "web", { propagationPolicy });
      await harness.run();
      const orphaned = propagationPolicy === "Orphan";
      assert.ok(!exists(harness, "web", DEPLOYMENTS));
      assert.equal(
        harness.api.list(REPLICA_SETS, { namespace: "default" }).length,
        orphaned ? 1 : 0,
        propagationPolicy,
      );
      assert.equal(harness.api.list(PODS, { namespace: "default" }).length, orphaned ? 2 : 0, propagationPolicy);
      if (!orphaned) return;
      harness.api.create(DEPLOYMENTS, deployment("web", 2));
      await harness.run();
      const [set, ...more] = harness.api.list(REPLICA_SETS, { namespace: "default" });
      assert.equal(more.length, 0);
      assert.equal(set.metadata.ownerReferences![0].kind, "Deployment", "the orphan is adopted again");
    });
  }
});

Deno.test("a deleted namespace is emptied, custom objects included, tells what holds it, and goes", async () => {
  await withHarness({}, async (harness) => {
    harness.addNamespace("doomed");
    await harness.settle();
    const type = await defineThings(harness);
    harness.api.create(type, { apiVersion: "test.io/v1", kind: "Thing", metadata: { name: "t", namespace: "doomed" } });
    for (let i = 0; i < 120; i++) {
      harness.api.create(SECRETS, {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: `s-${i}`, namespace: "doomed" },
      });
    }
    const web = deployment("web", 3);
    web.metadata.namespace = "doomed";
    harness.api.create(DEPLOYMENTS, web);
    await harness.run("doomed");
    harness.api.delete(NAMESPACES, undefined, "doomed");
    await harness.settle();
    const namespace = () => harness.api.get(NAMESPACES, undefined, "doomed");
    const condition = namespace()!.status.conditions.find((c: any) => c.type === "NamespaceContentRemaining");
    assert.match(condition.message, /pods\. has \d+ resource instances/);
    assert.equal(harness.api.get(type, "doomed", "t"), undefined);
    for (let i = 0; i < 10 && namespace(); i++) {
      await harness.run("doomed");
      await harness.advance(1000);
    }
    assert.equal(namespace(), undefined);
    assert.deepEqual(harness.api.list(SECRETS, { namespace: "doomed" }), []);
    assert.deepEqual(harness.api.list(PODS, { namespace: "doomed" }), []);
  });
});
