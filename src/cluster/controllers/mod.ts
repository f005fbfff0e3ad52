import type { Logger } from "../../telemetry/logger.ts";
import type { ClusterApi, PodUsage, TokenIssuer } from "../contracts.ts";
import { startAutoscalers } from "./autoscaler/controller.ts";
import { bootstrap } from "./bootstrap.ts";
import { startDaemonSets } from "./daemonset.ts";
import { startDeployments } from "./deployment/controller.ts";
import { startDisruptionBudgets } from "./disruption.ts";
import { startEndpoints } from "./endpoints/controller.ts";
import { startGarbageCollector } from "./garbage/controller.ts";
import { startJobs } from "./job/controller.ts";
import { startCronJobs } from "./job/cronjob.ts";
import { Caches } from "./kit/cache.ts";
import { type Clock, systemClock } from "../../core/clock.ts";
import type { ControllerContext } from "./kit/context.ts";
import { EventRecorder } from "./kit/events.ts";
import { Runner } from "./kit/runner.ts";
import { startLoadBalancers } from "./load_balancer.ts";
import { startNamespaces } from "./namespaces.ts";
import { startTaintEviction } from "./nodes/eviction.ts";
import { startNodeLifecycle } from "./nodes/lifecycle.ts";
import { startPodGarbage } from "./nodes/pod_gc.ts";
import { startReplicaSets } from "./replicaset.ts";
import { startScheduler } from "./scheduler/controller.ts";
import { startServiceAccounts } from "./service_accounts.ts";
import { startStatefulSets } from "./statefulset.ts";
import { startVolumeClaims } from "./volume_claims.ts";

/** What the controllers act on. */
export interface ControllerOptions {
  api: ClusterApi;
  tokens: TokenIssuer;
  /** PEM of the authority that signed the API server's certificate, for `kube-root-ca.crt` and token Secrets. */
  caPem: string;
  log: Logger;
  /** What pods use, for autoscalers. */
  usage?: () => readonly PodUsage[];
  clock?: Clock;
  /** Aborted to stop; {@linkcode Controllers.stop} does the same and can be waited for. */
  signal?: AbortSignal;
}

/** The controllers of a cluster at work. */
export interface Controllers {
  /** Ends all work; resolves when the last reconcile has returned. */
  stop(): Promise<void>;
  /** Resolves when nothing is left to do at this moment; what waits for a time does not count. */
  idle(): Promise<void>;
}

/** The order in which the queues take turns: first those that lead from a Deployment to a bound pod. */
const CONTROLLERS: readonly ((context: ControllerContext) => void)[] = [
  startServiceAccounts,
  startDeployments,
  startDaemonSets,
  startReplicaSets,
  startStatefulSets,
  startScheduler,
  startEndpoints,
  startLoadBalancers,
  startVolumeClaims,
  startJobs,
  startCronJobs,
  startNamespaces,
  startGarbageCollector,
  startNodeLifecycle,
  startTaintEviction,
  startPodGarbage,
  startDisruptionBudgets,
  startAutoscalers,
];

/** Makes the Service of the cluster's DNS and runs all controllers. */
export function runControllers(options: ControllerOptions): Controllers {
  const { api, tokens, caPem, log, usage = () => [], clock = systemClock, signal } = options;
  bootstrap(api);
  const caches = new Caches(api);
  const runner = new Runner(clock, log);
  const events = new EventRecorder({ api, clock, runner, caches });
  const context: ControllerContext = { api, caches, runner, events, clock, log, tokens, caPem, usage };
  for (const start of CONTROLLERS) start(context);
  caches.start();
  const stop = async () => {
    signal?.removeEventListener("abort", stop);
    caches.stop();
    await runner.stop();
  };
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) void stop();
  return { stop, idle: () => runner.idle() };
}

/** {@linkcode runControllers} for callers that only need to stop them: returns the function that does. */
export function startControllers(options: ControllerOptions): () => Promise<void> {
  return runControllers(options).stop;
}
