import { describeError, MeshError } from "../../core/errors.ts";
import { Readiness } from "../../core/readiness.ts";
import { VERSION } from "../../core/version.ts";
import { CertificateCache } from "../../identity/cache.ts";
import { runZdsClient } from "../../inpod/zds_client.ts";
import { Reactor } from "../../net/mod.ts";
import {
  ConnectionManager,
  denialMetric,
  DnsMetrics,
  MeshState,
  NodeProxy,
  PodProxy,
  resolvConfServers,
  type Shared,
  TrafficMetrics,
} from "../../proxy/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Registry } from "../../telemetry/metrics.ts";
import { stdoutSink } from "../../telemetry/stdout_sink.ts";
import { addProcessMetrics } from "../../telemetry/process_metrics.ts";
import { type Served, serveHttp, statsHandler } from "../../telemetry/serve.ts";
import { dedicatedWorkload, type ZtunnelConfig } from "./config.ts";
import { configDump } from "./config_dump.ts";
import { certificateSource, runDiscovery } from "./control_plane.ts";
import { StateFeed } from "./feed.ts";
import { adminHandler, readinessHandler } from "./http.ts";

export interface ZtunnelOptions {
  readonly config: ZtunnelConfig;
  readonly env: Readonly<Record<string, string>>;
  readonly logger: Logger;
  /** `/quitquitquit` was asked for, or something failed beyond repair: the role must end. */
  readonly onEnd: (problem?: unknown) => void;
}

/** How long log lines may gather. */
const LOG_DELAY_MS = 16;

/** A running ztunnel: everything it is made of, connected. */
export interface Ztunnel {
  readonly readiness: Readiness;
  /** Ports of the HTTP servers, as they were bound. */
  readonly ports: { readonly admin: number; readonly stats: number; readonly readiness: number };
  readonly node: NodeProxy;
  /** Lets connections end for `deadlineMs`, then ends the rest, and releases everything. */
  shutdown(deadlineMs: number): Promise<void>;
}

/**
 * Starts listening and connecting; readiness tells when it serves.
 *
 * @throws MeshError `cannot_listen`, `pod_start_failed`, `invalid_config`
 */
export async function startZtunnel({ config, env, logger, onEnd }: ZtunnelOptions): Promise<Ztunnel> {
  const readiness = new Readiness(), registry = new Registry(), state = new MeshState();
  const stop = new AbortController(), servers: Served[] = [], tasks: Promise<void>[] = [];
  const synced = readiness.register("state manager"), proxying = readiness.register("proxy");
  const client = await certificateSource(config, env);
  const certificates = new CertificateCache({ client, logger: logger.child("identity") });
  const reactor = new Reactor({ logger: logger.child("reactor") });
  const connections = new ConnectionManager(
    state,
    logger.child("policy"),
    config.policyInfoLogging,
    denialMetric(registry),
  );
  const shared: Shared = {
    reactor,
    state,
    certificates,
    connections,
    metrics: new TrafficMetrics(registry),
    access: logger.child("access"),
    logger: logger.child("proxy"),
    config,
    dns: config.dnsCapture
      ? {
        metrics: new DnsMetrics(registry),
        clusterDomain: config.clusterDomain,
        preferredNamespace: config.preferredNamespace,
        servers: resolvConfServers(),
      }
      : undefined,
    random: Math.random,
    resolve: resolveHost,
  };
  registry.gauge("istio_build", "Istio component build info", ["component", "tag"]).with("ztunnel", VERSION).set(1);
  addProcessMetrics(registry);
  const node = new NodeProxy(shared, registry, (ready) => readiness.set("workload proxy manager", ready));
  const workload = dedicatedWorkload(config);
  let dedicated: PodProxy | undefined;

  const run = (task: Promise<void>) =>
    tasks.push(task.catch((thrown) => stop.signal.aborted ? undefined : onEnd(thrown)));

  async function shutdown(deadlineMs: number): Promise<void> {
    stop.abort();
    const left = Promise.all([node.leave(), dedicated?.leave()]);
    await within(deadlineMs, left);
    node.abort("connection closed due to connection drain");
    dedicated?.abort("connection closed due to connection drain");
    await left;
    await Promise.all([...tasks, ...servers.map((server) => server.close())]);
    certificates.close();
    client.close?.();
    stdoutSink.undelay();
    await reactor.stop();
  }

  try {
    reactor.start();
    stdoutSink.delay((flush) => reactor.setTimer(LOG_DELAY_MS, flush));
    const dump = () =>
      configDump({
        state,
        certificates: certificates.dump(),
        config: { ...config, token: undefined },
        pods: node.states(),
      });
    const admin = adminHandler({ dump, levels: logger.levels, quit: () => onEnd() });
    const bound = [
      serve(config.adminAddress, admin),
      serve(config.statsAddress, statsHandler(registry)),
      serve(config.readinessAddress, readinessHandler(readiness)),
    ];
    if (workload) dedicated = new PodProxy(shared, workload, undefined);
    else run(runZds());
    const plan = workload ? undefined : certificates;
    const feed = new StateFeed(state, connections, plan, config.localNode);
    run(runDiscovery({ config, env, feed, logger, registry, signal: stop.signal, onSynced: synced }));
    proxying();
    return {
      readiness,
      ports: { admin: bound[0], stats: bound[1], readiness: bound[2] },
      node,
      shutdown,
    };
  } catch (thrown) {
    await shutdown(0);
    throw thrown;
  }

  function serve(address: string, handler: (request: Request) => Response): number {
    const server = serveHttp(address, handler);
    servers.push(server);
    return server.port;
  }

  function runZds(): Promise<void> {
    readiness.set("workload proxy manager", false);
    const options = { path: config.zdsPath, handler: node, logger: logger.child("inpod"), signal: stop.signal };
    return runZdsClient(options);
  }
}

/** Resolves when `work` has, or after `ms`. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([work, new Promise((resolve) => timer = setTimeout(resolve, ms))]);
  clearTimeout(timer);
}

/** Addresses of a host name by the system's resolver, for workloads that xDS knows by name only. */
async function resolveHost(hostname: string, family: 4 | 6 | undefined): Promise<string[]> {
  const types = family === 4 ? ["A"] as const : family === 6 ? ["AAAA"] as const : ["A", "AAAA"] as const;
  const answers = await Promise.allSettled(types.map((type) => Deno.resolveDns(hostname, type)));
  const found = answers.flatMap((answer) => answer.status === "fulfilled" ? answer.value : []);
  if (found.length > 0) return found;
  const problem = answers.find((answer) => answer.status === "rejected");
  throw new MeshError(
    "unknown_host",
    `cannot resolve "${hostname}": ${describeError(problem?.reason ?? "no address")}`,
  );
}
