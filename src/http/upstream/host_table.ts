import type { LoadBalancer } from "../../model/mod.ts";
import type { Reactor } from "../../net/mod.ts";
import { type Balancer, balancerFor, mix } from "./balancer/mod.ts";
import type { Host } from "./host.ts";

/** What a host is worth beyond its own share when others of its priority fail: Envoy's overprovisioning factor. */
const OVERPROVISIONING = 1.4;

/** A host and where it stands. */
export interface PlacedHost {
  readonly host: Host;
  readonly priority: number;
  readonly rule: number;
}

/** Hosts of one priority: one balancer, or one per locality rule, drawn by weight. */
interface Level {
  readonly balancers: readonly Balancer[];
  /** Cumulated weights of the balancers. */
  readonly weights: Float64Array;
  /** Share of the traffic, in percent. */
  load: number;
}

/**
 * Who may be chosen now, ready for choosing: priorities with their loads, localities with their weights, a balancer for each.
 * Immutable; the cluster makes a new one, at the next choice, when a host came, went, fell ill or recovered.
 */
export class HostTable {
  readonly #levels: readonly Level[];
  readonly #random: () => number;
  /** The hash decides everything: the same client keeps its host. */
  readonly #sticky: boolean;
  /** The usual case: one priority, one locality. */
  readonly #only: Balancer | null;
  /** Hosts that may be chosen (in a panic: all of them). */
  readonly size: number;
  /** Levels whose health is so low that everyone is used. */
  readonly panicking: number;

  /**
   * @param weights by rule, when traffic is distributed by locality
   * @param panicPercent below this share of healthy hosts all of a priority are used; 0: never
   */
  constructor(
    placed: readonly PlacedHost[],
    config: LoadBalancer,
    weights: readonly number[] | undefined,
    panicPercent: number,
    reactor: Pick<Reactor, "now">,
    random: () => number,
  ) {
    this.#random = random;
    this.#sticky = config.policy === "CONSISTENT_HASH";
    const byPriority: PlacedHost[][] = [];
    for (const one of placed) (byPriority[one.priority] ??= []).push(one);
    const health: number[] = [];
    for (let i = 0; i < byPriority.length; i++) {
      const hosts = byPriority[i] ??= [];
      const healthy = hosts.reduce((count, { host }) => count + (host.available ? 1 : 0), 0);
      health.push(hosts.length === 0 ? 0 : Math.min(100, OVERPROVISIONING * 100 * healthy / hosts.length));
    }
    const total = Math.min(100, health.reduce((sum, one) => sum + one, 0));
    let size = 0, panicking = 0, left = 100;
    const levels = byPriority.map((hosts, i): Level => {
      const healthy = hosts.filter(({ host }) => host.available);
      const panic = total < 100 && hosts.length > 0 && healthy.length * 100 < panicPercent * hosts.length;
      if (panic) panicking++;
      const usable = panic ? hosts : healthy;
      size += usable.length;
      const load = total === 0 ? 0 : Math.min(left, health[i] * 100 / total);
      left -= load;
      return { ...groups(hosts, usable, weights, (some) => balancerFor(config, some, reactor, random)), load };
    });
    // Rounding leaves something over; when nobody is healthy but some are panicking, the first of those takes everything.
    const rest = levels.find((level) => level.load > 0) ?? levels.find((level) => level.balancers.length > 0);
    if (rest) rest.load += left;
    this.#levels = levels;
    this.size = size;
    this.panicking = panicking;
    this.#only = levels.length === 1 && levels[0].balancers.length === 1 ? levels[0].balancers[0] : null;
  }

  /** @param avoid priorities that should not be used if another one can be, as bits */
  choose(hash: number, avoid: number): Host | null {
    if (this.#only !== null) return this.#only.choose(hash);
    const level = this.#level(hash, avoid);
    if (level === null || level.balancers.length === 0) return null;
    if (level.balancers.length === 1) return level.balancers[0].choose(hash);
    const { weights } = level;
    const drawn = this.#draw(hash, 1) * weights[weights.length - 1];
    let at = 0;
    while (at < weights.length - 1 && drawn >= weights[at]) at++;
    return level.balancers[at].choose(hash);
  }

  /** A number from 0 up to 1, from the hash where that decides; `salt` keeps the draws of one choice apart. */
  #draw(hash: number, salt: number): number {
    return this.#sticky ? mix(hash ^ Math.imul(salt + 1, 0x9e3779b1)) / 2 ** 32 : this.#random();
  }

  #level(hash: number, avoid: number): Level | null {
    const levels = this.#levels;
    let drawn = this.#draw(hash, 0) * 100;
    let fallback: Level | null = null;
    for (let i = 0; i < levels.length; i++) {
      const level = levels[i];
      if (avoid !== 0 && (avoid & (1 << i)) === 0 && level.balancers.length > 0) return level;
      if (fallback === null && level.load > 0 && drawn < level.load) fallback = level;
      drawn -= level.load;
    }
    return fallback ?? levels.find((level) => level.load > 0) ?? null;
  }
}

/** Balancers by locality rule with their cumulated weights; localities that lost hosts lose weight. */
function groups(
  all: readonly PlacedHost[],
  usable: readonly PlacedHost[],
  weights: readonly number[] | undefined,
  make: (hosts: readonly Host[]) => Balancer,
): Pick<Level, "balancers" | "weights"> {
  if (usable.length === 0) return { balancers: [], weights: new Float64Array(0) };
  if (weights === undefined) {
    return { balancers: [make(usable.map(({ host }) => host))], weights: Float64Array.of(1) };
  }
  const balancers: Balancer[] = [], cumulated: number[] = [];
  let sum = 0;
  weights.forEach((weight, rule) => {
    const here = usable.filter((one) => one.rule === rule);
    const total = all.reduce((count, one) => count + (one.rule === rule ? 1 : 0), 0);
    if (here.length === 0 || weight <= 0) return;
    sum += weight * Math.min(1, OVERPROVISIONING * here.length / total);
    balancers.push(make(here.map(({ host }) => host)));
    cumulated.push(sum);
  });
  return { balancers, weights: Float64Array.from(cumulated) };
}
