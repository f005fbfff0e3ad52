import { type WaypointBinding, waypointKeys } from "./waypoints.ts";

/** What one object has bound to waypoints. */
export interface Attached {
  /** Keys of the Gateways that it names. */
  readonly named: readonly string[];
  /** Service keys with the keys of the waypoints that serve them. */
  readonly services: ReadonlyMap<string, readonly string[]>;
  /** Workload uids with the key of their waypoint. */
  readonly workloads: ReadonlyMap<string, string>;
}

const NOTHING: Attached = { named: [], services: new Map(), workloads: new Map() };

/**
 * Who is bound to which waypoint, in both directions. A source is the object that the binding comes from; a service that another source
 * has taken over is not the former one's to release.
 */
export class Attachments {
  readonly #bySource = new Map<string, Attached>();
  readonly #sources = new Map<string, Set<string>>();
  readonly #services = new Map<string, Set<string>>();
  readonly #workloads = new Map<string, Set<string>>();
  readonly #waypointsOf = new Map<string, { readonly source: string; readonly gateways: readonly string[] }>();

  /** Makes `attached` all that `source` has. */
  set(source: string, attached: Attached = NOTHING): void {
    const old = this.#bySource.get(source) ?? NOTHING;
    for (const gateway of old.named) drop(this.#sources, gateway, source);
    for (const service of old.services.keys()) {
      if (this.#waypointsOf.get(service)?.source === source) this.#release(service);
    }
    for (const [uid, gateway] of old.workloads) drop(this.#workloads, gateway, uid);
    if (attached.named.length === 0) {
      this.#bySource.delete(source);
      return;
    }
    this.#bySource.set(source, attached);
    for (const gateway of attached.named) put(this.#sources, gateway, source);
    for (const [service, gateways] of attached.services) {
      this.#release(service);
      this.#waypointsOf.set(service, { source, gateways });
      for (const gateway of gateways) put(this.#services, gateway, service);
    }
    for (const [uid, gateway] of attached.workloads) put(this.#workloads, gateway, uid);
  }

  #release(service: string): void {
    for (const gateway of this.waypointsOf(service)) drop(this.#services, gateway, service);
    this.#waypointsOf.delete(service);
  }

  /** Who names a Gateway, bound or not. */
  sources(gateway: string): Iterable<string> {
    return this.#sources.get(gateway) ?? [];
  }

  /** Keys (`namespace/hostname`) of the services that a waypoint serves. */
  services(gateway: string): Iterable<string> {
    return this.#services.get(gateway) ?? [];
  }

  /** Uids of the workloads that a waypoint serves. */
  workloads(gateway: string): Iterable<string> {
    return this.#workloads.get(gateway) ?? [];
  }

  /** Keys of the waypoints that serve a service. */
  waypointsOf(service: string): readonly string[] {
    return this.#waypointsOf.get(service)?.gateways ?? [];
  }
}

function put(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key);
  if (set) set.add(value);
  else map.set(key, new Set([value]));
}

function drop(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key);
  set?.delete(value);
  if (set?.size === 0) map.delete(key);
}

/** What the binding of a service's object attaches; `keys` of all services that it stands for. */
export function attachedService(binding: WaypointBinding, keys: readonly string[]): Attached {
  const gateways = waypointKeys(binding);
  return {
    named: binding.named,
    services: new Map(gateways.length > 0 ? keys.map((key) => [key, gateways]) : []),
    workloads: new Map<string, string>(),
  };
}

/** What the binding of a workload attaches. */
export function attachedWorkload({ named, waypoint }: WaypointBinding, uid: string): Attached {
  const services = new Map<string, readonly string[]>();
  return { named, services, workloads: new Map(waypoint ? [[uid, waypoint.key]] : []) };
}
