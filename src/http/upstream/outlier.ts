import type { Clock } from "../../core/clock.ts";
import type { OutlierDetection } from "../../model/mod.ts";
import type { Host } from "./host.ts";

/** Envoy's `max_ejection_time` when the base is shorter. */
const MAX_EJECTION_MS = 300_000;

/** What outlier detection remembers of a host. */
export class OutlierState {
  consecutive5xx = 0;
  consecutiveGateway = 0;
  consecutiveLocal = 0;
  /** How often it was ejected lately: ejections grow with it. */
  multiplier = 0;
  ejectedAt = 0;
}

/**
 * Passive health checks of one cluster's hosts, after Envoy: consecutive failures eject a host for the base time times the
 * number of its ejections; a sweep per interval lets hosts back in and forgives one ejection of each that behaved.
 */
export class OutlierDetector {
  #config: OutlierDetection;
  readonly #clock: Clock;
  readonly #hosts: () => Iterable<Host>;
  readonly #onChange: () => void;
  #cancel: (() => void) | null = null;
  #ejected = 0;
  /** Ejections so far, for metrics. */
  ejections = 0;

  /**
   * @param hosts all hosts of the cluster
   * @param onChange some host may be chosen that could not be, or the other way round
   */
  constructor(config: OutlierDetection, clock: Clock, hosts: () => Iterable<Host>, onChange: () => void) {
    this.#config = config;
    this.#clock = clock;
    this.#hosts = hosts;
    this.#onChange = onChange;
    this.#arm();
  }

  configure(config: OutlierDetection): void {
    const rearm = config.intervalMs !== this.#config.intervalMs;
    this.#config = config;
    if (rearm) this.#arm();
  }

  /** Hosts that are out at present. */
  get ejected(): number {
    return this.#ejected;
  }

  /** A host has answered with this status. */
  onStatus(host: Host, status: number): void {
    if (status < 500) {
      const state = host.outlier;
      if (state !== null) state.consecutive5xx = state.consecutiveGateway = 0;
      if (state !== null && !this.#config.splitExternalLocalOriginErrors) state.consecutiveLocal = 0;
      return;
    }
    const config = this.#config, state = host.outlier ??= new OutlierState();
    state.consecutive5xx++;
    if (status >= 502 && status <= 504) state.consecutiveGateway++;
    else state.consecutiveGateway = 0;
    if (config.consecutiveGatewayErrors > 0 && state.consecutiveGateway >= config.consecutiveGatewayErrors) {
      this.#eject(host, state);
    } else if (config.consecutive5xx > 0 && state.consecutive5xx >= config.consecutive5xx) {
      this.#eject(host, state);
    }
  }

  /** It could not be reached, or broke off before an answer, or took too long: counts as 503 (504) unless told apart. */
  onLocalFailure(host: Host, timedOut: boolean): void {
    const config = this.#config;
    if (!config.splitExternalLocalOriginErrors) return this.onStatus(host, timedOut ? 504 : 503);
    const state = host.outlier ??= new OutlierState();
    state.consecutiveLocal++;
    if (config.consecutiveLocalOriginFailures > 0 && state.consecutiveLocal >= config.consecutiveLocalOriginFailures) {
      this.#eject(host, state);
    }
  }

  /** A connection was made, or a request sent. */
  onLocalSuccess(host: Host): void {
    if (host.outlier !== null) host.outlier.consecutiveLocal = 0;
  }

  /** A host has left the cluster. */
  forget(host: Host): void {
    if (host.ejected) this.#ejected--;
    host.ejected = false;
  }

  #eject(host: Host, state: OutlierState): void {
    // Whatever comes of it, counting starts anew.
    state.consecutive5xx = state.consecutiveGateway = state.consecutiveLocal = 0;
    if (host.ejected || host.removed) return;
    let total = 0;
    for (const _ of this.#hosts()) total++;
    // At least one host may go, however small the share.
    const { maxEjectionPercent } = this.#config;
    if (maxEjectionPercent <= 0) return;
    if (this.#ejected > 0 && this.#ejected * 100 >= maxEjectionPercent * total) return;
    host.ejected = true;
    state.ejectedAt = this.#clock.now();
    state.multiplier++;
    this.#ejected++;
    this.ejections++;
    this.#onChange();
  }

  #arm(): void {
    this.#cancel?.();
    this.#cancel = this.#clock.timer(Math.max(1, this.#config.intervalMs), () => {
      this.#cancel = null;
      this.#arm();
      this.#sweep();
    });
  }

  #sweep(): void {
    const now = this.#clock.now(), { baseEjectionMs } = this.#config;
    const longest = Math.max(baseEjectionMs, MAX_EJECTION_MS);
    let changed = false;
    for (const host of this.#hosts()) {
      const state = host.outlier;
      if (state === null) continue;
      if (!host.ejected) {
        if (state.multiplier > 0) state.multiplier--;
        continue;
      }
      if (now - state.ejectedAt < Math.min(baseEjectionMs * state.multiplier, longest)) continue;
      host.ejected = false;
      host.since = -1;
      this.#ejected--;
      changed = true;
    }
    if (changed) this.#onChange();
  }

  /** Stops; everybody who is out may come back. */
  close(): void {
    this.#cancel?.();
    this.#cancel = null;
    for (const host of this.#hosts()) {
      host.ejected = false;
      host.outlier = null;
    }
    this.#ejected = 0;
  }
}
