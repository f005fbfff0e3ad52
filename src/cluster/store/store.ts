import type { KubeObject } from "../contracts.ts";
import type { StateDatabase } from "./database.ts";
import { deepFreeze } from "./freeze.ts";
import { EventWindow, type StoreEvent } from "./history.ts";

export interface StoreOptions {
  /** Events of one type that stay available to watches; older ones answer 410 Expired. */
  historySize?: number;
  /** Told when a batch cannot be written; the store keeps it and tries again with the next one. */
  onWriteError?(error: unknown): void;
}

const HISTORY_SIZE = 2000;

interface Collection {
  readonly type: string;
  readonly byNamespace: Map<string, Map<string, KubeObject>>;
  size: number;
  readonly window: EventWindow;
  readonly listeners: Set<(event: StoreEvent) => void>;
}

/**
 * All objects of the cluster in memory, frozen, with a revision that grows by one per write, and a copy on disk. Reads
 * and writes are synchronous; the disk follows in one transaction per event-loop turn, which {@linkcode committed} waits
 * for. Listeners run inside the write, in order: they queue work and must not write themselves.
 */
export class ObjectStore {
  readonly #db: StateDatabase;
  readonly #options: StoreOptions;
  readonly #collections = new Map<string, Collection>();
  /** Rows to write (object) or remove (undefined) with the next batch. */
  readonly #dirty = new Map<string, { type: string; namespace: string; name: string; object?: KubeObject }>();
  #revision: number;
  readonly #startRevision: number;
  #flushTimer: ReturnType<typeof setTimeout> | undefined;
  #flushed: PromiseWithResolvers<void> | undefined;
  #closed = false;

  constructor(db: StateDatabase, options: StoreOptions = {}) {
    this.#db = db;
    this.#options = options;
    this.#revision = Number(db.meta("revision") ?? 1);
    for (const row of db.rows()) {
      const object = deepFreeze(JSON.parse(row.data) as KubeObject);
      this.#put(this.#collection(row.type), row.namespace, row.name, object);
      this.#revision = Math.max(this.#revision, row.revision);
    }
    this.#startRevision = this.#revision;
    // Windows opened while loading start before the highest revision is known: changes before a restart are forgotten.
    for (const [type, loaded] of this.#collections) {
      this.#collections.set(type, { ...loaded, window: new EventWindow(this.#historySize, this.#revision) });
    }
  }

  get #historySize(): number {
    return this.#options.historySize ?? HISTORY_SIZE;
  }

  /** Revision of the latest write. */
  get revision(): number {
    return this.#revision;
  }

  /** `group/plural` of every type that has had objects. */
  types(): string[] {
    return [...this.#collections.keys()];
  }

  get(type: string, namespace: string, name: string): KubeObject | undefined {
    return this.#collections.get(type)?.byNamespace.get(namespace)?.get(name);
  }

  /** Objects of a type in no particular order; of one namespace, or of all when it is undefined. */
  *values(type: string, namespace?: string): Generator<KubeObject> {
    const collection = this.#collections.get(type);
    if (!collection) return;
    if (namespace !== undefined) {
      yield* collection.byNamespace.get(namespace)?.values() ?? [];
      return;
    }
    for (const objects of collection.byNamespace.values()) yield* objects.values();
  }

  count(type: string): number {
    return this.#collections.get(type)?.size ?? 0;
  }

  /**
   * Stores an object under its next revision, which is set as `metadata.resourceVersion`, and freezes it.
   *
   * @returns the stored object
   */
  put(type: string, object: KubeObject): KubeObject {
    if (this.#closed) throw new Error("the store is closed");
    const collection = this.#collection(type);
    const namespace = object.metadata.namespace ?? "";
    const name = object.metadata.name;
    const previous = collection.byNamespace.get(namespace)?.get(name);
    const revision = ++this.#revision;
    if (Object.isFrozen(object)) object = { ...object };
    object.metadata = { ...object.metadata, resourceVersion: String(revision) };
    deepFreeze(object);
    this.#put(collection, namespace, name, object);
    this.#record(collection, { revision, type: previous ? "MODIFIED" : "ADDED", object, previous });
    this.#mark(type, namespace, name, object);
    return object;
  }

  /** Removes an object. The event's object carries the revision of the removal, as watches show it. */
  remove(type: string, namespace: string, name: string): KubeObject | undefined {
    if (this.#closed) throw new Error("the store is closed");
    const collection = this.#collections.get(type);
    const objects = collection?.byNamespace.get(namespace);
    const previous = objects?.get(name);
    if (!collection || !objects || !previous) return undefined;
    objects.delete(name);
    if (objects.size === 0) collection.byNamespace.delete(namespace);
    collection.size--;
    const revision = ++this.#revision;
    const object = deepFreeze({
      ...previous,
      metadata: { ...previous.metadata, resourceVersion: String(revision) },
    });
    this.#record(collection, { revision, type: "DELETED", object, previous });
    this.#mark(type, namespace, name, undefined);
    return object;
  }

  /** Events of a type after a revision, or undefined when they are no longer known (410 Expired). */
  since(type: string, revision: number): StoreEvent[] | undefined {
    return this.#collection(type).window.since(revision);
  }

  /** Calls `listener` inside every later write of the type. Returns the function that ends it. */
  listen(type: string, listener: (event: StoreEvent) => void): () => void {
    const { listeners } = this.#collection(type);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  /** Resolves when everything written so far is on disk. */
  committed(): Promise<void> {
    if (this.#dirty.size === 0) return Promise.resolve();
    return (this.#flushed ??= Promise.withResolvers<void>()).promise;
  }

  /** Writes what is pending, and closes the database. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#flush();
    this.#db.close();
  }

  #collection(type: string): Collection {
    let collection = this.#collections.get(type);
    if (!collection) {
      collection = {
        type,
        byNamespace: new Map(),
        size: 0,
        window: new EventWindow(this.#historySize, this.#startRevision ?? 0),
        listeners: new Set(),
      };
      this.#collections.set(type, collection);
    }
    return collection;
  }

  #put(collection: Collection, namespace: string, name: string, object: KubeObject): void {
    let objects = collection.byNamespace.get(namespace);
    if (!objects) collection.byNamespace.set(namespace, objects = new Map());
    if (!objects.has(name)) collection.size++;
    objects.set(name, object);
  }

  #record(collection: Collection, event: StoreEvent): void {
    collection.window.push(event);
    for (const listener of collection.listeners) listener(event);
  }

  #mark(type: string, namespace: string, name: string, object: KubeObject | undefined): void {
    this.#dirty.set(`${type}|${namespace}|${name}`, { type, namespace, name, object });
    this.#flushTimer ??= setTimeout(() => this.#flush(), 0);
  }

  #flush(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    if (this.#dirty.size > 0) {
      const puts = [];
      const removals = [];
      for (const { type, namespace, name, object } of this.#dirty.values()) {
        if (!object) removals.push({ type, namespace, name });
        else {
          const revision = Number(object.metadata.resourceVersion);
          puts.push({ type, namespace, name, revision, data: JSON.stringify(object) });
        }
      }
      try {
        this.#db.commit(this.#revision, puts, removals);
        this.#dirty.clear();
      } catch (error) {
        this.#options.onWriteError?.(error);
        if (!this.#closed) this.#flushTimer = setTimeout(() => this.#flush(), 1000);
        const waiting = this.#flushed;
        this.#flushed = undefined;
        waiting?.reject(error);
        return;
      }
    }
    const waiting = this.#flushed;
    this.#flushed = undefined;
    waiting?.resolve();
  }
}
