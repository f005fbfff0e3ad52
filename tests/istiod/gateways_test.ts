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
import { controlPlane } from "./xds_view.ts";

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
    for (const one of [forged, ghost, plain]) assert.ok(one.client.synced);
  });
  for (const one of [forged, ghost, plain]) assert.deepEqual([...one.resources.keys()], []);
  const { reason } = await istiod.line("a client gets no configuration of a proxy");
  assert.match(reason, /runs as "default\/wp"|there is no pod|no identity/);
});
