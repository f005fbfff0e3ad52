import assert from "node:assert/strict";
import {
  type Change,
  DefinitionWatch,
  type KubeObject,
  type Resource,
  RESOURCES,
  ServedInformer,
} from "../../src/kube/mod.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { eventually } from "../support/eventually.ts";
import { ApiLab } from "../support/istiod_lab.ts";

const logger = new Logger("test", { sink: { write: () => {} } });

function definition(versions: string[]): KubeObject {
  return {
    metadata: { name: "widgets.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "widgets", singular: "widget", kind: "Widget", listKind: "WidgetList" },
      versions: versions.map((name, i) => ({
        name,
        served: true,
        storage: i === 0,
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      })),
    },
  };
}

const widget = (version: string): Resource => ({
  group: "example.com",
  version,
  resource: "widgets",
  kind: "Widget",
  namespaced: true,
});

Deno.test("ServedInformer reads a type while it is defined, in the best version that is served", async () => {
  await using lab = await ApiLab.start({ mesh: false });
  const { client } = lab, options = { client, logger };
  const definitions = new DefinitionWatch(options);
  const { versions: _, ...type } = { ...widget("v1"), versions: [] };
  const informer = new ServedInformer({ ...options, definitions, type: { ...type, versions: ["v1", "v1beta1"] } });
  const heard: string[] = [], types: (string | undefined)[] = [];
  informer.onChange((changes: readonly Change[]) => {
    for (const { type, object } of changes) heard.push(`${type} ${object.metadata.name} ${object.apiVersion}`);
  });
  informer.onServed((type) => types.push(type?.version));
  informer.start();
  definitions.start();
  try {
    await informer.synced;
    assert.equal(informer.type, undefined, "not served is known too");

    await client.create(RESOURCES.crds, definition(["v1beta1", "v1alpha1"]));
    await eventually(() => assert.equal(informer.type?.version, "v1beta1"));
    await eventually(() => client.create(widget("v1beta1"), { metadata: { namespace: "default", name: "a" } }));
    await eventually(() => assert.deepEqual(heard.splice(0), ["added a example.com/v1beta1"]));

    await client.patch(RESOURCES.crds, undefined, "widgets.example.com", "merge", {
      spec: definition(["v1beta1", "v1"]).spec,
    });
    const { store } = informer;
    await eventually(() => assert.equal(store.get("default/a")?.apiVersion, "example.com/v1"));
    assert.equal(heard.at(-1), "updated a example.com/v1");
    heard.length = 0;

    await client.delete(RESOURCES.crds, undefined, "widgets.example.com");
    await eventually(() => assert.equal(store.size, 0));
    assert.equal(heard.length, 1);
    assert.match(heard.splice(0)[0], /^deleted a /);
    await eventually(() => assert.equal(informer.type, undefined));

    // It comes back; what comes meanwhile is not mixed up.
    await eventually(() => client.create(RESOURCES.crds, definition(["v1"])));
    await eventually(() => client.create(widget("v1"), { metadata: { namespace: "default", name: "b" } }));
    await eventually(() => assert.ok(store.has("default/b")));
    await eventually(() => assert.deepEqual(types, ["v1beta1", "v1", undefined, "v1"]));
  } finally {
    await informer.stop();
    await definitions.stop();
  }
  await informer.stop();
});
