// One leader among replicas, by a Lease (client-go's leaderelection): the holder renews it; others take it when they have seen
// it unchanged for its whole duration, by their own clock.

import { sleep } from "../core/backoff.ts";
import { describeError } from "../core/errors.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { KubeClient } from "./client.ts";
import { isApiStatus } from "./errors.ts";
import { RESOURCES } from "./resources.ts";
import type { KubeObject } from "./types.ts";

export interface LeaderElectionOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** Who this is; a pod's name, so that a restarted container resumes at once. */
  readonly identity: string;
  readonly logger: Logger;
  /** Runs while this one leads; its signal aborts when leadership ends. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
  readonly timing?: Partial<LeaseTiming>;
  readonly now?: () => number;
}

/** Milliseconds; client-go's defaults. */
export interface LeaseTiming {
  /** Others wait this long for a sign of the holder. */
  readonly leaseMs: number;
  /** A holder that cannot renew for this long stops leading. */
  readonly renewMs: number;
  readonly retryMs: number;
}

const TIMING: LeaseTiming = { leaseMs: 15_000, renewMs: 10_000, retryMs: 2_000 };

/**
 * Clocks differ by less than this between machines. A Lease that ended longer ago by its own word is taken at once: a cluster that
 * was switched off has no leader to wait for.
 */
const CLOCK_SKEW_MS = 60_000;

interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/** Takes part in an election until stopped. */
export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #timing: LeaseTiming;
  readonly #now: () => number;
  readonly #stop = new AbortController();
  #done: Promise<void> | undefined;
  #leading = false;
  #lease: Lease | undefined;
  /** What the Lease said when it last changed, and when that was seen. */
  #seen = { record: "", at: 0 };

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#now = options.now ?? Date.now;
  }

  get leading(): boolean {
    return this.#leading;
  }

  start(): void {
    this.#done ??= this.#run(this.#stop.signal);
  }

  /** Leaves the election; a Lease that is held is given back, so that another can lead at once. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { retryMs, renewMs } = this.#timing;
    const { logger, name, identity } = this.#options;
    while (!signal.aborted) {
      if (await this.#try(signal) !== "held") {
        await sleep(retryMs * (1 + Math.random() * 0.2), signal);
        continue;
      }
      logger.info("leading", { lease: name, identity });
      this.#leading = true;
      const ended = new AbortController();
      const work = this.#options.lead(AbortSignal.any([ended.signal, signal])).catch((error) => {
        if (!signal.aborted && !ended.signal.aborted) {
          logger.error("leader's work failed", { error: describeError(error) });
        }
      });
      for (let renewedAt = this.#now(); !signal.aborted && this.#now() - renewedAt < renewMs;) {
        await sleep(retryMs, signal);
        const outcome = signal.aborted ? "failed" : await this.#try(signal);
        if (outcome === "held") renewedAt = this.#now();
        if (outcome === "taken") break;
      }
      this.#leading = false;
      ended.abort();
      await work;
      if (signal.aborted) await this.#release();
      else logger.warn("not leading any more", { lease: name, identity });
    }
  }

  /** Takes or renews the Lease: it is held now, another holds it, or that could not be found out. */
  async #try(signal: AbortSignal): Promise<"held" | "taken" | "failed"> {
    const { client, namespace, name, identity, logger } = this.#options;
    try {
      this.#lease ??= await client.get<Lease>(RESOURCES.leases, namespace, name, { signal });
      if (!this.#lease) {
        this.#lease = await client.create<Lease>(RESOURCES.leases, this.#record(undefined), { signal });
        return "held";
      }
      if (this.#heldByOther(this.#lease)) {
        this.#lease = undefined;
        return "taken";
      }
      this.#lease = await client.update<Lease>(RESOURCES.leases, this.#record(this.#lease), { signal });
      return "held";
    } catch (error) {
      this.#lease = undefined;
      // Another replica was quicker: that is what the Lease is for.
      if (!signal.aborted && !isApiStatus(error, 409)) {
        logger.debug("cannot take the lease", { lease: name, identity, error: describeError(error) });
      }
      return "failed";
    }
  }

  #heldByOther({ spec }: Lease): boolean {
    const holder = spec?.holderIdentity ?? "";
    if (holder === "" || holder === this.#options.identity) return false;
    const record = `${holder}|${spec?.renewTime}|${spec?.leaseTransitions}`, now = this.#now();
    if (record !== this.#seen.record) this.#seen = { record, at: now };
    const durationMs = (spec?.leaseDurationSeconds ?? 0) * 1000 || this.#timing.leaseMs;
    const renewedAt = Date.parse(spec?.renewTime ?? "");
    if (renewedAt + durationMs + CLOCK_SKEW_MS < now) return false;
    return now - this.#seen.at < durationMs;
  }

  #record(old: Lease | undefined): Lease {
    const { namespace, name, identity } = this.#options;
    const now = microTime(this.#now()), resumed = old?.spec?.holderIdentity === identity;
    return {
      ...old,
      metadata: old?.metadata ?? { namespace, name },
      spec: {
        ...old?.spec,
        holderIdentity: identity,
        leaseDurationSeconds: Math.max(1, Math.round(this.#timing.leaseMs / 1000)),
        acquireTime: resumed ? old?.spec?.acquireTime : now,
        renewTime: now,
        leaseTransitions: (old?.spec?.leaseTransitions ?? 0) + (old && !resumed ? 1 : 0),
      },
    };
  }

  async #release(): Promise<void> {
    if (!this.#lease) return;
    const { client, logger, name } = this.#options;
    try {
      const released = { ...this.#lease, spec: { ...this.#lease.spec, holderIdentity: "", leaseDurationSeconds: 1 } };
      await client.update(RESOURCES.leases, released, { signal: AbortSignal.timeout(2_000) });
    } catch (error) {
      logger.debug("cannot give the lease back", { lease: name, error: describeError(error) });
    }
  }
}

/** Kubernetes' MicroTime. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000Z");
}
