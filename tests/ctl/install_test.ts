import assert from "node:assert/strict";
import { installMesh } from "../../src/roles/ctl/install.ts";
import type { InstallEvent } from "../../src/roles/ctl/progress.ts";
import { terminalProgress } from "../../src/roles/ctl/progress.ts";
import { palette } from "../../src/core/terminal.ts";
import { eventually } from "../support/eventually.ts";
import { FakeKube } from "../support/fake_kube.ts";
import { ctl } from "./harness.ts";

const APPS = "/apis/apps/v1/namespaces/istio-system";
const AMBIENT = ["install", "--set", "profile=ambient"];

Deno.test("ctl install applies all objects by server-side apply and prints a line for each component", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const { code, out, err } = await ctl([...AMBIENT, "--skip-confirmation"], { kubeconfig: kube.kubeconfig() });
  assert.equal(err, "");
  assert.equal(code, 0);
  const lines = out.trimEnd().split("\n").filter((line) => !line.startsWith("- "));
  assert.deepEqual(lines.slice(0, 4).sort(), [
    "✔ CNI installed 🪢",
    "✔ Istio core installed ⛵️",
    "✔ Istiod installed 🧠",
    "✔ Ztunnel installed 🔒",
  ]);
  assert.equal(lines[4], "✔ Installation complete");
  assert.match(lines[5], /ambient profile has been installed/);
  const patches = kube.requests.filter(({ method }) => method === "PATCH");
  assert.ok(patches.length >= 40, String(patches.length));
  for (const { query, contentType, authorization } of patches) {
    assert.equal(query.get("fieldManager"), "istioctl");
    assert.equal(query.get("force"), "true");
    assert.equal(contentType, "application/apply-patch+yaml");
    assert.equal(authorization, "Bearer fake-token");
  }
  assert.equal([...kube.objects.values()].filter(({ kind }) => kind === "CustomResourceDefinition").length, 16);
  assert.ok(kube.objects.has("/api/v1/namespaces/istio-system"));
  for (
    const path of [`${APPS}/deployments/istiod`, `${APPS}/daemonsets/ztunnel`, `${APPS}/daemonsets/istio-cni-node`]
  ) {
    assert.ok(kube.objects.has(path), path);
  }
});

Deno.test("ctl install applies workloads after everything that their pods mention", async () => {
  await using kube = new FakeKube({ autoReady: true });
  await ctl([...AMBIENT, "-y"], { kubeconfig: kube.kubeconfig() });
  const paths = kube.requests.filter(({ method, path }) => method === "PATCH" && !path.includes("istiooperators"))
    .map(({ path }) => path);
  const firstWorkload = paths.findIndex((path) => /\/(deployments|daemonsets)\//.test(path));
  assert.deepEqual(paths.slice(firstWorkload).map((path) => path.split("/").at(-1)).sort(), [
    "istio-cni-node",
    "istiod",
    "ztunnel",
  ]);
});

Deno.test("ctl install twice changes nothing of what is stored", async () => {
  await using kube = new FakeKube({ autoReady: true });
  await ctl([...AMBIENT, "-y"], { kubeconfig: kube.kubeconfig() });
  const before = [...kube.objects.keys()].sort();
  const { code, err } = await ctl([...AMBIENT, "-y"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0, err);
  assert.deepEqual([...kube.objects.keys()].sort(), before);
});

Deno.test("ctl install again without a gateway removes what it made, and nothing else", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const options = { kubeconfig: kube.kubeconfig() };
  const gateway = (i: number, name: string, namespace = "istio-system") => [
    `--set=components.ingressGateways[${i}].enabled=true`,
    `--set=components.ingressGateways[${i}].name=${name}`,
    `--set=components.ingressGateways[${i}].namespace=${namespace}`,
  ];
  const first = await ctl([...AMBIENT, "-y"], options);
  const without = [...kube.objects.keys()].sort();
  await ctl([...AMBIENT, "-y", ...gateway(0, "istio-ingressgateway"), ...gateway(1, "kept", "edge")], options);
  const one = [...kube.objects.keys()].filter((path) => path.includes("kept"));
  assert.ok(one.length >= 5, String(one));
  assert.ok(kube.objects.has(`${APPS}/deployments/istio-ingressgateway`));

  // The same labels but for one each: another revision's, another installation's, one that says it stays, and one that somebody made.
  const made = kube.objects.get("/api/v1/namespaces/istio-system/services/istio-ingressgateway")!;
  const owner = "install.operator.istio.io/owning-resource";
  const others: Record<string, Record<string, string | undefined>> = {
    revision: { "istio.io/rev": "canary" },
    owner: { [owner]: "mine" },
    namespace: { [`${owner}-namespace`]: "istio-other" },
    stays: { [`${owner}-not-pruned`]: "true" },
    plain: { "operator.istio.io/component": undefined },
  };
  for (const [name, labels] of Object.entries(others)) {
    const merged = JSON.parse(JSON.stringify({ ...made.metadata.labels, ...labels }));
    kube.put(`/api/v1/namespaces/istio-system/services/${name}`, {
      ...made,
      metadata: { ...made.metadata, name, labels: merged },
    });
  }
  const again = await ctl([...AMBIENT, "-y", ...gateway(0, "kept", "edge")], options);
  assert.equal(again.code, 0, again.err);
  assert.deepEqual(
    [...kube.objects.keys()].sort(),
    [...without, ...one, ...Object.keys(others).map((name) => `/api/v1/namespaces/istio-system/services/${name}`)]
      .sort(),
  );
  const told = again.out.slice(again.out.indexOf("- Pruning removed resources\n"));
  assert.match(told, /^- Pruning removed resources\n {2}Removed Deployment\/istio-ingressgateway\.istio-system\.\n/);
  assert.match(told, / {2}Removed Service\/istio-ingressgateway\.istio-system\.\n/);
  assert.match(told, /\n✔ Installation complete\n/);
  assert.doesNotMatch(first.out, /Removed/);
});

Deno.test("ctl install waits until workloads are ready, in the order in which they become so", async () => {
  await using kube = new FakeKube();
  const events: InstallEvent[] = [];
  const done = installMesh(
    { set: ["profile=ambient"], wait: true, readinessTimeoutMs: 30_000 },
    { server: kube.url },
    (event) => {
      events.push(event);
    },
  );
  await eventually(() => assert.ok(kube.objects.has(`${APPS}/deployments/istiod`)));
  await eventually(() => assert.ok(kube.objects.has(`${APPS}/daemonsets/ztunnel`)));
  await eventually(() => assert.ok(kube.objects.has(`${APPS}/daemonsets/istio-cni-node`)));
  const installed = () => events.flatMap((event) => event.type === "installed" ? [event.component] : []);
  await eventually(() => assert.deepEqual(installed(), ["base"]));
  kube.ready(`${APPS}/daemonsets/ztunnel`);
  await eventually(() => assert.deepEqual(installed(), ["base", "ztunnel"]));
  kube.ready(`${APPS}/daemonsets/istio-cni-node`);
  kube.ready(`${APPS}/deployments/istiod`);
  await done;
  assert.deepEqual(installed().slice(2).sort(), ["cni", "pilot"]);
  assert.deepEqual(events.at(-1), { type: "complete" });
});

Deno.test("installMesh() without wait returns once all is applied", async () => {
  await using kube = new FakeKube();
  await installMesh({ profile: "ambient", wait: false }, { server: kube.url }, () => {});
  assert.ok(kube.objects.has(`${APPS}/deployments/istiod`));
});

Deno.test("ctl install names what is not ready in time, with the reason of its pods", async () => {
  await using kube = new FakeKube();
  kube.put("/api/v1/namespaces/istio-system/pods/istiod-1", {
    kind: "Pod",
    metadata: { name: "istiod-1", namespace: "istio-system", labels: { app: "istiod", istio: "pilot" } },
    status: {
      phase: "Pending",
      containerStatuses: [{ name: "discovery", ready: false, state: { waiting: { reason: "ErrImageNeverPull" } } }],
    },
  });
  const { code, out, err } = await ctl([...AMBIENT, "-y", "--readiness-timeout", "300ms"], {
    kubeconfig: kube.kubeconfig(),
  });
  assert.equal(code, 1);
  assert.match(out, /✔ Istio core installed/);
  assert.match(out, /✘ Istiod encountered an error/);
  assert.match(err, /Deployment\/istio-system\/istiod \(container discovery: ErrImageNeverPull\)/);
  assert.match(err, /DaemonSet\/istio-system\/ztunnel \(no pods\)/);
});

Deno.test("ctl install asks first, and changes nothing without a yes", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const refused = await ctl(AMBIENT, { kubeconfig: kube.kubeconfig(), answer: false });
  assert.equal(refused.code, 1);
  assert.match(refused.out, /Cancelled/);
  assert.match(
    refused.asked[0],
    /^This will install the Istio \S+ profile "ambient" into the cluster\. Proceed\? \(y\/N\)/,
  );
  assert.equal(kube.objects.size, 0);
  const agreed = await ctl(AMBIENT, { kubeconfig: kube.kubeconfig(), answer: true });
  assert.equal(agreed.code, 0, agreed.err);
});

Deno.test("ctl install --dry-run stores nothing", async () => {
  await using kube = new FakeKube();
  const { code, err } = await ctl([...AMBIENT, "--dry-run"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0, err);
  assert.equal(kube.objects.size, 0);
  assert.ok(
    kube.requests.filter(({ method }) => method === "PATCH").every(({ query }) => query.get("dryRun") === "All"),
  );
});

Deno.test("ctl install leaves out what the cluster does not serve, and says so", async () => {
  await using kube = new FakeKube({ autoReady: true, unserved: ["horizontalpodautoscalers"] });
  const { code, out } = await ctl([...AMBIENT, "-y"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0);
  assert.match(out, /HorizontalPodAutoscaler\/istio-system\/istiod is left out/);
});

Deno.test("ctl install reports an object that the cluster refuses", async () => {
  await using kube = new FakeKube({ autoReady: true });
  kube.intercept = ({ method, path }) =>
    method === "PATCH" && path.endsWith("/daemonsets/ztunnel")
      ? Response.json(
        { kind: "Status", reason: "Forbidden", message: 'daemonsets "ztunnel" is forbidden', code: 403 },
        {
          status: 403,
        },
      )
      : undefined;
  const { code, out, err } = await ctl([...AMBIENT, "-y"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 1);
  assert.match(out, /✘ Ztunnel encountered an error: daemonsets "ztunnel" is forbidden/);
  assert.match(err, /^Error: failed to install manifests: daemonsets "ztunnel" is forbidden\n$/);
});

Deno.test("ctl install warns of an old Kubernetes and of another version that is installed", async () => {
  await using kube = new FakeKube({ autoReady: true, version: { major: "1", minor: "29+", gitVersion: "v1.29.4" } });
  kube.put("/api/v1/namespaces/istio-system/pods/istiod-1", {
    kind: "Pod",
    metadata: { name: "istiod-1", namespace: "istio-system", labels: { app: "istiod", "istio.io/rev": "default" } },
    spec: { containers: [{ image: "docker.io/istio/pilot:1.22.3" }] },
    status: { phase: "Running" },
  });
  const { code, err } = await ctl([...AMBIENT, "-y"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0);
  assert.match(err, /v1\.29\.4 is not supported/);
  assert.match(err, /version 1\.22\.3 is installed already/);
});

Deno.test("ctl install on GKE puts CNI plugins where GKE has them, unless told otherwise", async () => {
  await using kube = new FakeKube({
    autoReady: true,
    version: { major: "1", minor: "33", gitVersion: "v1.33.2-gke.1" },
  });
  const options = { kubeconfig: kube.kubeconfig() };
  const binDir = () =>
    kube.objects.get(`${APPS}/daemonsets/istio-cni-node`)!.spec.template.spec.volumes.find(({ name }: any) =>
      name === "cni-bin-dir"
    ).hostPath.path;
  const { code, err } = await ctl([...AMBIENT, "-y", "--verify"], options);
  assert.equal(code, 0, err);
  assert.equal(binDir(), "/home/kubernetes/bin");
  assert.ok([...kube.objects.values()].some(({ kind }) => kind === "ResourceQuota"));
  await ctl([...AMBIENT, "-y", "--set=values.global.platform="], options);
  assert.equal(binDir(), "/opt/cni/bin");
  const plain = await ctl(["manifest", "generate", "--set=profile=ambient"], options);
  assert.doesNotMatch(plain.out, /home.kubernetes/);
  const specific = await ctl(["manifest", "generate", "--set=profile=ambient", "--cluster-specific"], options);
  assert.match(specific.out, /\/home\/kubernetes\/bin/);
});

const DENIED =
  'namespaces is forbidden: User "bob" cannot create resource "namespaces" in API group "" at the cluster scope';

Deno.test("ctl install names the command that lists permissions when it lacks one", async () => {
  await using kube = new FakeKube();
  kube.intercept = ({ method }) =>
    method === "GET" ? undefined : Response.json({ kind: "Status", message: DENIED, code: 403 }, { status: 403 });
  const { code, err } = await ctl([...AMBIENT, "-y"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 1);
  assert.match(err, /at the cluster scope; `ambientd ctl x precheck` lists the permissions/);
});

Deno.test("ctl install fails fast without a cluster", async () => {
  const none = await ctl([...AMBIENT, "-y"]);
  assert.equal(none.code, 1);
  assert.match(none.err, /cannot find a kubeconfig at/);
  const kube = new FakeKube();
  const kubeconfig = kube.kubeconfig();
  await kube[Symbol.asyncDispose]();
  const gone = await ctl([...AMBIENT, "-y"], { kubeconfig });
  assert.equal(gone.code, 1);
  assert.match(gone.err, /cannot reach the Kubernetes API at "http:\/\/127\.0\.0\.1/);
});

Deno.test("a client gives up on an API that does not answer", async () => {
  await using kube = new FakeKube();
  kube.intercept = () => new Response(new ReadableStream());
  const { code, err } = await ctl([...AMBIENT, "-y", "--kubeclient-timeout", "200ms"], {
    kubeconfig: kube.kubeconfig(),
  });
  assert.equal(code, 1);
  assert.match(err, /no answer in time/);
});

Deno.test("terminalProgress() keeps one live line on a terminal and prints changes elsewhere", () => {
  const show = (live: boolean) => {
    let text = "";
    const progress = terminalProgress({ write: (part) => text += part, live, palette: palette(false) });
    progress({ type: "working", components: ["base", "pilot"], waitingFor: [] });
    progress({ type: "working", components: ["base", "pilot"], waitingFor: [] });
    progress({ type: "installed", component: "base" });
    progress({ type: "working", components: ["pilot"], waitingFor: ["Deployment/istio-system/istiod"] });
    progress({ type: "failed", component: "pilot", error: "it broke" });
    return text;
  };
  assert.equal(
    show(false),
    "- Processing resources for Istio core, Istiod.\n✔ Istio core installed ⛵️\n" +
      "- Processing resources for Istiod. Waiting for Deployment/istio-system/istiod\n✘ Istiod encountered an error: it broke\n",
  );
  assert.equal(
    show(true),
    "- Processing resources for Istio core, Istiod.\r\x1b[K✔ Istio core installed ⛵️\n" +
      "- Processing resources for Istiod. Waiting for Deployment/istio-system/istiod\r\x1b[K✘ Istiod encountered an error: it broke\n",
  );
});
