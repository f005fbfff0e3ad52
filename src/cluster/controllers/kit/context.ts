import type { Logger } from "../../../telemetry/logger.ts";
import type { ClusterApi, PodUsage, TokenIssuer } from "../../contracts.ts";
import type { Caches } from "./cache.ts";
import type { Clock } from "../../../core/clock.ts";
import type { EventRecorder } from "./events.ts";
import type { Runner } from "./runner.ts";

/** What every controller is made from. */
export interface ControllerContext {
  readonly api: ClusterApi;
  readonly caches: Caches;
  readonly runner: Runner;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  readonly tokens: TokenIssuer;
  /** PEM of the authority that signed the API server's certificate. */
  readonly caPem: string;
  /** What pods use; nothing until pods can run. */
  readonly usage: () => readonly PodUsage[];
}
