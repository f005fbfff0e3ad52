import assert from "node:assert/strict";
import { expand, fieldValue, type PodFacts, quantity, resourceValue } from "../../../src/cluster/runtime/references.ts";

const facts: PodFacts = {
  pod: {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "web-1",
      namespace: "shop",
      uid: "u-1",
      labels: { app: "web", "a.b/c": 'say "hi"' },
      annotations: { note: "two\nlines" },
    },
    spec: {
      serviceAccountName: "clerk",
      containers: [
        { name: "main", resources: { limits: { cpu: "250m", memory: "64Mi" }, requests: { cpu: "100m" } } },
        { name: "free" },
      ],
    },
  },
  podIP: "10.244.0.9",
  nodeName: "node-a",
  hostIP: "172.18.0.2",
  allocatable: { cpu: "4", memory: "1Gi" },
};

Deno.test("fieldValue() reads every field that the downward API has", () => {
  const cases: [string, string | undefined][] = [
    ["metadata.name", "web-1"],
    ["metadata.namespace", "shop"],
    ["metadata.uid", "u-1"],
    ["metadata.labels['app']", "web"],
    ["metadata.labels['a.b/c']", 'say "hi"'],
    ["metadata.labels['absent']", ""],
    ["metadata.labels", 'a.b/c="say \\"hi\\""\napp="web"'],
    ["metadata.annotations", 'note="two\\nlines"'],
    ["spec.nodeName", "node-a"],
    ["spec.serviceAccountName", "clerk"],
    ["status.podIP", "10.244.0.9"],
    ["status.hostIP", "172.18.0.2"],
    ["spec.containers", undefined],
    ["metadata.constructor", undefined],
  ];
  for (const [path, value] of cases) assert.equal(fieldValue(facts, path), value, path);
});

Deno.test("quantity() reads Kubernetes amounts and refuses what is none", () => {
  const cases: [string, number][] = [["500m", 0.5], ["2", 2], ["1Ki", 1024], ["1.5Gi", 1.5 * 2 ** 30], ["1e3", 1000], [
    "10M",
    1e7,
  ]];
  for (const [text, value] of cases) assert.equal(quantity(text), value, text);
  for (const text of ["", "abc", "1X", "1 Gi", "--1"]) assert.ok(Number.isNaN(quantity(text)), text);
});

Deno.test("resourceValue() divides, rounds up, and falls back to the node's amounts", () => {
  const cases: [any, string | undefined, string | undefined][] = [
    [{ resource: "limits.cpu" }, "main", "1"],
    [{ resource: "limits.cpu", divisor: "1m" }, "main", "250"],
    [{ resource: "requests.cpu", divisor: "1m" }, "main", "100"],
    [{ resource: "limits.memory", divisor: "1Mi" }, "main", "64"],
    [{ resource: "limits.cpu" }, "free", "4"],
    [{ resource: "requests.memory" }, "free", "0"],
    [{ resource: "limits.memory", containerName: "main" }, undefined, String(64 * 2 ** 20)],
    [{ resource: "limits.gpu" }, "main", undefined],
    [{ resource: "limits.cpu" }, "absent", undefined],
  ];
  for (const [ref, own, value] of cases) assert.equal(resourceValue(facts, ref, own), value, JSON.stringify(ref));
});

Deno.test("expand() replaces known names, keeps unknown ones and unescapes doubled signs", () => {
  const env = { A: "1", B_C: "two" };
  const cases: [string, string][] = [
    ["$(A)-$(B_C)", "1-two"],
    ["$(MISSING)", "$(MISSING)"],
    ["$$(A)", "$(A)"],
    ["$$$(A)", "$1"],
    ["$A ${A}", "$A ${A}"],
    ["$(toString)", "$(toString)"],
    ["$(A", "$(A"],
  ];
  for (const [text, value] of cases) assert.equal(expand(text, env), value, text);
});
