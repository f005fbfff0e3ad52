/** Load balancing: one class per way of choosing a host. */
import type { LoadBalancer } from "../../../model/mod.ts";
import type { Reactor } from "../../../net/mod.ts";
import type { Host } from "../host.ts";
import { type Balancer, uniform } from "./balancer.ts";
import { EdfBalancer } from "./edf.ts";
import { Maglev } from "./maglev.ts";
import { RingHash } from "./ring_hash.ts";
import { LeastRequest, RandomChoice, RoundRobin } from "./simple.ts";

export type { Balancer } from "./balancer.ts";
export { hashText, mix } from "./hash.ts";

/** The balancer that a configuration asks for, over hosts that may all be chosen. */
export function balancerFor(
  config: LoadBalancer,
  hosts: readonly Host[],
  reactor: Pick<Reactor, "now">,
  random: () => number,
): Balancer {
  const warmupMs = config.warmupMs ?? 0;
  switch (config.policy) {
    case "CONSISTENT_HASH": {
      const size = config.hash?.size ?? 0;
      return config.hash?.algorithm === "MAGLEV" ? new Maglev(hosts, size) : new RingHash(hosts, size);
    }
    case "RANDOM":
      return new RandomChoice(hosts, random);
    case "ROUND_ROBIN":
      return uniform(hosts, reactor.now, warmupMs)
        ? new RoundRobin(hosts, random)
        : new EdfBalancer(hosts, reactor, random, warmupMs, false);
    case "LEAST_REQUEST":
    case "PASSTHROUGH":
      return uniform(hosts, reactor.now, warmupMs)
        ? new LeastRequest(hosts, random)
        : new EdfBalancer(hosts, reactor, random, warmupMs, true);
  }
}
