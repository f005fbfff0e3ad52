import assert from "node:assert/strict";
import { CommandError } from "../../src/core/usage.ts";
import { planInstallation } from "../../src/roles/ctl/install.ts";
import { inInstallOrder, render } from "../../src/roles/ctl/render.ts";

const plan = (...set: string[]) => planInstallation({ set: ["profile=ambient", ...set] });

function find(set: string[], kind: string, name: string): any {
  const found = inInstallOrder(render(plan(...set))).find((o) => o.kind === kind && o.metadata.name === name);
  assert.ok(found, `${kind} ${name}`);
  return found;
}

Deno.test("planInstallation() of the profile ambient has four components", () => {
  const { components, values } = plan();
  assert.deepEqual(components, ["base", "pilot", "cni", "ztunnel"]);
  assert.equal(values.namespace, "istio-system");
  assert.equal(values.hub, "");
});

const REFUSED: [name: string, set: string[], message: RegExp][] = [
  ["no profile", [], /profile "default".*ingress gateway.*profile=<ambient\|minimal\|empty>/],
  ["the profile demo", ["profile=demo"], /profile "demo"/],
  ["an unknown profile", ["profile=nonsense"], /unknown profile "nonsense"/],
  [
    "an ingress gateway",
    [
      "profile=ambient",
      "components.ingressGateways[0].enabled=true",
      "components.ingressGateways[0].name=istio-ingressgateway",
      "components.ingressGateways[0].k8s.service.loadBalancerIP=10.224.0.180",
      "components.ingressGateways[0].k8s.service.serviceAnnotations.service\\.beta\\.kubernetes\\.io/azure-load-balancer-internal=true",
      "components.ingressGateways[0].k8s.serviceAnnotations.service\\.beta\\.kubernetes\\.io/azure-load-balancer-internal=true",
    ],
    /ingress gateway "istio-ingressgateway".*not available/,
  ],
  ["an unknown field", ["profile=ambient", "components.pilot.k8s.nonsense=1"], /unknown field "nonsense"/],
  ["an unknown component", ["profile=ambient", "components.nonsense.enabled=true"], /unknown field "nonsense"/],
  ["a Helm value without effect", ["profile=ambient", "values.gateways.x=1"], /unknown field "gateways"/],
  ["a wrong boolean", ["profile=ambient", "components.cni.enabled=maybe"], /must be true or false, not "maybe"/],
  ["a wrong number", ["profile=ambient", "values.pilot.replicaCount=two"], /must be a whole number, not "two"/],
  ["a revision that is no label", ["profile=ambient", "revision=Not_A_Label"], /"Not_A_Label" as a revision/],
  ["an unknown platform", ["profile=ambient", "values.global.platform=moon"], /unknown platform "moon"/],
  ["components apart", ["profile=ambient", "components.cni.namespace=kube-system"], /"kube-system"/],
];

for (const [name, set, message] of REFUSED) {
  Deno.test(`planInstallation() refuses ${name}`, () => {
    assert.throws(() => planInstallation({ set }), (error: unknown) => {
      assert.ok(error instanceof CommandError, String(error));
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("planInstallation() names every problem at once", () => {
  assert.throws(
    () => planInstallation({ set: ["profile=ambient", "nonsense=1", "components.pilot.enabled=maybe"] }),
    /unknown field "nonsense".*true or false/,
  );
});

Deno.test("planInstallation() goes on with unknown fields when forced", () => {
  assert.equal(planInstallation({ set: ["profile=ambient", "values.nonsense=1"], force: true }).components.length, 4);
});

Deno.test("planInstallation() lays files over each other and settings over files", () => {
  const file = (name: string, spec: string) => ({
    name,
    text: `apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n${spec}`,
  });
  const { values, components } = planInstallation({
    files: [
      file("a.yaml", "  profile: ambient\n  tag: one\n  values: {global: {network: net1, logAsJson: true}}\n"),
      file("b.yaml", "  tag: two\n  components: {cni: {enabled: false}}\n"),
    ],
    set: ["values.global.network=net2"],
  });
  assert.equal(values.tag, "two");
  assert.equal(values.network, "net2");
  assert.equal(values.logAsJson, true);
  assert.deepEqual(components, ["base", "pilot", "ztunnel"]);
});

Deno.test("planInstallation() refuses files that are something else", () => {
  const texts: [string, RegExp][] = [
    ["kind: Deployment\napiVersion: apps/v1\n", /want kind IstioOperator.*"Deployment"/],
    ["a: [\n", /cannot read "f.yaml"/],
    ["apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {nonsense: 1}\n", /unknown field "nonsense"/],
  ];
  for (const [text, message] of texts) {
    assert.throws(() => planInstallation({ files: [{ name: "f.yaml", text }] }), message);
  }
});

Deno.test("settings keep versions as text", () => {
  assert.equal(plan("tag=1.30").values.tag, "1.30");
  assert.equal(plan("hub=registry.test/mesh", "tag=1.30").values.hub, "registry.test/mesh");
  const deployment = find(["hub=registry.test/mesh/", "tag=1.30"], "Deployment", "istiod");
  assert.equal(deployment.spec.template.spec.containers[0].image, "registry.test/mesh/ambientd:1.30");
});

Deno.test("settings reach the manifests", () => {
  const container = (object: any) => object.spec.template.spec.containers[0];
  const env = (object: any, name: string) => container(object).env.find((e: any) => e.name === name)?.value;
  assert.equal(env(find(["values.ztunnel.logLevel=debug"], "DaemonSet", "ztunnel"), "RUST_LOG"), "debug");
  assert.equal(env(find(["values.pilot.env.PILOT_X=y"], "Deployment", "istiod"), "PILOT_X"), "y");
  assert.equal(env(find(["values.global.network=n1"], "DaemonSet", "ztunnel"), "NETWORK"), "n1");
  assert.equal(
    find(["values.cni.ambient.dnsCapture=false"], "ConfigMap", "istio-cni-config").data.AMBIENT_DNS_CAPTURE,
    "false",
  );
  const cni = find(["values.global.platform=k3s"], "DaemonSet", "istio-cni-node");
  assert.deepEqual(
    cni.spec.template.spec.volumes.find((v: any) => v.name === "cni-bin-dir").hostPath.path,
    "/var/lib/rancher/k3s/data/cni",
  );
  assert.equal(find(["values.global.platform=gke"], "ResourceQuota", "ztunnel-resource-quota").spec.hard.pods, "5000");
  assert.match(find(["meshConfig.trustDomain=corp.test"], "ConfigMap", "istio").data.mesh, /trustDomain: corp\.test/);
  assert.equal(find(["values.pilot.replicaCount=3"], "Deployment", "istiod").spec.replicas, 3);
  assert.equal(find(["values.pilot.replicaCount=3"], "PodDisruptionBudget", "istiod").spec.minAvailable, 1);
  assert.equal(
    find(["components.pilot.k8s.nodeSelector.disk=1"], "Deployment", "istiod").spec.template.spec.nodeSelector.disk,
    "1",
  );
});

Deno.test("a revision has names of its own", () => {
  const names = inInstallOrder(render(plan("revision=canary"))).map(({ kind, metadata }) => `${kind}/${metadata.name}`);
  for (
    const name of [
      "Deployment/istiod-canary",
      "Service/istiod-canary",
      "ConfigMap/istio-canary",
      "ServiceAccount/istiod-canary",
    ]
  ) {
    assert.ok(names.includes(name), name);
  }
  const ztunnel = find(["revision=canary"], "DaemonSet", "ztunnel");
  const xds = ztunnel.spec.template.spec.containers[0].env.find((e: any) => e.name === "XDS_ADDRESS");
  assert.equal(xds.value, "istiod-canary.istio-system.svc:15012");
});

Deno.test("overlays patch the rendered objects", () => {
  const { overlays, ...rest } = plan();
  const patched = render({
    ...rest,
    overlays: {
      ...overlays,
      pilot: [{
        kind: "Deployment",
        name: "istiod",
        patches: [{ path: "spec.template.spec.containers[name:discovery].args[-1]", value: "--extra" }],
      }],
    },
  });
  const deployment = inInstallOrder(patched).find(({ kind }) => kind === "Deployment")!;
  assert.equal(deployment.spec.template.spec.containers[0].args.at(-1), "--extra");
});
