import assert from "node:assert/strict";
import { VERSION } from "../../src/core/version.ts";
import { selfOf } from "../support/cluster.ts";
import { FakeKube } from "../support/fake_kube.ts";
import { ctl } from "./harness.ts";

const USAGE: [name: string, args: string[], message: RegExp][] = [
  ["an unknown command", ["frobnicate"], /unknown command 'frobnicate'/],
  ["an unknown sub-command", ["ztunnel-config", "frobnicate"], /unknown command 'frobnicate'/],
  ["an unknown flag", ["install", "--frobnicate"], /unknown option '--frobnicate'/],
  ["a flag without its value", ["install", "--set"], /argument missing/],
  ["too many arguments", ["version", "one", "two"], /too many arguments/],
  ["an unreadable --set", ["install", "--set", "profile"], /cannot read --set "profile"/],
  ["uninstall without a scope", ["uninstall", "-y"], /at least one of the --revision/],
  ["a wrong boolean", ["version", "--remote=maybe"], /--remote must be true or false/],
  ["two ways to name a ztunnel", ["zc", "workload", "a", "--node", "b"], /at most one of/],
];

for (const [name, args, message] of USAGE) {
  Deno.test(`ctl exits with 64 for ${name}`, async () => {
    const { code, err } = await ctl(args);
    assert.match(err, message);
    assert.equal(code, 64);
  });
}

Deno.test("ctl prints help for itself, for groups and for commands", async () => {
  for (const args of [["--help"], ["install", "--help"], ["x", "--help"], [], ["manifest"]]) {
    const { code, out, err } = await ctl(args);
    assert.equal(code, 0, args.join(" "));
    assert.match(out + err, /Usage: ambientd ctl/);
  }
});

Deno.test("ctl version without a cluster says so on stderr and succeeds", async () => {
  const { code, out, err } = await ctl(["version"]);
  assert.equal(code, 0);
  assert.equal(out, `client version: ${VERSION}\n`);
  assert.match(err, /cannot find a kubeconfig/);
});

Deno.test("ctl version without a mesh says so on stderr and succeeds", async () => {
  await using kube = new FakeKube();
  const { code, out, err } = await ctl(["version"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0);
  assert.equal(out, `client version: ${VERSION}\n`);
  assert.equal(err, 'Istio is not present in the cluster: no running Istio pods in namespace "istio-system"\n');
});

Deno.test("ctl takes defaults of its flags from the environment and from istioctl's configuration file", async () => {
  await using kube = new FakeKube();
  const options = { kubeconfig: kube.kubeconfig(), config: "istioNamespace: from-file\n" };
  assert.match((await ctl(["version"], options)).err, /in namespace "from-file"/);
  const env = { ISTIOCTL_ISTIONAMESPACE: "from-env" };
  assert.match((await ctl(["version"], { ...options, env })).err, /in namespace "from-env"/);
  assert.match((await ctl(["version", "-i", "given"], { ...options, env })).err, /in namespace "given"/);
  const broken = await ctl(["version"], { config: "[" });
  assert.equal(broken.code, 1);
  assert.match(broken.err, /cannot read ".*config\.yaml"/);
});

function addPod(
  kube: FakeKube,
  name: string,
  labels: Record<string, string>,
  extra: Record<string, unknown> = {},
): void {
  kube.put(`/api/v1/namespaces/istio-system/pods/${name}`, {
    kind: "Pod",
    metadata: { name, namespace: "istio-system", labels },
    spec: { nodeName: "node-1", containers: [{ image: "ambientd:0.0.1" }], ...extra },
    status: { phase: "Running" },
  });
}

function addMesh(kube: FakeKube): void {
  addPod(kube, "istiod-1", { app: "istiod", "istio.io/rev": "default" });
  addPod(kube, "ztunnel-1", { app: "ztunnel" });
  kube.pods.set("istio-system/istiod-1:15014", (_method, path) => {
    if (path === "/version") return { body: "9.9.9\n" };
    return {
      body: JSON.stringify([{
        cluster_id: "Kubernetes",
        proxy: "ztunnel-1.istio-system",
        proxy_type: "ztunnel",
        istio_version: "9.9.8",
        generic_xds_configs: [
          { type_url: "type.googleapis.com/istio.workload.Address", config_status: "SYNCED" },
          { type_url: "type.googleapis.com/istio.security.Authorization", config_status: "STALE" },
        ],
      }]),
    };
  });
}

Deno.test("ctl version asks control plane and proxies", async () => {
  await using kube = new FakeKube();
  addMesh(kube);
  const short = await ctl(["version"], { kubeconfig: kube.kubeconfig() });
  assert.equal(
    short.out,
    `client version: ${VERSION}\ncontrol plane version: 9.9.9\ndata plane version: 9.9.8 (1 proxy)\n`,
  );
  const { out } = await ctl(["version", "-o", "json"], { kubeconfig: kube.kubeconfig() });
  const report = JSON.parse(out);
  assert.deepEqual(Object.keys(report), ["clientVersion", "meshVersion", "dataPlaneVersion"]);
  assert.equal(report.meshVersion[0].Info.version, "9.9.9");
  assert.equal(report.dataPlaneVersion[0].ID, "ztunnel-1.istio-system");
  const wrong = await ctl(["version", "-o", "xml"], { kubeconfig: kube.kubeconfig() });
  assert.equal(wrong.code, 1);
});

Deno.test("ctl version falls back to the images' tags where istiod does not answer", async () => {
  await using kube = new FakeKube();
  addPod(kube, "istiod-1", { app: "istiod" });
  addPod(kube, "ztunnel-1", { app: "ztunnel" });
  addPod(kube, "ztunnel-2", { app: "ztunnel" });
  const { code, out } = await ctl(["version"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0);
  assert.match(out, /control plane version: 0\.0\.1\ndata plane version: 0\.0\.1 \(2 proxies\)\n/);
});

Deno.test("ctl proxy-status shows the proxies, short and verbose", async () => {
  await using kube = new FakeKube();
  addMesh(kube);
  const short = await ctl(["ps"], { kubeconfig: kube.kubeconfig() });
  assert.match(short.out, /^NAME +CLUSTER +ISTIOD +VERSION +SUBSCRIBED TYPES\n/);
  assert.match(short.out, /ztunnel-1\.istio-system +Kubernetes +istiod-1 +9\.9\.8 +2 \(WADS,WDS\)\n/);
  const verbose = await ctl(["proxy-status", "-v", "1"], { kubeconfig: kube.kubeconfig() });
  assert.match(verbose.out, /NAME +CLUSTER +WADS +WDS +ISTIOD +VERSION\n.* +STALE +SYNCED +istiod-1/);
  const missing = await ctl(["proxy-status", "nobody"], { kubeconfig: kube.kubeconfig() });
  assert.equal(missing.code, 1);
  assert.match(missing.err, /no proxy "nobody" is connected/);
});

Deno.test("ctl uninstall --purge removes what install made, agents first, and keeps the namespace", async () => {
  await using kube = new FakeKube({ autoReady: true });
  await ctl(["install", "--set", "profile=ambient", "-y"], { kubeconfig: kube.kubeconfig() });
  kube.put("/api/v1/namespaces/shop", {
    kind: "Namespace",
    metadata: { name: "shop", labels: { "istio.io/dataplane-mode": "ambient" } },
  });
  kube.requests.length = 0;
  const { code, out, err } = await ctl(["uninstall", "-y", "--purge"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0, err);
  assert.deepEqual([...kube.objects.keys()].sort(), ["/api/v1/namespaces/istio-system", "/api/v1/namespaces/shop"]);
  assert.match(out, /still labelled istio\.io\/dataplane-mode=ambient: shop/);
  assert.match(out, /^ {2}Removed Deployment\/istiod\.istio-system\.$/m);
  assert.match(out, /^ {2}Removed CustomResourceDefinition\/authorizationpolicies\.security\.istio\.io\.$/m);
  assert.match(out, /✔ Uninstall complete\n$/);
  const deleted = kube.requests.filter(({ method }) => method === "DELETE").map(({ path }) => path.split("/").at(-1));
  assert.deepEqual(deleted.slice(0, 3), ["istio-cni-node", "ztunnel", "istiod"]);
  const again = await ctl(["uninstall", "-y", "--purge"], { kubeconfig: kube.kubeconfig() });
  assert.equal(again.code, 0);
  assert.match(again.out, /No resources will be pruned/);
});

Deno.test("ctl uninstall --revision keeps definitions and refuses an unknown revision", async () => {
  await using kube = new FakeKube({ autoReady: true });
  await ctl(["install", "--set", "profile=ambient", "-y"], { kubeconfig: kube.kubeconfig() });
  const unknown = await ctl(["uninstall", "-y", "--revision", "canary"], { kubeconfig: kube.kubeconfig() });
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /could not find target revision "canary"/);
  const { code, err } = await ctl(["uninstall", "-y", "--revision", "default"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0, err);
  const kinds = [...kube.objects.values()].map(({ kind }) => kind);
  assert.equal(kinds.filter((kind) => kind === "CustomResourceDefinition").length, 16);
  assert.ok(!kinds.includes("Deployment"));
});

Deno.test("ctl uninstall asks first, and --dry-run removes nothing", async () => {
  await using kube = new FakeKube({ autoReady: true });
  await ctl(["install", "--set", "profile=ambient", "-y"], { kubeconfig: kube.kubeconfig() });
  const before = kube.objects.size;
  const refused = await ctl(["uninstall", "--purge"], { kubeconfig: kube.kubeconfig(), answer: false });
  assert.equal(refused.code, 1);
  assert.match(refused.out, /All Istio resources will be pruned from the cluster\nCancelled/);
  await ctl(["uninstall", "--purge", "--dry-run"], { kubeconfig: kube.kubeconfig() });
  assert.equal(kube.objects.size, before);
});

Deno.test("ctl takes the answer to a question from a pipe, and no answer as a no", async () => {
  await using kube = new FakeKube();
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(`${dir}/config`, kube.kubeconfig());
  const path = "/apis/apps/v1/namespaces/istio-system/deployments/istiod";
  const labels = { "operator.istio.io/component": "Pilot" };
  kube.put(path, { kind: "Deployment", metadata: { name: "istiod", namespace: "istio-system", labels } });
  const [command, ...args] = selfOf(["ctl", "uninstall", "--purge"]);
  const answer = async (text: string) => {
    const child = new Deno.Command(command, {
      args,
      env: { KUBECONFIG: `${dir}/config` },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
    const { code, stdout } = await child.output();
    return { code, out: new TextDecoder().decode(stdout) };
  };
  try {
    const no = await answer("");
    assert.equal(no.code, 1);
    assert.match(no.out, /Proceed\? \(y\/N\) \nCancelled\.\n$/);
    assert.ok(kube.objects.has(path));
    const yes = await answer("Y\nn\n");
    assert.equal(yes.code, 0);
    assert.match(yes.out, /Proceed\? \(y\/N\) {3}Removed Deployment\/istiod/);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("ctl uninstall says what it takes along", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const options = { kubeconfig: kube.kubeconfig() };
  await ctl(["install", "--set", "profile=default", "-y"], options);
  const { code, out } = await ctl(["uninstall", "-r", "default", "-v"], options);
  assert.equal(code, 1);
  assert.match(
    out,
    /^The following resources will be pruned from the cluster:\n {2}Deployment: .*istio-ingressgateway/,
  );
  assert.match(out, /^ {2}IstioOperator: installed-state$/m);
  assert.match(out, /You are about to remove the following gateways: istio-ingressgateway\./);
  const both = await ctl(["uninstall", "--purge", "-r", "default", "--dry-run"], options);
  assert.match(both.out, /^--purge removes all Istio resources, whatever the revision/);
  const unknown = await ctl(["uninstall", "-y", "-r", "old"], options);
  assert.match(unknown.err, /could not find target revision "old"; `kubectl get pods -A -l app=istiod/);
});

Deno.test("ctl says what to do where the API does not let the user in", async () => {
  await using kube = new FakeKube();
  let status = 401, message = "Unauthorized";
  kube.intercept = () => Response.json({ kind: "Status", message, code: status }, { status });
  const options = { kubeconfig: kube.kubeconfig() };
  const stranger = await ctl(["zc", "workload"], options);
  assert.equal(stranger.code, 1);
  assert.match(stranger.err, /does not accept these credentials \(Unauthorized\); `kubectl auth whoami`/);
  assert.match((await ctl(["version"], options)).err, /unable to retrieve .*does not accept these credentials/);
  status = 403;
  message = 'pods "a" is forbidden: User "bob" cannot get resource "pods" in API group "" in the namespace "default"';
  assert.match((await ctl(["pc", "l", "a"], options)).err, /in the namespace "default"; ask who runs the cluster/);
  message = 'admission webhook "x" denied the request';
  assert.equal((await ctl(["pc", "l", "a"], options)).err, `Error: ${message}\n`);
});

Deno.test("ctl proxy-status takes a workload's name", async () => {
  await using kube = new FakeKube();
  addMesh(kube);
  kube.put("/apis/apps/v1/namespaces/istio-system/daemonsets/ztunnel", {
    metadata: { name: "ztunnel", namespace: "istio-system" },
    spec: { selector: { matchLabels: { app: "ztunnel" } } },
  });
  const { out, err } = await ctl(["ps", "ds/ztunnel.istio-system"], { kubeconfig: kube.kubeconfig() });
  assert.match(out, /^NAME .*\nztunnel-1\.istio-system /, err);
  const missing = await ctl(["ps", "ds/other.istio-system"], { kubeconfig: kube.kubeconfig() });
  assert.match(missing.err, /ds "other" not found in namespace "istio-system"/);
});

Deno.test("ctl verify-install checks the installed profile", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const none = await ctl(["verify-install"], { kubeconfig: kube.kubeconfig() });
  assert.equal(none.code, 1);
  assert.match(none.err, /no Istio installation found in namespace "istio-system"/);
  await ctl(["install", "--set", "profile=ambient", "-y"], { kubeconfig: kube.kubeconfig() });
  const { code, out, err } = await ctl(["verify-install"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0, err);
  assert.match(out, /✔ Deployment: istiod\.istio-system checked successfully/);
  assert.match(
    out,
    /Checked 15 custom resource definitions\nChecked 1 Istio Deployments\nChecked 2 Istio Daemonsets\n✔ Istio is installed and verified/,
  );
  kube.remove("/apis/apps/v1/namespaces/istio-system/daemonsets/ztunnel");
  const broken = await ctl(["verify-install"], { kubeconfig: kube.kubeconfig() });
  assert.equal(broken.code, 1);
  assert.match(broken.out, /✘ DaemonSet: ztunnel\.istio-system: not found/);
});

Deno.test("ctl manifest generate prints everything in the order of installation", async () => {
  const { code, out } = await ctl(["manifest", "generate", "--set", "profile=ambient"]);
  assert.equal(code, 0);
  const kinds = [...out.matchAll(/^kind: (\w+)$/gm)].map(([, kind]) => kind);
  assert.deepEqual([...new Set(kinds)], [
    "ServiceAccount",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "DaemonSet",
    "Deployment",
    "Role",
    "RoleBinding",
    "HorizontalPodAutoscaler",
    "Service",
  ]);
  const dir = await Deno.makeTempDir();
  try {
    const files = await ctl(["manifest", "generate", "--set", "profile=ambient", "--filter", "ztunnel,CNI", "-o", dir]);
    assert.equal(files.code, 0, files.err);
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name).sort(), ["cni.yaml", "ztunnel.yaml"]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("ctl x precheck passes a good cluster and names what is wrong with another", async () => {
  const allow = (allowed: boolean) => ({ path }: { path: string }, _body: any) =>
    path.endsWith("/selfsubjectaccessreviews") ? Response.json({ status: { allowed } }) : undefined;
  await using good = new FakeKube();
  good.intercept = allow(true);
  const passed = await ctl(["x", "precheck"], { kubeconfig: good.kubeconfig() });
  assert.equal(passed.code, 0, passed.err);
  assert.equal(passed.out, "");
  assert.match(passed.err, /^✔ No issues found when checking the cluster\. Istio is safe to install or upgrade!/);
  good.put("/api/v1/namespaces/istio-system/services/zipkin", { metadata: { name: "zipkin" } });
  const since = (version: string) => ctl(["x", "precheck", "-f", version], { kubeconfig: good.kubeconfig() });
  assert.equal((await since("1.22")).code, 0);
  const changed = await since("1.21");
  assert.equal(changed.code, 1);
  assert.match(changed.out, /^Warning \[IST0169\] \(Service istio-system\/zipkin\) .* changed in release 1\.22/);
  await using blind = new FakeKube();
  blind.intercept = (request, body) =>
    request.path.endsWith("/customresourcedefinitions")
      ? Response.json({ kind: "Status", message: "forbidden", code: 403 }, { status: 403 })
      : allow(true)(request, body);
  const unseen = await ctl(["x", "precheck"], { kubeconfig: blind.kubeconfig() });
  assert.match(
    unseen.out,
    /^Error \[IST0141\] \(Resource\) Missing required permission to list customresourcedefinitions/,
  );
  await using bad = new FakeKube({ version: { major: "1", minor: "25", gitVersion: "v1.25.3" } });
  bad.intercept = allow(false);
  const { code, out, err } = await ctl(["experimental", "precheck"], { kubeconfig: bad.kubeconfig() });
  assert.equal(code, 1);
  assert.match(out, /^Error \[IST0142\] \(Kubernetes\)/m);
  assert.match(out, /^Error \[IST0141\] \(Resource\) Missing required permission to create namespaces/m);
  assert.match(err, /may not be safe to install or upgrade/);
});
