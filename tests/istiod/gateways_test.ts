// Waypoints and gateways as istiod sees them: classes, deployments, addresses, and who gets which configuration.

import assert from "node:assert/strict";
import { gatewayApiDefinitions } from "../../manifests/crds/gateway_api/mod.ts";
import { type KubeObject, type Resource, RESOURCES } from "../../src/kube/mod.ts";
import type { ControlPlaneOptions } from "../../src/identity/control_plane.ts";
import { type ProxyResource, proxyResourceKey } from "../../src/model/l7.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { DeltaXdsClient, proxyResourceType } from "../../src/xds/client/mod.ts";
import { eventually } from "../support/eventually.ts";
import { ApiLab, IstiodProcess } from "../support/istiod_lab.ts";
import { controlPlane, XdsView } from "./xds_view.ts";

const quiet = new Logger("xds", { sink: { write: () => {} } });

function gatewayType(resource: string, kind: string, namespaced = true, version = "v1"): Resource {
  return { group: "gateway.networking.k8s.io", version, resource, kind, namespaced };
}

const GATEWAYS = gatewayType("gateways", "Gateway"), CLASSES = gatewayType("gatewayclasses", "GatewayClass", false);

/** An L7 proxy's view of its configuration. */
class ProxyView implements AsyncDisposable {
  readonly resources = new Map<string, ProxyResource>();
  readonly updates: { added: string[]; removed: readonly string[] }[] = [];
  readonly client: DeltaXdsClient;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(options: ControlPlaneOptions, pod: string, type = "waypoint") {
    const namespace = pod.slice(pod.lastIndexOf(".") + 1);
    this.client = new DeltaXdsClient({
      ...options,
      logger: quiet,
      node: { id: `${type}~10.0.0.1~${pod}~${namespace}.svc.cluster.local`, metadata: { ISTIO_VERSION: "1.0-test" } },
      reconnect: { firstMs: 20, maxMs: 200 },
      types: [proxyResourceType(({ added, removed }) => {
        this.updates.push({ added: added.map(proxyResourceKey), removed });
        for (const key of removed) this.resources.delete(key);
        for (const resource of added) this.resources.set(proxyResourceKey(resource), resource);
      })],
    });
    this.#done = this.client.run(this.#stop.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}

async function installGatewayApi(lab: ApiLab): Promise<void> {
  for (const definition of gatewayApiDefinitions()) await lab.client.create(RESOURCES.crds, definition as KubeObject);
}

function waypoint(name: string, more: Partial<KubeObject["metadata"]> = {}): KubeObject {
  return {
    metadata: { namespace: "default", name, ...more },
    spec: { gatewayClassName: "istio-waypoint", listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }] },
  };
}

/** What a Deployment's controllers would make: a ready pod, and the slice that says so. */
async function run(
  lab: ApiLab,
  gateway: string,
  ip: string,
  service = gateway,
): Promise<{ name: string; uid: string }> {
  const deployment = await eventually(async () => {
    const found = await lab.client.get(RESOURCES.deployments, "default", service);
    assert.ok(found, `no Deployment "${service}"`);
    return found;
  });
  const { metadata, spec } = deployment.spec.template;
  const pod = await lab.pod(`${service}-1`, {
    ip,
    labels: metadata.labels,
    annotations: metadata.annotations,
    serviceAccount: spec.serviceAccountName,
  });
  const ports: any[] = (await lab.client.get(RESOURCES.services, "default", service))!.spec.ports;
  await lab.client.create(RESOURCES.endpointSlices, {
    metadata: { namespace: "default", name: `${service}-x`, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: [{
      addresses: [ip],
      conditions: { ready: true },
      targetRef: { kind: "Pod", namespace: "default", name: pod.name },
    }],
    ports: ports.map(({ name, port }) => ({ name, port, protocol: "TCP" })),
  });
  return pod;
}

Deno.test("istiod makes the GatewayClasses when their definition comes, and again when they are deleted", async () => {
  await using lab = await ApiLab.start();
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  await istiod.ready();
  await installGatewayApi(lab);
  const names = async () => {
    const { items } = await lab.client.list(CLASSES);
    return items.map(({ metadata, spec }) => `${metadata.name} ${spec.controllerName}`).sort();
  };
  const all = [
    "istio istio.io/gateway-controller",
    "istio-remote istio.io/unmanaged-gateway",
    "istio-waypoint istio.io/mesh-controller",
  ];
  await eventually(async () => assert.deepEqual(await names(), all));
  await lab.client.delete(CLASSES, undefined, "istio");
  await eventually(async () => assert.deepEqual(await names(), all));
  // The definition goes and comes back: no restart.
  await lab.client.delete(RESOURCES.crds, undefined, "gatewayclasses.gateway.networking.k8s.io");
  await istiod.line("resource type not served any more");
  const definition = gatewayApiDefinitions().find(({ metadata }) => metadata.name.startsWith("gatewayclasses"))!;
  await eventually(() => lab.client.create(RESOURCES.crds, definition as KubeObject));
  await eventually(async () => assert.deepEqual(await names(), all));
});

Deno.test("a waypoint is deployed, gets its configuration, and nobody else gets it", async () => {
  await using lab = await ApiLab.start();
  await installGatewayApi(lab);
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  const { secureGrpc, grpc } = await istiod.ready();
  await lab.client.create(GATEWAYS, waypoint("wp"));
  const pod = await run(lab, "wp", "10.244.0.9");
  const { metadata, spec } = (await lab.client.get(RESOURCES.services, "default", "wp"))!;
  assert.equal(metadata.labels?.["gateway.istio.io/managed"], "istio.io-mesh-controller");
  assert.equal(metadata.annotations?.["networking.istio.io/traffic-distribution"], "PreferClose");
  assert.deepEqual(spec.ports.map(({ name, port, appProtocol }: any) => [name, port, appProtocol]), [
    ["status-port", 15021, "tcp"],
    ["mesh", 15008, "hbone"],
  ]);

  const root = await lab.root(), at = (token: string) => controlPlane(secureGrpc, root, token);
  await using view = new ProxyView(at(await lab.token("default", "wp", { pod })), "wp-1.default");
  await eventually(() => assert.ok(view.resources.has("settings/mesh")));

  // Its neighbour claims to be it, and so does another pod's token of the same account.
  const other = await lab.pod("evil", { ip: "10.244.0.66", serviceAccount: "evil" });
  await using forged = new ProxyView(at(await lab.token("default", "evil", { pod: other })), "wp-1.default");
  await using ghost = new ProxyView(at(await lab.token("default", "wp", { pod })), "wp-2.default");
  await using plain = new ProxyView(
    { ...at(""), address: `http://127.0.0.1:${grpc}`, rootCa: "SYSTEM" },
    "wp-1.default",
  );
  await eventually(() => {
    for (const one of [forged, ghost, plain]) assert.ok(one.updates.length > 0, "answered");
  });
  for (const one of [forged, ghost, plain]) {
    assert.deepEqual([...one.resources.keys()], []);
    assert.ok(!one.client.synced, "such a proxy does not become ready");
  }
  const { reason } = await istiod.line("a client gets no configuration of a proxy");
  assert.match(reason, /runs as "default\/wp"|there is no pod|no identity/);
});

const ROUTES = gatewayType("httproutes", "HTTPRoute");

type Condition = { type: string; status: string; reason: string; message: string };
const said = (conditions: Condition[] | undefined) =>
  (conditions ?? []).map(({ type, status, reason }) => `${type} ${status} ${reason}`).sort();

Deno.test("a waypoint becomes Programmed with its proxy, serves what asks for it, and follows routes", async () => {
  await using lab = await ApiLab.start();
  await installGatewayApi(lab);
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  const { secureGrpc, monitoring } = await istiod.ready();
  await lab.pod("web-1", { ip: "10.244.0.5", labels: { app: "web" } });
  await lab.service("web", "10.96.0.80", { app: "web" }, [{ name: "http", port: 80, targetPort: 8080 }]);
  await lab.client.patch(RESOURCES.services, "default", "web", "merge", {
    metadata: { labels: { "istio.io/use-waypoint": "wp" } },
  });
  const status = async (type: Resource, name: string) => (await lab.client.get(type, "default", name))?.status ?? {};
  await eventually(async () => {
    const { conditions } = await status(RESOURCES.services, "web");
    assert.deepEqual(said(conditions), ["istio.io/WaypointBound False WaypointIsNotReady"]);
  });

  await lab.client.create(GATEWAYS, waypoint("wp"));
  await eventually(async () => {
    const { conditions, addresses } = await status(GATEWAYS, "wp");
    assert.deepEqual(said(conditions), ["Accepted True Accepted", "Programmed False AddressNotAssigned"]);
    assert.deepEqual(addresses ?? [], []);
  });
  const pod = await run(lab, "wp", "10.244.0.9");
  const ip = (await lab.client.get(RESOURCES.services, "default", "wp"))!.spec.clusterIP;
  await eventually(async () => {
    const { conditions, addresses, listeners } = await status(GATEWAYS, "wp");
    assert.deepEqual(said(conditions), ["Accepted True Accepted", "Programmed True Programmed"]);
    assert.match(
      conditions.find(({ type }: Condition) => type === "Programmed").message,
      /^Resource programmed, assigned to service\(s\) wp\.default\.svc\.cluster\.local:15008$/,
    );
    assert.deepEqual(addresses, [
      { type: "IPAddress", value: ip },
      { type: "Hostname", value: "wp.default.svc.cluster.local" },
    ]);
    assert.deepEqual(listeners.map(({ name, attachedRoutes }: any) => [name, attachedRoutes]), [["mesh", 0]]);
  });
  await eventually(async () => {
    const { conditions } = await status(RESOURCES.services, "web");
    assert.deepEqual(said(conditions), ["istio.io/WaypointBound True WaypointAccepted"]);
  });

  await using view = new ProxyView(
    controlPlane(secureGrpc, await lab.root(), await lab.token("default", "wp", { pod })),
    "wp-1.default",
  );
  const kinds = () => [...view.resources.values()].map(({ kind, name }) => `${kind} ${name}`).sort();
  await eventually(() => assert.ok(kinds().some((one) => /^listener .*web\.default/.test(one)), kinds().join("\n")));

  await lab.client.create(ROUTES, {
    metadata: { namespace: "default", name: "web" },
    spec: {
      parentRefs: [{ group: "", kind: "Service", name: "web", port: 80 }],
      rules: [{ matches: [{ path: { type: "PathPrefix", value: "/a" } }], backendRefs: [{ name: "web", port: 80 }] }],
    },
  });
  await eventually(() => {
    const hosts = [...view.resources.values()].filter((one) => one.kind === "virtualHost");
    assert.ok(hosts.some(({ routes }) => routes.some(({ origin }) => origin === "HTTPRoute/default/web")));
  });
  await eventually(async () => {
    const { parents } = await status(ROUTES, "web");
    assert.deepEqual(parents.map(({ controllerName, conditions }: any) => [controllerName, said(conditions)]), [[
      "istio.io/gateway-controller",
      ["Accepted True Accepted", "ResolvedRefs True ResolvedRefs", "ResolvedWaypoints True ResolvedWaypoints"],
    ]]);
  });
  const dump = await (await fetch(`http://127.0.0.1:${monitoring}/debug/config_dump?proxyID=wp-1.default`)).json();
  assert.equal(dump[0].target.gateway, "wp");

  // Not asked for any more: nothing is said of it, and the proxy lets go.
  await lab.client.patch(RESOURCES.services, "default", "web", "merge", {
    metadata: { labels: { "istio.io/use-waypoint": null } },
  });
  await eventually(async () => {
    assert.deepEqual(said((await status(RESOURCES.services, "web")).conditions), []);
    assert.deepEqual(kinds().filter((one) => one.includes("web.default")), []);
  });
});

Deno.test("what is deployed is put back, follows its parameters, and nothing of others is touched", async () => {
  await using lab = await ApiLab.start();
  await installGatewayApi(lab);
  const { client } = lab, type = RESOURCES;
  // A user's own Service has the name.
  await client.create(type.services, {
    metadata: { namespace: "default", name: "web-istio" },
    spec: { ports: [{ port: 1234 }] },
  });
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  await istiod.ready();
  await client.create(GATEWAYS, {
    metadata: { namespace: "default", name: "web", labels: { team: "blue" } },
    spec: {
      gatewayClassName: "istio",
      infrastructure: { parametersRef: { group: "", kind: "ConfigMap", name: "options" } },
      listeners: [{ name: "http", port: 80, protocol: "HTTP" }],
    },
  });
  const accepted = () =>
    eventually(async () => {
      const { status } = (await client.get(GATEWAYS, "default", "web"))!;
      const { status: value, reason, message } = status.conditions.find((one: Condition) => one.type === "Accepted");
      assert.notEqual(reason, "Pending");
      return [value, reason, message];
    });
  assert.deepEqual(await accepted(), [
    "False",
    "InvalidParameters",
    'invalid parametersRef: ConfigMap "default/options" not found',
  ]);
  assert.equal(await client.get(type.deployments, "default", "web-istio"), undefined);

  const options = (deployment: string) => ({
    metadata: { namespace: "default", name: "options" },
    data: { deployment },
  });
  await client.create(type.configMaps, options("spec: { replicas: 3 }"));
  const replicas = async () => (await client.get(type.deployments, "default", "web-istio"))?.spec.replicas;
  await eventually(async () => assert.equal(await replicas(), 3));
  await eventually(async () => assert.equal((await accepted())[0], "True"));
  await istiod.line("an object of this name is somebody else's and is left alone");
  assert.equal((await client.get(type.services, "default", "web-istio"))?.spec.ports[0].port, 1234);

  await client.patch(type.configMaps, "default", "options", "merge", { data: { deployment: "spec: { replicas: 2 }" } });
  await eventually(async () => assert.equal(await replicas(), 2));
  // What the API will not have is told, and others do not wait for it.
  await client.patch(type.configMaps, "default", "options", "merge", {
    data: { deployment: "spec: { replicas: many }" },
  });
  await eventually(async () => {
    const [value, reason, message] = await accepted();
    assert.deepEqual([value, reason], ["False", "InvalidParameters"]);
    assert.match(message, /^cannot deploy: /);
  });
  // Optional objects come with their overlays and go with them.
  const optional = () =>
    Promise.all(
      [type.horizontalPodAutoscalers, type.podDisruptionBudgets].map(async (one) =>
        await client.get(one, "default", "web-istio") !== undefined
      ),
    );
  await client.patch(type.configMaps, "default", "options", "merge", {
    data: {
      deployment: "spec: { replicas: 2 }",
      horizontalPodAutoscaler: "spec: { minReplicas: 1, maxReplicas: 3 }",
      podDisruptionBudget: "spec: { minAvailable: 1 }",
    },
  });
  await eventually(async () => assert.deepEqual(await optional(), [true, true]));
  await client.patch(type.configMaps, "default", "options", "merge", { data: { horizontalPodAutoscaler: null } });
  await eventually(async () => assert.deepEqual(await optional(), [false, true]));
  await client.patch(type.configMaps, "default", "options", "merge", { data: { podDisruptionBudget: null } });
  await eventually(async () => assert.deepEqual(await optional(), [false, false]));

  // One that names its user's own proxy keeps nothing that was made for it; what is the user's stays.
  await client.patch(GATEWAYS, "default", "web", "merge", {
    spec: { addresses: [{ type: "Hostname", value: "elsewhere.default.svc.cluster.local" }] },
  });
  await eventually(async () => {
    assert.equal(await client.get(type.deployments, "default", "web-istio"), undefined);
    assert.equal(await client.get(type.serviceAccounts, "default", "web-istio"), undefined);
  });
  assert.equal((await client.get(type.services, "default", "web-istio"))?.spec.ports[0].port, 1234);

  await client.create(GATEWAYS, waypoint("wp"));
  await eventually(async () => assert.ok(await client.get(type.services, "default", "wp")));

  // Somebody changes and deletes what is ours.
  await client.patch(type.services, "default", "wp", "merge", {
    spec: { selector: { "gateway.networking.k8s.io/gateway-name": "x" } },
  });
  await client.delete(type.serviceAccounts, "default", "wp");
  await client.delete(type.deployments, "default", "wp");
  await eventually(async () => {
    const service = await client.get(type.services, "default", "wp");
    assert.equal(service?.spec.selector["gateway.networking.k8s.io/gateway-name"], "wp");
    assert.ok(await client.get(type.serviceAccounts, "default", "wp"));
    assert.ok(await client.get(type.deployments, "default", "wp"));
  });
});

Deno.test("Gateway API v0.6.2 serves, and a newer version is taken up when it comes", async () => {
  await using lab = await ApiLab.start();
  const old = gatewayApiDefinitions().filter(({ metadata }) =>
    /^(gatewayclasses|gateways|httproutes)\./.test(metadata.name)
  );
  for (const definition of old) {
    const versions = definition.spec.versions.filter(({ name }: any) => name === "v1beta1");
    assert.equal(versions.length, 1);
    await lab.client.create(RESOURCES.crds, {
      ...definition,
      spec: { ...definition.spec, versions: [{ ...versions[0], storage: true }] },
    } as unknown as KubeObject);
  }
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  await istiod.ready();
  const beta = gatewayType("gateways", "Gateway", true, "v1beta1");
  await eventually(() => lab.client.create(beta, waypoint("wp")));
  const owner = async () => (await lab.client.get(RESOURCES.services, "default", "wp"))?.metadata.ownerReferences?.[0];
  await eventually(async () => assert.equal((await owner())?.apiVersion, "gateway.networking.k8s.io/v1beta1"));
  await eventually(async () => {
    const conditions: Condition[] = (await lab.client.get(beta, "default", "wp"))?.status?.conditions;
    assert.ok(said(conditions).includes("Accepted True Accepted"), JSON.stringify(conditions));
  });
  const [definition] = gatewayApiDefinitions().filter(({ metadata }) => metadata.name.startsWith("gateways."));
  await lab.client.patch(RESOURCES.crds, undefined, definition.metadata.name, "merge", { spec: definition.spec });
  await eventually(async () => assert.equal((await owner())?.apiVersion, "gateway.networking.k8s.io/v1"));
});

Deno.test("secrets reach gateways that may have them, and nobody else; they follow their grant", async () => {
  await using lab = await ApiLab.start();
  await installGatewayApi(lab);
  const { client } = lab, secrets = RESOURCES.secrets;
  const certificate = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
  const key = certificate.replaceAll("CERTIFICATE", "PRIVATE KEY");
  const tls = (namespace: string, name: string) =>
    client.create(secrets, {
      metadata: { namespace, name },
      type: "kubernetes.io/tls",
      data: { "tls.crt": btoa(certificate), "tls.key": btoa(key) },
    });
  await client.create(RESOURCES.namespaces, { metadata: { name: "certs" } });
  await tls("default", "own");
  await tls("certs", "lent");
  await tls("istio-system", "classic");
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  const { secureGrpc, monitoring } = await istiod.ready();
  const listener = (name: string, port: number, certificate: object) => ({
    name,
    port,
    protocol: "HTTPS",
    hostname: `${name}.test`,
    tls: { mode: "Terminate", certificateRefs: [certificate] },
  });
  await client.create(GATEWAYS, {
    metadata: { namespace: "default", name: "web" },
    spec: {
      gatewayClassName: "istio",
      listeners: [listener("own", 443, { name: "own" }), listener("lent", 8443, { name: "lent", namespace: "certs" })],
    },
  });
  const pod = await run(lab, "web", "10.244.0.20", "web-istio");
  const root = await lab.root();
  const at = async (namespace: string, account: string, of: { name: string; uid: string }) =>
    controlPlane(secureGrpc, root, await lab.token(namespace, account, { pod: of }));
  await using view = new ProxyView(await at("default", "web-istio", pod), "web-istio-1.default", "router");
  const held = (of: ProxyView) => [...of.resources.keys()].filter((name) => name.startsWith("secret/")).sort();
  await eventually(() => assert.deepEqual(held(view), ["secret/kubernetes://default/own"]));
  const grants = gatewayType("referencegrants", "ReferenceGrant", true, "v1beta1");
  await client.create(grants, {
    metadata: { namespace: "certs", name: "g" },
    spec: {
      from: [{ group: "gateway.networking.k8s.io", kind: "Gateway", namespace: "default" }],
      to: [{ group: "", kind: "Secret", name: "lent" }],
    },
  });
  await eventually(() =>
    assert.deepEqual(held(view), ["secret/kubernetes://certs/lent", "secret/kubernetes://default/own"])
  );
  await client.delete(grants, "certs", "g");
  await eventually(() => assert.deepEqual(held(view), ["secret/kubernetes://default/own"]));

  // A pod that puts the Gateway's label on, with an account that may not read Secrets.
  const thief = await lab.pod("thief", {
    ip: "10.244.0.66",
    serviceAccount: "thief",
    labels: { "gateway.networking.k8s.io/gateway-name": "web" },
  });
  await using stolen = new ProxyView(await at("default", "thief", thief), "thief.default", "router");
  await eventually(() => assert.ok(stolen.resources.has("settings/mesh")));

  // Classic gateways: the account of one has the Role, that of the other has not.
  const labels = { istio: "ingressgateway" }, namespace = "istio-system";
  const classic = await lab.pod("ingress-1", { namespace, ip: "10.244.0.30", serviceAccount: "ingress", labels });
  const poor = await lab.pod("poor-1", { namespace, ip: "10.244.0.31", serviceAccount: "poor", labels });
  const rbac = { group: "rbac.authorization.k8s.io", version: "v1", namespaced: true };
  await client.create({ ...rbac, resource: "roles", kind: "Role" }, {
    metadata: { namespace, name: "ingress-sds" },
    rules: [{ apiGroups: [""], resources: ["secrets"], verbs: ["get", "watch", "list"] }],
  });
  await client.create({ ...rbac, resource: "rolebindings", kind: "RoleBinding" }, {
    metadata: { namespace, name: "ingress-sds" },
    roleRef: { apiGroup: rbac.group, kind: "Role", name: "ingress-sds" },
    subjects: [{ kind: "ServiceAccount", name: "ingress", namespace }],
  });
  const istioGateways: Resource = { ...GATEWAYS, group: "networking.istio.io" };
  await client.create(istioGateways, {
    metadata: { namespace: "default", name: "classic" },
    spec: {
      selector: { istio: "ingressgateway" },
      servers: [{
        port: { number: 443, name: "https", protocol: "HTTPS" },
        hosts: ["*"],
        tls: { mode: "SIMPLE", credentialName: "classic" },
      }],
    },
  });
  await using ingress = new ProxyView(await at(namespace, "ingress", classic), "ingress-1.istio-system", "router");
  await using without = new ProxyView(await at(namespace, "poor", poor), "poor-1.istio-system", "router");
  await eventually(() => assert.deepEqual(held(ingress), ["secret/kubernetes://istio-system/classic"]));
  await eventually(() => assert.ok([...without.resources.keys()].some((name) => name.startsWith("listener/"))));
  for (const one of [stolen, without]) assert.deepEqual(held(one), []);

  const dump = await (await fetch(`http://127.0.0.1:${monitoring}/debug/config_dump`)).text();
  assert.match(dump, /kubernetes:\/\/default\/own/);
  for (const line of [dump, ...istiod.lines]) assert.doesNotMatch(line, /PRIVATE KEY/);
});

Deno.test("networking.istio.io's kinds may come after istiod, and a version that is older", async () => {
  await using lab = await ApiLab.start();
  const { client } = lab, name = "serviceentries.networking.istio.io";
  const definition = (await client.get(RESOURCES.crds, undefined, name))!;
  await client.delete(RESOURCES.crds, undefined, name);
  await using istiod = await IstiodProcess.start(await lab.kubeconfig());
  const { grpc, monitoring } = await istiod.ready();
  await using view = new XdsView({
    ...controlPlane(grpc, "", ""),
    address: `http://127.0.0.1:${grpc}`,
    rootCa: "SYSTEM",
  });
  await eventually(() => assert.ok(view.client.synced));
  await client.create(RESOURCES.crds, {
    metadata: { name },
    spec: {
      ...definition.spec,
      versions: definition.spec.versions.filter(({ name }: any) => name === "v1alpha3").map((one: any) => ({
        ...one,
        storage: true,
      })),
    },
  });
  const alpha: Resource = { ...RESOURCES.serviceEntries, version: "v1alpha3" };
  await eventually(() =>
    client.create(alpha, {
      metadata: { namespace: "default", name: "out" },
      spec: {
        hosts: ["out.example.com"],
        addresses: ["192.0.2.50"],
        ports: [{ number: 443, name: "tls", protocol: "TLS" }],
        resolution: "STATIC",
        endpoints: [{ address: "192.0.2.51" }],
      },
    })
  );
  const key = "default/out.example.com";
  await eventually(() => assert.deepEqual(view.services.get(key)?.addresses, [{ network: "", address: "192.0.2.50" }]));
  await client.delete(RESOURCES.crds, undefined, name);
  await eventually(() => assert.equal(view.services.has(key), false));
  const metrics = await (await fetch(`http://127.0.0.1:${monitoring}/metrics`)).text();
  assert.match(metrics, /^pilot_push_triggers\{type="service"\} [1-9]/m);
  assert.match(metrics, /^pilot_proxy_convergence_time_count [1-9]/m);
  assert.match(metrics, /^pilot_xds_push_time_count\{type="type.googleapis.com\/istio.workload.Address"\} [1-9]/m);
  assert.match(metrics, /^pilot_xds\{version="[\w.]+"\} 1$/m);
});
