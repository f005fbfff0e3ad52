import assert from "node:assert/strict";
import { asKubectlApplies, sampleObjects } from "../../src/roles/up/samples.ts";

Deno.test("asKubectlApplies() notes the object as it was, under kubectl's annotation", () => {
  const object = { apiVersion: "v1", kind: "Service", metadata: { namespace: "default", name: "a" }, spec: {} };
  const { metadata } = asKubectlApplies(object);
  assert.deepEqual(JSON.parse(metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]), {
    ...object,
    metadata: { ...object.metadata, annotations: {} },
  });
});

Deno.test("every sample object has a kind, a name and a namespace", () => {
  for (const { kind, metadata } of sampleObjects()) assert.ok(kind && metadata.name && metadata.namespace);
});
