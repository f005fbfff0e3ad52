// The console as it runs: a Kubernetes API and a proxy's metrics over real sockets.

import assert from "node:assert/strict";
import { type Console, startConsole } from "../../src/console/app.ts";
import { CONSOLE_SETTINGS } from "../../src/console/config.ts";
import { readConfig } from "../../src/core/config.ts";
import { KubeClient, type KubeObject, RESOURCES } from "../../src/kube/mod.ts";
import { Logger } from "../../src/telemetry/logger.ts";
import { embeddedApi } from "../support/embedded_api.ts";

/** A console with a Kubernetes API and one ztunnel of its own. */
export interface ConsoleLab extends AsyncDisposable {
  readonly url: string;
  readonly client: KubeClient;
  /** What the ztunnel says next. */
  metrics: string;
}

/** Objects with their status, which is a request of its own. */
async function put(
  client: KubeClient,
  type: typeof RESOURCES[keyof typeof RESOURCES],
  object: KubeObject,
): Promise<void> {
  await client.create(type, object);
  if (object.status) {
    const { name, namespace } = object.metadata;
    await client.patch(type, namespace, name, "merge", { status: object.status }, { subresource: "status" });
  }
}

const podObject = (namespace: string, name: string, labels: Record<string, string>, annotations = {}): KubeObject => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace, labels, annotations },
  spec: { containers: [{ name: "main", image: "busybox" }], nodeName: "n1", automountServiceAccountToken: false },
  status: {
    phase: "Running",
    podIP: "127.0.0.1",
    podIPs: [{ ip: "127.0.0.1" }],
    conditions: [{ type: "Ready", status: "True" }],
  },
});

/** In the cluster are sleep and productpage-v1, out of mesh. */
export async function consoleLab(): Promise<ConsoleLab> {
  const api = await embeddedApi();
  const client = new KubeClient(api.target);
  const state = { metrics: "" };
  const proxy = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    assert.equal(new URL(request.url).pathname, "/stats/prometheus");
    return new Response(state.metrics);
  });
  await client.create(RESOURCES.namespaces, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "istio-system" },
  });
  for (const namespace of ["default", "istio-system"]) {
    const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace } };
    await client.create(RESOURCES.serviceAccounts, account).catch(() => {});
  }
  await put(client, RESOURCES.pods, podObject("istio-system", "ztunnel-a", { app: "ztunnel" }));
  await put(client, RESOURCES.pods, podObject("default", "sleep", { app: "sleep" }));
  await put(client, RESOURCES.pods, podObject("default", "productpage-v1", { app: "productpage", version: "v1" }));
  const settings: Record<string, string> = {
    CONSOLE_ADDR: "127.0.0.1:0",
    METRICS_ADDR: "127.0.0.1:0",
    SCRAPE_INTERVAL: "50ms",
  };
  const console: Console = startConsole({
    config: readConfig(CONSOLE_SETTINGS, (name) => settings[name]),
    client,
    logger: new Logger("console", { sink: { write: () => {} } }),
    statsPort: proxy.addr.port,
  });
  return {
    url: `http://127.0.0.1:${console.port}`,
    client,
    get metrics() {
      return state.metrics;
    },
    set metrics(text) {
      state.metrics = text;
    },
    [Symbol.asyncDispose]: async () => {
      await console.shutdown();
      await proxy.shutdown();
      client.close();
      await api[Symbol.asyncDispose]();
    },
  };
}
