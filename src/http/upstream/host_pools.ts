import { IdleConnections } from "./idle.ts";
import type { HttpPool } from "./pool.ts";

/**
 * The pools of one host: one for each HTTP version, or one for each version and client where the host sees its clients' addresses.
 * Clients are told apart by the text of their IP address: their connections hold it, so that nothing is made to look a pool up.
 */
export class HostPools {
  http1: HttpPool | null = null;
  http2: HttpPool | null = null;
  /** Idle connections of clients' pools; null before there is such a pool. */
  idle: IdleConnections | null = null;
  #clients1: Map<string, HttpPool> | null = null;
  #clients2: Map<string, HttpPool> | null = null;

  get empty(): boolean {
    return this.http1 === null && this.http2 === null && this.clients === 0;
  }

  /** Pools that belong to one client each. */
  get clients(): number {
    return (this.#clients1?.size ?? 0) + (this.#clients2?.size ?? 0);
  }

  ofClient(address: string, http2: boolean): HttpPool | undefined {
    return (http2 ? this.#clients2 : this.#clients1)?.get(address);
  }

  add(pool: HttpPool): HttpPool {
    const { client, http2 } = pool;
    if (client === null) {
      if (http2) this.http2 = pool;
      else this.http1 = pool;
      return pool;
    }
    this.idle ??= new IdleConnections(pool.cluster.idleBudget);
    const clients = http2 ? this.#clients2 ??= new Map() : this.#clients1 ??= new Map();
    clients.set(client.address, pool);
    return pool;
  }

  /** A client's pool has neither connections nor requests any more. */
  remove(pool: HttpPool): void {
    const clients = pool.http2 ? this.#clients2 : this.#clients1;
    const address = pool.client!.address;
    if (clients?.get(address) === pool) clients.delete(address);
  }

  /** Ends what is idle; what runs, and who waits, may finish. */
  drain(): void {
    for (const pool of this.#all()) pool.drain();
  }

  /** Whoever waits for a connection goes to another host. */
  evict(): void {
    for (const pool of this.#all()) pool.evict();
  }

  /** Forgets them all: what comes next is made anew. */
  clear(): void {
    this.http1 =
      this.http2 =
      this.#clients1 =
      this.#clients2 =
        null;
  }

  /** A copy: pools leave while one goes through them. */
  #all(): HttpPool[] {
    const all = [...this.#clients1?.values() ?? [], ...this.#clients2?.values() ?? []];
    if (this.http1 !== null) all.push(this.http1);
    if (this.http2 !== null) all.push(this.http2);
    return all;
  }
}
