// Our proxy as the bench runs it: `ours.ts <input.json>`. The engine as `ambientd waypoint` puts it together, with its configuration from a
// file instead of from istiod. The access log goes to standard output.

import { HttpExchanges } from "../../../src/http/exchange/mod.ts";
import { RequestTelemetry } from "../../../src/http/telemetry/mod.ts";
import { Clusters } from "../../../src/http/upstream/mod.ts";
import type { WorkloadCertificate } from "../../../src/identity/types.ts";
import type { ProxyResource, TlsSecret } from "../../../src/model/mod.ts";
import { Reactor } from "../../../src/net/mod.ts";
import { MeshState } from "../../../src/proxy/state/mod.ts";
import { L7Proxy } from "../../../src/roles/waypoint/proxy.ts";
import { Logger } from "../../../src/telemetry/logger.ts";
import { Registry } from "../../../src/telemetry/metrics.ts";

export interface OursInput {
  readonly resources: readonly ProxyResource[];
  /** Where tunnels are taken. */
  readonly hbone: number;
  readonly workload: WorkloadCertificate;
}

const { resources, hbone, workload }: OursInput = JSON.parse(await Deno.readTextFile(Deno.args[0]));
const logger = new Logger("bench", {
  sink: { write: (line) => void Deno.stderr.writeSync(new TextEncoder().encode(line + "\n")) },
});
const reactor = new Reactor({ logger }), mesh = new MeshState(), secrets = new Map<string, TlsSecret>();
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
});
const exchanges = new HttpExchanges({ reactor, clusters, observer: telemetry });
reactor.start();
const proxy = new L7Proxy({
  reactor,
  clusters,
  exchanges,
  mesh,
  network: "",
  certificate,
  secrets,
  tcp: { onOpened: () => {}, onDone: () => {} },
  logger,
  hbone: { address: "127.0.0.1", port: hbone },
  gatewayHost: "127.0.0.1",
});
const rejects = proxy.config.apply({ added: [...resources], removed: [] });
if (rejects.length > 0) throw new Error(`the configuration was refused: ${JSON.stringify(rejects)}`);
telemetry.configure(proxy.compiler.settings);
