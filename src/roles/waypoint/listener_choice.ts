// Which of the listeners that share a port a connection or request is for, by server name or Host.

import type { ListenerSlot } from "../../http/exchange/mod.ts";
import { HostTable } from "../../http/match/mod.ts";
import type { L7Listener } from "../../model/mod.ts";

/**
 * Listeners of one port and one protocol. The names of listeners decide first, the closest wins; among listeners of the same name (several
 * Istio Gateways on one port) the one that has a virtual host for the host.
 */
export class ListenerChoice {
  readonly #table = new HostTable<ListenerSlot[]>();
  /** The one that takes every host, where no host has to be looked at. */
  readonly only: ListenerSlot | null;
  readonly slots: readonly ListenerSlot[];

  constructor(slots: readonly ListenerSlot[]) {
    this.slots = slots;
    const [first] = slots;
    const anyName = (slot: ListenerSlot) => slot.current?.config.hostnames.includes("*") ?? false;
    this.only = slots.length === 1 && anyName(first) ? first : null;
    const byName = new Map<string, ListenerSlot[]>();
    for (const slot of slots) {
      for (const name of slot.current?.config.hostnames ?? []) {
        const known = byName.get(name.toLowerCase());
        if (known) known.push(slot);
        else byName.set(name.toLowerCase(), [slot]);
      }
    }
    for (const [name, group] of byName) this.#table.add(name, group);
  }

  /** @param host lower case, without port; null when no listener takes it */
  find(host: string): ListenerSlot | null {
    if (this.only !== null) return this.only;
    const group = this.#table.find(host);
    if (group === null) return null;
    if (group.length > 1) {
      for (const slot of group) if (slot.current?.hosts.find(host)) return slot;
    }
    return group[0];
  }
}

/** What a gateway does with the connections of one port. */
export interface PortPlan {
  /** Chosen by SNI: HTTPS, passthrough, terminated TCP. */
  readonly tls: ListenerChoice | null;
  /** Chosen by Host. */
  readonly http: ListenerChoice | null;
  /** Bytes, or whatever the first bytes look like (AUTO). */
  readonly raw: ListenerSlot | null;
}

const usesTls = ({ protocol, tls }: L7Listener) =>
  protocol === "HTTPS" || protocol === "TLS_PASSTHROUGH" || tls !== undefined;

/** Ports that a gateway should have open. */
export function portPlans(slots: Iterable<ListenerSlot>): Map<number, PortPlan> {
  const byPort = new Map<number, { tls: ListenerSlot[]; http: ListenerSlot[]; raw: ListenerSlot[] }>();
  for (const slot of slots) {
    const config = slot.current?.config;
    if (config?.binding.kind !== "port") continue;
    const { port } = config.binding;
    let found = byPort.get(port);
    if (!found) byPort.set(port, found = { tls: [], http: [], raw: [] });
    (usesTls(config) ? found.tls : config.protocol === "HTTP" ? found.http : found.raw).push(slot);
  }
  const choice = (slots: ListenerSlot[]) => slots.length === 0 ? null : new ListenerChoice(slots.sort(byName));
  return new Map([...byPort].map(([port, { tls, http, raw }]) => [
    port,
    { tls: choice(tls), http: choice(http), raw: raw.sort(byName)[0] ?? null },
  ]));
}

const byName = (a: ListenerSlot, b: ListenerSlot) => a.name < b.name ? -1 : 1;

/** Listeners of a waypoint by what its tunnels are asked for. */
export class TunnelTargets {
  readonly #byAuthority = new Map<string, ListenerSlot>();
  readonly #byWorkload = new Map<string, ListenerSlot>();

  constructor(slots: Iterable<ListenerSlot>) {
    for (const slot of slots) {
      const binding = slot.current?.config.binding;
      if (binding?.kind === "service") {
        for (const host of [...binding.addresses, binding.hostname.toLowerCase()]) {
          this.#byAuthority.set(`${host} ${binding.port}`, slot);
        }
      } else if (binding?.kind === "workload") {
        for (const addresses of Object.values(binding.workloads)) {
          for (const address of addresses) this.#byWorkload.set(address, slot);
        }
      }
    }
  }

  /** @param host address in canonical text, or a host name in lower case */
  find(host: string, port: number): ListenerSlot | undefined {
    return this.#byAuthority.get(`${host} ${port}`) ?? this.#byWorkload.get(host);
  }
}
