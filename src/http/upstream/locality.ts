// Which hosts are near: priorities and weights by locality, as pure functions.

import type { LoadBalancing, Locality, LocalityBalancing, Workload } from "../../model/mod.ts";
import { eligible, localityRank, scopeOf } from "../../proxy/state/mod.ts";
import type { HostSpec } from "./host.ts";

/** Where a host stands: its priority (0 first), and under `distribute` the index of the locality rule it falls under. */
export interface Placement {
  readonly priority: number;
  readonly rule: number;
}

/** How hosts are divided: `weights` by rule when traffic is distributed by locality, else undefined. */
export interface Placements {
  /** By host, in order; undefined for hosts that get nothing. */
  readonly of: readonly (Placement | undefined)[];
  readonly weights: readonly number[] | undefined;
}

const EVERYWHERE: Placement = { priority: 0, rule: 0 };

/**
 * Divides hosts: by the weights of the destination's `distribute`, else in the order that the service prefers (`trafficDistribution`)
 * unless the destination names regions or priorities to fail over by, else by distance where failover is on.
 *
 * @param self our own workload; undefined when it is not known (yet): all are equally near
 */
export function place(
  specs: readonly HostSpec[],
  setting: LocalityBalancing | undefined,
  service: LoadBalancing | undefined,
  self: Workload | undefined,
): Placements {
  const own = self?.locality;
  const rule = own && setting?.distribute.find(({ from }) => covers(from, own));
  if (rule) return distribute(specs, rule.to);
  if (self && setting?.failoverEnabled && setting.priorities) return byPriorities(specs, setting.priorities, self);
  const ordered = setting === undefined || setting.failover.length === 0;
  if (self && ordered && service && service.routingPreference.length > 0) return byPreference(specs, service, self);
  if (own && setting?.failoverEnabled) return byDistance(specs, setting, own);
  return { of: specs.map(() => EVERYWHERE), weights: undefined };
}

/** Whether `pattern` (`region/zone/subzone`, where `*` or nothing stands for any) covers a locality. */
export function covers(pattern: string, locality: Locality): boolean {
  const parts = pattern.split("/");
  const own = [locality.region, locality.zone, locality.subzone];
  return parts.every((part, i) => part === "*" || part === "" || part === own[i]);
}

/** The more parts a pattern names, the closer it describes. */
function precision(pattern: string): number {
  return pattern.split("/").filter((part) => part !== "*" && part !== "").length;
}

function distribute(specs: readonly HostSpec[], to: Readonly<Record<string, number>>): Placements {
  const rules = Object.entries(to);
  return {
    of: specs.map(({ locality }) => {
      let best = -1;
      rules.forEach(([pattern], i) => {
        if (!locality || !covers(pattern, locality)) return;
        if (best < 0 || precision(pattern) > precision(rules[best][0])) best = i;
      });
      return best < 0 ? undefined : { priority: 0, rule: best };
    }),
    weights: rules.map(([, weight]) => weight),
  };
}

/** Istio's ladder: same subzone, zone, region, then the region that `failover` names, then all others. */
function byDistance(specs: readonly HostSpec[], setting: LocalityBalancing, own: Locality): Placements {
  const next = setting.failover.find(({ from }) => from === own.region)?.to;
  const distances = specs.map(({ locality }) => {
    if (locality === undefined || locality.region !== own.region) {
      if (next === undefined) return 3;
      return locality?.region === next ? 3 : 4;
    }
    if (locality.zone !== own.zone) return 2;
    return locality.subzone === own.subzone ? 0 : 1;
  });
  return { of: dense(distances), weights: undefined };
}

function byPreference(specs: readonly HostSpec[], service: LoadBalancing, self: Workload): Placements {
  const known = specs.map((spec) => spec.workload);
  if (service.mode === "FAILOVER") {
    const { routingPreference } = service;
    const ranks = known.map((workload) => workload ? -localityRank(routingPreference, self, workload) : 1);
    return { of: dense(ranks), weights: undefined };
  }
  if (service.mode === "STRICT") {
    const of = known.map((workload) =>
      workload && eligible([{ workload }], service, self).length > 0 ? EVERYWHERE : undefined
    );
    return { of, weights: undefined };
  }
  return { of: specs.map(() => EVERYWHERE), weights: undefined };
}

/** By how many of the leading priorities a host shares with us; one that the mesh does not know shares none. */
function byPriorities(
  specs: readonly HostSpec[],
  priorities: NonNullable<LocalityBalancing["priorities"]>,
  self: Workload,
): Placements {
  const missing = specs.map(({ workload }) => {
    const shared = workload === undefined
      ? 0
      : priorities.findIndex(({ scope, value }) => scopeOf(scope, workload) !== (value ?? scopeOf(scope, self)));
    return shared < 0 ? 0 : priorities.length - shared;
  });
  return { of: dense(missing), weights: undefined };
}

/** Priorities 0, 1, 2, … in the order of the distances that occur. */
function dense(distances: readonly number[]): Placement[] {
  const steps = [...new Set(distances)].sort((a, b) => a - b);
  return distances.map((distance) => ({ priority: steps.indexOf(distance), rule: 0 }));
}
