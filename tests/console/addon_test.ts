import assert from "node:assert/strict";
import { parseAllDocuments } from "yaml";
import { SAMPLES } from "../../manifests/samples/mod.ts";
import { programOf, runnable } from "../../src/cluster/runtime/images.ts";

const OBJECTS: any[] = parseAllDocuments(SAMPLES["addons/kiali.yaml"]).map((document) => document.toJS());
const of = (kind: string) => OBJECTS.find((object) => object.kind === kind);

Deno.test("kiali.yaml has the objects, names and ports of Kiali's addon", () => {
  assert.deepEqual(OBJECTS.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`), [
    "ServiceAccount istio-system/kiali",
    "ConfigMap istio-system/kiali",
    "ClusterRole /kiali",
    "ClusterRoleBinding /kiali",
    "Service istio-system/kiali",
    "Deployment istio-system/kiali",
  ]);
  assert.deepEqual(of("Service").spec.ports.map(({ name, port }: any) => [name, port]), [["http", 20001], [
    "http-metrics",
    9090,
  ]]);
  const { selector, template } = of("Deployment").spec;
  assert.equal(template.metadata.labels.app, "kiali");
  for (const wanted of [of("Service").spec.selector, selector.matchLabels]) {
    for (const [label, value] of Object.entries(wanted)) assert.equal(template.metadata.labels[label], value);
  }
  const [container] = template.spec.containers;
  for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
    assert.equal(container[probe].httpGet.path, "/kiali/healthz");
  }
  const ports = container.ports.map(({ name, containerPort }: any) => [name, containerPort]);
  assert.deepEqual(ports, [["api-port", 20001], ["http-metrics", 9090]]);
});

Deno.test("kiali.yaml lets its account read, and change nothing", () => {
  for (const { resources, verbs } of of("ClusterRole").rules) {
    const may = verbs.filter((verb: string) => !["get", "list", "watch"].includes(verb));
    const expected = ["pods/portforward", "tokenreviews"].includes(resources[0]) ? ["create"] : [];
    assert.deepEqual(may, expected, resources.join());
    assert.ok(!resources.includes("secrets"));
  }
});

Deno.test("kiali.yaml: the image's own command starts the console in the embedded cluster", () => {
  const [container] = of("Deployment").spec.template.spec.containers;
  assert.equal(runnable(container.command)[0], "/opt/ambientd/bin/ambientd-console");
  const found = programOf(container.image, ["/bin/deno", "run", "/x/main.ts"]);
  assert.ok("program" in found);
  assert.deepEqual(found.program.entrypoint, ["/bin/deno", "run", "/x/main.ts", "console"]);
});
