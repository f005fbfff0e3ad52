import assert from "node:assert/strict";
import { execInPod } from "../../src/roles/ctl/exec.ts";
import { formatTable } from "../../src/core/terminal.ts";
import { NO_CLUSTER, TestCluster } from "../support/cluster.ts";

const PODS = 200;
const NODES = 4;
const NAMESPACE = "crowd";
const CALLERS = 12;

/** A server, and sleepers that are told apart by nothing but their names. */
const CROWD = `
apiVersion: v1
kind: Namespace
metadata: { name: ${NAMESPACE} }
---
apiVersion: v1
kind: Service
metadata: { name: server }
spec:
  selector: { app: server }
  ports: [{ name: http, port: 80, targetPort: 8080 }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: server }
spec:
  selector: { matchLabels: { app: server } }
  template:
    metadata: { labels: { app: server } }
    spec:
      containers: [{ name: httpbin, image: mccutchen/go-httpbin, readinessProbe: { httpGet: { path: /get, port: 8080 } } }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: sleeper }
spec:
  replicas: ${PODS}
  selector: { matchLabels: { app: sleeper } }
  template:
    metadata: { labels: { app: sleeper } }
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{ name: sleep, image: busybox, command: [sleep, infinity] }]
`;

Deno.test({
  name: `${PODS} pods on ${NODES} nodes join at once: all captured, none lost${
    NO_CLUSTER ? ` (ignored: ${NO_CLUSTER})` : ""
  }`,
  ignore: NO_CLUSTER !== undefined,
  fn: async () => {
    await using cluster = await TestCluster.start({ nodes: NODES, mesh: "ambient", samples: "none" });
    const seconds = (since: number) => ((performance.now() - since) / 1000).toFixed(1);
    const applied = performance.now();
    await cluster.apply(CROWD, NAMESPACE);
    await cluster.until(async () => {
      assert.equal((await cluster.pods("app=sleeper", NAMESPACE)).length, PODS);
      assert.equal((await cluster.pods("app=server", NAMESPACE)).length, 1);
    }, 120_000);
    console.log(`      ${PODS} pods are ready after ${seconds(applied)} s`);

    const labelled = performance.now();
    await cluster.label(NAMESPACE, { "istio.io/dataplane-mode": "ambient" });
    await cluster.until(async () => {
      const pods = await cluster.client.list("v1", "Pod", { namespace: NAMESPACE });
      const captured = pods.filter((pod) => pod.metadata.annotations?.["ambient.istio.io/redirection"] === "enabled");
      assert.equal(captured.length, PODS + 1);
    }, 120_000);
    console.log(`      ${PODS + 1} pods are captured after ${seconds(labelled)} s`);

    const ztunnels = await cluster.pods("app=ztunnel", "istio-system");
    assert.equal(ztunnels.length, NODES);
    await cluster.until(async () => {
      const metrics = await Promise.all(ztunnels.map((pod) => cluster.get(pod, 15020, "/metrics")));
      const active = metrics.map((text) => Number(/^workload_manager_active_proxy_count (\d+)$/m.exec(text)?.[1]));
      const pending = metrics.map((text) => Number(/^workload_manager_pending_proxy_count (\d+)$/m.exec(text)?.[1]));
      assert.deepEqual([active, pending].map((counts) => counts.reduce((a, b) => a + b)), [PODS + 1, 0]);
    });

    // Callers from every node, each through the mesh.
    const sleepers = await cluster.pods("app=sleeper", NAMESPACE);
    const callers = Array.from({ length: CALLERS }, (_, i) => sleepers[Math.floor(i * sleepers.length / CALLERS)]);
    await Promise.all(callers.map((pod) =>
      cluster.until(async () => {
        const target = { namespace: NAMESPACE, pod: pod.metadata.name };
        const { stdout } = await execInPod(cluster.client, target, [
          "curl",
          "-s",
          "-m",
          "5",
          "-o",
          "/dev/null",
          "-w",
          "%{http_code}",
          "http://server/get",
        ]);
        assert.equal(stdout, "200");
      })
    ));
    // ztunnel writes its log a little later than it answers.
    await cluster.until(async () => {
      const inbound = (await Promise.all(ztunnels.map((pod) => cluster.logs(pod)))).join("\n").split("\n")
        .filter((line) => line.includes('direction="inbound"') && line.includes('dst.workload="server-'));
      for (const { metadata: { name } } of callers) {
        const lines = inbound.filter((text) => text.includes(`src.workload="${name}"`));
        assert.ok(lines.length > 0, `nothing tells of the request of ${name}`);
        assert.ok(
          lines[0].includes('src.identity="spiffe://cluster.local/ns/crowd/sa/default"'),
          `${name} came in plain text: ${lines[0]}`,
        );
      }
    });
    console.log(memoryTable(cluster));
  },
});

/** Resident memory of each role's processes, for the report. */
function memoryTable(cluster: TestCluster): string {
  const roles: Record<string, number[]> = {};
  for (const { pid, command } of cluster.processes()) {
    const role = /main\.ts (cluster-engine|istiod|ztunnel|cni)\b/.exec(command)?.[1];
    if (!role || /nsenter|unshare/.test(command)) continue;
    const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(readStatus(pid))?.[1] ?? 0);
    (roles[role] ??= []).push(Math.round(kilobytes / 1024));
  }
  const rows = Object.entries(roles).map(([role, sizes]) => [role, String(sizes.length), sizes.join(", ")]);
  return formatTable([["ROLE", "PROCESSES", "RESIDENT MiB"], ...rows]).replace(/^/gm, "      ");
}

function readStatus(pid: number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/status`);
  } catch {
    return "";
  }
}
