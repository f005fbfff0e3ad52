import { type KubeObject, objectKey } from "./types.ts";

/** What happened to one object. `old` is what the store held before. */
export type Change<T extends KubeObject = KubeObject> =
  | { readonly type: "added"; readonly object: T }
  | { readonly type: "updated"; readonly object: T; readonly old: T }
  | { readonly type: "deleted"; readonly object: T };

/** The objects of one type as last seen, by key (`namespace/name`) and by the indexes that readers ask for. */
export class Store<T extends KubeObject = KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexes = new Map<
    string,
    { keysOf: (object: T) => Iterable<string>; entries: Map<string, Map<string, T>> }
  >();

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  has(key: string): boolean {
    return this.#objects.has(key);
  }

  values(): Iterable<T> {
    return this.#objects.values();
  }

  keys(): Iterable<string> {
    return this.#objects.keys();
  }

  /** Adds an index; objects that are there already are put into it. */
  addIndex(name: string, keysOf: (object: T) => Iterable<string>): void {
    this.#indexes.set(name, { keysOf, entries: new Map() });
    for (const [key, object] of this.#objects) this.#index(name, key, object);
  }

  /** The objects under one value of an index. */
  by(name: string, value: string): Iterable<T> {
    return this.#indexes.get(name)?.entries.get(value)?.values() ?? [];
  }

  set(object: T): T | undefined {
    const key = objectKey(object), old = this.#objects.get(key);
    if (old) this.#unindex(key, old);
    this.#objects.set(key, object);
    for (const name of this.#indexes.keys()) this.#index(name, key, object);
    return old;
  }

  delete(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (!old) return undefined;
    this.#objects.delete(key);
    this.#unindex(key, old);
    return old;
  }

  #index(name: string, key: string, object: T): void {
    const { keysOf, entries } = this.#indexes.get(name)!;
    for (const value of keysOf(object)) {
      let bucket = entries.get(value);
      if (!bucket) entries.set(value, bucket = new Map());
      bucket.set(key, object);
    }
  }

  #unindex(key: string, object: T): void {
    for (const { keysOf, entries } of this.#indexes.values()) {
      for (const value of keysOf(object)) {
        const bucket = entries.get(value);
        bucket?.delete(key);
        if (bucket?.size === 0) entries.delete(value);
      }
    }
  }
}
