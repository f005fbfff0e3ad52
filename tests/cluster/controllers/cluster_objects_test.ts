import assert from "node:assert/strict";
import { poolAddresses } from "../../../src/cluster/controllers/load_balancer.ts";
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  DISRUPTION_BUDGETS,
  ENDPOINT_SLICES,
  EVENTS,
  LEASES,
  NAMESPACES,
  NODES,
  PODS,
  PRIORITY_CLASSES,
  SECRETS,
  SERVICE_ACCOUNTS,
  SERVICES,
} from "../../../src/cluster/controllers/kit/types.ts";
import { deployment, type Harness, podTemplate, withHarness } from "./harness.ts";

Deno.test("a new cluster has its namespaces, Services with endpoints, priority classes, accounts and root CA", async () => {
  await withHarness({ nodes: 0 }, async (harness) => {
    const names = harness.api.list(NAMESPACES).map((namespace) => namespace.metadata.name).sort();
    assert.deepEqual(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
    for (const name of names) {
      assert.ok(harness.api.get(SERVICE_ACCOUNTS, name, "default"));
      assert.deepEqual(harness.api.get(CONFIG_MAPS, name, "kube-root-ca.crt")!.data, { "ca.crt": harness.caPem });
    }
    assert.equal(harness.api.get(SERVICES, "default", "kubernetes")!.spec.clusterIP, "10.96.0.1");
    const api = harness.api.get(ENDPOINT_SLICES, "default", "kubernetes")!;
    assert.deepEqual([api.endpoints[0].addresses, api.ports[0].port], [["172.18.0.1"], 6443]);
    const dns = harness.api.get(SERVICES, "kube-system", "kube-dns")!;
    assert.equal(dns.spec.clusterIP, "10.96.0.10");
    assert.deepEqual(dns.spec.ports.map((port: any) => `${port.port}/${port.protocol}`), [
      "53/UDP",
      "53/TCP",
      "9153/TCP",
    ]);
    assert.equal(harness.api.get(PRIORITY_CLASSES, undefined, "system-node-critical")!.value, 2000001000);
  });
});

Deno.test("the default account and the root CA come back when deleted or changed", async () => {
  await withHarness({ nodes: 0 }, async (harness) => {
    harness.api.delete(SERVICE_ACCOUNTS, "default", "default");
    harness.api.patch(CONFIG_MAPS, "default", "kube-root-ca.crt", "merge", { data: { "ca.crt": "forged" } });
    await harness.settle();
    assert.ok(harness.api.get(SERVICE_ACCOUNTS, "default", "default"));
    assert.equal(harness.api.get(CONFIG_MAPS, "default", "kube-root-ca.crt")!.data["ca.crt"], harness.caPem);
  });
});

function tokenSecret(name: string, account: string): any {
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/service-account-token",
    metadata: { name, namespace: "default", annotations: { "kubernetes.io/service-account.name": account } },
  };
}

Deno.test("token Secrets are filled, follow their account, and are deleted without one", async () => {
  await withHarness({ nodes: 0 }, async (harness) => {
    harness.api.create(SERVICE_ACCOUNTS, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "robot", namespace: "default" },
    });
    harness.api.create(SECRETS, tokenSecret("robot-token", "robot"));
    harness.api.create(SECRETS, tokenSecret("nobody", "missing"));
    await harness.settle();
    const secret = harness.api.get(SECRETS, "default", "robot-token")!;
    assert.match(atob(secret.data.token), /^[\w-]+\.[\w-]+\.[\w-]+$/);
    assert.deepEqual([atob(secret.data["ca.crt"]), atob(secret.data.namespace)], [harness.caPem, "default"]);
    assert.equal(harness.api.get(SECRETS, "default", "nobody"), undefined);
    harness.api.delete(SERVICE_ACCOUNTS, "default", "robot");
    await harness.settle();
    assert.equal(harness.api.get(SECRETS, "default", "robot-token"), undefined);
  });
});

function loadBalancer(harness: Harness, name: string, spec: Record<string, unknown> = {}): () => string | undefined {
  harness.api.create(SERVICES, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { type: "LoadBalancer", ports: [{ port: 80 }], ...spec },
  });
  return () => harness.api.get(SERVICES, "default", name)?.status?.loadBalancer?.ingress?.[0]?.ip;
}

Deno.test("LoadBalancer Services get addresses of the pool or the one they ask for, and give them back", async () => {
  await withHarness({ nodes: 0 }, async (harness) => {
    const [a, b] = [loadBalancer(harness, "a"), loadBalancer(harness, "b")];
    const asked = loadBalancer(harness, "asked", { loadBalancerIP: "203.0.113.9" });
    const foreign = loadBalancer(harness, "foreign", { loadBalancerClass: "example.com/other" });
    await harness.settle();
    assert.equal(a(), "172.18.200.1");
    assert.equal(b(), "172.18.200.2");
    assert.equal(asked(), "203.0.113.9");
    assert.equal(foreign(), undefined);
    harness.api.patch(SERVICES, "default", "a", "merge", { spec: { type: "ClusterIP" } });
    await harness.settle();
    assert.equal(a(), undefined);
    const c = loadBalancer(harness, "c");
    await harness.restart();
    assert.deepEqual([b(), c()], ["172.18.200.2", "172.18.200.1"]);
    harness.api.patch(SERVICES, "default", "c", "merge", { spec: { loadBalancerIP: "172.18.200.77" } });
    await harness.settle();
    assert.equal(c(), "172.18.200.77");
  });
});

Deno.test("poolAddresses() leaves out network and broadcast", () => {
  assert.deepEqual([...poolAddresses("192.0.2.0/29")], [1, 2, 3, 4, 5, 6].map((i) => `192.0.2.${i}`));
});

Deno.test("a node whose heartbeat stops becomes Unknown, tainted, empty; it recovers when the heart beats again", async () => {
  await withHarness({ nodes: 2 }, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 2));
    await harness.run();
    harness.silent.add("node-1");
    await harness.advance(60_000);
    const node = () => harness.api.get(NODES, undefined, "node-1")!;
    const ready = () => node().status.conditions.find((c: any) => c.type === "Ready");
    assert.equal(ready().status, "Unknown");
    assert.deepEqual(node().spec.taints.map((taint: any) => `${taint.key}:${taint.effect}`), [
      "node.kubernetes.io/unreachable:NoSchedule",
      "node.kubernetes.io/unreachable:NoExecute",
    ]);
    const onNode = () => harness.pods().filter((pod) => pod.spec.nodeName === "node-1");
    assert.equal(onNode()[0].status.conditions.find((c: any) => c.type === "Ready").status, "False");
    await harness.advance(310_000);
    await harness.run();
    assert.deepEqual(onNode(), [], "evicted when the default toleration of five minutes is over");
    assert.equal(harness.pods().length, 2);
    harness.silent.delete("node-1");
    await harness.advance(10_000);
    assert.equal(ready().status, "True");
    assert.deepEqual(node().spec.taints ?? [], []);
  });
});

Deno.test("a Lease is a heartbeat; cordoning shows as a taint", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    harness.silent.add("node-0");
    const metadata = { name: "node-0", namespace: "kube-node-lease" };
    harness.api.create(LEASES, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata,
      spec: { renewTime: "2026-01-01T00:00:00.000000Z" },
    });
    for (let i = 1; i < 12; i++) {
      await harness.advance(10_000);
      harness.api.patch(LEASES, "kube-node-lease", "node-0", "merge", {
        spec: { renewTime: `2026-01-01T00:0${Math.floor(i / 6)}:${i % 6}0.000000Z` },
      });
    }
    const node = () => harness.api.get(NODES, undefined, "node-0")!;
    assert.equal(node().status.conditions[0].status, "True");
    harness.api.patch(NODES, undefined, "node-0", "merge", { spec: { unschedulable: true } });
    await harness.settle();
    assert.equal(node().spec.taints[0].key, "node.kubernetes.io/unschedulable");
    harness.api.patch(NODES, undefined, "node-0", "merge", { spec: { unschedulable: null } });
    await harness.settle();
    assert.deepEqual(node().spec.taints ?? [], []);
  });
});

Deno.test("a node that a former run left behind is found out soon after a restart", async () => {
  await withHarness({ nodes: 2 }, async (harness) => {
    for (const name of ["node-0", "node-1"]) {
      const metadata = { name, namespace: "kube-node-lease" };
      const spec = { renewTime: new Date(harness.clock.now()).toISOString().replace("Z", "000Z") };
      harness.api.create(LEASES, { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec });
    }
    await harness.stop();
    harness.clock.advance(3_600_000);
    await harness.restart();
    harness.silent.add("node-1");
    await harness.advance(11_000);
    const ready = (name: string) =>
      harness.api.get(NODES, undefined, name)!.status.conditions.find((c: any) => c.type === "Ready").status;
    assert.deepEqual([ready("node-0"), ready("node-1")], ["True", "Unknown"]);
  });
});

Deno.test("NoExecute evicts at once, after tolerationSeconds, or never", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    const pod = (name: string, tolerations: unknown[]): any => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default" },
      spec: { containers: [{ name: "c", image: "busybox" }], tolerations },
    });
    harness.api.create(PODS, pod("none", []));
    harness.api.create(
      PODS,
      pod("while", [{ key: "k", operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 }]),
    );
    harness.api.create(PODS, pod("always", [{ key: "k", operator: "Exists" }]));
    await harness.run();
    const timeAdded = new Date(harness.clock.now()).toISOString();
    harness.api.patch(NODES, undefined, "node-0", "merge", {
      spec: { taints: [{ key: "k", effect: "NoExecute", timeAdded }] },
    });
    await harness.run();
    const names = () => harness.pods().map((pod) => pod.metadata.name);
    assert.deepEqual(names(), ["always", "while"]);
    await harness.advance(61_000);
    await harness.run();
    assert.deepEqual(names(), ["always"]);
  });
});

Deno.test("pods of a node that is gone are removed after a while, as are deleted pods never bound", async () => {
  await withHarness({ nodes: 2 }, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 2));
    await harness.run();
    harness.api.delete(NODES, undefined, "node-1");
    await harness.advance(41_000);
    await harness.run();
    assert.deepEqual(harness.pods().map((pod) => pod.spec.nodeName), ["node-0", "node-0"]);
  });
});

Deno.test("a PodDisruptionBudget says how many pods may go", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    harness.api.create(DEPLOYMENTS, deployment("web", 4));
    const budget = (name: string, spec: Record<string, unknown>): any => ({
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: { name, namespace: "default" },
      spec: { selector: { matchLabels: { app: "web" } }, ...spec },
    });
    harness.api.create(DISRUPTION_BUDGETS, budget("min", { minAvailable: 3 }));
    harness.api.create(DISRUPTION_BUDGETS, budget("max", { maxUnavailable: "50%" }));
    harness.api.create(DISRUPTION_BUDGETS, budget("none", { minAvailable: 1, selector: undefined }));
    await harness.run();
    const status = (name: string) => harness.api.get(DISRUPTION_BUDGETS, "default", name)!.status;
    const figures = (name: string) => {
      const { currentHealthy, desiredHealthy, disruptionsAllowed, expectedPods } = status(name);
      return [currentHealthy, desiredHealthy, disruptionsAllowed, expectedPods];
    };
    assert.deepEqual(figures("min"), [4, 3, 1, 4]);
    assert.deepEqual(figures("max"), [4, 2, 2, 4]);
    assert.deepEqual(figures("none"), [0, 1, 0, 0]);
    harness.report(harness.pods()[0], { ready: false });
    await harness.settle();
    assert.deepEqual(figures("min"), [3, 3, 0, 4]);
    assert.equal(status("min").conditions[0].status, "False");
  });
});

Deno.test("repeated events are counted, floods are damped, and events go after an hour", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    const template = podTemplate({ app: "web" });
    template.spec.nodeSelector = { nowhere: "yes" };
    harness.api.create(DEPLOYMENTS, deployment("web", 1, { template }));
    await harness.settle();
    const [pod] = harness.pods();
    for (let i = 0; i < 60; i++) {
      harness.api.patch(NODES, undefined, "node-0", "merge", { metadata: { labels: { turn: String(i) } } });
      await harness.settle();
    }
    const events = harness.api.list(EVENTS, { namespace: "default" }).filter((event) =>
      event.involvedObject.uid === pod.metadata.uid
    );
    assert.equal(events.length, 1);
    assert.equal(events[0].reason, "FailedScheduling");
    assert.equal(events[0].type, "Warning");
    assert.equal(events[0].count, 25, "the burst that one object may make");
    harness.api.delete(DEPLOYMENTS, "default", "web");
    await harness.run();
    await harness.advance(3_700_000);
    assert.deepEqual(harness.api.list(EVENTS, { namespace: "default" }), []);
  });
});
