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
  ["the profile openshift", ["profile=openshift"], /profile "openshift".*Multus.*profile=<ambient\|minimal\|empty/],
  ["an unknown profile", ["profile=nonsense"], /unknown profile "nonsense"/],
  [
    "two gateways of one name",
    [
      "profile=ambient",
      ...["0", "1"].flatMap((i) => [
        `components.ingressGateways[${i}].enabled=true`,
        `components.ingressGateways[${i}].name=same`,
      ]),
    ],
    /two gateways are called "istio-system\/same"/,
  ],
  [
    "an unknown field of a gateway's Service",
    ["profile=ambient", "components.ingressGateways[0].k8s.service.loadBalancerIp=10.0.0.1"],
    /unknown field "loadBalancerIp"/,
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

/** What S1 types, as a shell hands it over. */
const INGRESS = [
  "components.ingressGateways[0].enabled=true",
  "components.ingressGateways[0].name=istio-ingressgateway",
  "components.ingressGateways[0].k8s.service.loadBalancerIP=10.224.0.180",
];
const ANNOTATION = "service\\.beta\\.kubernetes\\.io/azure-load-balancer-internal=true";

for (const place of ["k8s.service.serviceAnnotations", "k8s.serviceAnnotations"]) {
  Deno.test(`the ingress gateway's Service has address, ports, selector and the annotation of ${place}`, () => {
    const set = [...INGRESS, `components.ingressGateways[0].${place}.${ANNOTATION}`];
    const { metadata, spec } = find(set, "Service", "istio-ingressgateway");
    assert.equal(metadata.namespace, "istio-system");
    assert.equal(metadata.labels.app, "istio-ingressgateway");
    assert.equal(metadata.labels["operator.istio.io/component"], "IngressGateways");
    assert.deepEqual(metadata.annotations, { "service.beta.kubernetes.io/azure-load-balancer-internal": "true" });
    assert.deepEqual(spec, {
      type: "LoadBalancer",
      selector: { app: "istio-ingressgateway", istio: "ingressgateway" },
      ports: [
        { name: "status-port", port: 15021, protocol: "TCP", targetPort: 15021 },
        { name: "http2", port: 80, protocol: "TCP", targetPort: 8080 },
        { name: "https", port: 443, protocol: "TCP", targetPort: 8443 },
      ],
      loadBalancerIP: "10.224.0.180",
    });
  });
}

Deno.test("a gateway's pods are selected by their Deployment and Service, and run without privilege", () => {
  const { spec } = find(INGRESS, "Deployment", "istio-ingressgateway");
  const { metadata, spec: pod } = spec.template;
  for (const [key, value] of Object.entries(spec.selector.matchLabels)) assert.equal(metadata.labels[key], value);
  assert.equal(metadata.annotations["prometheus.io/path"], "/stats/prometheus");
  assert.equal(metadata.labels["istio.io/dataplane-mode"], "none");
  assert.equal(pod.serviceAccountName, "istio-ingressgateway-service-account");
  find(INGRESS, "ServiceAccount", "istio-ingressgateway-service-account");
  assert.equal(pod.securityContext.runAsUser, 1337);
  const [container] = pod.containers;
  assert.deepEqual(container.args.slice(0, 2), ["waypoint", "router"]);
  assert.equal(container.readinessProbe.httpGet.port, 15021);
  assert.equal(container.securityContext.readOnlyRootFilesystem, true);
  const volumes = pod.volumes.map(({ name }: any) => name);
  for (const { name } of container.volumeMounts) assert.ok(volumes.includes(name), name);
});

Deno.test("profiles have their gateways; the first entry of a list is the profile's", () => {
  const gateways = (...set: string[]) => {
    const { values, components } = planInstallation({ set });
    return [
      values.ingressGateways.map(({ name }) => name),
      values.egressGateways.map(({ name }) => name),
      components.filter((name) => name.endsWith("Gateways")),
    ];
  };
  assert.deepEqual(gateways(), [["istio-ingressgateway"], [], ["ingressGateways"]]);
  assert.deepEqual(gateways("profile=ambient"), [[], [], []]);
  assert.deepEqual(gateways("profile=demo"), [
    ["istio-ingressgateway"],
    ["istio-egressgateway"],
    ["ingressGateways", "egressGateways"],
  ]);
  assert.deepEqual(gateways("profile=default", "components.ingressGateways[0].enabled=false"), [[], [], []]);
  assert.deepEqual(gateways("profile=ambient", "components.egressGateways[0].enabled=true"), [
    [],
    ["istio-egressgateway"],
    ["egressGateways"],
  ]);
});

Deno.test("a file's gateways merge with the profile's by name, with every setting", () => {
  const text = `apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  profile: default
  components:
    ingressGateways:
    - name: istio-ingressgateway
      k8s:
        replicaCount: 2
        service: {type: NodePort, ports: [{name: http2, port: 8081, targetPort: 8080}], serviceAnnotations: {a: 1}}
        resources: {requests: {cpu: 10m}}
        env: [{name: X, value: "1"}]
        podAnnotations: {b: c}
        overlays:
        - {kind: Deployment, name: istio-ingressgateway, patches: [{path: spec.template.spec.hostNetwork, value: true}]}
    - {name: second, enabled: true, namespace: other, label: {istio: second}}
`;
  const objects = inInstallOrder(render(planInstallation({ files: [{ name: "f", text }] })));
  const get = (kind: string, name: string) =>
    objects.find((o) => o.kind === kind && o.metadata.name === name) ?? assert.fail(`${kind} ${name}`);
  const service = get("Service", "istio-ingressgateway");
  assert.equal(service.spec.type, "NodePort");
  assert.deepEqual(service.spec.ports, [{ name: "http2", port: 8081, targetPort: 8080 }]);
  assert.deepEqual(service.metadata.annotations, { a: "1" });
  const { spec } = get("Deployment", "istio-ingressgateway");
  assert.equal(spec.replicas, 2);
  assert.equal(spec.template.spec.hostNetwork, true);
  assert.equal(spec.template.metadata.annotations.b, "c");
  assert.ok(spec.template.spec.containers[0].env.some(({ name, value }: any) => name === "X" && value === "1"));
  get("PodDisruptionBudget", "istio-ingressgateway");
  assert.ok(
    !objects.some(({ kind, metadata }) => kind.startsWith("Horizontal") && metadata.name === "istio-ingressgateway"),
  );
  const second = get("Service", "second");
  assert.equal(second.metadata.namespace, "other");
  assert.deepEqual(second.spec.selector, { app: "second", istio: "second" });
});
