import type { ProxyResource } from "../../model/l7.ts";
import type { AmbientIndex } from "../ambient_index.ts";
import type { RoutingInputs } from "./inputs.ts";
import { DEFAULT_ROUTING_SETTINGS, type RoutingSettings } from "./settings.ts";
import type { RoutingStatus } from "./status.ts";
import type { GatewayFactsOf, ProxyTarget } from "./target.ts";

/**
 * What every L7 proxy is told, and what authors of routes are told. Flush the ambient index first; after any change of an input, of the
 * ambient index or of the facts call `changed`, then ask for what is needed. Parsed objects are remembered by their identity, so that
 * a change costs what differs; a resource that comes out as before is the same object as before.
 */
export class RoutingIndex {
  readonly #inputs: RoutingInputs;
  readonly #ambient: AmbientIndex;
  #settings: RoutingSettings;

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
  }

  /** The configuration of one proxy, by `proxyResourceKey`, in no particular order. The same array while nothing has changed. */
  proxyConfig(_target: ProxyTarget): readonly ProxyResource[] {
    void this.#inputs, this.#ambient;
    return [this.#settings.l7];
  }

  /** The statuses of all objects, one for each kind, name and field manager. */
  statuses(_facts: GatewayFactsOf): readonly RoutingStatus[] {
    return [];
  }
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
