import type { Host } from "../host.ts";
import type { Balancer } from "./balancer.ts";
import { hashText, mix } from "./hash.ts";

/** Envoy's size when the configuration names none; and a bound, for a ring is built again whenever a host comes or goes. */
const DEFAULT_ENTRIES = 1024, MAX_ENTRIES = 1024 * 1024;

/**
 * Ketama: every host stands at many places of a ring, in proportion to its weight, and a hash belongs to the next one. Only
 * the share of a host that comes or goes moves.
 */
export class RingHash implements Balancer {
  readonly #hosts: readonly Host[];
  /** Sorted places, and whose they are. */
  readonly #places: Uint32Array;
  readonly #owners: Uint32Array;

  /** `entries`: at least so many places. */
  constructor(hosts: readonly Host[], entries: number) {
    this.#hosts = hosts;
    const total = hosts.reduce((sum, host) => sum + host.weight, 0);
    const smallest = hosts.reduce((least, host) => Math.min(least, host.weight), Infinity) / total;
    const wanted = entries > 0 ? entries : DEFAULT_ENTRIES;
    const scale = Math.min(Math.ceil(smallest * wanted) / smallest, MAX_ENTRIES);
    // Place and owner in one number, so that one numeric sort does: 32 bits of place, then 20 of owner.
    const packed: number[] = [];
    hosts.forEach((host, owner) => {
      const own = hashText(host.key), count = Math.max(1, Math.round(scale * host.weight / total));
      for (let i = 0; i < count; i++) packed.push(mix(own ^ Math.imul(i + 1, 0x9e3779b1)) * 0x100000 + owner);
    });
    const sorted = Float64Array.from(packed).sort();
    this.#places = new Uint32Array(sorted.length);
    this.#owners = new Uint32Array(sorted.length);
    sorted.forEach((value, i) => {
      this.#places[i] = Math.floor(value / 0x100000);
      this.#owners[i] = value % 0x100000;
    });
  }

  choose(hash: number): Host | null {
    const places = this.#places;
    if (places.length === 0) return null;
    let low = 0, high = places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (places[middle] < hash) low = middle + 1;
      else high = middle;
    }
    return this.#hosts[this.#owners[low === places.length ? 0 : low]];
  }
}
