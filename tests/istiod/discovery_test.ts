import assert from "node:assert/strict";
import { RESOURCES } from "../../src/kube/resources.ts";
import { eventually } from "../support/eventually.ts";
import { ApiLab, IstiodProcess } from "../support/istiod_lab.ts";
import { controlPlane, XdsView } from "./xds_view.ts";

const A = "Kubernetes//Pod/default/a", WEB = "default/web.default.svc.cluster.local";

async function ztunnelToken(lab: ApiLab): Promise<string> {
  const pod = await lab.pod("ztunnel-1", { namespace: "istio-system", ip: "10.244.0.2", serviceAccount: "ztunnel" });
  return await lab.token("istio-system", "ztunnel", { pod });
}

Deno.test("istiod serves pods, services and policies to a delta xDS client and follows their changes", async () => {
  await using lab = await ApiLab.start();
  await lab.pod("a", {
    ip: "10.244.0.5",
    labels: { app: "a" },
    annotations: { "ambient.istio.io/redirection": "enabled" },
  });
  await lab.service("web", "10.96.0.77", { app: "a" }, [{ name: "http", port: 80, targetPort: 8080 }]);
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  const { secureGrpc, monitoring } = await istiod.ready();
  await using view = new XdsView(controlPlane(secureGrpc, await lab.root(), await ztunnelToken(lab)));

  await eventually(() => assert.ok(view.client.synced));
  assert.equal(view.workloads.get(A)?.tunnelProtocol, "HBONE");
  assert.deepEqual(view.services.get(WEB)?.addresses, [{ network: "", address: "10.96.0.77" }]);
  assert.deepEqual(view.workloads.get(A)?.services.get(WEB)?.map(({ targetPort }) => targetPort), [8080]);

  await lab.pod("b", { ip: "10.244.0.6", labels: { app: "a" }, serviceAccount: "sleep" });
  await eventually(() => assert.equal(view.workloads.get("Kubernetes//Pod/default/b")?.serviceAccount, "sleep"));
  await lab.client.delete(RESOURCES.services, "default", "web");
  await eventually(() => {
    assert.equal(view.services.has(WEB), false);
    assert.equal(view.workloads.get(A)?.services.size, 0);
  });

  await lab.client.create(RESOURCES.authorizationPolicies, {
    metadata: { namespace: "default", name: "viewer" },
    spec: {
      selector: { matchLabels: { app: "a" } },
      rules: [{ from: [{ source: { principals: ["cluster.local/ns/default/sa/sleep"] } }] }],
    },
  });
  await lab.client.create(RESOURCES.peerAuthentications, {
    metadata: { namespace: "default", name: "strict" },
    spec: { mtls: { mode: "STRICT" } },
  });
  await eventually(() => {
    assert.deepEqual(view.workloads.get(A)?.authorizationPolicies, [
      "default/viewer",
      "istio-system/istio_converted_static_strict",
    ]);
    assert.equal(view.policies.get("default/viewer")?.rules.length, 1);
    assert.equal(view.policies.get("istio-system/istio_converted_static_strict")?.action, "DENY");
  });
  await lab.client.delete(RESOURCES.authorizationPolicies, "default", "viewer");
  await lab.client.delete(RESOURCES.peerAuthentications, "default", "strict");
  await lab.client.delete(RESOURCES.pods, "default", "a", { gracePeriodSeconds: 0 });
  await eventually(() => {
    assert.equal(view.policies.size, 0);
    assert.equal(view.workloads.has(A), false);
  });

  const syncz = await (await fetch(`http://127.0.0.1:${monitoring}/debug/syncz`)).json();
  assert.deepEqual(syncz.map(({ proxy, proxy_type }: any) => [proxy, proxy_type]), [[
    "ztunnel-1.istio-system",
    "ztunnel",
  ]]);
  await eventually(async () => {
    const [{ generic_xds_configs }] = await (await fetch(`http://127.0.0.1:${monitoring}/debug/syncz`)).json();
    assert.deepEqual(generic_xds_configs.map(({ config_status }: any) => config_status), ["SYNCED", "SYNCED"]);
  });
  const metrics = await (await fetch(`http://127.0.0.1:${monitoring}/metrics`)).text();
  assert.match(metrics, /^pilot_xds\{version="[^"]*"\} 1$/m);
  assert.match(metrics, /^pilot_xds_pushes\{type="[^"]*istio.workload.Address"\} \d+$/m);
  assert.match(metrics, /^pilot_k8s_reg_events\{type="Pods",event="delete"\} 1$/m);
  assert.match(metrics, /^pilot_k8s_cfg_events\{type="AuthorizationPolicy",event="add"\} 1$/m);
});

Deno.test("istiod keeps serving while the API is away, and catches up when it is back", async () => {
  await using lab = await ApiLab.start();
  await lab.pod("a", { ip: "10.244.0.5" });
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  const { secureGrpc, grpc, http } = await istiod.ready();
  await using view = new XdsView(controlPlane(secureGrpc, await lab.root(), await ztunnelToken(lab)));
  await eventually(() => assert.equal(view.workloads.size > 1, true));

  await lab.pause();
  await istiod.line("cannot watch; the last known state stays in use");
  assert.ok(view.client.connected, "the stream lives on");
  await using late = new XdsView({
    ...controlPlane(grpc, "", ""),
    address: `http://127.0.0.1:${grpc}`,
    rootCa: "SYSTEM",
  });
  await eventually(() => assert.ok(late.workloads.has(A), "who comes now is served from memory"));
  assert.equal((await fetch(`http://127.0.0.1:${http}/ready`).then(async (r) => [r.status, await r.text()]))[0], 200);

  await lab.resume();
  await lab.pod("b", { ip: "10.244.0.6" });
  await eventually(() => assert.ok(view.workloads.has("Kubernetes//Pod/default/b")), 30_000);
});

Deno.test("istiod waits for an API that is not there yet and says so", async () => {
  await using lab = await ApiLab.start();
  const kubeconfig = await lab.kubeconfig();
  await lab.pause();
  await using istiod = await IstiodProcess.start(kubeconfig);
  const { error } = await istiod.line("waiting for the Kubernetes API");
  assert.match(error, /cannot reach the Kubernetes API at "https:\/\/127\.0\.0\.1:\d+"/);
  await lab.resume();
  await istiod.ready();
});

Deno.test("istiod serves without the istio.io CRDs and takes policies when these come", async () => {
  await using lab = await ApiLab.start();
  for (const resource of ["authorizationpolicies", "peerauthentications"]) {
    await lab.client.delete(RESOURCES.crds, undefined, `${resource}.security.istio.io`);
  }
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  const { grpc } = await istiod.ready();
  await istiod.line("resource type not served; waiting for it");
  await lab.installDefinitions();
  await lab.client.create(RESOURCES.authorizationPolicies, { metadata: { namespace: "default", name: "p" }, spec: {} });
  await using view = new XdsView({
    ...controlPlane(grpc, "", ""),
    address: `http://127.0.0.1:${grpc}`,
    rootCa: "SYSTEM",
  });
  await eventually(() => assert.ok(view.policies.has("default/p")));
  await lab.client.delete(RESOURCES.crds, undefined, "authorizationpolicies.security.istio.io");
  await eventually(() => assert.equal(view.policies.has("default/p"), false));
});
