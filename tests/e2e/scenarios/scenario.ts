import assert from "node:assert/strict";
import { REDIRECTION } from "../../../src/roles/tour/context.ts";
import type { TestCluster } from "../../support/cluster.ts";

/** A part of the end-to-end test that works on the shared cluster; throws when something is not as it should be. */
export type Scenario = (cluster: TestCluster) => Promise<void>;

export const TITLE = "<title>Simple Bookstore App</title>";
export const PRODUCTPAGE = "http://productpage.default:9080/";
/** curl: failure in receiving network data, which is what a reset is to it. */
export const CURL_RESET = 56;

export { REDIRECTION };

const AMBIENT = "istio.io/dataplane-mode";

/** The page comes; asserts exit code and title. */
export async function served(cluster: TestCluster, app: string, namespace = "default"): Promise<void> {
  const { exitCode, stdout, stderr } = await cluster.curl(app, PRODUCTPAGE, { namespace });
  assert.equal(exitCode, 0, `curl from ${app} ended with ${exitCode}: ${stderr}`);
  assert.ok(stdout.includes(TITLE), `curl from ${app} got ${stdout.slice(0, 200)}`);
}

/** The connection is reset before a byte comes back. */
export async function reset(cluster: TestCluster, app: string, namespace = "default"): Promise<void> {
  const { exitCode, stdout } = await cluster.curl(app, PRODUCTPAGE, { namespace });
  assert.equal(exitCode, CURL_RESET, `curl from ${app} ended with ${exitCode}`);
  assert.equal(stdout, "");
}

/** Labels the namespace and waits until every pod of it is in the mesh (or out of it). */
export async function enrol(cluster: TestCluster, enrolled: boolean): Promise<void> {
  await cluster.label("default", { [AMBIENT]: enrolled ? "ambient" : null });
  await cluster.until(async () => {
    const pods = await cluster.client.list("v1", "Pod", { namespace: "default" });
    const late = pods.filter((pod) => (pod.metadata.annotations?.[REDIRECTION] === "enabled") !== enrolled);
    assert.deepEqual(late.map((pod) => pod.metadata.name), []);
  });
}

/** What of the pods must stay as it is when they join or leave: identity, age, address, restarts. */
export async function podFacts(cluster: TestCluster): Promise<Record<string, unknown>> {
  const pods = await cluster.client.list("v1", "Pod", { namespace: "default" });
  return Object.fromEntries(pods.map(({ metadata, status, spec }) => [metadata.name, {
    uid: metadata.uid,
    created: metadata.creationTimestamp,
    ip: status.podIP,
    containers: spec.containers.length,
    restarts: status.containerStatuses.map((container: any) => container.restartCount),
    started: status.containerStatuses.map((container: any) => container.state?.running?.startedAt),
  }]));
}
