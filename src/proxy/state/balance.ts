import type { LoadBalancing, Locality, RoutingScope, Workload } from "../../model/mod.ts";

const NOWHERE: Locality = { region: "", zone: "", subzone: "" };

/** Where a workload is, in one respect; "" when that is not known. */
export function scopeOf(scope: RoutingScope, { locality = NOWHERE, node, clusterId, network }: Workload): string {
  switch (scope) {
    case "REGION":
      return locality.region;
    case "ZONE":
      return locality.zone;
    case "SUBZONE":
      return locality.subzone;
    case "NODE":
      return node;
    case "CLUSTER":
      return clusterId;
    case "NETWORK":
      return network;
  }
}

function sameScope(scope: RoutingScope, a: Workload, b: Workload): boolean {
  return scopeOf(scope, a) === scopeOf(scope, b);
}

/**
 * How many leading scopes `candidate` shares with `source`. A first scope NETWORK outweighs all the others together
 * and does not end the count when it differs, so that remote endpoints are ordered among themselves.
 */
export function localityRank(preference: readonly RoutingScope[], source: Workload, candidate: Workload): number {
  let rank = 0;
  for (const [i, scope] of preference.entries()) {
    const networkFirst = i === 0 && scope === "NETWORK";
    if (sameScope(scope, source, candidate)) rank += networkFirst ? preference.length : 1;
    else if (!networkFirst) break;
  }
  return rank;
}

/** Those among `candidates` that the service's load balancing lets `source` use. */
export function eligible<C extends { readonly workload: Workload }>(
  candidates: readonly C[],
  balancing: LoadBalancing | undefined,
  source: Workload,
): readonly C[] {
  const preference = balancing?.routingPreference ?? [];
  if (balancing?.mode === "STRICT") {
    return candidates.filter((one) => preference.every((scope) => sameScope(scope, source, one.workload)));
  }
  if (balancing?.mode === "FAILOVER") {
    let top = -1;
    const ranks = candidates.map((one) => {
      const rank = localityRank(preference, source, one.workload);
      top = Math.max(top, rank);
      return rank;
    });
    return candidates.filter((_, i) => ranks[i] === top);
  }
  return candidates;
}

/**
 * One of `items`, at random in proportion to its weight.
 *
 * @param random returns a number from 0 up to but not including 1
 * @returns undefined when every weight is 0
 */
export function weightedPick<T>(
  items: readonly T[],
  weight: (item: T) => number,
  random: () => number,
): T | undefined {
  if (items.length === 1) return weight(items[0]) > 0 ? items[0] : undefined;
  const total = items.reduce((sum, item) => sum + weight(item), 0);
  if (total <= 0) return undefined;
  let left = random() * total;
  for (const item of items) {
    left -= weight(item);
    if (left < 0) return item;
  }
  return items.findLast((item) => weight(item) > 0);
}
