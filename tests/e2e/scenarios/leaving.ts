import assert from "node:assert/strict";
import { execInPod } from "../../../src/roles/ctl/exec.ts";
import type { TestCluster } from "../../support/cluster.ts";
import { enrol, podFacts, PRODUCTPAGE, type Scenario, served } from "./scenario.ts";

/** Requests that one curl sends over one connection, five a second: enough to reach over a change of labels. */
const REQUESTS = 40;

/** Unlabelling gives plain traffic back without a restart; connections open while pods leave or join live on. */
export const leaving: Scenario = async (cluster) => {
  const before = await podFacts(cluster);

  const throughLeaving = await keepAlive(cluster);
  await enrol(cluster, false);
  await unbroken(await throughLeaving.finished, "while leaving");
  const since = new Date();
  for (const caller of ["sleep", "notsleep"]) await cluster.until(() => served(cluster, caller));
  const lines = await cluster.accessLines(since);
  assert.deepEqual(lines.filter(({ fields }) => fields["dst.service"]?.startsWith("productpage.")), []);

  const throughJoining = await keepAlive(cluster);
  await enrol(cluster, true);
  await unbroken(await throughJoining.finished, "while joining");
  await cluster.until(() => served(cluster, "notsleep"));
  await enrol(cluster, false);
  assert.deepEqual(await podFacts(cluster), before, "a pod was restarted or replaced");
};

/** Starts a curl that uses one connection for many requests, and returns when the first has been answered. */
async function keepAlive(cluster: TestCluster): Promise<{ finished: Promise<string> }> {
  const pod = await cluster.pod("sleep");
  const log = `/tmp/keep-alive-${crypto.randomUUID()}`;
  const script = `curl -s --rate 5/s -o /dev/null -w '%{http_code} %{num_connects}\\n' ` +
    `'${PRODUCTPAGE}?[1-${REQUESTS}]' | tee ${log}`;
  const target = { namespace: "default", pod: pod.metadata.name };
  const finished = execInPod(cluster.client, target, ["sh", "-c", script]).then(({ stdout }) => stdout);
  finished.catch(() => {});
  await cluster.until(async () => {
    const { exitCode } = await execInPod(cluster.client, target, ["sh", "-c", `grep -q 200 ${log}`]);
    assert.equal(exitCode, 0, "curl has had no answer yet");
  });
  return { finished };
}

/** Every request was answered, all of them over the first connection. */
function unbroken(output: string, when: string): void {
  const lines = output.trim().split("\n");
  assert.equal(lines.length, REQUESTS, `${when}: ${lines.length} of ${REQUESTS} requests ended`);
  assert.equal(lines[0], "200 1");
  const wrong = lines.slice(1).filter((line) => line !== "200 0");
  assert.deepEqual(wrong, [], `${when}: requests failed or needed another connection`);
}
