import type { Logger } from "../../telemetry/logger.ts";
import type { ClusterApi, TokenIssuer } from "../contracts.ts";
import { startDeployments } from "./deployment/controller.ts";
import { Caches } from "./kit/cache.ts";
import { type Clock, systemClock } from "./kit/clock.ts";
import type { ControllerContext } from "./kit/context.ts";
import { EventRecorder } from "./kit/events.ts";
import { Runner } from "./kit/runner.ts";
import { startReplicaSets } from "./replicaset.ts";

/** What the controllers act on. */
export interface ControllerOptions {
  api: ClusterApi;
  tokens: TokenIssuer;
  /** PEM of the authority that signed the API server's certificate, for `kube-root-ca.crt` and token Secrets. */
  caPem: string;
  log: Logger;
  clock?: Clock;
  /** Aborted to stop; the returned function does the same and can be waited for. */
  signal?: AbortSignal;
}

/** Starts all controllers. The returned function stops them and resolves when the last reconcile has returned. */
export function startControllers(options: ControllerOptions): () => Promise<void> {
  const { api, tokens, caPem, log, clock = systemClock, signal } = options;
  const caches = new Caches(api);
  const runner = new Runner(clock, log);
  const events = new EventRecorder({ api, clock, runner, caches });
  const context: ControllerContext = { api, caches, runner, events, clock, log, tokens, caPem };
  startDeployments(context);
  startReplicaSets(context);
  caches.start();
  const stop = async () => {
    caches.stop();
    await runner.stop();
  };
  signal?.addEventListener("abort", () => void stop(), { once: true });
  return stop;
}
