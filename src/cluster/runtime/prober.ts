import { probe, type ProbeTarget } from "./probes.ts";

export type ProbeKind = "Startup" | "Readiness" | "Liveness";

export interface ProbeEvents {
  started(value: boolean): void;
  ready(value: boolean): void;
  unhealthy(kind: ProbeKind, message: string): void;
  /** The container has to be restarted. */
  fatal(kind: "startup" | "liveness"): void;
}

/** Until a probe succeeds for the first time it is repeated this soon, growing up to its own period. */
const EAGER_MS = 50;

/**
 * Runs the probes of one start of a container. While a container is coming up, startup and readiness are tried more often
 * than their period says, so that a pod is ready when it is and not up to ten seconds later; failures of those extra tries
 * do not count.
 */
export class Prober {
  readonly #events: ProbeEvents;
  readonly #target: ProbeTarget;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #stopped = false;

  constructor(container: any, target: ProbeTarget, events: ProbeEvents) {
    this.#events = events;
    this.#target = target;
    const rest = () => {
      if (container.readinessProbe) this.#readiness(container.readinessProbe);
      if (container.livenessProbe) this.#liveness(container.livenessProbe);
    };
    if (container.startupProbe) this.#startup(container.startupProbe, rest);
    else rest();
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #after(ms: number, action: () => void): void {
    if (this.#stopped) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }

  #startup(spec: any, passed: () => void): void {
    const eager = eagerSteps(spec);
    let failures = 0;
    const attempt = async () => {
      const result = await probe(spec, this.#target);
      if (this.#stopped) return;
      if (result.ok) {
        this.#events.started(true);
        return passed();
      }
      const { wait, counted } = eager();
      if (counted) {
        this.#events.unhealthy("Startup", result.message);
        if (++failures >= (spec.failureThreshold ?? 3)) return this.#events.fatal("startup");
      }
      this.#after(wait, attempt);
    };
    this.#after((spec.initialDelaySeconds ?? 0) * 1000, attempt);
  }

  #readiness(spec: any): void {
    const periodMs = (spec.periodSeconds ?? 10) * 1000, eager = eagerSteps(spec);
    let ready = false, failures = 0, successes = 0;
    const attempt = async () => {
      const result = await probe(spec, this.#target);
      if (this.#stopped) return;
      if (result.ok) {
        failures = 0;
        if (++successes >= (spec.successThreshold ?? 1) && !ready) this.#events.ready(ready = true);
        return this.#after(ready ? periodMs : eager().wait, attempt);
      }
      successes = 0;
      const step = ready ? { wait: periodMs, counted: true } : eager();
      if (step.counted) this.#events.unhealthy("Readiness", result.message);
      if (++failures >= (spec.failureThreshold ?? 3) && ready) this.#events.ready(ready = false);
      this.#after(step.wait, attempt);
    };
    // Being ready early harms nobody, so the initial delay bounds only when failures begin to count.
    this.#after(0, attempt);
  }

  #liveness(spec: any): void {
    const periodMs = (spec.periodSeconds ?? 10) * 1000;
    let failures = 0;
    const attempt = async () => {
      const result = await probe(spec, this.#target);
      if (this.#stopped) return;
      if (result.ok) failures = 0;
      else {
        this.#events.unhealthy("Liveness", result.message);
        if (++failures >= (spec.failureThreshold ?? 3)) return this.#events.fatal("liveness");
      }
      this.#after(periodMs, attempt);
    };
    this.#after((spec.initialDelaySeconds ?? 0) * 1000, attempt);
  }
}

/** Waits that grow from {@linkcode EAGER_MS} to the period; a failure counts once a period has gone by. */
function eagerSteps(spec: any): () => { wait: number; counted: boolean } {
  const periodMs = (spec.periodSeconds ?? 10) * 1000;
  let counts = Date.now() + (spec.initialDelaySeconds ?? 0) * 1000, wait = EAGER_MS;
  return () => {
    const counted = Date.now() >= counts;
    if (counted) counts = Date.now() + periodMs;
    const current = wait;
    wait = Math.min(wait * 1.5, periodMs, 250);
    return { wait: current, counted };
  };
}
