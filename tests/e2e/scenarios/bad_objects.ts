import assert from "node:assert/strict";
import type { KubeJson } from "../../../src/roles/ctl/kube.ts";
import { refusal } from "../../support/cluster.ts";
import { type Scenario, served } from "./scenario.ts";

interface Refused {
  name: string;
  object: KubeJson;
  status: number;
  reason: string;
  message: RegExp;
}

const policy = (name: string, spec: unknown): KubeJson => ({
  apiVersion: "security.istio.io/v1",
  kind: "AuthorizationPolicy",
  metadata: { name, namespace: "default" },
  spec,
});

const CASES: readonly Refused[] = [
  {
    name: "a field of the wrong type",
    object: policy("bad", { selector: { matchLabels: "app" } }),
    status: 422,
    reason: "Invalid",
    message: /spec\.selector\.matchLabels/,
  },
  {
    name: "a value that the schema does not list",
    object: policy("bad", { action: "PERHAPS" }),
    status: 422,
    reason: "Invalid",
    message: /spec\.action.*PERHAPS|PERHAPS.*spec\.action/,
  },
  {
    name: "a name that cannot be one",
    object: policy("Not_A_Name", {}),
    status: 422,
    reason: "Invalid",
    message: /metadata\.name/,
  },
  {
    name: "a namespace that is not there",
    object: { ...policy("bad", {}), metadata: { name: "bad", namespace: "nowhere" } },
    status: 404,
    reason: "NotFound",
    message: /namespaces "nowhere" not found/,
  },
  {
    name: "a Deployment whose selector does not match its template",
    object: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "bad", namespace: "default" },
      spec: {
        selector: { matchLabels: { app: "a" } },
        template: { metadata: { labels: { app: "b" } }, spec: { containers: [{ name: "c", image: "busybox" }] } },
      },
    },
    status: 422,
    reason: "Invalid",
    message: /selector.*does not match/i,
  },
];

/** Objects that the API refuses, and an image that no node can run; the mesh does not notice. */
export const badObjects: Scenario = async (cluster) => {
  for (const { name, object, status, reason, message } of CASES) {
    const error = await refusal(cluster.client.apply(object));
    assert.deepEqual([error.status, error.reason], [status, reason], `${name}: ${error.message}`);
    assert.match(error.message, message, name);
  }
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "unknown-image", namespace: "default" },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "c", image: "example.com/never/heard-of:1" }] },
  };
  await cluster.apply([pod]);
  await cluster.until(async () => {
    const { status } = (await cluster.client.get("v1", "Pod", "default", "unknown-image"))!;
    const waiting = status.containerStatuses?.[0]?.state?.waiting;
    assert.equal(waiting?.reason, "ErrImageNeverPull");
    assert.match(waiting.message, /example\.com\/never\/heard-of:1/);
  });
  await cluster.remove([pod]);
  await served(cluster, "sleep");
};
