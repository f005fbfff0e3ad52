import type { Host } from "../host.ts";
import type { Balancer } from "./balancer.ts";

/** In turn, beginning anywhere. Hosts of equal weight. */
export class RoundRobin implements Balancer {
  readonly #hosts: readonly Host[];
  #next: number;

  constructor(hosts: readonly Host[], random: () => number) {
    this.#hosts = hosts;
    this.#next = Math.floor(random() * hosts.length);
  }

  choose(_hash: number): Host | null {
    const hosts = this.#hosts;
    if (hosts.length === 0) return null;
    if (this.#next >= hosts.length) this.#next = 0;
    return hosts[this.#next++];
  }
}

/** Any; weights do not count, as in Envoy. */
export class RandomChoice implements Balancer {
  readonly #hosts: readonly Host[];
  readonly #random: () => number;

  constructor(hosts: readonly Host[], random: () => number) {
    this.#hosts = hosts;
    this.#random = random;
  }

  choose(_hash: number): Host | null {
    const hosts = this.#hosts;
    return hosts.length === 0 ? null : hosts[Math.floor(this.#random() * hosts.length)];
  }
}

/** The less busy of two that are drawn (power of two choices). Hosts of equal weight. */
export class LeastRequest implements Balancer {
  readonly #hosts: readonly Host[];
  readonly #random: () => number;

  constructor(hosts: readonly Host[], random: () => number) {
    this.#hosts = hosts;
    this.#random = random;
  }

  choose(_hash: number): Host | null {
    const hosts = this.#hosts, size = hosts.length;
    if (size < 2) return size === 0 ? null : hosts[0];
    const first = Math.floor(this.#random() * size);
    let second = Math.floor(this.#random() * (size - 1));
    if (second >= first) second++;
    const a = hosts[first], b = hosts[second];
    return b.active < a.active ? b : a;
  }
}
