// Golden pairs: testdata/<name>.yaml holds a Gateway with what belongs to it, testdata/<name>.out.yaml the objects that are deployed for it.
// After a change that is meant: UPDATE_GOLDEN=1 ./scripts/deno test -A tests/istiod/render_test.ts, then read the difference.

import assert from "node:assert/strict";
import { parseAllDocuments, stringify } from "yaml";
import { newRoutingInputs } from "../../src/index/mod.ts";
import { type KubeObject, Store } from "../../src/kube/mod.ts";
import { gatewayFacts } from "../../src/roles/istiod/gateways/facts.ts";
import { strategicMerge } from "../../src/roles/istiod/gateways/merge.ts";
import { isManaged, namesOf, servicesOf, traitsOf } from "../../src/roles/istiod/gateways/names.ts";
import { overlaysOf } from "../../src/roles/istiod/gateways/overlays.ts";
import { renderGateway, type RenderSettings } from "../../src/roles/istiod/gateways/render.ts";
import { inputOf } from "../support/index_inputs.ts";

const TESTDATA = new URL("./testdata/", import.meta.url);
const UPDATE = Deno.env.get("UPDATE_GOLDEN") === "1";

const SETTINGS: RenderSettings = {
  image: "registry.test/ambientd:1",
  revision: "default",
  controlPlane: "istiod.istio-system.svc:15012",
  clusterId: "Kubernetes",
  network: "",
  domain: "cluster.local",
  trustDomain: "cluster.local",
  meshId: "cluster.local",
};

function documents(text: string): KubeObject[] {
  return parseAllDocuments(text).map((document) => {
    assert.deepEqual((document as any).errors, []);
    return (document as any).toJS();
  }).filter(Boolean);
}

async function rendered(text: string): Promise<string> {
  const inputs = newRoutingInputs(), all = documents(text);
  for (const object of all) {
    const store = object.kind === "ConfigMap"
      ? inputs.configMaps
      : inputs[inputOf(object as { kind: string })] as Store;
    store.set(object);
  }
  const gateway = [...inputs.gateways.values()][0], traits = traitsOf(gateway, inputs.gatewayClasses)!;
  const found = await overlaysOf(gateway, inputs.configMaps, "istio-system");
  if ("refused" in found) return stringify(found);
  const network = inputs.namespaces.get("istio-system")?.metadata.labels?.["topology.istio.io/network"] ?? "";
  const objects = renderGateway(gateway, traits, { ...SETTINGS, network }, found.overlays);
  return Object.values(objects).map((object) => stringify(object, { lineWidth: 0, aliasDuplicateObjects: false }))
    .join("---\n");
}

for (const { name } of [...Deno.readDirSync(TESTDATA)].sort((a, b) => a.name.localeCompare(b.name))) {
  if (!name.endsWith(".yaml") || name.endsWith(".out.yaml")) continue;
  Deno.test(`deployed for a Gateway: ${name}`, async () => {
    const actual = await rendered(await Deno.readTextFile(new URL(name, TESTDATA)));
    const golden = new URL(name.replace(/\.yaml$/, ".out.yaml"), TESTDATA);
    if (UPDATE) await Deno.writeTextFile(golden, actual);
    assert.equal(actual, await Deno.readTextFile(golden));
  });
}

Deno.test("strategicMerge merges lists by their keys, and takes away what a patch says", () => {
  const base = {
    spec: {
      replicas: 1,
      containers: [{ name: "a", image: "x", env: [{ name: "K", value: "1" }], args: ["1"] }, { name: "b" }],
      ports: [{ port: 80, name: "http" }],
      tolerations: [{ key: "a" }],
      nodeSelector: { a: "1" },
      strategy: { type: "RollingUpdate", rollingUpdate: {} },
    },
  };
  const frozen = structuredClone(base);
  const merged = strategicMerge(base, {
    spec: {
      replicas: null,
      containers: [
        { name: "a", env: [{ name: "K", value: "2" }, { name: "L", value: "3" }], args: ["2"] },
        { $patch: "delete", name: "b" },
        { name: "c", $patch: "delete" },
        { name: "d" },
      ],
      ports: [{ port: 443, name: "https" }, { port: 80, nodePort: 30080 }],
      tolerations: [{ key: "b" }],
      nodeSelector: { $patch: "replace", b: "2" },
      strategy: { $patch: "delete" },
      added: { deep: { er: 1, nothing: null } },
    },
  });
  assert.deepEqual(merged, {
    spec: {
      containers: [
        { name: "a", image: "x", env: [{ name: "K", value: "2" }, { name: "L", value: "3" }], args: ["2"] },
        { name: "d" },
      ],
      ports: [{ port: 80, name: "http", nodePort: 30080 }, { port: 443, name: "https" }],
      tolerations: [{ key: "b" }],
      nodeSelector: { b: "2" },
      added: { deep: { er: 1 } },
    },
  });
  assert.deepEqual(base, frozen, "neither is changed");
  assert.deepEqual(strategicMerge({ volumes: [{ name: "a" }] }, { volumes: [{ $patch: "replace" }, { name: "b" }] }), {
    volumes: [{ name: "b" }],
  });
  const polluted = strategicMerge({}, JSON.parse('{"__proto__":{"polluted":true}}'));
  assert.equal(({} as any).polluted ?? (polluted as any).other, undefined);
});

const gateway = (spec: object, meta: object = {}): KubeObject => ({
  metadata: { namespace: "default", name: "gw", uid: "u", ...meta },
  spec: { gatewayClassName: "istio", listeners: [{ name: "http", port: 80, protocol: "HTTP" }], ...spec },
});
const classes = new Store();

Deno.test("names: by class, by annotation, cut where a Service's would be too long", () => {
  const traits = traitsOf(gateway({}), classes)!;
  assert.deepEqual(namesOf(gateway({}), traits), { name: "gw-istio", serviceAccount: "gw-istio" });
  const annotations = { "gateway.istio.io/name-override": "n", "gateway.istio.io/service-account": "sa" };
  assert.deepEqual(namesOf(gateway({}, { annotations }), traits), { name: "n", serviceAccount: "sa" });
  const [one, other] = ["a", "b"].map((end) => namesOf(gateway({}, { name: `${"x".repeat(62)}${end}` }), traits).name);
  assert.match(one, /^x{54}-[0-9a-f]{8}$/);
  assert.notEqual(one, other);
  assert.equal(traitsOf(gateway({ gatewayClassName: "istio-remote" }), classes), undefined);
  assert.equal(traitsOf(gateway({ gatewayClassName: "constructor" }), classes), undefined);
});

Deno.test("addresses that are host names mean that a proxy is there already", () => {
  const rows: [unknown, boolean, string[]][] = [
    [undefined, true, ["gw-istio.default.svc.cluster.local"]],
    [[], true, ["gw-istio.default.svc.cluster.local"]],
    [[{ value: "192.0.2.1" }], true, ["gw-istio.default.svc.cluster.local"]],
    [[{ type: "Hostname", value: "own" }], false, ["own.default.svc.cluster.local"]],
    [[{ type: "Hostname", value: "own.ns.svc.cluster.local" }, { type: "IPAddress", value: "1.1.1.1" }], false, [
      "own.ns.svc.cluster.local",
    ]],
  ];
  for (const [addresses, managed, services] of rows) {
    const one = gateway({ addresses });
    assert.equal(isManaged(one), managed);
    assert.deepEqual(servicesOf(one, traitsOf(one, classes)!, "cluster.local"), services);
  }
});

Deno.test("the facts of a Gateway say where it is reached, or what it waits for", () => {
  const inputs = newRoutingInputs();
  // As the ambient index does.
  inputs.endpointSlices.addIndex("service", ({ metadata }) => [
    `${metadata.namespace}/${metadata.labels?.["kubernetes.io/service-name"]}`,
  ]);
  const facts = gatewayFacts(inputs, "cluster.local");
  const key = "default/gw", host = "gw-istio.default.svc.cluster.local";
  assert.equal(facts(key), undefined);
  inputs.gateways.set(gateway({}));
  const problem = () => facts(key)?.problem?.message;
  assert.equal(problem(), `Failed to assign to any requested addresses: hostname "${host}" not found`);
  const service = (spec: object, status = {}): any => ({
    metadata: { namespace: "default", name: "gw-istio" },
    spec: {
      type: "LoadBalancer",
      clusterIP: "10.96.0.1",
      clusterIPs: ["10.96.0.1"],
      ports: [{ name: "http", port: 80 }],
      ...spec,
    },
    status,
  });
  inputs.services.set(service({}));
  assert.equal(problem(), `Failed to assign to any requested addresses: no instances found for hostname "${host}"`);
  const slice = (ready: boolean, name = "http"): any => ({
    metadata: { namespace: "default", name: "s", labels: { "kubernetes.io/service-name": "gw-istio" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.1.0.1"], conditions: { ready } }],
    ports: [{ name, port: 80 }],
  });
  inputs.endpointSlices.set(slice(false));
  assert.match(problem()!, /no instances found/);
  inputs.endpointSlices.set(slice(true));
  assert.equal(
    problem(),
    `Assigned to service(s) ${host}:80, but failed to assign to all requested addresses: address pending for hostname "${host}"`,
  );
  assert.deepEqual([facts(key)?.problem?.reason, facts(key)?.addresses], ["AddressNotAssigned", []]);
  inputs.services.set(service({}, { loadBalancer: { ingress: [{ ip: "192.0.2.7" }, { hostname: "lb.test" }] } }));
  assert.deepEqual(facts(key), {
    services: [host],
    addresses: [{ type: "IPAddress", value: "192.0.2.7" }, { type: "Hostname", value: "lb.test" }],
    problem: undefined,
    refused: undefined,
  });
  inputs.services.set(service({ type: "ClusterIP" }));
  assert.deepEqual(facts(key)?.addresses, [{ type: "Hostname", value: host }]);
  inputs.gateways.set(gateway({}, { annotations: { "networking.istio.io/address-type": "IPAddress" } }));
  assert.deepEqual(facts(key)?.addresses, [{ type: "IPAddress", value: "10.96.0.1" }]);
  inputs.gateways.set(gateway({ gatewayClassName: "istio-waypoint" }, { name: "gw-istio" }));
  assert.deepEqual(facts("default/gw-istio")?.addresses, [
    { type: "IPAddress", value: "10.96.0.1" },
    { type: "Hostname", value: host },
  ]);

  // A port that its Service does not have.
  inputs.gateways.set(gateway({ listeners: [{ name: "a", port: 80 }, { name: "b", port: 81 }] }));
  assert.equal(facts(key)?.problem?.reason, "AddressNotUsable");
  assert.match(problem()!, /port 81 not found for hostname .*Did you mean one of these ports: \[80\]/);
  // No proxy for a moment: the address stays, and the problem is told.
  inputs.gateways.set({ ...gateway({}), status: { addresses: [{ type: "IPAddress", value: "192.0.2.7" }] } });
  inputs.endpointSlices.set(slice(false));
  assert.deepEqual(facts(key)?.addresses, [{ type: "IPAddress", value: "192.0.2.7" }]);
  assert.match(problem()!, /no instances found/);
  inputs.gateways.set(
    gateway({ gatewayClassName: "istio-remote", addresses: [{ type: "Hostname", value: "far.test" }] }),
  );
  assert.deepEqual(facts(key), { services: [], addresses: [{ type: "Hostname", value: "far.test" }] });
});

Deno.test("facts and objects of Gateways of any shape: nothing throws", async () => {
  const base: any = {
    ...gateway({
      addresses: [{ type: "IPAddress", value: "192.0.2.1" }],
      infrastructure: {
        labels: { a: "b" },
        annotations: { c: "d" },
        parametersRef: { group: "", kind: "ConfigMap", name: "options" },
      },
    }),
    status: { addresses: [{ type: "IPAddress", value: "192.0.2.7" }] },
  };
  const service: any = {
    metadata: { namespace: "default", name: "gw-istio" },
    spec: { type: "LoadBalancer", clusterIPs: ["10.96.0.1"], ports: [{ name: "http", port: 80 }] },
  };
  const slice: any = {
    metadata: { namespace: "default", name: "s" },
    addressType: "IPv4",
    endpoints: [{ addresses: ["10.1.0.1"], conditions: { ready: true } }],
    ports: [{ name: "http", port: 80 }],
  };
  const junk: unknown[] = [null, 0, -1, true, "", "x", [], [null], [{}], {}, { a: null }, { constructor: 1 }];
  const paths = function* (value: any, path: string[] = []): Iterable<string[]> {
    if (path.length > 0) yield path;
    if (typeof value === "object" && value !== null) {
      for (const key of Object.keys(value)) yield* paths(value[key], [...path, key]);
    }
  };
  for (const part of ["spec", "status"]) {
    for (const path of paths(base[part])) {
      for (const value of junk) {
        const one = structuredClone(base);
        let at = one[part];
        for (const step of path.slice(0, -1)) at = at[step];
        at[path.at(-1)!] = value;
        const inputs = newRoutingInputs();
        inputs.endpointSlices.addIndex("service", () => ["default/gw-istio"]);
        inputs.gateways.set(one);
        inputs.services.set(service);
        inputs.endpointSlices.set(slice);
        inputs.configMaps.set({ metadata: { namespace: "default", name: "options" }, data: { deployment: "{}" } });
        const where = `${part}.${path.join(".")} = ${JSON.stringify(value)}`;
        assert.doesNotThrow(() => gatewayFacts(inputs, "cluster.local")("default/gw"), where);
        const traits = traitsOf(one, inputs.gatewayClasses);
        if (!traits) continue;
        const found = await overlaysOf(one, inputs.configMaps, "istio-system");
        if ("overlays" in found) assert.doesNotThrow(() => renderGateway(one, traits, SETTINGS, found.overlays), where);
      }
    }
  }
});
