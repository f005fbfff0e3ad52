import type { Host } from "../host.ts";
import type { Balancer } from "./balancer.ts";
import { hashText } from "./hash.ts";

/** Envoy's size, a prime; and a bound, for a table is built again whenever a host comes or goes. */
const DEFAULT_SIZE = 65537, MAX_SIZE = 1_000_003;

/**
 * Google's Maglev (NSDI 2016, 3.4): a table in which every host holds its share of entries to within one percent, chosen from the
 * host's own permutation of the table. A choice is one look-up.
 */
export class Maglev implements Balancer {
  readonly #hosts: readonly Host[];
  readonly #table: Uint32Array;

  /** `size` is rounded up to a prime. */
  constructor(hosts: readonly Host[], size: number) {
    this.#hosts = hosts;
    this.#table = hosts.length === 0 ? new Uint32Array(0) : fill(hosts, prime(size > 0 ? size : DEFAULT_SIZE));
  }

  choose(hash: number): Host | null {
    const table = this.#table;
    return table.length === 0 ? null : this.#hosts[table[hash % table.length]];
  }
}

const EMPTY = 0xffffffff;

function fill(hosts: readonly Host[], size: number): Uint32Array {
  const table = new Uint32Array(size).fill(EMPTY);
  const heaviest = hosts.reduce((most, host) => Math.max(most, host.weight), 0);
  const rows = hosts.map((host, index) => ({
    index,
    at: hashText(host.key) % size,
    skip: hashText(host.key, 0x5bd1e995) % (size - 1) + 1,
    weight: host.weight / heaviest,
    due: 0,
  }));
  for (let filled = 0, round = 1; filled < size; round++) {
    for (const row of rows) {
      // A host of half the weight has a turn every other round.
      if (round * row.weight < row.due) continue;
      row.due++;
      while (table[row.at] !== EMPTY) row.at = (row.at + row.skip) % size;
      table[row.at] = row.index;
      if (++filled === size) return table;
    }
  }
  return table;
}

function prime(from: number): number {
  let candidate = Math.min(Math.max(from, 2), MAX_SIZE);
  while (!isPrime(candidate)) candidate++;
  return candidate;
}

function isPrime(value: number): boolean {
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return value > 1;
}
