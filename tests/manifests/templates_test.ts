import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { SAMPLES } from "../../manifests/samples/mod.ts";
import { VERSION } from "../../src/core/version.ts";
import { planInstallation } from "../../src/roles/ctl/install.ts";
import { inInstallOrder, render } from "../../src/roles/ctl/render.ts";

const OBJECTS: any[] = inInstallOrder(render(planInstallation({ set: ["profile=ambient"] })));

function get(kind: string, name: string, objects = OBJECTS): any {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  assert.ok(found, `${kind} ${name}`);
  return found;
}

const WORKLOADS: any[] = OBJECTS.filter(({ kind }) => kind === "Deployment" || kind === "DaemonSet");

Deno.test("the profile ambient has the objects of an Istio installation", () => {
  const names = OBJECTS.filter(({ kind }) => kind !== "CustomResourceDefinition")
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort();
  assert.deepEqual(names, [
    "ClusterRole istio-cni",
    "ClusterRole istio-cni-ambient",
    "ClusterRole istio-cni-repair-role",
    "ClusterRole istio-reader-clusterrole-istio-system",
    "ClusterRole istiod-clusterrole-istio-system",
    "ClusterRole istiod-gateway-controller-istio-system",
    "ClusterRoleBinding istio-cni",
    "ClusterRoleBinding istio-cni-ambient",
    "ClusterRoleBinding istio-cni-repair-rolebinding",
    "ClusterRoleBinding istio-reader-clusterrole-istio-system",
    "ClusterRoleBinding istiod-clusterrole-istio-system",
    "ClusterRoleBinding istiod-gateway-controller-istio-system",
    "ConfigMap istio",
    "ConfigMap istio-cni-config",
    "ConfigMap values",
    "DaemonSet istio-cni-node",
    "DaemonSet ztunnel",
    "Deployment istiod",
    "HorizontalPodAutoscaler istiod",
    "Role istiod",
    "RoleBinding istiod",
    "Service istiod",
    "ServiceAccount istio-cni",
    "ServiceAccount istio-reader-service-account",
    "ServiceAccount istiod",
    "ServiceAccount ztunnel",
  ]);
});

Deno.test("every object carries the component label that uninstall goes by, and its own revision", () => {
  for (const { kind, metadata } of OBJECTS) {
    assert.match(
      metadata.labels["operator.istio.io/component"],
      /^(Base|Pilot|Cni|Ztunnel)$/,
      `${kind} ${metadata.name}`,
    );
    if (kind !== "CustomResourceDefinition") assert.equal(metadata.labels["istio.io/rev"], "default", metadata.name);
  }
});

Deno.test("workloads have Istio's container names, the one image and this executable's arguments", () => {
  const seen = WORKLOADS.map(({ metadata, spec }) => {
    const [container] = spec.template.spec.containers;
    return [metadata.name, container.name, container.image, container.args[0]];
  });
  assert.deepEqual(seen.sort(), [
    ["istio-cni-node", "install-cni", `ambientd:${VERSION}`, "cni"],
    ["istiod", "discovery", `ambientd:${VERSION}`, "istiod"],
    ["ztunnel", "istio-proxy", `ambientd:${VERSION}`, "ztunnel"],
  ]);
});

Deno.test("pods are selected by their workloads and Services, stay out of the mesh and are scraped where they answer", () => {
  const scrape: Record<string, string> = { istiod: "15014", ztunnel: "15020", "istio-cni-node": "15014" };
  for (const { metadata, spec } of WORKLOADS) {
    const { labels, annotations } = spec.template.metadata;
    for (const [key, value] of Object.entries(spec.selector.matchLabels)) {
      assert.equal(labels[key], value, metadata.name);
    }
    assert.equal(labels["istio.io/dataplane-mode"], "none");
    assert.equal(labels["sidecar.istio.io/inject"], "false");
    assert.equal(annotations["prometheus.io/port"], scrape[metadata.name]);
  }
  const istiod = get("Deployment", "istiod").spec.template.metadata.labels;
  const service = get("Service", "istiod").spec;
  for (const [key, value] of Object.entries(service.selector)) assert.equal(istiod[key], value);
  assert.deepEqual(service.ports.map(({ name, port, targetPort }: any) => [name, port, targetPort ?? port]), [
    ["grpc-xds", 15010, 15010],
    ["https-dns", 15012, 15012],
    ["https-webhook", 443, 15017],
    ["http-monitoring", 15014, 15014],
  ]);
});

Deno.test("what pods mention is part of the installation, optional, or made by istiod", () => {
  for (const { metadata, spec } of WORKLOADS) {
    const pod = spec.template.spec;
    get("ServiceAccount", pod.serviceAccountName);
    const volumes = new Set(pod.volumes.map(({ name }: any) => name));
    for (const { name } of pod.containers[0].volumeMounts) assert.ok(volumes.has(name), `${metadata.name}: ${name}`);
    for (const { configMap } of pod.volumes) {
      if (configMap && !configMap.optional) assert.equal(configMap.name, "istio-ca-root-cert");
    }
    for (const { configMapRef } of pod.containers[0].envFrom ?? []) get("ConfigMap", configMapRef.name);
  }
  for (const { kind, metadata, roleRef, subjects } of OBJECTS.filter(({ kind }) => kind.endsWith("RoleBinding"))) {
    get(roleRef.kind, roleRef.name);
    for (const { name } of subjects) get("ServiceAccount", name);
    assert.ok(metadata.name, kind);
  }
});

Deno.test("ztunnel may enter namespaces and nothing more, and hands over before it drains", () => {
  const { spec } = get("DaemonSet", "ztunnel");
  assert.deepEqual(spec.updateStrategy.rollingUpdate, { maxSurge: 1, maxUnavailable: 0 });
  const pod = spec.template.spec;
  const { securityContext, readinessProbe, env } = pod.containers[0];
  assert.equal(securityContext.privileged, false);
  assert.deepEqual(securityContext.capabilities, { drop: ["ALL"], add: ["NET_ADMIN", "SYS_ADMIN", "NET_RAW"] });
  assert.deepEqual(readinessProbe.httpGet, { port: 15021, path: "/healthz/ready" });
  assert.equal(pod.priorityClassName, "system-node-critical");
  const value = (name: string) => env.find((entry: any) => entry.name === name)?.value;
  assert.equal(value("XDS_ADDRESS"), "istiod.istio-system.svc:15012");
  assert.equal(value("CA_ADDRESS"), "istiod.istio-system.svc:15012");
  assert.equal(value("INPOD_ENABLED"), "true");
  const names = env.map(({ name }: any) => name);
  for (
    const name of ["NODE_NAME", "POD_NAME", "POD_NAMESPACE", "INSTANCE_IP", "SERVICE_ACCOUNT", "ISTIO_META_CLUSTER_ID"]
  ) {
    assert.ok(names.includes(name), name);
  }
  const token = pod.volumes.find(({ name }: any) => name === "istio-token").projected.sources[0].serviceAccountToken;
  assert.deepEqual(token, { path: "istio-token", expirationSeconds: 43200, audience: "istio-ca" });
});

Deno.test("node components run on every node and share ztunnel's socket directory", () => {
  for (const name of ["ztunnel", "istio-cni-node"]) {
    const pod = get("DaemonSet", name).spec.template.spec;
    for (const effect of ["NoSchedule", "NoExecute"]) {
      assert.ok(pod.tolerations.some((t: any) => t.effect === effect && t.operator === "Exists" && !t.key), name);
    }
    const volume = pod.volumes.find((v: any) => v.hostPath?.path === "/var/run/ztunnel");
    const mount = pod.containers[0].volumeMounts.find((m: any) => m.name === volume.name);
    assert.equal(mount.mountPath, "/var/run/ztunnel");
  }
});

Deno.test("rendering makes fresh objects each time", () => {
  const plan = planInstallation({ set: ["profile=ambient"] });
  const first = inInstallOrder(render(plan));
  first.forEach((object) => object.metadata.labels.changed = "yes");
  assert.ok(inInstallOrder(render(plan)).every(({ metadata }) => metadata.labels.changed === undefined));
});

function sample(path: keyof typeof SAMPLES): any[] {
  return parseAllDocuments(SAMPLES[path]).map((document) => document.toJS());
}

Deno.test("bookinfo.yaml has the names, ports, accounts and images of Istio's sample", () => {
  const objects = sample("bookinfo/platform/kube/bookinfo.yaml");
  const names = (wanted: string) =>
    objects.filter(({ kind }) => kind === wanted).map(({ metadata }) => metadata.name).sort();
  assert.deepEqual(names("Service"), ["details", "productpage", "ratings", "reviews"]);
  assert.deepEqual(names("ServiceAccount"), [
    "bookinfo-details",
    "bookinfo-productpage",
    "bookinfo-ratings",
    "bookinfo-reviews",
  ]);
  assert.deepEqual(names("Deployment"), [
    "details-v1",
    "productpage-v1",
    "ratings-v1",
    "reviews-v1",
    "reviews-v2",
    "reviews-v3",
  ]);
  for (const { metadata, spec } of objects.filter(({ kind }) => kind === "Deployment")) {
    const { labels } = spec.template.metadata;
    const [container] = spec.template.spec.containers;
    assert.equal(`${labels.app}-${labels.version}`, metadata.name);
    assert.equal(spec.template.spec.serviceAccountName, `bookinfo-${labels.app}`);
    assert.match(container.image, new RegExp(`^docker\\.io/istio/examples-bookinfo-${metadata.name}:`));
    assert.equal(container.ports[0].containerPort, 9080);
  }
  for (const { spec } of objects.filter(({ kind }) => kind === "Service")) {
    assert.deepEqual(spec.ports, [{ name: "http", port: 9080 }]);
  }
});

Deno.test("bookinfo-versions.yaml has a Service for each version", () => {
  const names = sample("bookinfo/platform/kube/bookinfo-versions.yaml").map(({ metadata }) => metadata.name).sort();
  assert.deepEqual(names, ["details-v1", "productpage-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3"]);
});

Deno.test("client samples wait, each with an account of its own", () => {
  for (const name of ["sleep", "notsleep"] as const) {
    const deployment = get("Deployment", name, sample(`sleep/${name}.yaml`));
    assert.equal(deployment.spec.template.spec.serviceAccountName, name);
    assert.deepEqual(deployment.spec.template.spec.containers[0].command, ["/bin/sleep", "infinity"]);
    get("Service", name, sample(`sleep/${name}.yaml`));
    get("ServiceAccount", name, sample(`sleep/${name}.yaml`));
  }
});

Deno.test("the routes of bookinfo's gateways lead to productpage, by both APIs", () => {
  const [gateway, route] = sample("bookinfo/gateway-api/bookinfo-gateway.yaml");
  assert.equal(gateway.spec.gatewayClassName, "istio");
  assert.deepEqual(route.spec.parentRefs, [{ name: gateway.metadata.name }]);
  assert.deepEqual(route.spec.rules[0].backendRefs, [{ name: "productpage", port: 9080 }]);
  const [classic, virtual] = sample("bookinfo/networking/bookinfo-gateway.yaml");
  assert.equal(classic.apiVersion, "networking.istio.io/v1alpha3");
  assert.deepEqual(classic.spec.selector, { istio: "ingressgateway" });
  assert.deepEqual(virtual.spec.gateways, [classic.metadata.name]);
  const paths = route.spec.rules[0].matches.map(({ path }: any) => path.value);
  assert.deepEqual(virtual.spec.http[0].match.map(({ uri }: any) => uri.exact ?? uri.prefix), paths);
});

Deno.test("every sample file is part of SAMPLES", async () => {
  const root = new URL("../../manifests/samples/", import.meta.url);
  const found: string[] = [];
  const walk = async (path: string): Promise<void> => {
    for await (const entry of Deno.readDir(new URL(path, root))) {
      if (entry.isDirectory) await walk(`${path}${entry.name}/`);
      else if (entry.name.endsWith(".yaml")) found.push(path + entry.name);
    }
  };
  for (const folder of ["addons/", "bookinfo/", "httpbin/", "sleep/"]) await walk(folder);
  assert.deepEqual(found.sort(), Object.keys(SAMPLES).sort());
});
