import type { Logger } from "../telemetry/logger.ts";
import { startApiServer } from "./api/server.ts";
import { CLUSTER_NETWORK, type PodBackend } from "./contracts.ts";
import { startControllers } from "./controllers/mod.ts";
import { serveControl } from "./engine_control.ts";
import type { ClusterLayout } from "./layout.ts";
import { createFabric, startRuntime } from "./runtime/mod.ts";

/** What the engine tells the process that started it, one JSON object a line on standard output. */
export type EngineEvent =
  /** The API server answers on its Unix socket; these credentials reach it as an administrator. */
  | { event: "api"; caPem: string; clientCertPem: string; clientKeyPem: string }
  /** Every node is registered and runs pods. */
  | { event: "nodes"; names: string[] };

export interface EngineOptions {
  layout: ClusterLayout;
  nodes: number;
  checkout: string;
  log: Logger;
  /** Aborted to stop the cluster. */
  signal: AbortSignal;
  emit(event: EngineEvent): void;
}

/** The names kind would give to this many nodes. */
export function nodeNames(cluster: string, count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => i === 0 ? `${cluster}-control-plane` : `${cluster}-worker${i === 1 ? "" : i}`,
  );
}

/**
 * Runs a whole cluster until `signal` aborts: fabric, API server, controllers, nodes with their pods, service proxy and
 * DNS. The caller has put this process into mount, PID and network namespaces of its own.
 */
export async function runEngine({ layout, nodes, checkout, log, signal, emit }: EngineOptions): Promise<void> {
  for (const socket of [layout.apiSocket, layout.controlSocket]) await Deno.remove(socket).catch(() => {});
  await createFabric();
  const names = nodeNames(layout.name, nodes), { fabricIp, apiPort, kubeletPort } = CLUSTER_NETWORK;
  const server = await startApiServer({
    dataDir: layout.dataDir,
    listen: [
      { path: layout.apiSocket },
      { hostname: fabricIp, port: apiPort },
      ...names.map((kubelet, index) => ({ hostname: fabricIp, port: kubeletPort + index, kubelet })),
    ],
    log: log.child("apiserver"),
  });
  const admin = server.adminKubeconfig(`https://${fabricIp}:${apiPort}`);
  emit({ event: "api", ...admin });
  // Controllers start before pods can run.
  let usage: PodBackend["usage"] = () => [];
  const stopControllers = await startControllers({
    api: server.api,
    tokens: server.tokens,
    caPem: admin.caPem,
    usage: () => usage(),
    log: log.child("controllers"),
  });
  const runtime = await startRuntime({
    api: server.api,
    tokens: server.tokens,
    dataDir: layout.dataDir,
    nodes: names,
    checkout,
    clusterCaPem: admin.caPem,
    log: log.child("runtime"),
  });
  server.setBackend(runtime.backend);
  usage = runtime.backend.usage;
  const control = serveControl(layout.controlSocket, ({ namespace, service, port }) => {
    const object = server.api.get({ group: "", resource: "services" }, namespace, service);
    if (!object) throw new Error(`there is no Service "${namespace}/${service}"`);
    const ports: { port: number; name?: string }[] = object.spec?.ports ?? [];
    if (!ports.some((candidate) => candidate.port === port)) {
      const known = ports.map((candidate) => candidate.port).join(", ") || "none";
      throw new Error(`Service "${namespace}/${service}" has no port ${port}; its ports: ${known}`);
    }
    if (!object.spec?.clusterIP || object.spec.clusterIP === "None") {
      throw new Error(`Service "${namespace}/${service}" has no cluster IP to reach it by`);
    }
    return { hostname: object.spec.clusterIP, port };
  });
  emit({ event: "nodes", names });
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await control.close();
  await runtime.stop();
  await stopControllers();
  await server.close();
}
