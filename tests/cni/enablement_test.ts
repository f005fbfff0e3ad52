import assert from "node:assert/strict";
import {
  type AgentPod,
  DEFAULT_SELECTORS,
  isTerminal,
  type Labels,
  matchesLabels,
  parseSelectors,
  podIps,
  wantsCapture,
} from "../../src/roles/cni/enablement.ts";

function pod(extra: Partial<AgentPod["metadata"]> = {}, spec: AgentPod["spec"] = {}): AgentPod {
  return { metadata: { uid: "u", name: "p", namespace: "shop", ...extra }, spec };
}

const MODE = "istio.io/dataplane-mode";
const AMBIENT = { [MODE]: "ambient" }, NONE = { [MODE]: "none" };

const ROWS: [string, AgentPod, Labels, boolean][] = [
  ["nothing said", pod(), {}, false],
  ["the namespace asks", pod(), AMBIENT, true],
  ["the pod asks", pod({ labels: AMBIENT }), {}, true],
  ["the pod opts out of its namespace", pod({ labels: NONE }), AMBIENT, false],
  ["the pod asks although its namespace says none", pod({ labels: AMBIENT }), NONE, true],
  ["the namespace says none", pod(), NONE, false],
  ["the host's network", pod({ labels: AMBIENT }, { hostNetwork: true }), AMBIENT, false],
  ["a sidecar", pod({ annotations: { "sidecar.istio.io/status": "{}" } }), AMBIENT, false],
  ["an excluded namespace", pod({ namespace: "kube-system", labels: AMBIENT }), AMBIENT, false],
];

for (const [name, one, labels, want] of ROWS) {
  Deno.test(`wantsCapture(): ${name}`, () => {
    const rules = { selectors: DEFAULT_SELECTORS, excludeNamespaces: ["kube-system"] };
    const { wanted, because } = wantsCapture(one, labels, rules);
    assert.equal(wanted, want, because);
  });
}

Deno.test("matchesLabels() knows every operator", () => {
  const labels = { a: "1" };
  const rows: [Parameters<typeof matchesLabels>[0], boolean][] = [
    [undefined, true],
    [{}, true],
    [{ matchLabels: { a: "1" } }, true],
    [{ matchLabels: { a: "2" } }, false],
    [{ matchExpressions: [{ key: "a", operator: "In", values: ["1", "2"] }] }, true],
    [{ matchExpressions: [{ key: "b", operator: "In", values: ["1"] }] }, false],
    [{ matchExpressions: [{ key: "a", operator: "NotIn", values: ["1"] }] }, false],
    [{ matchExpressions: [{ key: "b", operator: "NotIn", values: ["1"] }] }, true],
    [{ matchExpressions: [{ key: "a", operator: "Exists" }] }, true],
    [{ matchExpressions: [{ key: "a", operator: "DoesNotExist" }] }, false],
    [{ matchLabels: { a: "1" }, matchExpressions: [{ key: "b", operator: "Exists" }] }, false],
  ];
  for (const [selector, want] of rows) assert.equal(matchesLabels(selector, labels), want, JSON.stringify(selector));
});

Deno.test("parseSelectors() reads YAML and JSON, and refuses what it cannot mean", () => {
  assert.equal(parseSelectors(" "), DEFAULT_SELECTORS);
  assert.deepEqual(parseSelectors(JSON.stringify(DEFAULT_SELECTORS)), DEFAULT_SELECTORS);
  assert.deepEqual(parseSelectors("- podSelector:\n    matchLabels: {mesh: 'yes'}"), [
    { podSelector: { matchLabels: { mesh: "yes" } } },
  ]);
  for (const bad of ["{", "podSelector: {}", "- 1", "- podSelector: {matchExpressions: [{key: a, operator: Maybe}]}"]) {
    assert.throws(() => parseSelectors(bad), /AMBIENT_ENABLEMENT_SELECTOR/, bad);
  }
});

Deno.test("isTerminal() and podIps()", () => {
  assert.equal(isTerminal({ ...pod(), status: { phase: "Succeeded" } }), true);
  assert.equal(isTerminal({ ...pod(), status: { phase: "Running" } }), false);
  assert.deepEqual(podIps(pod()), []);
  assert.deepEqual(podIps({ ...pod(), status: { podIP: "10.0.0.1" } }), ["10.0.0.1"]);
  assert.deepEqual(
    podIps({ ...pod(), status: { podIP: "10.0.0.1", podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }] } }),
    [
      "10.0.0.1",
      "fd00::1",
    ],
  );
});
