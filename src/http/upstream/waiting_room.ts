import type { Timer } from "../../net/timers.ts";
import type { Attempt } from "./attempt.ts";
import type { Cluster } from "./cluster.ts";
import { upstreamError } from "./types.ts";

/** Requests for a destination whose host names are being resolved for the first time. */
export class WaitingRoom {
  readonly #cluster: Cluster;
  readonly #attempts = new Map<Attempt, Timer>();
  #resumes: (() => void)[] = [];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  admit(attempt: Attempt): void {
    const { breakers, counters, reactor, destination, name } = this.#cluster;
    if (breakers.pending >= breakers.maxPending) {
      counters.upstream_rq_pending_overflow++;
      return attempt.fail(upstreamError("overflow", `too many requests wait for "${name}"`));
    }
    breakers.pending++;
    attempt.await();
    const timer = reactor.setTimer(destination.limits.connectTimeoutMs, () => {
      this.forget(attempt);
      attempt.fail(
        upstreamError("no_healthy_upstream", `no healthy upstream for "${name}": names are not resolved yet`),
      );
    });
    this.#attempts.set(attempt, timer);
  }

  forget(attempt: Attempt): void {
    const timer = this.#attempts.get(attempt);
    if (!timer) return;
    timer.cancel();
    this.#attempts.delete(attempt);
    this.#cluster.breakers.pending--;
  }

  /** Calls back once names are resolved (or the cluster has gone). */
  whenResolved(resume: () => void): void {
    this.#resumes.push(resume);
  }

  /** Names are resolved, or will not be: everybody tries again. */
  onResolved(): void {
    if (this.#cluster.unresolved) return;
    for (const attempt of [...this.#attempts.keys()]) {
      this.forget(attempt);
      this.#cluster.dispatch(attempt);
    }
    for (const resume of this.#resumes.splice(0)) resume();
  }
}
