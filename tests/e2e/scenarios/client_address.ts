import assert from "node:assert/strict";
import type { KubeJson } from "../../../src/roles/ctl/kube.ts";
import type { TestCluster } from "../../support/cluster.ts";
import type { Scenario } from "./scenario.ts";

const NAMESPACE = "addresses";
const CLIENTS = ["one", "two"];
/** How the waypoint reaches the application by each port of its service. */
const WAYS: Record<number, string> = { 80: "HTTP/1.1", 81: "HTTP/2", 82: "bytes" };

function deployment(app: string, image: string, replicas: number, command?: string[]): KubeJson {
  const labels = { app };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: app, namespace: NAMESPACE },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { terminationGracePeriodSeconds: 0, containers: [{ name: app, image, command }] },
      },
    },
  };
}

const OBJECTS: KubeJson[] = [
  {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: NAMESPACE, labels: { "istio.io/dataplane-mode": "ambient" } },
  },
  {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    metadata: { name: "waypoint", namespace: NAMESPACE },
    spec: {
      gatewayClassName: "istio-waypoint",
      listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }],
    },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: NAMESPACE, labels: { "istio.io/use-waypoint": "waypoint" } },
    spec: {
      selector: { app: "web" },
      ports: [
        { name: "http", port: 80, targetPort: 80 },
        { name: "http2", port: 81, targetPort: 80, appProtocol: "kubernetes.io/h2c" },
        { name: "tcp", port: 82, targetPort: 80 },
      ],
    },
  },
  deployment("web", "kennethreitz/httpbin", 2),
  ...CLIENTS.map((app) => deployment(app, "curlimages/curl", 1, ["sleep", "infinity"])),
];

/** Whom the application saw, for requests of this client at once. */
async function seen(cluster: TestCluster, app: string, port: number, requests: number): Promise<string[]> {
  const url = `http://web.${NAMESPACE}:${port}/ip?[1-${requests}]`;
  const command = ["curl", "-s", "-m", "20", "-Z", "--parallel-max", "8", "--no-progress-meter", url];
  const { exitCode, stdout, stderr } = await cluster.exec(app, command, NAMESPACE);
  assert.equal(exitCode, 0, stderr);
  return [...stdout.matchAll(/"origin":\s*"([^"]*)"/g)].map(([, address]) => address);
}

/**
 * Clients that call at once through a waypoint are seen with their own addresses by the application, however the waypoint speaks to it;
 * the destination's ztunnel goes on speaking of the waypoint.
 */
export const clientAddress: Scenario = async (cluster) => {
  await cluster.apply(OBJECTS, NAMESPACE);
  const addresses = await cluster.until(async () => {
    for (const name of ["app=web", "gateway.networking.k8s.io/gateway-name=waypoint"]) {
      assert.ok((await cluster.pods(name, NAMESPACE)).length > 0, name);
    }
    const clients = await Promise.all(CLIENTS.map((app) => cluster.pod(app, NAMESPACE)));
    return clients.map(({ status }) => status.podIP as string);
  }, 60_000);
  // What the waypoint's Service is bound to takes a moment to reach every proxy.
  await cluster.until(async () => {
    const service = await cluster.client.get("v1", "Service", NAMESPACE, "web");
    const bound = service?.status?.conditions?.find(({ type }: KubeJson) => type === "istio.io/WaypointBound");
    assert.equal(bound?.status, "True");
  });
  for (const port of Object.keys(WAYS).map(Number)) {
    await cluster.until(async () => {
      const since = new Date();
      await Promise.all(CLIENTS.map(async (app, i) => {
        const all = await seen(cluster, app, port, 40);
        assert.equal(all.length, 40, WAYS[port]);
        assert.deepEqual([...new Set(all)], [addresses[i]], `${app} by ${WAYS[port]}`);
      }));
      if (WAYS[port] !== "bytes") return;
      const lines = await cluster.accessLines(since);
      assert.ok(
        lines.some(({ fields }) => fields.direction === "inbound" && fields["src.workload"]?.startsWith("waypoint-")),
      );
    }, 30_000);
  }
  // Nobody needs to wait until it is gone.
  await cluster.client.delete(OBJECTS[0]);
};
