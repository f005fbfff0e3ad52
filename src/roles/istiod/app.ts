// istiod, put together: Kubernetes objects -> index -> xDS, and a CA beside it.

import { Backoff, sleep } from "../../core/backoff.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import { describeError, MeshError } from "../../core/errors.ts";
import { Readiness } from "../../core/readiness.ts";
import { VERSION } from "../../core/version.ts";
import type { Authenticator } from "../../identity/authenticate.ts";
import { AmbientIndex, type MeshSettings } from "../../index/mod.ts";
import {
  type Change,
  DefinitionWatch,
  Informer,
  type KubeClient,
  type KubeObject,
  LeaderElection,
  RESOURCES,
} from "../../kube/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Registry } from "../../telemetry/metrics.ts";
import { addHeapMetrics } from "../../telemetry/heap_metrics.ts";
import { addProcessMetrics } from "../../telemetry/process_metrics.ts";
import { XdsServerMetrics } from "../../xds/server/metrics.ts";
import { DiscoveryServer } from "../../xds/server/server.ts";
import type { IstiodConfig } from "./config.ts";
import { DebugPages, debugReader } from "./debug_pages.ts";
import { monitoringHandler, readinessHandler, type Served, serveHttp } from "./http.ts";
import { IngressNotice } from "./ingress_notice.ts";
import { type Informers, newInformers, storesOf } from "./inputs.ts";
import { L7Control } from "./l7_control.ts";
import { defaultMeshConfig, type MeshConfig, readMeshConfig } from "./mesh_config.ts";
import { podLookup } from "./pod_lookup.ts";
import { Publisher } from "./publisher.ts";
import { RootCa } from "./root_ca.ts";
import { readRootSecret } from "./root_secret.ts";
import { RootConfigMaps } from "./root_config_maps.ts";
import type { StatusSources } from "./routing_status_writer.ts";
import type { GrpcServed } from "./serving.ts";
import { StatusWriter } from "./status_writer.ts";
import { tokenReviewer } from "./token_review.ts";

export interface IstiodOptions {
  readonly config: IstiodConfig;
  /** Closed when istiod has ended. */
  readonly client: KubeClient;
  /** The root's Secret, asked for while this module was loading; asked for again when that fails. */
  readonly rootSecret?: Promise<KubeObject | undefined>;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Something failed beyond repair: the role must end. */
  readonly onEnd: (problem: unknown) => void;
}

/** A running istiod. */
export interface Istiod {
  readonly readiness: Readiness;
  /** Ports as they were bound; gRPC ports are 0 until the role is ready. */
  readonly ports: { http: number; monitoring: number; grpc: number; secureGrpc: number };
  /** Gives leadership back, sends clients elsewhere within `graceMs`, and releases everything. */
  shutdown(graceMs: number): Promise<void>;
}

/** Lease that decides who writes, named as Istio's. */
const LEASE = "istio-leader";

/**
 * Starts istiod; readiness tells when it serves. An API that does not answer is waited for.
 *
 * @throws MeshError `listen_failed`
 */
export async function startIstiod(options: IstiodOptions): Promise<Istiod> {
  const { config, client, logger, clock = systemClock, onEnd } = options;
  const stop = new AbortController(), closers: (() => unknown)[] = [];
  const readiness = new Readiness(), registry = new Registry();
  const done = {
    informers: readiness.register("informers"),
    ca: readiness.register("certificate authority"),
    servers: readiness.register("gRPC servers"),
  };
  addProcessMetrics(registry);
  addHeapMetrics(registry);
  registry.gauge("istio_build", "Istio component build info", ["component", "tag"]).with("pilot", VERSION).set(1);
  registry.gauge("pilot_info", "Pilot version and build information.", ["version"]).with(VERSION).set(1);

  const definitions = new DefinitionWatch({ client, logger: logger.child("kube") });
  const informers = newInformers(client, definitions, logger.child("kube")), inputs = storesOf(informers);
  let mesh = defaultMeshConfig(config);
  const index = new AmbientIndex(inputs, settingsOf(config, mesh));
  const publisher = new Publisher(index, registry, logger.child("ambient"));
  const sources = statusSources(informers);
  const l7 = new L7Control({ client, config, informers, inputs, index, sources, mesh: () => mesh, logger });
  publisher.onFlush(() => l7.proxies.changed());
  for (const name of Object.keys(informers) as (keyof Informers)[]) {
    informers[name].onChange((changes: readonly Change[]) => {
      publisher.changed(name, changes);
      l7.changed(name, changes);
    });
  }
  const controlPlane = JSON.stringify({
    Component: "istiod",
    ID: config.podName || "istiod",
    Info: { version: VERSION },
  });
  const mayRead = debugReader(() => mesh.rootNamespace);
  let authenticators: Authenticator[] = [];
  // The pages read the server, and the server answers with the pages.
  const discovery: DiscoveryServer = new DiscoveryServer({
    logger: logger.child("ads"),
    metrics: new XdsServerMetrics(registry),
    clock,
    debounce: { quietMs: config.debounceAfterMs, maxMs: config.debounceMaxMs },
    identityCheck: config.identityCheck,
    controlPlane,
    debug: (...question) => debug(...question),
  });
  const pages = new DebugPages({
    discovery,
    index,
    inputs,
    proxies: l7.proxies,
    mesh: () => mesh.raw,
    clusterId: config.clusterId,
    synced: () => readiness.ready,
  });
  const debug = pages.xdsHandler(mayRead);
  discovery.register(publisher.authorizations);
  discovery.register(publisher.addresses);
  discovery.register(l7.proxies.source);

  const http = {
    readiness,
    registry,
    pages,
    levels: logger.levels,
    debugAuth: config.debugAuth ? { authenticators: () => authenticators, mayRead } : undefined,
  };
  const servers: Served[] = [];
  try {
    servers.push(serveHttp(config.listen.http, readinessHandler(http)));
    servers.push(serveHttp(config.listen.monitoring, monitoringHandler(http)));
  } catch (error) {
    await Promise.all(servers.map((server) => server.close()));
    client.close();
    throw error;
  }
  const ports = { http: servers[0].port, monitoring: servers[1].port, grpc: 0, secureGrpc: 0 };
  const grpcServers: GrpcServed[] = [];

  /** Takes over the mesh configuration as it is now; a bad one changes nothing. */
  async function configure(text: string | undefined): Promise<void> {
    try {
      mesh = text === undefined ? defaultMeshConfig(config) : await readMeshConfig(text, config);
      index.configure(settingsOf(config, mesh));
      l7.configure();
      publisher.schedule();
    } catch (error) {
      logger.error("cannot use the mesh configuration; the last good one stays", { error: describeError(error) });
    }
  }

  let markOpened: () => void = () => {};
  const opened = new Promise<void>((resolve) => markOpened = resolve);

  async function boot(signal: AbortSignal): Promise<void> {
    const serving = import("./serving.ts");
    serving.catch(() => {});
    let asked = options.rootSecret;
    const rootSecret = await retried(signal, logger, () => {
      const answer = asked ?? readRootSecret(client, config.namespace, signal);
      asked = undefined;
      return answer;
    });
    const meshMap = new Informer({
      client,
      type: RESOURCES.configMaps,
      namespace: config.namespace,
      fieldSelector: `metadata.name=${config.meshConfigMap}`,
      logger: logger.child("kube"),
    });
    const ingresses = new IngressNotice(client, logger);
    closers.push(() => meshMap.stop(), () => ingresses.stop());
    for (const informer of [meshMap, definitions, ingresses, ...Object.values(informers)]) informer.start();
    const meshText = () => [...meshMap.store.values()][0]?.data?.mesh as string | undefined;
    const configured = until(signal, meshMap.synced).then(() => configure(meshText()));
    configured.catch(() => {});

    const loading = retried(signal, logger, () =>
      RootCa.load({
        client,
        config,
        known: rootSecret,
        trustDomain: () => configured.then(() => mesh.trustDomain),
        logger: logger.child("ca"),
        clock,
        onChange: () => configMaps.refresh(),
      }));
    loading.catch(() => {});
    const statuses = new StatusWriter({ client, logger: logger.child("status"), sources });
    l7.start();
    closers.push(() => l7.stop());
    const configMaps = new RootConfigMaps({
      client,
      logger: logger.child("rootcert"),
      name: config.rootConfigMap,
      ownNamespace: config.namespace,
      rootPem: () => loading.then(({ authority }) => authority.rootPem),
      namespaces: informers.namespaces,
    });
    configMaps.start();
    closers.push(() => configMaps.stop());
    const election = new LeaderElection({
      client,
      namespace: config.namespace,
      name: LEASE,
      identity: config.podName || `istiod-${crypto.randomUUID().slice(0, 8)}`,
      logger: logger.child("leader"),
      lead: async (leading) => {
        // Roots first: proxies cannot start without.
        const writing: Promise<void>[] = [configMaps.lead(leading)];
        // What is not known yet must not be taken for what is not there.
        await Promise.race([opened, aborted(leading)]);
        if (!leading.aborted) {
          writing.push(l7.lead(leading));
          if (config.status) {
            statuses.reportAll(publisher.onStatuses((reports, removed) => statuses.report(reports, removed)));
            writing.push(statuses.lead(leading));
          }
        }
        await Promise.all(writing);
        publisher.onStatuses(undefined);
      },
    });
    election.start();
    closers.push(() => election.stop());

    const ca = await loading;
    closers.push(() => ca.close());
    ca.watch();
    done.ca();
    await configured;
    meshMap.onChange(() => void configure(meshText()));

    const { authenticatorsOf, caMetrics, servePlain, serveSecure } = await serving;
    authenticators = authenticatorsOf(config, tokenReviewer(client), () => mesh.trustDomain);
    const metrics = caMetrics(registry, () => ca.authority);
    await until(signal, Promise.all(Object.values(informers).map(({ synced }) => synced)));
    done.informers();
    publisher.open();
    markOpened();
    const common = { config, logger, discovery, debug, controlPlane };
    if (config.listen.secureGrpc !== "") {
      const server = await serveSecure({
        ...common,
        authority: ca.authority,
        authenticators,
        metrics,
        pods: podLookup(inputs.pods),
      });
      grpcServers.push(server);
      ports.secureGrpc = server.port;
    }
    if (config.listen.grpc !== "") {
      const server = await servePlain(common);
      grpcServers.push(server);
      ports.grpc = server.port;
    }
    done.servers();
    logger.info("ready", {
      workloads: index.workloads.size,
      services: index.services.size,
      policies: index.policies.size,
      ...ports,
      after: `${Math.round(performance.now())}ms`,
    });
  }

  const booted = boot(stop.signal).catch((problem) => {
    if (!stop.signal.aborted) onEnd(problem);
  });

  return {
    readiness,
    ports,
    async shutdown(graceMs) {
      readiness.set("shutting down", false);
      stop.abort();
      await booted;
      // Leadership goes first, so that another replica writes while this one drains.
      for (const close of closers.reverse()) await close();
      discovery.close();
      await Promise.all(grpcServers.map((server) => server.close(graceMs)));
      await Promise.all([definitions, ...Object.values(informers)].map((informer) => informer.stop()));
      await Promise.all(servers.map((server) => server.close()));
      client.close();
    },
  };
}

/** Where the objects are whose statuses this role writes. */
function statusSources(informers: Informers): StatusSources {
  return {
    Gateway: informers.gateways,
    GatewayClass: informers.gatewayClasses,
    HTTPRoute: informers.httpRoutes,
    GRPCRoute: informers.grpcRoutes,
    TCPRoute: informers.tcpRoutes,
    TLSRoute: informers.tlsRoutes,
    UDPRoute: informers.udpRoutes,
    AuthorizationPolicy: informers.authorizationPolicies,
    VirtualService: informers.virtualServices,
    DestinationRule: informers.destinationRules,
    IstioGateway: informers.istioGateways,
    PeerAuthentication: informers.peerAuthentications,
    BackendTLSPolicy: informers.backendTlsPolicies,
    RequestAuthentication: informers.requestAuthentications,
    Telemetry: informers.telemetries,
    EnvoyFilter: informers.envoyFilters,
    WasmPlugin: informers.wasmPlugins,
    TrafficExtension: informers.trafficExtensions,
    ProxyConfig: informers.proxyConfigs,
    Sidecar: informers.sidecars,
    WorkloadGroup: informers.workloadGroups,
    ListenerSet: informers.listenerSets,
    Service: informers.services,
    ServiceEntry: informers.serviceEntries,
    WorkloadEntry: informers.workloadEntries,
  };
}

function settingsOf(config: IstiodConfig, mesh: MeshConfig): MeshSettings {
  return {
    clusterId: config.clusterId,
    clusterDomain: config.domain,
    trustDomain: mesh.trustDomain,
    rootNamespace: mesh.rootNamespace,
    dryRunPolicies: config.dryRunPolicies,
    autoAllowWaypointPolicy: config.autoAllowWaypointPolicy,
  };
}

/** Repeats what fails for want of the API; anything else is the caller's to handle. */
async function retried<T>(signal: AbortSignal, logger: Logger, work: () => Promise<T>): Promise<T> {
  const backoff = new Backoff({ initialMs: 200, maxMs: 5_000, jitter: 0.2 });
  for (;;) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof MeshError) || (error.code !== "kube_unreachable" && error.code !== "kube_api")) {
        throw error;
      }
      const waitMs = backoff.next();
      logger.warn("waiting for the Kubernetes API", {
        error: describeError(error),
        retry_in: `${Math.round(waitMs)}ms`,
      });
      await sleep(waitMs, signal);
      signal.throwIfAborted();
    }
  }
}

/** Waits for `work`, or throws when the signal aborts. */
async function until<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  return await Promise.race([
    work,
    new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true })),
  ]);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
