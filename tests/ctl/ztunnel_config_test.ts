import assert from "node:assert/strict";
import { FakeKube } from "../support/fake_kube.ts";
import { ctl } from "./harness.ts";

const DUMP = {
  workloads: {
    "Kubernetes//Pod/default/sleep-1": {
      uid: "Kubernetes//Pod/default/sleep-1",
      workloadIps: ["10.244.0.5"],
      protocol: "HBONE",
      name: "sleep-1",
      namespace: "default",
      serviceAccount: "sleep",
      node: "node-1",
      status: "Healthy",
    },
    "Kubernetes//Pod/default/details-1": {
      uid: "Kubernetes//Pod/default/details-1",
      workloadIps: ["10.244.1.7"],
      protocol: "TCP",
      name: "details-1",
      namespace: "default",
      serviceAccount: "details",
      node: "node-2",
      status: "Unhealthy",
      waypoint: { destination: "/10.96.0.77" },
    },
    "Kubernetes//Pod/kube-system/dns-1": {
      uid: "Kubernetes//Pod/kube-system/dns-1",
      workloadIps: ["10.244.0.2"],
      name: "dns-1",
      namespace: "kube-system",
      node: "node-1",
      waypoint: { destination: "/10.96.9.9" },
    },
  },
  services: [
    {
      name: "details",
      namespace: "default",
      hostname: "details.default.svc.cluster.local",
      vips: ["/10.96.0.42"],
      endpoints: { a: { workloadUid: "Kubernetes//Pod/default/details-1" } },
    },
    { name: "waypoint", namespace: "default", hostname: "waypoint.default.svc.cluster.local", vips: ["/10.96.0.77"] },
  ],
  policies: [{ name: "viewer", namespace: "default", action: "Allow", scope: "WorkloadSelector" }],
  certificates: [
    {
      identity: "spiffe://cluster.local/ns/default/sa/sleep",
      state: "Available",
      certChain: [{ serialNumber: "255", validFrom: "2020-01-01T00:00:00Z", expirationTime: "2020-01-02T00:00:00Z" }],
      rootCerts: [{ serialNumber: "16", validFrom: "2020-01-01T00:00:00Z", expirationTime: "2999-01-01T00:00:00Z" }],
    },
    { identity: "spiffe://cluster.local/ns/default/sa/details", state: "Initializing" },
  ],
  workloadState: {
    x: {
      state: "Up",
      info: { name: "sleep-1", namespace: "default" },
      connections: {
        inbound: [],
        outbound: [{
          src: "10.244.0.5:40000",
          originalDst: "10.96.0.42:9080",
          actualDst: "10.244.1.7:15008",
          protocol: "HBONE",
        }],
      },
    },
  },
};

function mesh(): FakeKube {
  const kube = new FakeKube();
  const add = (name: string, namespace: string, node: string, labels: Record<string, string>) =>
    kube.put(`/api/v1/namespaces/${namespace}/pods/${name}`, {
      kind: "Pod",
      metadata: { name, namespace, labels },
      spec: { nodeName: node, containers: [] },
      status: { phase: "Running" },
    });
  add("ztunnel-a", "istio-system", "node-1", { app: "ztunnel" });
  add("ztunnel-b", "istio-system", "node-2", { app: "ztunnel" });
  add("sleep-1", "default", "node-1", { app: "sleep" });
  kube.put("/apis/apps/v1/namespaces/default/deployments/sleep", {
    kind: "Deployment",
    metadata: { name: "sleep", namespace: "default" },
    spec: { selector: { matchLabels: { app: "sleep" } } },
  });
  kube.pods.set("istio-system/ztunnel-a:15000", (method, path) => {
    if (path === "/config_dump") return { body: JSON.stringify(DUMP) };
    return method === "POST" && path.startsWith("/logging")
      ? { body: `current log level is ${new URL(path, "http://x").searchParams.get("level") ?? "info"}\n` }
      : { status: 404, body: "" };
  });
  kube.pods.set("istio-system/ztunnel-b:15000", () => ({ body: '{"workloads":[],"services":[]}' }));
  return kube;
}

const TABLES: [args: string[], lines: string[]][] = [
  [["workload"], [
    "NAMESPACE   POD NAME  ADDRESS    NODE   WAYPOINT PROTOCOL",
    "default     details-1 10.244.1.7 node-2 waypoint TCP",
    "default     sleep-1   10.244.0.5 node-1 None     HBONE",
    "kube-system dns-1     10.244.0.2 node-1 NA       TCP",
  ]],
  [["w", "--workload-namespace", "default", "--workload-node", "node-1"], [
    "NAMESPACE POD NAME ADDRESS    NODE   WAYPOINT PROTOCOL",
    "default   sleep-1  10.244.0.5 node-1 None     HBONE",
  ]],
  [["service"], [
    "NAMESPACE SERVICE NAME SERVICE VIP WAYPOINT ENDPOINTS",
    "default   details      10.96.0.42  None     0/1",
    "default   waypoint     10.96.0.77  None     0/0",
  ]],
  [["policies"], ["NAMESPACE POLICY NAME ACTION SCOPE", "default   viewer      Allow  WorkloadSelector"]],
  [["certs", "sleep-1.default"], [
    "CERTIFICATE NAME                               TYPE     STATUS        VALID CERT     SERIAL NUMBER     NOT AFTER                NOT BEFORE",
    "spiffe://cluster.local/ns/default/sa/sleep     Leaf     Available     false          ff                2020-01-02T00:00:00Z     2020-01-01T00:00:00Z",
    "spiffe://cluster.local/ns/default/sa/sleep     Root     Available     true           10                2999-01-01T00:00:00Z     2020-01-01T00:00:00Z",
  ]],
  [["connections", "deploy/sleep.default"], [
    "WORKLOAD        DIRECTION LOCAL                 REMOTE                  REMOTE TARGET                          PROTOCOL",
    "sleep-1.default Outbound  sleep-1.default:40000 details-1.default:15008 details.default.svc.cluster.local:9080 HBONE",
  ]],
  [["connections", "--node", "node-1", "--raw"], [
    "WORKLOAD        DIRECTION LOCAL            REMOTE           REMOTE TARGET   PROTOCOL",
    "sleep-1.default Outbound  10.244.0.5:40000 10.244.1.7:15008 10.96.0.42:9080 HBONE",
  ]],
];

for (const [args, lines] of TABLES) {
  Deno.test(`ctl ztunnel-config ${args.join(" ")}`, async () => {
    await using kube = mesh();
    const { out, err } = await ctl(["ztunnel-config", ...args], { kubeconfig: kube.kubeconfig() });
    assert.equal(err, "");
    assert.deepEqual(out.trimEnd().split("\n"), lines);
  });
}

Deno.test("ctl ztunnel-config reads a dump from standard input and prints JSON", async () => {
  const { out, err } = await ctl(["zc", "workload", "-f", "-", "-o", "json"], { stdin: JSON.stringify(DUMP) });
  assert.equal(err, "");
  assert.deepEqual(JSON.parse(out).map(({ name }: any) => name), ["details-1", "sleep-1", "dns-1"]);
});

Deno.test("ctl ztunnel-config shows certificates that are not there yet", async () => {
  const { out } = await ctl(["zc", "cert", "-f", "-"], {
    stdin: JSON.stringify({
      workloads: [],
      certificates: [{ identity: "a", state: "Initializing" }, {
        identity: "b",
        state: "Unavailable: no CA",
        certChain: [],
      }],
    }),
  });
  assert.match(out, /^a +NA +Initializing +false +NA +NA +NA\nb +NA +Unavailable +false +NA +NA +NA$/m);
});

Deno.test("ctl ztunnel-config connections -o json gives workloads' states, as the dump has them", async () => {
  const from = async (...args: string[]) =>
    JSON.parse((await ctl(["zc", "connections", "-o=json", "-f=-", ...args], { stdin: JSON.stringify(DUMP) })).out);
  assert.deepEqual(await from(), [DUMP.workloadState.x]);
  assert.deepEqual(await from("--workload-namespace", "other"), []);
  assert.deepEqual((await from("--direction=inbound"))[0].connections, { inbound: [] });
});

Deno.test("ctl ztunnel-config all prints five tables under their headings", async () => {
  const { out } = await ctl(["zc", "all", "--with-headers", "-f", "-"], { stdin: JSON.stringify(DUMP) });
  assert.deepEqual([...out.matchAll(/^------ (\w+) INFO ------$/gm)].map(([, title]) => title), [
    "WORKLOAD",
    "SERVICE",
    "POLICY",
    "SECRET",
    "CONNECTIONS",
  ]);
});

Deno.test("ctl ztunnel-config wants one ztunnel where each has its own", async () => {
  await using kube = mesh();
  for (const part of ["certificate", "connections"]) {
    const { code, err } = await ctl(["zc", part], { kubeconfig: kube.kubeconfig() });
    assert.equal(code, 1);
    assert.match(err, /ztunnel pod name or --node must be set.*: ztunnel-a \(node node-1\), /);
  }
});

const BROKEN: [name: string, args: string[], message: RegExp][] = [
  ["an unknown pod", ["workload", "nobody.default"], /pods "nobody" not found in namespace "default"/],
  [
    "an unknown node",
    ["workload", "--node", "node-9"],
    /no running ztunnel pod on node "node-9"; there are some on node-1/,
  ],
  ["an unknown kind", ["workload", "job/x"], /cannot use "job\/x"/],
  ["an unknown format", ["workload", "-o", "xml"], /--output must be/],
  ["a wrong admin port", ["workload", "--proxy-admin-port", "15999"], /port 15999 of pod.*refused/],
  ["a missing file", ["workload", "-f", "/nowhere.json"], /cannot read "\/nowhere\.json"/],
  ["a wrong direction", ["connections", "--node", "node-1", "--direction", "up"], /--direction must be/],
  ["a file for log", ["log", "-f", "x.json"], /--file is not applicable to log/],
  ["a level and a reset", ["log", "--level=info", "-r"], /--level cannot be combined with --reset/],
  ["another output of log", ["log", "-o", "json"], /--output is not applicable to log/],
  ["an unknown log level", ["log", "ztunnel-a", "--level", "loud"], /"loud" is not a log level/],
];

for (const [name, args, message] of BROKEN) {
  Deno.test(`ctl ztunnel-config fails clearly for ${name}`, async () => {
    await using kube = mesh();
    const { code, err } = await ctl(["zc", ...args], { kubeconfig: kube.kubeconfig() });
    assert.notEqual(code, 0);
    assert.match(err, message);
  });
}

Deno.test("ctl ztunnel-config refuses a dump of something else", async () => {
  for (const stdin of ["not json", "[]", "null", '{"configs":[]}']) {
    const { code, err } = await ctl(["zc", "service", "-f", "-"], { stdin });
    assert.equal(code, 1);
    assert.match(err, /configuration dump of "-"/);
  }
});

Deno.test("ctl ztunnel-config log shows, sets and resets levels", async () => {
  await using kube = mesh();
  const options = { kubeconfig: kube.kubeconfig() };
  assert.match(
    (await ctl(["zc", "log", "ztunnel-a"], options)).out,
    /^ztunnel-a\.istio-system:\ncurrent log level is info/,
  );
  const set = await ctl(["zc", "log", "ztunnel-a", "--level", "access:debug,warning"], options);
  assert.match(set.out, /current log level is access=debug,warn/);
  const spelled = await ctl(["zc", "log", "ztunnel-a", "--level", "access=debug,info"], options);
  assert.match(spelled.out, /current log level is access=debug,info/);
  assert.match((await ctl(["zc", "log", "ztunnel-a", "-r"], options)).out, /current log level is info/);
});
