import assert from "node:assert/strict";
import { decodeFields, encodeFields, fieldsOf, showPath } from "../../../src/cluster/api/ssa/fields.ts";
import { mergeConfiguration, removeFields } from "../../../src/cluster/api/ssa/merge.ts";
import { builtinSchema } from "../../../src/cluster/api/schema/builtin.ts";
import { DEPLOYMENTS, TestServer } from "./support.ts";

const spec = builtinSchema("core.PodSpec");

function config(overrides: Record<string, unknown> = {}): any {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default", labels: { app: "web" } },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: "web" } },
      template: {
        metadata: { labels: { app: "web" } },
        spec: {
          containers: [{
            name: "a",
            image: "nginx:1",
            env: [{ name: "X", value: "1" }],
            ports: [{ containerPort: 80 }],
          }],
        },
      },
      ...overrides,
    },
  };
}

Deno.test("fieldsOf() names keyed items, sets, maps and atomic parts as FieldsV1 does", () => {
  const fields = fieldsOf(spec, {
    containers: [{ name: "a", ports: [{ containerPort: 80 }] }],
    nodeSelector: { x: "y" },
    tolerations: [{ key: "k" }],
    hostNetwork: true,
  });
  assert.deepEqual(encodeFields(new Set(fields.keys())), {
    "f:containers": {
      'k:{"name":"a"}': {
        ".": {},
        "f:name": {},
        "f:ports": { 'k:{"containerPort":80,"protocol":"TCP"}': { ".": {}, "f:containerPort": {} } },
      },
    },
    "f:hostNetwork": {},
    "f:nodeSelector": {},
    "f:tolerations": {},
  });
  const round = decodeFields(encodeFields(new Set(fields.keys())));
  assert.deepEqual([...round].sort(), [...fields.keys()].sort());
  assert.equal(
    showPath([...round].find((path) => path.endsWith("f:containerPort"))!),
    '.containers[name="a"].ports[containerPort=80,protocol="TCP"].containerPort',
  );
});

Deno.test("mergeConfiguration() keeps live items in their place behind those they followed", () => {
  const names = (live: string[], applied: string[]) =>
    mergeConfiguration(spec, { containers: live.map((name) => ({ name, live: true })) }, {
      containers: applied.map((name) => ({ name, image: "x" })),
    })
      .containers.map(({ name }: { name: string }) => name).join("");
  assert.equal(names(["a", "b", "c"], ["c", "a"]), "bca");
  assert.equal(names(["a", "s", "b"], ["a", "b", "n"]), "asbn");
  assert.equal(names([], ["a"]), "a");
});

Deno.test("removeFields() takes away what nobody keeps, and parents that are left empty", () => {
  const value = { containers: [{ name: "a", image: "x" }, { name: "b", image: "y" }], securityContext: { fsGroup: 1 } };
  const all = [...fieldsOf(spec, value).keys()];
  const keep = new Set(all.filter((path) => path.includes('"b"') && path.endsWith("f:image")));
  const result = removeFields(spec, value, new Set(all), keep);
  assert.deepEqual(result, { containers: [{ image: "y" }] });
});

Deno.test("apply creates, changes what it owns, and removes what it no longer applies", async () => {
  await using test = await TestServer.start();
  const apply = (object: unknown, fieldManager = "me", force = false) =>
    test.api.patch(DEPLOYMENTS, "default", "web", "apply", object, { fieldManager, force });
  const created = apply(config());
  assert.equal(created.spec.strategy.type, "RollingUpdate");
  assert.equal((created.metadata.managedFields as any[])[0].operation, "Apply");
  assert.equal(apply(config()), created, "the same again changes nothing");

  // Somebody else adds a container and an environment variable; neither is ours to remove.
  test.api.patch(DEPLOYMENTS, "default", "web", "strategic", {
    spec: {
      template: {
        spec: { containers: [{ name: "a", env: [{ name: "Y", value: "2" }] }, { name: "side", image: "side:1" }] },
      },
    },
  }, { fieldManager: "injector" });
  const less = config();
  delete less.spec.template.spec.containers[0].env;
  const { containers } = apply(less).spec.template.spec;
  assert.deepEqual(containers.map(({ name }: { name: string }) => name), ["a", "side"]);
  assert.deepEqual(containers[0].env, [{ name: "Y", value: "2" }]);
});

Deno.test("apply refuses to change what others own, names them, and takes it by force", async () => {
  await using test = await TestServer.start();
  const apply = (object: unknown, fieldManager: string, force = false) =>
    test.api.patch(DEPLOYMENTS, "default", "web", "apply", object, { fieldManager, force });
  apply(config(), "me");
  test.api.patch(DEPLOYMENTS, "default", "web", "merge", { spec: { replicas: 5 } }, { fieldManager: "scaler" });
  assert.throws(() => apply(config(), "me"), (error: any) => {
    assert.equal(error.code, 409);
    assert.equal(error.message, 'Apply failed with 1 conflict: conflict with "scaler" using apps/v1: .spec.replicas');
    assert.equal(error.details.causes[0].field, ".spec.replicas");
    return true;
  });
  assert.throws(
    () =>
      apply(config({ replicas: 5, paused: true, minReadySeconds: 1 }), "other") &&
      apply(config({ replicas: 6, paused: false }), "third"),
    { code: 409 },
  );
  const forced = apply(config(), "me", true);
  assert.equal(forced.spec.replicas, 2);
  const owners = (forced.metadata.managedFields as any[]).filter((entry) => entry.fieldsV1["f:spec"]?.["f:replicas"])
    .map((entry) => entry.manager);
  assert.deepEqual(owners, ["me"]);
  const shared = apply(config({ replicas: 2 }), "friend");
  assert.equal(
    (shared.metadata.managedFields as any[]).filter((entry) => entry.fieldsV1["f:spec"]?.["f:replicas"]).length,
    2,
    "equal values are owned together",
  );
});

Deno.test("kubectl's apply takes over what kubectl's client applied and nobody has changed since", async () => {
  await using test = await TestServer.start();
  const apply = (object: unknown, fieldManager: string) =>
    test.api.patch(DEPLOYMENTS, "default", "web", "apply", object, { fieldManager });
  const applied = config();
  applied.metadata.annotations = { "kubectl.kubernetes.io/last-applied-configuration": JSON.stringify(applied) };
  test.api.create(DEPLOYMENTS, applied, { fieldManager: "kubectl-client-side-apply" });
  const wanted = config({ replicas: 3 });
  wanted.spec.template.spec.containers[0].image = "nginx:2";
  assert.throws(() => apply(wanted, "somebody"), { code: 409 });
  assert.equal(apply(wanted, "kubectl").spec.replicas, 3);
  // What a third has changed since is not the client's any more.
  test.api.patch(DEPLOYMENTS, "default", "web", "merge", { spec: { replicas: 9 } }, { fieldManager: "scaler" });
  assert.throws(() => apply(config({ replicas: 4 }), "kubectl"), {
    code: 409,
    message: 'Apply failed with 1 conflict: conflict with "scaler" using apps/v1: .spec.replicas',
  });
});

Deno.test("writes of the cluster's own parts take over what they change", async () => {
  await using test = await TestServer.start();
  test.api.patch(DEPLOYMENTS, "default", "web", "apply", config(), { fieldManager: "me" });
  const live = test.api.get(DEPLOYMENTS, "default", "web")!;
  const changed = test.api.update(DEPLOYMENTS, { ...live, spec: { ...live.spec, replicas: 9 } });
  const mine = (changed.metadata.managedFields as any[]).find((entry) => entry.manager === "me");
  assert.equal(mine.fieldsV1["f:spec"]["f:replicas"], undefined);
});
