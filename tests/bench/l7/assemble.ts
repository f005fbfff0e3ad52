// The engine as `ambientd waypoint` puts it together, with its configuration given instead of coming from istiod.

import { HttpExchanges } from "../../../src/http/exchange/mod.ts";
import { type LogWriter, RequestTelemetry } from "../../../src/http/telemetry/mod.ts";
import { Clusters } from "../../../src/http/upstream/mod.ts";
import type { WorkloadCertificate } from "../../../src/identity/types.ts";
import type { ProxyResource, TlsSecret } from "../../../src/model/mod.ts";
import type { Reactor } from "../../../src/net/mod.ts";
import { MeshState } from "../../../src/proxy/state/mod.ts";
import { L7Proxy } from "../../../src/roles/waypoint/proxy.ts";
import type { Logger } from "../../../src/telemetry/logger.ts";
import { Registry } from "../../../src/telemetry/metrics.ts";

export interface ProxyInput {
  readonly resources: readonly ProxyResource[];
  /** Where tunnels are taken. */
  readonly hbone: number;
  readonly workload: WorkloadCertificate;
}

/**
 * Listens on 127.0.0.1.
 *
 * @param write where the access log goes; standard output when it is not given
 */
export function assembleProxy(reactor: Reactor, logger: Logger, input: ProxyInput, write?: LogWriter): L7Proxy {
  const { resources, hbone, workload } = input;
  const mesh = new MeshState(), secrets = new Map<string, TlsSecret>();
  const certificate = () => workload;
  const clusters = new Clusters({ reactor, mesh, certificate, secret: (name) => secrets.get(name), logger });
  const telemetry = new RequestTelemetry({
    reactor,
    registry: new Registry(),
    self: () => ({
      use: "gateway",
      nodeId: "router~127.0.0.1~gateway.bench~bench.svc.cluster.local",
      workloadName: "gateway",
      namespace: "bench",
      canonicalName: "gateway",
      canonicalRevision: "latest",
      clusterId: "Kubernetes",
      meshId: "cluster.local",
      principal: workload.id,
      network: "",
    }),
    logger,
    write,
  });
  const proxy = new L7Proxy({
    reactor,
    clusters,
    exchanges: new HttpExchanges({ reactor, clusters, observer: telemetry }),
    mesh,
    network: "",
    certificate,
    secrets,
    onTcpDone: (report) => telemetry.onTcp(report),
    logger,
    hbone: { address: "127.0.0.1", port: hbone },
    gatewayHost: "127.0.0.1",
  });
  const rejects = proxy.config.apply({ added: [...resources], removed: [] });
  if (rejects.length > 0) throw new Error(`the configuration was refused: ${JSON.stringify(rejects)}`);
  telemetry.configure(proxy.compiler.settings);
  return proxy;
}
