import assert from "node:assert/strict";
import type { KubeObject } from "../../../src/cluster/contracts.ts";
import { decide } from "../../../src/cluster/controllers/scheduler/decide.ts";
import { tolerates } from "../../../src/cluster/controllers/scheduler/placement.ts";
import { requestsOf } from "../../../src/cluster/controllers/scheduler/resources.ts";
import { NODES, PODS } from "../../../src/cluster/controllers/kit/types.ts";
import { withHarness } from "./harness.ts";

function node(
  name: string,
  { labels = {}, spec = {}, allocatable = { cpu: "4", memory: "8Gi", pods: "10" } }: any = {},
): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...labels } },
    spec,
    status: { allocatable },
  };
}

let serial = 0;
function pod(spec: any = {}, labels: Record<string, string> = {}): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `pod-${serial++}`, namespace: "default", labels, uid: `uid-${serial}` },
    spec: { containers: [{ name: "c", image: "busybox" }], ...spec },
    status: { phase: spec.nodeName ? "Running" : "Pending" },
  };
}

function place(subject: KubeObject, nodes: KubeObject[], pods: KubeObject[] = []): string {
  const result = decide({
    nodes,
    podsOn: (name) => pods.filter((other) => other.spec.nodeName === name),
    namespaceLabels: (namespace) => ({ "kubernetes.io/metadata.name": namespace }),
  }, subject);
  return "node" in result ? result.node : result.message;
}

const requests = (cpu: string, memory = "0") => ({
  containers: [{ name: "c", image: "busybox", resources: { requests: { cpu, memory } } }],
});
const required = "requiredDuringSchedulingIgnoredDuringExecution";

Deno.test("decide() places by what the pod asks for, and says in kube's words why it cannot", () => {
  const controlPlane = node("cp", {
    spec: { taints: [{ key: "node-role.kubernetes.io/control-plane", effect: "NoSchedule" }] },
  });
  const small = node("small", { allocatable: { cpu: "500m", memory: "1Gi", pods: "10" } });
  const ssd = node("ssd", { labels: { disk: "ssd", zone: "a" } });
  const cordoned = node("cordoned", { spec: { unschedulable: true } });
  const cases: [string, KubeObject, KubeObject[], string, KubeObject[]?][] = [
    ["no nodes", pod(), [], "no nodes available to schedule pods"],
    ["least used", pod(), [small, ssd], "ssd", [pod({ nodeName: "small" })]],
    ["resources", pod(requests("1")), [small, ssd], "ssd"],
    ["resources used up", pod(requests("1")), [ssd], "0/1 nodes are available: 1 Insufficient cpu.", [
      pod({ nodeName: "ssd", ...requests("3500m") }),
    ]],
    ["ended pods need nothing", pod(requests("1")), [ssd], "ssd", [{
      ...pod({ nodeName: "ssd", ...requests("4") }),
      status: { phase: "Succeeded" },
    }]],
    [
      "two resources",
      pod(requests("5", "10Gi")),
      [ssd],
      "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.",
    ],
    ["too many pods", pod(), [node("n", { allocatable: { pods: "1" } })], "0/1 nodes are available: 1 Too many pods.", [
      pod({ nodeName: "n" }),
    ]],
    [
      "taint",
      pod(),
      [controlPlane],
      "0/1 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }.",
    ],
    ["tolerated taint", pod({ tolerations: [{ operator: "Exists" }] }), [controlPlane], "cp"],
    ["cordoned", pod(), [cordoned], "0/1 nodes are available: 1 node(s) were unschedulable."],
    [
      "several reasons",
      pod({ nodeSelector: { disk: "ssd" } }),
      [controlPlane, small, cordoned],
      "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 1 node(s) were unschedulable.",
    ],
    ["nodeSelector", pod({ nodeSelector: { disk: "ssd" } }), [small, ssd], "ssd"],
    [
      "affinity",
      pod({
        affinity: {
          nodeAffinity: {
            [required]: {
              nodeSelectorTerms: [{ matchExpressions: [{ key: "disk", operator: "In", values: ["ssd"] }] }],
            },
          },
        },
      }),
      [small, ssd],
      "ssd",
    ],
    [
      "affinity by name",
      pod({
        affinity: {
          nodeAffinity: {
            [required]: {
              nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["small"] }] }],
            },
          },
        },
      }),
      [small, ssd],
      "small",
    ],
    [
      "an empty term matches nothing",
      pod({ affinity: { nodeAffinity: { [required]: { nodeSelectorTerms: [{}] } } } }),
      [ssd],
      "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    ],
    [
      "preferred affinity",
      pod({
        affinity: {
          nodeAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [{
              weight: 10,
              preference: { matchExpressions: [{ key: "disk", operator: "Exists" }] },
            }],
          },
        },
      }),
      [small, ssd],
      "ssd",
      [pod({ nodeName: "ssd" })],
    ],
    [
      "host ports",
      pod({ containers: [{ ports: [{ hostPort: 80 }] }] }),
      [ssd],
      "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
      [pod({ nodeName: "ssd", containers: [{ ports: [{ hostPort: 80 }] }] })],
    ],
    [
      "host ports of two protocols",
      pod({ containers: [{ ports: [{ hostPort: 80, protocol: "UDP" }] }] }),
      [ssd],
      "ssd",
      [pod({ nodeName: "ssd", containers: [{ ports: [{ hostPort: 80 }] }] })],
    ],
    [
      "anti-affinity",
      pod({
        affinity: {
          podAntiAffinity: {
            [required]: [{ labelSelector: { matchLabels: { app: "a" } }, topologyKey: "kubernetes.io/hostname" }],
          },
        },
      }),
      [small, ssd],
      "small",
      [pod({ nodeName: "ssd" }, { app: "a" })],
    ],
    [
      "anti-affinity of a pod that is there",
      pod({}, { app: "b" }),
      [ssd],
      "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
      [pod({
        nodeName: "ssd",
        affinity: {
          podAntiAffinity: {
            [required]: [{ labelSelector: { matchLabels: { app: "b" } }, topologyKey: "kubernetes.io/hostname" }],
          },
        },
      })],
    ],
    [
      "pod affinity",
      pod({
        affinity: {
          podAffinity: {
            [required]: [{ labelSelector: { matchLabels: { app: "a" } }, topologyKey: "kubernetes.io/hostname" }],
          },
        },
      }),
      [small, ssd],
      "ssd",
      [pod({ nodeName: "ssd" }, { app: "a" }), pod({ nodeName: "ssd" })],
    ],
    [
      "pod affinity to itself",
      pod({
        affinity: {
          podAffinity: { [required]: [{ labelSelector: { matchLabels: { app: "a" } }, topologyKey: "zone" }] },
        },
      }, { app: "a" }),
      [small, ssd],
      "ssd",
    ],
    [
      "topology spread",
      pod({
        topologySpreadConstraints: [{
          maxSkew: 1,
          topologyKey: "kubernetes.io/hostname",
          whenUnsatisfiable: "DoNotSchedule",
          labelSelector: { matchLabels: { app: "a" } },
        }],
      }, { app: "a" }),
      [small, ssd],
      "small",
      [pod({ nodeName: "ssd" }, { app: "a" }), pod({ nodeName: "small" }), pod({ nodeName: "small" })],
    ],
  ];
  for (const [name, subject, nodes, expected, pods] of cases) {
    assert.equal(place(subject, nodes, pods), expected, name);
  }
});

Deno.test("tolerates() follows key, operator, value and effect", () => {
  const taint = { key: "k", value: "v", effect: "NoSchedule" } as const;
  const cases: [any, boolean][] = [
    [{ operator: "Exists" }, true],
    [{ key: "k", operator: "Exists" }, true],
    [{ key: "k", operator: "Equal", value: "v" }, true],
    [{ key: "k", value: "v", effect: "NoSchedule" }, true],
    [{ key: "k", value: "v", effect: "NoExecute" }, false],
    [{ key: "k", value: "w" }, false],
    [{ key: "other", operator: "Exists" }, false],
    [{ value: "v" }, false],
    [{}, false],
  ];
  for (const [toleration, expected] of cases) {
    assert.equal(tolerates(toleration, taint), expected, JSON.stringify(toleration));
  }
});

Deno.test("requestsOf() sums containers, takes the peak of init containers and adds sidecars and overhead", () => {
  const c = (cpu: string, extra = {}) => ({ name: "c", resources: { requests: { cpu } }, ...extra });
  const cpu = (spec: any) => requestsOf(pod(spec)).cpu;
  assert.equal(cpu({ containers: [c("1"), c("500m")] }), 1.5);
  assert.equal(cpu({ containers: [c("1")], initContainers: [c("3"), c("2")] }), 3);
  assert.equal(cpu({ containers: [c("1")], initContainers: [c("1", { restartPolicy: "Always" }), c("2")] }), 3);
  assert.equal(cpu({ containers: [c("4")], initContainers: [c("1", { restartPolicy: "Always" })] }), 5);
  assert.equal(cpu({ containers: [c("1")], overhead: { cpu: "250m" } }), 1.25);
});

Deno.test("a pod that fits nowhere waits with kube's condition and Event, and is bound when room comes", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    const big = { ...pod(requests("3")), metadata: { name: "first", namespace: "default" } };
    harness.api.create(PODS, big);
    harness.api.create(PODS, { ...big, metadata: { name: "second", namespace: "default" } });
    await harness.run();
    const second = () => harness.api.get(PODS, "default", "second")!;
    const condition = second().status.conditions[0];
    assert.deepEqual(
      [condition.type, condition.status, condition.reason, condition.message],
      ["PodScheduled", "False", "Unschedulable", "0/1 nodes are available: 1 Insufficient cpu."],
    );
    assert.deepEqual(harness.events("second"), ["FailedScheduling: 0/1 nodes are available: 1 Insufficient cpu."]);
    harness.api.delete(PODS, "default", "first");
    await harness.run();
    assert.equal(second().spec.nodeName, "node-0");
    harness.api.create(PODS, { ...big, metadata: { name: "third", namespace: "default" } });
    await harness.settle();
    harness.addNode("late");
    await harness.run();
    assert.equal(harness.api.get(PODS, "default", "third")!.spec.nodeName, "late");
  });
});

Deno.test("pods that name their node or another scheduler, and gated ones, are left alone", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    for (
      const [name, spec] of [
        ["named", { nodeName: "elsewhere" }],
        ["other", { schedulerName: "mine" }],
        ["gated", { schedulingGates: [{ name: "wait" }] }],
      ] as const
    ) {
      harness.api.create(PODS, { ...pod(spec), metadata: { name, namespace: "default" } });
    }
    await harness.settle();
    const get = (name: string) => harness.api.get(PODS, "default", name)!;
    assert.equal(get("named").spec.nodeName, "elsewhere");
    assert.equal(get("other").spec.nodeName, undefined);
    assert.equal(get("gated").spec.nodeName, undefined);
    assert.equal(get("gated").status.conditions[0].reason, "SchedulingGated");
    harness.api.patch(PODS, "default", "gated", "merge", { spec: { schedulingGates: [] } });
    await harness.settle();
    assert.equal(get("gated").spec.nodeName, "node-0");
  });
});

Deno.test("heartbeats of nodes do not make the scheduler try again", async () => {
  await withHarness({ nodes: 1 }, async (harness) => {
    harness.api.create(PODS, { ...pod(requests("30")), metadata: { name: "huge", namespace: "default" } });
    await harness.settle();
    const version = harness.api.get(PODS, "default", "huge")!.metadata.resourceVersion;
    for (let i = 0; i < 5; i++) {
      harness.beat(harness.api.get(NODES, undefined, "node-0")!);
      await harness.settle();
    }
    assert.equal(harness.api.get(PODS, "default", "huge")!.metadata.resourceVersion, version);
    assert.equal(harness.events("huge").length, 1);
  });
});
