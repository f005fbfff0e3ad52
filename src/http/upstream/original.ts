import type { Reactor, SocketAddress } from "../../net/mod.ts";
import { Host } from "./host.ts";
import { hostAt, type SourceContext } from "./sources.ts";

/** Hosts that are kept without a connection or request; beyond it the oldest are forgotten. */
const MAX_IDLE_HOSTS = 256;

/** The hosts of a PASSTHROUGH destination: made when somebody asks for an address. */
export class OriginalHosts {
  readonly #source: SourceContext;
  readonly #reactor: Reactor;
  readonly #hosts = new Map<string, Host>();

  constructor(source: SourceContext, reactor: Reactor) {
    this.#source = source;
    this.#reactor = reactor;
  }

  get hosts(): Iterable<Host> {
    return this.#hosts.values();
  }

  /** The host at an address; null when the client asked for none. */
  at(destination: SocketAddress | null): Host | null {
    if (destination === null) return null;
    const place = `${destination.address}|${destination.port}`;
    const known = this.#hosts.get(place);
    if (known) return known;
    if (this.#hosts.size >= MAX_IDLE_HOSTS) this.#forgetIdle();
    const host = new Host(hostAt(destination.address, destination.port, this.#source), this.#reactor.now);
    this.#hosts.set(place, host);
    return host;
  }

  /** The mesh has changed: who lives at an address, and how it is reached, may be another. */
  refresh(): void {
    for (const [place, host] of [...this.#hosts]) {
      const spec = hostAt(host.address, host.port, this.#source);
      if (spec.key === host.key) host.spec = spec;
      else {
        this.#hosts.delete(place);
        host.removed = true;
        host.pools.drain();
      }
    }
  }

  /** The destination is not of this kind any more. */
  clear(): void {
    for (const host of this.#hosts.values()) host.pools.drain();
    this.#hosts.clear();
  }

  #forgetIdle(): void {
    for (const [place, host] of this.#hosts) {
      if (host.connections > 0 || host.active > 0) continue;
      this.#hosts.delete(place);
      host.pools.drain();
      if (this.#hosts.size < MAX_IDLE_HOSTS) return;
    }
  }
}
