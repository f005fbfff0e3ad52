import type { ClusterApi, GroupResource, KubeObject, WatchEventType } from "../../contracts.ts";
import { controllerOf, keyOf } from "./types.ts";

type Listener = (event: WatchEventType, object: KubeObject, previous?: KubeObject) => void;

/** Names the values under which an object can be found. */
type IndexFunction = (object: KubeObject) => string[];

const NONE: ReadonlyMap<string, KubeObject> = new Map();

/** The objects of one type, kept current by a watch, with indexes. Objects are shared: never changed in place. */
export class ObjectCache {
  readonly #objects = new Map<string, KubeObject>();
  readonly #indexes = new Map<string, { of: IndexFunction; values: Map<string, Map<string, KubeObject>> }>();
  readonly #listeners: Listener[] = [];

  constructor() {
    this.index("namespace", (object) => [object.metadata.namespace ?? ""]);
    this.index("controller", (object) => {
      const controller = controllerOf(object);
      return controller ? [controller.uid] : [];
    });
  }

  /** Adds an index; asking for one that exists does nothing. */
  index(name: string, of: IndexFunction): void {
    if (this.#indexes.has(name)) return;
    const index = { of, values: new Map<string, Map<string, KubeObject>>() };
    this.#indexes.set(name, index);
    for (const [key, object] of this.#objects) insert(index.values, of(object), key, object);
  }

  /** Calls `listener` with ADDED for what is there, and for every change after the cache has taken it in. */
  onChange(listener: Listener): void {
    for (const object of this.#objects.values()) listener("ADDED", object);
    this.#listeners.push(listener);
  }

  get(key: string): KubeObject | undefined {
    return this.#objects.get(key);
  }

  find(namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#objects.get(`${namespace ?? ""}/${name}`);
  }

  get size(): number {
    return this.#objects.size;
  }

  all(): Iterable<KubeObject> {
    return this.#objects.values();
  }

  inNamespace(namespace: string): KubeObject[] {
    return this.by("namespace", namespace);
  }

  /** Objects whose controller is the one with this UID. */
  controlledBy(uid: string): KubeObject[] {
    return this.by("controller", uid);
  }

  by(index: string, value: string): KubeObject[] {
    return [...(this.#indexes.get(index)!.values.get(value) ?? NONE).values()];
  }

  count(index: string, value: string): number {
    return this.#indexes.get(index)!.values.get(value)?.size ?? 0;
  }

  /** Takes in one watch event. */
  apply(event: WatchEventType, object: KubeObject): void {
    const key = keyOf(object);
    const previous = this.#objects.get(key);
    if (event === "DELETED") this.#objects.delete(key);
    else this.#objects.set(key, object);
    for (const { of, values } of this.#indexes.values()) {
      if (previous) remove(values, of(previous), key);
      if (event !== "DELETED") insert(values, of(object), key, object);
    }
    for (const listener of this.#listeners) listener(event, object, previous);
  }
}

function insert(
  values: Map<string, Map<string, KubeObject>>,
  names: string[],
  key: string,
  object: KubeObject,
): void {
  for (const name of names) {
    const found = values.get(name);
    if (found) found.set(key, object);
    else values.set(name, new Map([[key, object]]));
  }
}

function remove(values: Map<string, Map<string, KubeObject>>, names: string[], key: string): void {
  for (const name of names) {
    const found = values.get(name);
    if (!found) continue;
    found.delete(key);
    if (found.size === 0) values.delete(name);
  }
}

/** One cache per type, shared by all controllers: all are declared first, then {@linkcode start} fills them. */
export class Caches {
  readonly #caches = new Map<string, { type: GroupResource; cache: ObjectCache }>();
  readonly #ends = new Map<string, () => void>();
  readonly #api: ClusterApi;
  #started = false;

  constructor(api: ClusterApi) {
    this.#api = api;
  }

  /** The cache of a type. After {@linkcode start} a new one fills before this returns. */
  of(type: GroupResource): ObjectCache {
    const name = `${type.resource}.${type.group}`;
    let entry = this.#caches.get(name);
    if (!entry) {
      entry = { type, cache: new ObjectCache() };
      this.#caches.set(name, entry);
      if (this.#started) this.#watch(name, type, entry.cache);
    }
    return entry.cache;
  }

  start(): void {
    this.#started = true;
    // A copy: what the first objects bring about may declare more caches, which fill at once.
    for (const [name, { type, cache }] of [...this.#caches]) this.#watch(name, type, cache);
  }

  /** Forgets a type: its watch ends and its cache is not updated any more. */
  drop(type: GroupResource): void {
    const name = `${type.resource}.${type.group}`;
    this.#ends.get(name)?.();
    this.#ends.delete(name);
    this.#caches.delete(name);
  }

  stop(): void {
    for (const end of this.#ends.values()) end();
    this.#ends.clear();
  }

  #watch(name: string, type: GroupResource, cache: ObjectCache): void {
    const end = this.#api.watch({ group: type.group, resource: type.resource }, (event, object) => {
      cache.apply(event, object);
    });
    this.#ends.set(name, end);
  }
}
