import assert from "node:assert/strict";
import { DUMP_KIND } from "../../src/roles/waypoint/config_dump.ts";
import { FakeKube } from "../support/fake_kube.ts";
import { ctl } from "./harness.ts";

const PEM = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n";

function certificate(identity: string, ...roots: string[]) {
  return {
    identity,
    state: "Available",
    certChain: [],
    rootCerts: roots.map((pem) => ({
      pem: btoa(pem),
      serialNumber: "255",
      validFrom: "2020-01-01T00:00:00Z",
      expirationTime: "2120-01-01T00:00:00Z",
    })),
  };
}

const other = PEM.replace("AAAA", "CCCC"), wrapped = PEM.replace("AAAA\nBBBB", "AAAABBBB");
const sleep = "spiffe://cluster.local/ns/default/sa/sleep", fresh = "spiffe://cluster.local/ns/default/sa/fresh";

function mesh(): FakeKube {
  const kube = new FakeKube();
  const pod = (namespace: string, name: string, app: string, container: string, answer?: unknown, account = app) => {
    kube.put(`/api/v1/namespaces/${namespace}/pods/${name}`, {
      metadata: { name, namespace, labels: { app } },
      spec: { nodeName: "node-1", serviceAccountName: account, containers: [{ name: container }] },
      status: { phase: "Running" },
    });
    if (answer) kube.pods.set(`${namespace}/${name}:15000`, () => ({ body: JSON.stringify(answer) }));
  };
  const l7 = (...roots: string[]) => ({ kind: DUMP_KIND, certificates: [certificate("x", ...roots)] });
  pod("default", "waypoint-1", "waypoint", "istio-proxy", l7(PEM));
  pod("edge", "gateway-1", "gateway", "istio-proxy", l7(wrapped, other));
  pod("edge", "stranger-1", "stranger", "istio-proxy", l7(other));
  pod("edge", "starting-1", "starting", "istio-proxy", l7());
  pod("istio-system", "ztunnel-1", "ztunnel", "istio-proxy", {
    workloads: [],
    services: [],
    certificates: [certificate(sleep, PEM), certificate(fresh)],
  });
  pod("default", "sleep-1", "sleep", "sleep");
  pod("default", "fresh-1", "fresh", "sleep");
  kube.put("/apis/apps/v1/namespaces/default/deployments/sleep", {
    metadata: { name: "sleep", namespace: "default" },
    spec: { selector: { matchLabels: { app: "sleep" } } },
  });
  return kube;
}

const ALIKE: [name: string, one: string, other: string][] = [
  ["a waypoint and a gateway with a second root, however PEM is wrapped", "waypoint-1", "gateway-1.edge"],
  ["a waypoint and a ztunnel", "waypoint-1", "ztunnel-1.istio-system"],
  ["an application by its deployment and a waypoint", "deploy/sleep", "pod/waypoint-1"],
];

const UNLIKE: [name: string, one: string, other: string, message: RegExp][] = [
  [
    "different roots",
    "waypoint-1",
    "stranger-1.edge",
    /^Error: \[waypoint-1\.default\] and \[stranger-1\.edge\] have no ROOTCA in common.*serial number ff, valid until 2120/,
  ],
  [
    "a proxy without a certificate",
    "waypoint-1",
    "starting-1.edge",
    /cannot find the ROOTCA of "starting-1\.edge": istiod has not/,
  ],
  [
    "a pod outside the mesh",
    "fresh-1",
    "waypoint-1",
    /its ztunnel "ztunnel-1" has no certificate for it.*kubectl label/,
  ],
  ["a pod that is not there", "nobody", "waypoint-1", /pods "nobody" not found/],
];

Deno.test("proxy-config rootca-compare", async (t) => {
  await using kube = mesh();
  const ask = (...args: string[]) => ctl(["pc", "rootca-compare", ...args], { kubeconfig: kube.kubeconfig() });
  for (const [name, one, two] of ALIKE) {
    await t.step(`finds the same root for ${name}`, async () => {
      const { code, out, err } = await ask(one, two);
      assert.equal(code, 0, err);
      assert.match(out, /^Both \[\S+\] and \[\S+\] have the identical ROOTCA \(serial number ff, valid until 2120/);
    });
  }
  for (const [name, one, two, message] of UNLIKE) {
    await t.step(`fails for ${name}`, async () => {
      const { code, out, err } = await ask(one, two);
      assert.equal(code, 1);
      assert.equal(out, "");
      assert.match(err, message);
    });
  }
});

Deno.test("x envoy-stats prints what proxies count, in each format", async () => {
  await using kube = mesh();
  const kubeconfig = kube.kubeconfig();
  const answers: Record<string, string> = {
    "/stats": "cluster.a.upstream_cx_total: 3\n",
    "/stats/prometheus": "istio_requests_total 1\n",
    "/clusters": "a::1.1.1.1:80::cx_active::0\n",
    "/clusters?format=json": '[{"cluster":"a"}]',
  };
  const answer = (_method: string, path: string) => ({ body: answers[path], status: answers[path] ? 200 : 404 });
  kube.pods.set("default/waypoint-1:15000", answer);
  kube.pods.set("default/waypoint-1:15020", () => ({ body: "merged 1\n" }));
  const ask = (...args: string[]) => ctl(["x", "es", ...args], { kubeconfig });
  const shown = "\nThe result of pod waypoint-1:\n\n";
  const FORMATS: [args: string[], text: string][] = [
    [[], "cluster.a.upstream_cx_total: 3\n"],
    [["-o=prom"], "istio_requests_total 1\n"],
    [["-o=prom-merged"], "merged 1\n"],
    [["-o", "yaml"], "stats:\n  - name: cluster.a.upstream_cx_total\n    value: 3\n"],
    [["-t", "clusters"], "a::1.1.1.1:80::cx_active::0\n"],
    [["-t=clusters", "-o=yaml"], "- cluster: a\n"],
  ];
  for (const [args, text] of FORMATS) {
    assert.equal((await ask("waypoint-1", ...args)).out, shown + text, args.join(" "));
  }
  assert.match((await ask("-l", "app=waypoint")).out, /upstream_cx_total/);
  const WRONG: [args: string[], code: number, message: RegExp][] = [
    [[], 64, /a pod name or a selector must be given/],
    [["a", "-l", "b"], 64, /not both/],
    [["a", "-o", "xml"], 1, /--output of server must be short, json, yaml, prom, prom-merged/],
    [["a", "-t", "clusters", "-o", "prom"], 1, /--output of clusters must be/],
    [["a", "-t", "x"], 1, /--type must be server or clusters/],
    [["ztunnel-1.istio-system"], 1, /is a ztunnel/],
  ];
  for (const [args, code, message] of WRONG) {
    const result = await ask(...args);
    assert.equal(result.code, code, args.join(" "));
    assert.match(result.err, message);
  }
});
