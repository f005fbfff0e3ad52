import type { Reactor } from "../../../net/mod.ts";
import type { Host } from "../host.ts";
import { type Balancer, warmWeight } from "./balancer.ts";

/**
 * Earliest deadline first: a host that was chosen is due again after 1 / weight, so that choices are spread smoothly in
 * proportion to weights. For round robin with weights, and for least request, where a host's weight is divided by one more than
 * its requests under way (Envoy's formula with its bias of 1). A choice costs O(log n).
 */
export class EdfBalancer implements Balancer {
  readonly #reactor: Pick<Reactor, "now">;
  readonly #warmupMs: number;
  readonly #byLoad: boolean;
  /** A binary heap by deadline. */
  readonly #hosts: Host[];
  readonly #deadlines: Float64Array;

  constructor(
    hosts: readonly Host[],
    reactor: Pick<Reactor, "now">,
    random: () => number,
    warmupMs: number,
    byLoad: boolean,
  ) {
    this.#reactor = reactor;
    this.#warmupMs = warmupMs;
    this.#byLoad = byLoad;
    // Begun at random places of their first period, or every proxy would begin with the same host.
    const due = hosts.map((host) => ({ host, at: random() / this.#weight(host) })).sort((a, b) => a.at - b.at);
    this.#hosts = due.map(({ host }) => host);
    this.#deadlines = Float64Array.from(due, ({ at }) => at);
  }

  choose(_hash: number): Host | null {
    const hosts = this.#hosts, deadlines = this.#deadlines, size = hosts.length;
    if (size === 0) return null;
    const chosen = hosts[0];
    const deadline = deadlines[0] + 1 / this.#weight(chosen);
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && deadlines[child + 1] < deadlines[child]) child++;
      if (deadlines[child] >= deadline) break;
      hosts[at] = hosts[child];
      deadlines[at] = deadlines[child];
      at = child;
    }
    hosts[at] = chosen;
    deadlines[at] = deadline;
    return chosen;
  }

  #weight(host: Host): number {
    const weight = warmWeight(host, this.#reactor.now, this.#warmupMs);
    return this.#byLoad ? weight / (host.active + 1) : weight;
  }
}
