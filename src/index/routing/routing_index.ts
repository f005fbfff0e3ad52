import type { ProxyResource } from "../../model/l7.ts";
import { proxyResourceKey } from "../../model/l7.ts";
import type { AmbientIndex } from "../ambient_index.ts";
import { sameValue } from "../equal.ts";
import { gatewayConfig } from "./gateway_proxy.ts";
import type { RoutingInputs } from "./inputs.ts";
import { DEFAULT_ROUTING_SETTINGS, type RoutingSettings } from "./settings.ts";
import { type RoutingStatus, routingStatusKey } from "./status.ts";
import { buildStatuses } from "./statuses/build.ts";
import { type GatewayFactsOf, type ProxyTarget, targetKey } from "./target.ts";
import { waypointConfig } from "./waypoint_proxy.ts";
import { World } from "./world.ts";

interface Known<T> {
  readonly byKey: ReadonlyMap<string, T>;
  readonly all: readonly T[];
  /** The state of the world that it was computed for. */
  readonly version: number;
}

/** Changes after which a proxy that nobody asks about is forgotten. */
const FORGET_AFTER = 256;

/**
 * What every L7 proxy is told, and what authors of routes are told. Flush the ambient index first; after any change of an input, of the
 * ambient index or of the facts call `changed`, then ask for what is needed. Parsed objects are remembered by their identity, so that
 * a change costs what differs; a resource that comes out as before is the same object as before.
 */
export class RoutingIndex {
  readonly #inputs: RoutingInputs;
  readonly #ambient: AmbientIndex;
  readonly #configs = new Map<string, Known<ProxyResource>>();
  #statuses: Known<RoutingStatus> | undefined;
  #settings: RoutingSettings;
  #world: World | undefined;
  #version = 0;

  constructor(inputs: RoutingInputs, ambient: AmbientIndex, settings: RoutingSettings = DEFAULT_ROUTING_SETTINGS) {
    this.#inputs = inputs;
    this.#ambient = ambient;
    this.#settings = settings;
  }

  configure(settings: RoutingSettings): void {
    this.#settings = settings;
    this.changed();
  }

  /** Something changed: the next answers are computed anew. */
  changed(): void {
    this.#world = undefined;
    this.#version++;
    // Who has not been asked about for so long is gone.
    if (this.#version % FORGET_AFTER !== 0) return;
    for (const [key, { version }] of this.#configs) {
      if (version < this.#version - FORGET_AFTER) this.#configs.delete(key);
    }
  }

  /** The configuration of one proxy, sorted by key. The same array while nothing of it has changed. */
  proxyConfig(target: ProxyTarget): readonly ProxyResource[] {
    const key = targetKey(target), known = this.#configs.get(key);
    if (known?.version === this.#version) return known.all;
    const built = target.kind === "waypoint" ? waypointConfig(this.#now, target) : gatewayConfig(this.#now, target);
    const next = keep(known, [this.#settings.l7, ...built], proxyResourceKey, this.#version);
    this.#configs.set(key, next);
    return next.all;
  }

  /** The statuses of all objects, one for each kind, name and field manager; the same objects where nothing has changed. */
  statuses(facts: GatewayFactsOf): readonly RoutingStatus[] {
    const built = buildStatuses(this.#now, facts);
    this.#statuses = keep(
      this.#statuses,
      built,
      (one) => `${routingStatusKey(one)}/${one.fieldManager}`,
      this.#version,
    );
    return this.#statuses.all;
  }

  get #now(): World {
    return this.#world ??= new World(this.#inputs, this.#ambient, this.#settings);
  }
}

/** Puts former objects in the place of new ones that say the same. */
function keep<T>(old: Known<T> | undefined, built: readonly T[], keyOf: (one: T) => string, version: number): Known<T> {
  const byKey = new Map<string, T>();
  for (const one of built) {
    const key = keyOf(one), former = old?.byKey.get(key);
    byKey.set(key, former !== undefined && sameValue(former, one) ? former : one);
  }
  const all = [...byKey.entries()].sort(([a], [b]) => a < b ? -1 : 1).map(([, one]) => one);
  const same = old && old.all.length === all.length && all.every((one, i) => one === old.all[i]);
  return { byKey, all: same ? old.all : all, version };
}

/** {@linkcode RoutingIndex.proxyConfig}, once. */
export function buildProxyConfig(
  inputs: RoutingInputs,
  ambient: AmbientIndex,
  target: ProxyTarget,
  settings?: RoutingSettings,
): readonly ProxyResource[] {
  return new RoutingIndex(inputs, ambient, settings).proxyConfig(target);
}

/** {@linkcode RoutingIndex.statuses}, once. */
export function buildRoutingStatuses(
  inputs: RoutingInputs,
  ambient: AmbientIndex,
  facts: GatewayFactsOf,
  settings?: RoutingSettings,
): readonly RoutingStatus[] {
  return new RoutingIndex(inputs, ambient, settings).statuses(facts);
}
