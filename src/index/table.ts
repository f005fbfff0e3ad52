import { sameValue } from "./equal.ts";

/** Names whose value came or changed, and names that went. */
export interface TableDelta {
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** One kind of output by name. Each input object ("source") owns the entries it gave; what really differs is remembered. */
export class OutputTable<V> {
  readonly #entries = new Map<string, { value: V; source: string }>();
  readonly #bySource = new Map<string, readonly string[]>();
  readonly #touched = new Map<string, V | undefined>();

  get size(): number {
    return this.#entries.size;
  }

  get(name: string): V | undefined {
    return this.#entries.get(name)?.value;
  }

  *values(): Iterable<V> {
    for (const { value } of this.#entries.values()) yield value;
  }

  keys(): Iterable<string> {
    return this.#entries.keys();
  }

  /** Makes `entries` all that `source` gives. A name that another source holds is taken over. */
  replace(source: string, entries: readonly (readonly [name: string, value: V])[]): void {
    for (const old of this.#bySource.get(source) ?? []) {
      if (this.#entries.get(old)?.source !== source || entries.some(([name]) => name === old)) continue;
      this.#touch(old);
      this.#entries.delete(old);
    }
    for (const [name, value] of entries) {
      const old = this.#entries.get(name);
      if (old && old.source === source && sameValue(old.value, value)) continue;
      this.#touch(name);
      this.#entries.set(name, { value, source });
    }
    if (entries.length === 0) this.#bySource.delete(source);
    else this.#bySource.set(source, entries.map(([name]) => name));
  }

  #touch(name: string): void {
    if (!this.#touched.has(name)) this.#touched.set(name, this.#entries.get(name)?.value);
  }

  /** What differs since the last call. */
  take(): TableDelta {
    const changed: string[] = [], removed: string[] = [];
    for (const [name, before] of this.#touched) {
      const now = this.#entries.get(name);
      if (!now) {
        if (before !== undefined) removed.push(name);
      } else if (before === undefined || !sameValue(before, now.value)) changed.push(name);
    }
    this.#touched.clear();
    return { changed, removed };
  }
}
