import assert from "node:assert/strict";
import { istioOperatorDefinition } from "../../manifests/crds/istio_operator.ts";
import { VERSION } from "../../src/core/version.ts";
import { installedState } from "../../src/roles/ctl/installed_state.ts";
import { planInstallation } from "../../src/roles/ctl/install.ts";
import { FakeKube } from "../support/fake_kube.ts";
import { ctl } from "./harness.ts";

const RECORDS = "/apis/install.istio.io/v1alpha1/namespaces/istio-system/istiooperators";
const DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/istiooperators.install.istio.io";
const AMBIENT = ["install", "-y", "--set", "profile=ambient"];
const GATEWAY = [
  "components.ingressGateways[0].enabled=true",
  "components.ingressGateways[0].name=istio-ingressgateway",
  "components.ingressGateways[0].k8s.service.loadBalancerIP=10.224.0.180",
  "components.ingressGateways[0].k8s.service.serviceAnnotations.service\\.beta\\.kubernetes\\.io/azure-load-balancer-internal=true",
];
const sets = (...settings: string[]) => settings.map((setting) => `--set=${setting}`);
const specOf = (...set: string[]) => installedState(planInstallation({ set })).spec;

Deno.test("installedState() says what was asked for and what the profile adds", () => {
  assert.deepEqual(
    specOf("profile=ambient", "hub=registry.example", "meshConfig.accessLogFile=/dev/stdout", ...GATEWAY),
    {
      profile: "ambient",
      hub: "registry.example",
      tag: VERSION,
      meshConfig: { accessLogFile: "/dev/stdout" },
      components: {
        base: { enabled: true },
        pilot: { enabled: true },
        cni: { enabled: true },
        ztunnel: { enabled: true },
        ingressGateways: [{
          name: "istio-ingressgateway",
          enabled: true,
          k8s: {
            service: {
              loadBalancerIP: "10.224.0.180",
              serviceAnnotations: { "service.beta.kubernetes.io/azure-load-balancer-internal": "true" },
            },
          },
        }],
        egressGateways: [{ name: "istio-egressgateway", enabled: false }],
      },
    },
  );
  assert.deepEqual(specOf("profile=minimal", "values.global.tag=1.2.3", "values.pilot.replicaCount=2"), {
    profile: "minimal",
    hub: "",
    tag: "1.2.3",
    values: { global: { tag: "1.2.3" }, pilot: { replicaCount: 2 } },
    components: {
      base: { enabled: true },
      pilot: { enabled: true },
      cni: { enabled: false },
      ztunnel: { enabled: false },
      ingressGateways: [{ name: "istio-ingressgateway", enabled: false }],
      egressGateways: [{ name: "istio-egressgateway", enabled: false }],
    },
  });
});

/** What is typed, where it ends up in the record, and what stands there. */
const VALUES: [name: string, setting: string, path: string[], kept: boolean][] = [
  ["a token of the environment", "values.pilot.env.MY_TOKEN=s3cret", ["values", "pilot", "env", "MY_TOKEN"], false],
  ["a password", "values.cni.env.PASSWORD=s3cret", ["values", "cni", "env", "PASSWORD"], false],
  ["an API key", "values.ztunnel.env.X-API-Key=s3cret", ["values", "ztunnel", "env", "X-API-Key"], false],
  [
    "an entry of a container's environment",
    'components.pilot.k8s.env=[{"name":"CLIENT_SECRET","value":"s3cret"}]',
    ["components", "pilot", "k8s", "env", "0", "value"],
    false,
  ],
  [
    "a header of an extension provider",
    'meshConfig.extensionProviders=[{"opentelemetry":{"http":{"headers":[{"name":"Authorization","value":"s3cret"}]}}}]',
    ["meshConfig", "extensionProviders", "0", "opentelemetry", "http", "headers", "0", "value"],
    false,
  ],
  [
    "a password within a URL",
    "values.pilot.env.PROXY=http://me:s3cret@proxy:80",
    ["values", "pilot", "env", "PROXY"],
    false,
  ],
  ["where a token is", "values.pilot.env.TOKEN_PATH=/s3cret", ["values", "pilot", "env", "TOKEN_PATH"], true],
  [
    "the names of pull secrets",
    'values.global.imagePullSecrets=["s3cret"]',
    ["values", "global", "imagePullSecrets", "0"],
    true,
  ],
  [
    "a reference to a Secret",
    'components.pilot.k8s.env=[{"name":"T","valueFrom":{"secretKeyRef":{"name":"s3cret","key":"token"}}}]',
    ["components", "pilot", "k8s", "env", "0", "valueFrom", "secretKeyRef", "name"],
    true,
  ],
];

for (const [name, setting, path, kept] of VALUES) {
  Deno.test(`installedState() ${kept ? "keeps" : "does not hold"} ${name}`, () => {
    const spec = specOf("profile=ambient", setting);
    const value = path.reduce((at: any, key) => at[key], spec);
    if (kept) assert.match(value, /s3cret/);
    else {
      assert.equal(value, "[redacted]");
      assert.doesNotMatch(JSON.stringify(spec), /s3cret/);
    }
  });
}

Deno.test("ctl install records what it installed, a second one replaces it, and it installs again from the record", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const options = { kubeconfig: kube.kubeconfig() };
  const first = await ctl([...AMBIENT, ...sets(...GATEWAY)], options);
  assert.equal(first.code, 0, first.err);
  const record = kube.objects.get(`${RECORDS}/installed-state`)!;
  assert.equal(record.spec.components.ingressGateways[0].k8s.service.loadBalancerIP, "10.224.0.180");
  const paths = kube.requests.filter(({ method }) => method === "PATCH").map(({ path }) => path);
  assert.ok(paths.indexOf(DEFINITION) < paths.indexOf(`${RECORDS}/installed-state`));

  const file = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    await Deno.writeTextFile(file, JSON.stringify(record));
    const again = await ctl(["install", "-y", "-f", file, "--set=meshConfig.accessLogFile=/dev/stdout"], options);
    assert.equal(again.code, 0, again.err);
    assert.doesNotMatch(again.out, /Removed/);
    const updated = kube.objects.get(`${RECORDS}/installed-state`)!;
    assert.deepEqual(updated.spec, { ...record.spec, meshConfig: { accessLogFile: "/dev/stdout" } });
    await Deno.writeTextFile(
      file,
      JSON.stringify({ ...record, spec: { values: { pilot: { env: { A: "[redacted]" } } } } }),
    );
    const withheld = await ctl(["install", "-y", "-f", file], options);
    assert.equal(withheld.code, 1);
    assert.match(withheld.err, /"values\.pilot\.env\.A" was left out of the record: put its value in; .*--force\n$/);
    assert.equal((await ctl(["install", "-y", "--force", "-f", file], options)).code, 0);
    assert.doesNotMatch(JSON.stringify([...kube.objects.values()]), /redacted/);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("ctl install says when the profile changes, and what goes with the old one", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const options = { kubeconfig: kube.kubeconfig() };
  assert.equal((await ctl(AMBIENT, options)).err, "");
  assert.equal((await ctl(AMBIENT, options)).err, "");
  const upgrade = await ctl(["upgrade", "--dry-run", "--set=profile=minimal"], options);
  assert.equal(
    upgrade.err,
    'The profile "ambient" is installed and will be changed to "minimal", which removes CNI and Ztunnel. ' +
      "To keep it, add --set profile=ambient.\n",
  );
  assert.equal((await ctl([...AMBIENT, "--revision=canary", "--dry-run"], options)).err, "");
});

Deno.test("ctl install greets at a terminal only, on standard error", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const { out, err } = await ctl([...AMBIENT, "--dry-run"], { kubeconfig: kube.kubeconfig(), terminal: true });
  assert.match(err, /ambientd\n/);
  assert.doesNotMatch(out, /~~~/);
});

Deno.test("ctl install --dry-run and manifest generate leave no record", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const { code, err } = await ctl([...AMBIENT, "--dry-run"], { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0, err);
  assert.equal(kube.objects.size, 0);
  const { out } = await ctl(["manifest", "generate", "--set", "profile=ambient"]);
  assert.doesNotMatch(out, /IstioOperator|istiooperators/);
});

Deno.test("ctl install says when all is installed but the record", async () => {
  await using kube = new FakeKube({ autoReady: true });
  kube.intercept = ({ method, path }) =>
    method === "PATCH" && path.startsWith(RECORDS)
      ? Response.json({ kind: "Status", reason: "Forbidden", message: "istiooperators is forbidden", code: 403 }, {
        status: 403,
      })
      : undefined;
  const { code, out, err } = await ctl(AMBIENT, { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 1);
  assert.match(out, /✔ Ztunnel installed/);
  assert.match(
    err,
    /^Error: cannot record what was installed as IstioOperator "istio-system\/installed-state": istiooperators is forbidden; the mesh itself is installed/,
  );
});

Deno.test("ctl install waits until the new kind is served", async () => {
  await using kube = new FakeKube({ autoReady: true });
  let refused = 0;
  kube.intercept = ({ method, path }) =>
    method === "PATCH" && path.startsWith(RECORDS) && refused++ < 2
      ? Response.json({ kind: "Status", reason: "NotFound", message: "not served yet", code: 404 }, { status: 404 })
      : undefined;
  const { code, err } = await ctl(AMBIENT, { kubeconfig: kube.kubeconfig() });
  assert.equal(code, 0, err);
  assert.ok(kube.objects.has(`${RECORDS}/installed-state`));
});

Deno.test("each revision has its record, and uninstall takes the right one", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const options = { kubeconfig: kube.kubeconfig() };
  const records = () => [...kube.objects.keys()].filter((path) => path.startsWith(RECORDS)).sort();
  await ctl(AMBIENT, options);
  const canary = await ctl(["install", "-y", "--set", "profile=minimal", "--revision", "canary"], options);
  assert.equal(canary.code, 0, canary.err);
  assert.deepEqual(records(), [`${RECORDS}/installed-state`, `${RECORDS}/installed-state-canary`]);
  assert.equal(kube.objects.get(`${RECORDS}/installed-state-canary`)!.spec.revision, "canary");
  assert.equal(kube.objects.get(`${RECORDS}/installed-state`)!.spec.revision, undefined);
  const removed = await ctl(["uninstall", "-y", "--revision", "canary"], options);
  assert.match(removed.out, / {2}Removed IstioOperator\/installed-state-canary\.istio-system\./);
  assert.deepEqual(records(), [`${RECORDS}/installed-state`]);
  assert.ok(kube.objects.has(DEFINITION));
  await ctl(["uninstall", "-y", "--purge"], options);
  assert.deepEqual(records(), []);
  assert.ok(!kube.objects.has(DEFINITION));
});

Deno.test("ctl uninstall -f removes the record with what the file installed", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const file = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    await Deno.writeTextFile(
      file,
      "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  profile: ambient\n",
    );
    const options = { kubeconfig: kube.kubeconfig() };
    await ctl(["install", "-y", "-f", file], options);
    assert.ok(kube.objects.has(`${RECORDS}/installed-state`));
    await ctl(["uninstall", "-y", "-f", file], options);
    assert.ok(!kube.objects.has(`${RECORDS}/installed-state`));
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("ctl verify-install checks what is recorded, of the only revision where none is named", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const options = { kubeconfig: kube.kubeconfig() };
  await ctl(["install", "-y", "--set", "profile=minimal", "--revision", "canary", ...sets(...GATEWAY)], options);
  for (const args of [["verify-install"], ["verify-install", "--revision", "canary"]]) {
    const { code, out, err } = await ctl(args, options);
    assert.equal(code, 0, err);
    assert.match(out, /✔ Deployment: istio-ingressgateway\.istio-system checked/);
    assert.match(out, /✔ Deployment: istiod-canary\.istio-system checked/);
    assert.match(out, /Checked 15 custom resource definitions\nChecked 2 Istio Deployments\n✔ Istio is installed/);
  }
  const other = await ctl(["verify-install", "--revision", "other"], options);
  assert.equal(other.code, 1);
  assert.match(other.err, /no Istio installation/);
  await ctl(["install", "-y", "--set", "profile=minimal", "--revision", "second"], options);
  const several = await ctl(["verify-install"], options);
  assert.equal(several.code, 1);
  assert.match(several.err, /several revisions are installed in namespace "istio-system": canary, second; choose one/);
});

Deno.test("ctl verify-install reads the record of an older Istio, and does without one", async () => {
  await using kube = new FakeKube({ autoReady: true });
  const options = { kubeconfig: kube.kubeconfig() };
  await ctl(AMBIENT, options);
  kube.put(`${RECORDS}/installed-state`, {
    metadata: { name: "installed-state", namespace: "istio-system" },
    spec: { profile: "ambient", components: { istiodRemote: { enabled: false } }, values: { gateways: { x: 1 } } },
  });
  const old = await ctl(["verify-install"], options);
  assert.equal(old.code, 0, old.err);
  kube.remove(`${RECORDS}/installed-state`);
  const none = await ctl(["verify-install"], options);
  assert.equal(none.code, 0, none.err);
  assert.match(none.out, /Checked 2 Istio Daemonsets/);
});

Deno.test("the definition of IstioOperator has the columns, names and labels of Istio's", () => {
  const { metadata, spec } = istioOperatorDefinition();
  assert.equal(metadata.name, "istiooperators.install.istio.io");
  assert.equal(metadata.labels["operator.istio.io/component"], "Base");
  assert.deepEqual(spec.names.shortNames, ["iop", "io"]);
  assert.deepEqual(spec.versions[0].additionalPrinterColumns.map(({ name }: { name: string }) => name), [
    "Revision",
    "Status",
    "Age",
  ]);
});
