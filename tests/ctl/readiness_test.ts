import assert from "node:assert/strict";
import { isReady } from "../../src/roles/ctl/readiness.ts";

const deployment = (replicas: number | undefined, status: Record<string, unknown> | undefined) => ({
  kind: "Deployment",
  metadata: { name: "a", generation: 2 },
  spec: { replicas },
  status,
});

const READY: [name: string, object: any, ready: boolean][] = [
  ["no status yet", deployment(1, undefined), false],
  ["status of an older generation", deployment(0, { observedGeneration: 1 }), false],
  ["no replicas wanted, none there", deployment(0, { observedGeneration: 2 }), true],
  ["no replicas wanted, one still there", deployment(0, { observedGeneration: 2, replicas: 1 }), false],
  ["none available yet", deployment(1, { observedGeneration: 2, replicas: 1, updatedReplicas: 1 }), false],
  [
    "available",
    deployment(undefined, { observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 1 }),
    true,
  ],
  [
    "old replicas still there",
    deployment(1, { observedGeneration: 2, replicas: 2, updatedReplicas: 1, availableReplicas: 2 }),
    false,
  ],
];

for (const [name, object, ready] of READY) {
  Deno.test(`isReady(): a Deployment, ${name}`, () => assert.equal(isReady(object), ready));
}
