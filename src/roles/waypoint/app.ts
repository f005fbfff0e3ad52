import { sleep } from "../../core/backoff.ts";
import { splitHostPort } from "../../core/ip.ts";
import { MeshError } from "../../core/errors.ts";
import { Readiness } from "../../core/readiness.ts";
import { VERSION } from "../../core/version.ts";
import { HttpExchanges } from "../../http/exchange/mod.ts";
import { RequestTelemetry } from "../../http/telemetry/mod.ts";
import { Clusters } from "../../http/upstream/mod.ts";
import type { TlsSecret, Workload } from "../../model/mod.ts";
import { Reactor } from "../../net/mod.ts";
import { MeshState } from "../../proxy/state/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Registry } from "../../telemetry/metrics.ts";
import { addProcessMetrics } from "../../telemetry/process_metrics.ts";
import { type Served, serveHttp, statsHandler } from "../../telemetry/serve.ts";
import type { WaypointConfig } from "./config.ts";
import { configDump, type PortView } from "./config_dump.ts";
import { caClient, certificateCache, runDiscovery } from "./control_plane.ts";
import { addServerStats } from "./envoy_stats.ts";
import { adminHandler, readinessHandler } from "./http.ts";
import { ownIdentity, podLabels, proxyNode, proxySelf } from "./identity.ts";
import { OwnPorts } from "./own_ports.ts";
import { L7Proxy } from "./proxy.ts";

export interface WaypointOptions {
  readonly config: WaypointConfig;
  readonly env: Readonly<Record<string, string>>;
  readonly logger: Logger;
  /** `/quitquitquit` was asked for, or something failed beyond repair: the role must end. */
  readonly onEnd: (problem?: unknown) => void;
}

/** A running L7 proxy. */
export interface Waypoint {
  readonly readiness: Readiness;
  readonly proxy: L7Proxy;
  /** Ports of its own pages, and of tunnels (0: none), as they were bound. */
  readonly ports: {
    readonly admin: number;
    readonly stats: number;
    readonly readiness: number;
    readonly proxyStats: number;
    readonly hbone: number;
  };
  /**
   * Ends in the way in which no request fails: readiness first; clients are asked to go elsewhere, and those that still come are served for
   * `drainMs`; then what runs may go on for `graceMs` more.
   */
  shutdown(drainMs: number, graceMs: number): Promise<void>;
}

/** How often an ending proxy looks whether everything is over. */
const POLL_MS = 50;

/**
 * Starts listening and connecting; readiness tells when it serves.
 *
 * @throws MeshError `cannot_listen`, `invalid_config`
 */
export async function startWaypoint({ config, env, logger, onEnd }: WaypointOptions): Promise<Waypoint> {
  const isWaypoint = config.mode === "waypoint";
  const readiness = new Readiness(), registry = new Registry(), state = new MeshState();
  const stop = new AbortController(), servers: Served[] = [], tasks: Promise<void>[] = [];
  const synced = readiness.register("configuration");
  const identity = ownIdentity(config), labels = await podLabels(config.podInfoDirectory);
  const node = proxyNode(config, env, labels), secrets = new Map<string, TlsSecret>();
  const client = caClient(config, env), certificates = certificateCache(client, logger);
  const reactor = new Reactor({ logger: logger.child("reactor") });
  const certificate = () => certificates.current(identity) ?? certificates.get(identity);
  const self = () => config.instanceIp === "" ? undefined : state.workloadByAddress(config.network, config.instanceIp);
  const own = new OwnPorts(config.instanceIp);
  const clusters = new Clusters({
    reactor,
    forbidden: (address, port) => own.has(address, port),
    mesh: state,
    certificate,
    self,
    network: config.network,
    secret: (name) => secrets.get(name),
    logger: logger.child("upstream"),
  });
  registry.gauge("istio_build", "Istio component build info", ["component", "tag"]).with("proxy", VERSION).set(1);
  addProcessMetrics(registry);
  addServerStats(registry, () => readiness.ready);
  const names = proxySelf(config, labels);
  const telemetry = new RequestTelemetry({ reactor, registry, self: () => names, logger: logger.child("telemetry") });
  const exchanges = new HttpExchanges({ reactor, clusters, observer: telemetry });
  let proxy: L7Proxy | undefined;
  let ended: Promise<void> | undefined;

  const run = (task: Promise<void>) =>
    tasks.push(task.catch((thrown) => stop.signal.aborted ? undefined : onEnd(thrown)));

  async function shutdown(drainMs: number, graceMs: number): Promise<void> {
    readiness.set("draining", false);
    proxy?.drain();
    await sleep(drainMs);
    proxy?.stopListening();
    const deadline = Date.now() + graceMs;
    while (proxy && proxy.active > 0 && Date.now() < deadline) await sleep(POLL_MS);
    stop.abort();
    proxy?.close();
    await Promise.all([telemetry.close(), ...tasks, ...servers.map((server) => server.close())]);
    certificates.close();
    client.close();
    await reactor.stop();
  }

  const serve = (address: string, handler: (request: Request) => Response): number => {
    const server = serveHttp(address, handler);
    servers.push(server);
    return server.port;
  };

  try {
    reactor.start();
    proxy = new L7Proxy({
      reactor,
      clusters,
      exchanges,
      mesh: state,
      network: config.network,
      certificate,
      secrets,
      onTcpConnected: (open) => telemetry.onTcpConnected(open),
      onTcpDone: (report) => telemetry.onTcp(report),
      logger: logger.child("proxy"),
      hbone: isWaypoint ? { ...listenPlace(config.hboneAddress), hideClients: !config.showClients } : undefined,
      gatewayHost: config.gatewayHost,
    });
    const { compiler, config: store } = proxy;
    const ports: PortView[] = [];
    const allPorts = (): PortView[] => [
      ...ports,
      ...proxy!.ports.map((port): PortView => ({ address: "0.0.0.0", port, use: "gateway" })),
    ];
    const dump = () =>
      configDump({
        config,
        node,
        ports: allPorts(),
        resources: store.resources,
        slots: compiler.slots,
        clusters,
        certificates: certificates.dump(),
        updatedAt: store.updatedAt,
      });
    const admin = adminHandler({
      dump,
      endpoints: () => clusters.view(),
      clusterStats: () => clusters.stats(),
      registry,
      readiness,
      levels: logger.levels,
      drain: () => proxy!.drain(),
      quit: () => onEnd(),
    });
    const bound = {
      admin: serve(config.adminAddress, admin),
      stats: serve(config.statsAddress, statsHandler(registry)),
      readiness: serve(config.readinessAddress, readinessHandler(readiness)),
      proxyStats: serve(config.proxyStatsAddress, statsHandler(registry)),
      hbone: proxy.tunnel?.port ?? 0,
    };
    own.add(...Object.values(bound));
    if (proxy.tunnel) ports.push({ address: "0.0.0.0", port: bound.hbone, use: "hbone" });
    ports.push({ address: "0.0.0.0", port: bound.readiness, use: "readiness" });
    ports.push({ address: "0.0.0.0", port: bound.proxyStats, use: "stats" });
    watchSelf(state, self, () => clusters.selfChanged());
    if (isWaypoint) {
      // Nobody can be let in without it.
      const certified = readiness.register("certificate");
      run(certificates.get(identity).then(certified, () => retried(certificates, identity, certified, stop.signal)));
    } else certificates.prefetch(identity);
    run(runDiscovery({
      config,
      env,
      node,
      state,
      onResources: (update) => {
        const rejects = store.apply(update);
        telemetry.configure(compiler.settings);
        return rejects;
      },
      logger,
      registry,
      signal: stop.signal,
      onSynced: synced,
    }));
    return { readiness, proxy, ports: bound, shutdown: (drainMs, graceMs) => ended ??= shutdown(drainMs, graceMs) };
  } catch (thrown) {
    await shutdown(0, 0);
    throw thrown;
  }
}

function listenPlace(address: string): { address: string; port: number } {
  const place = splitHostPort(address);
  if (!place) throw new MeshError("invalid_config", `HBONE_ADDR="${address}" is not host:port`);
  return { address: place.host, port: place.port };
}

/** Tells when the workload that this proxy is has become known, or is another. */
function watchSelf(state: MeshState, self: () => Workload | undefined, changed: () => void): void {
  let known = self();
  state.onChange(() => {
    const now = self();
    if (now === known) return;
    known = now;
    changed();
  });
}

/** The certificate is fetched again in the background; this waits for it. */
async function retried(
  certificates: ReturnType<typeof certificateCache>,
  identity: ReturnType<typeof ownIdentity>,
  done: () => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    if (certificates.current(identity)) return done();
    await sleep(100, signal);
  }
}
