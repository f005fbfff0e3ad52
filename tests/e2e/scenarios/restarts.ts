import assert from "node:assert/strict";
import { execInPod } from "../../../src/roles/ctl/exec.ts";
import type { KubeJson } from "../../../src/roles/ctl/kube.ts";
import type { TestCluster } from "../../support/cluster.ts";
import { PRODUCTPAGE, REDIRECTION, type Scenario, served } from "./scenario.ts";

/** Time between two requests of the flow. */
const EVERY_SECONDS = 0.1;

/** kill -9 of each role while requests flow: what runs goes on, new connections come back, nothing leaks. */
export const restarts: Scenario = async (cluster) => {
  const before = await settledCommands(cluster);
  await killed(cluster, "istiod", "app=istiod", / istiod( |$)/, { failuresAllowed: false });
  await served(cluster, "sleep");
  await killed(cluster, "cni", "k8s-app=istio-cni-node", / cni( |$)/, { failuresAllowed: false });
  await newPodJoins(cluster);
  await killed(cluster, "ztunnel", "app=ztunnel", / ztunnel( |$)/, { failuresAllowed: true });
  for (const caller of ["sleep", "notsleep", "ratings"]) await served(cluster, caller);
  await cluster.until(async () => assert.deepEqual(surplus(commands(cluster), before), [], "processes are left over"));
  assert.ok(cluster.alive);
};

/** What the cluster's processes run, without what differs from start to start (ids of pods and containers). */
function commands(cluster: TestCluster): string[] {
  return cluster.processes().map(({ command }) => command.replace(/[0-9a-f-]{32,36}|\d+/g, "#").slice(0, 200)).sort();
}

/** The same, once nothing has started or ended for a second. */
function settledCommands(cluster: TestCluster): Promise<string[]> {
  return cluster.until(async () => {
    const before = commands(cluster);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const now = commands(cluster);
    assert.deepEqual(now, before, "processes come and go");
    return now;
  });
}

/** Members of `now` beyond those of `before`. */
function surplus(now: readonly string[], before: readonly string[]): string[] {
  const known = [...before];
  return now.filter((one) => {
    const at = known.indexOf(one);
    if (at >= 0) known.splice(at, 1);
    return at < 0;
  });
}

/** Kills a role on the node of the caller, waits for its return, and looks at what the requests met meanwhile. */
async function killed(
  cluster: TestCluster,
  role: string,
  labels: string,
  command: RegExp,
  { failuresAllowed }: { failuresAllowed: boolean },
): Promise<void> {
  const caller = await cluster.pod("sleep");
  const pods = await cluster.pods(labels, "istio-system");
  const victim = pods.find((pod) => pod.spec.nodeName === caller.spec.nodeName) ?? pods[0];
  assert.ok(victim, `no pod of ${role} is ready`);
  const restartsBefore = restartsOf(victim);
  const flow = await startFlow(cluster, caller);
  assert.ok(cluster.kill(victim, command) > 0, `no process of ${role} was found`);
  await cluster.until(async () => {
    const now = await cluster.client.get("v1", "Pod", "istio-system", victim.metadata.name);
    assert.equal(restartsOf(now!), restartsBefore + 1, `${role} has not been restarted`);
    const ready = now!.status.conditions.some((c: any) => c.type === "Ready" && c.status === "True");
    assert.ok(ready, `${role} is not ready again`);
  }, 60_000);
  // New connections work again: several in a row, so that luck does not count.
  await cluster.until(async () => {
    for (let i = 0; i < 3; i++) await served(cluster, "sleep");
  });
  const { ok, failed } = await flow.stop();
  console.log(`      kill -9 of ${role}: ${ok} requests answered, ${failed} failed`);
  assert.ok(ok > 0);
  if (!failuresAllowed) assert.equal(failed, 0, `requests failed although only ${role} was gone`);
}

/** Requests from a pod, one after another, each over a connection of its own, until told to stop. */
async function startFlow(
  cluster: TestCluster,
  pod: KubeJson,
): Promise<{ stop(): Promise<{ ok: number; failed: number }> }> {
  const run = `/tmp/flow-${crypto.randomUUID()}`;
  const script = `touch ${run}; while [ -e ${run} ]; do ` +
    `curl -s -m 2 -o /dev/null -w '%{http_code}\\n' ${PRODUCTPAGE} | tee -a ${run}.log; sleep ${EVERY_SECONDS}; done`;
  const target = { namespace: "default", pod: pod.metadata.name };
  const finished = execInPod(cluster.client, target, ["sh", "-c", script]);
  finished.catch(() => {});
  await cluster.until(async () => {
    const { exitCode } = await execInPod(cluster.client, target, ["sh", "-c", `grep -q 200 ${run}.log`]);
    assert.equal(exitCode, 0, "the requests do not flow yet");
  });
  return {
    async stop() {
      await execInPod(cluster.client, target, ["rm", "-f", run]);
      const { stdout } = await finished;
      const codes = stdout.trim().split("\n");
      const ok = codes.filter((code) => code === "200").length;
      return { ok, failed: codes.length - ok };
    },
  };
}

/** The restarted agent still sees pods come: a new one joins, and talks to the others. */
async function newPodJoins(cluster: TestCluster): Promise<void> {
  const objects = await cluster.apply([{
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "newcomer", namespace: "default" },
    spec: {
      selector: { matchLabels: { app: "newcomer" } },
      template: {
        metadata: { labels: { app: "newcomer" } },
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: [{ name: "curl", image: "curlimages/curl", command: ["/bin/sleep", "infinity"] }],
        },
      },
    },
  }]);
  await cluster.until(async () => {
    const { metadata } = await cluster.pod("newcomer");
    assert.equal(metadata.annotations?.[REDIRECTION], "enabled");
  });
  await cluster.until(() => served(cluster, "newcomer"));
  await cluster.remove(objects);
  await cluster.until(async () => {
    const left = await cluster.client.list("v1", "Pod", { namespace: "default", labelSelector: "app=newcomer" });
    assert.equal(left.length, 0);
  });
}

function restartsOf(pod: KubeJson): number {
  return pod.status.containerStatuses[0].restartCount;
}
