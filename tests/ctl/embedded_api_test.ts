import assert from "node:assert/strict";
import { installMesh } from "../../src/roles/ctl/install.ts";
import { KubeClient } from "../../src/roles/ctl/kube.ts";
import { inInstallOrder, render } from "../../src/roles/ctl/render.ts";
import { embeddedApi } from "../support/embedded_api.ts";
import { ctl } from "./harness.ts";

/** Whether `stored` has all that `applied` says; what a server adds does not count. */
function contains(stored: any, applied: any): boolean {
  if (Array.isArray(applied)) {
    return Array.isArray(stored) && applied.length === stored.length &&
      applied.every((item, i) => contains(stored[i], item));
  }
  if (typeof applied === "object" && applied !== null) {
    return typeof stored === "object" && stored !== null &&
      Object.entries(applied).every(([key, value]) => value === undefined || contains(stored[key], value));
  }
  return stored === applied;
}

Deno.test("installMesh() stores every object of the profile ambient in the embedded API server, unchanged", async () => {
  await using api = await embeddedApi();
  const notes: string[] = [];
  const installation = await installMesh({ profile: "ambient", wait: false }, api.target, (event) => {
    if (event.type === "note") notes.push(event.text);
  });
  using client = new KubeClient(api.target);
  for (const object of inInstallOrder(render(installation))) {
    const { apiVersion, kind, metadata: { namespace, name } } = object;
    const stored = await client.get(apiVersion, kind, namespace, name);
    if (!stored) {
      assert.ok(notes.some((note) => note.startsWith(`${kind}/`)), `${kind} ${name} is missing`);
      continue;
    }
    assert.ok(contains(stored, JSON.parse(JSON.stringify(object))), `${kind} ${name} was changed`);
    if (kind === "CustomResourceDefinition") {
      const conditions = stored.status.conditions.map((c: any) => `${c.type}=${c.status}`);
      assert.ok(conditions.includes("Established=True"), `${name}: ${conditions}`);
    }
  }
});

Deno.test("ctl installs into, inspects and purges the embedded API server", async () => {
  await using api = await embeddedApi();
  const options = { kubeconfig: api.kubeconfig };
  const none = await ctl(["version"], options);
  assert.match(none.err, /^Istio is not present in the cluster/);
  // Nothing runs pods here, so the workloads cannot become ready; all else has to.
  const installed = await ctl(["install", "--set", "profile=ambient", "-y", "--readiness-timeout", "1s"], options);
  assert.equal(installed.code, 1);
  assert.match(installed.out, /✔ Istio core installed ⛵️/);
  assert.match(installed.err, /resources not ready after 1s: .*Deployment\/istio-system\/istiod/);
  const verified = await ctl(["verify-install"], options);
  assert.equal(verified.code, 1);
  assert.match(verified.out, /✔ ClusterRole: istio-cni checked successfully/);
  assert.match(verified.out, /✘ Deployment: istiod\.istio-system: not available/);
  assert.match(verified.out, /Checked 15 custom resource definitions/);
  const precheck = await ctl(["x", "precheck"], options);
  assert.equal(precheck.code, 0, precheck.out + precheck.err);
});

Deno.test("the embedded API server enforces and prunes by the definitions", async () => {
  await using api = await embeddedApi();
  await installMesh({ profile: "ambient", wait: false }, api.target, () => {});
  using client = new KubeClient(api.target);
  const policy = (spec: unknown, kind = "AuthorizationPolicy", path = "authorizationpolicies") =>
    client.request("POST", `/apis/security.istio.io/v1beta1/namespaces/default/${path}`, {
      body: { apiVersion: "security.istio.io/v1beta1", kind, metadata: { generateName: "p-" }, spec },
    });
  const stored = await policy({ action: "ALLOW", typo: 1, rules: [{ from: [{ source: { principals: ["a"] } }] }] });
  assert.deepEqual(stored.spec, { action: "ALLOW", rules: [{ from: [{ source: { principals: ["a"] } }] }] });
  await assert.rejects(policy({ action: "MAYBE" }), /spec\.action.*Unsupported value: "MAYBE"/);
  await assert.rejects(
    policy({ selector: { matchLabels: { a: "b" } }, targetRefs: [{ kind: "Service", name: "x" }] }),
    /spec.*(only one of|must not validate)/,
  );
  await assert.rejects(
    policy({ portLevelMtls: { 80: { mode: "STRICT" } } }, "PeerAuthentication", "peerauthentications"),
    /spec/,
  );
});

Deno.test("ctl installs the classic ingress gateway as typed in tutorials, and removes it with the rest", async () => {
  await using api = await embeddedApi();
  using client = new KubeClient(api.target);
  const options = { kubeconfig: api.kubeconfig };
  const installed = await ctl([
    "install",
    "--set",
    "profile=ambient",
    "--set",
    "components.ingressGateways[0].enabled=true",
    "--set",
    "components.ingressGateways[0].name=istio-ingressgateway",
    "--skip-confirmation",
    "--set",
    "components.ingressGateways[0].k8s.service.loadBalancerIP=10.224.0.180",
    "--set",
    "components.ingressGateways[0].k8s.service.serviceAnnotations.service\\.beta\\.kubernetes\\.io/azure-load-balancer-internal=true",
    "--readiness-timeout",
    "1s",
  ], options);
  assert.match(installed.out, /Ingress gateways/);
  const service = (await client.get("v1", "Service", "istio-system", "istio-ingressgateway"))!;
  assert.equal(service.spec.loadBalancerIP, "10.224.0.180");
  assert.equal(service.spec.externalTrafficPolicy, "Cluster");
  assert.deepEqual(service.spec.ipFamilies, ["IPv4"]);
  assert.deepEqual(
    service.spec.ports.map(({ name, port, targetPort, nodePort }: any) => [name, port, targetPort, nodePort > 0]),
    [
      ["status-port", 15021, 15021, true],
      ["http2", 80, 8080, true],
      ["https", 443, 8443, true],
    ],
  );
  // Nothing has become ready, but this is what the cluster was told.
  const record = await client.get("install.istio.io/v1alpha1", "IstioOperator", "istio-system", "installed-state");
  assert.equal(record!.spec.components.ingressGateways[0].k8s.service.loadBalancerIP, "10.224.0.180");
  await ctl(["install", "-y", "--set", "profile=ambient", "--readiness-timeout", "1s"], options);
  const updated = await client.get("install.istio.io/v1alpha1", "IstioOperator", "istio-system", "installed-state");
  assert.deepEqual(updated!.spec.components.ingressGateways, [{ enabled: false, name: "istio-ingressgateway" }]);
  const removed = await ctl(["uninstall", "-y", "--purge"], options);
  for (
    const name of ["Deployment/istio-ingressgateway", "Service/istio-ingressgateway", "Role/istio-ingressgateway-sds"]
  ) {
    assert.ok(removed.out.includes(`Removed ${name}.istio-system.`), removed.out);
  }
});
