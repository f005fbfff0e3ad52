import { ApiError } from "../../src/cluster/api_error.ts";
import type {
  ClusterApi,
  DeleteOptions,
  GroupResource,
  KubeObject,
  ListFilter,
  PatchType,
  WatchEventType,
  WriteOptions,
} from "../../src/cluster/contracts.ts";

type Handler = (event: WatchEventType, object: KubeObject, previous?: KubeObject) => void;

/**
 * The in-process API without schemas, defaulting and disk: what the controllers' unit tests need of optimistic locking,
 * generations, status, finalizers, graceful pod deletion and watches. Everything larger uses the real server.
 */
export class FakeClusterApi implements ClusterApi {
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #watches = new Set<{ type: string; handler: Handler }>();
  readonly #now: () => number;
  #revision = 0;
  #queue: (() => void)[] = [];
  /** Writes so far, for tests that must see a controller come to rest. */
  writes = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  get(type: GroupResource, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#all(type).get(`${namespace ?? ""}/${name}`);
  }

  list(type: GroupResource, filter: ListFilter = {}): KubeObject[] {
    return [...this.#all(type).values()].filter((object) =>
      filter.namespace === undefined || object.metadata.namespace === filter.namespace
    );
  }

  create(type: GroupResource, object: KubeObject, options: WriteOptions = {}): KubeObject {
    if (options.subresource === "binding") return this.#bind(object);
    const next = structuredClone(object);
    next.metadata.name ||= `${next.metadata.generateName}${crypto.randomUUID().slice(0, 5)}`;
    if (this.#all(type).has(keyOf(next))) {
      throw new ApiError(409, "AlreadyExists", `${type.resource} "${next.metadata.name}" already exists`);
    }
    next.metadata.uid = crypto.randomUUID();
    next.metadata.generation = 1;
    next.metadata.creationTimestamp = this.#timestamp();
    if (type.resource === "namespaces") next.spec = { finalizers: ["kubernetes"] };
    if (type.resource === "pods") next.status ??= { phase: "Pending" };
    return this.#put(type, next);
  }

  update(type: GroupResource, object: KubeObject, options: WriteOptions = {}): KubeObject {
    const present = this.#require(type, object.metadata.namespace, object.metadata.name);
    const { resourceVersion, uid } = object.metadata;
    if (
      (resourceVersion && resourceVersion !== present.metadata.resourceVersion) || (uid && uid !== present.metadata.uid)
    ) throw new ApiError(409, "Conflict", `${type.resource} "${object.metadata.name}" has been modified`);
    const next = structuredClone(object);
    if (options.subresource === "status") return this.#put(type, { ...structuredClone(present), status: next.status });
    if (options.subresource !== "finalize") next.status = structuredClone(present.status);
    const changed = JSON.stringify(next.spec) !== JSON.stringify(present.spec);
    next.metadata.generation = present.metadata.generation! + (changed ? 1 : 0);
    next.metadata.deletionTimestamp = present.metadata.deletionTimestamp;
    return this.#put(type, next);
  }

  patch(
    type: GroupResource,
    namespace: string | undefined,
    name: string,
    patchType: PatchType,
    patch: unknown,
    options: WriteOptions = {},
  ): KubeObject {
    if (patchType !== "merge") throw ApiError.badRequest(`the fake knows merge patches only, not ${patchType}`);
    const present = this.#require(type, namespace, name);
    return this.update(type, merge(structuredClone(present), patch) as KubeObject, options);
  }

  delete(type: GroupResource, namespace: string | undefined, name: string, options: DeleteOptions = {}): void {
    const present = this.#require(type, namespace, name);
    if (options.preconditions?.uid && options.preconditions.uid !== present.metadata.uid) {
      throw new ApiError(409, "Conflict", `${name} is another`);
    }
    const next = structuredClone(present);
    const finalizers = next.metadata.finalizers ??= [];
    const extra = { Foreground: "foregroundDeletion", Orphan: "orphan", Background: undefined }[
      options.propagationPolicy ?? "Background"
    ];
    if (extra && !finalizers.includes(extra)) finalizers.push(extra);
    const running = type.resource === "pods" && next.spec?.nodeName && options.gracePeriodSeconds !== 0;
    const held = finalizers.length > 0 || running ||
      (type.resource === "namespaces" && next.spec.finalizers.length > 0);
    if (!held) return this.#remove(type, present);
    next.metadata.deletionTimestamp ??= this.#timestamp();
    next.metadata.deletionGracePeriodSeconds = running ? 30 : 0;
    if (type.resource === "namespaces") next.status = { phase: "Terminating" };
    this.#put(type, next);
  }

  watch(type: GroupResource, handler: Handler): () => void {
    const entry = { type: typeOf(type), handler };
    this.#watches.add(entry);
    for (const object of this.list(type)) handler("ADDED", object);
    return () => void this.#watches.delete(entry);
  }

  #bind(binding: KubeObject): KubeObject {
    const type = { group: "", resource: "pods" };
    const pod = structuredClone(this.#require(type, binding.metadata.namespace, binding.metadata.name));
    if (pod.spec.nodeName) throw new ApiError(409, "Conflict", "the pod is bound");
    pod.spec.nodeName = binding.target.name;
    return this.#put(type, pod);
  }

  #put(type: GroupResource, object: KubeObject): KubeObject {
    const { deletionTimestamp, finalizers, deletionGracePeriodSeconds } = object.metadata;
    const previous = this.#all(type).get(keyOf(object));
    object.metadata.resourceVersion = String(++this.#revision);
    this.writes++;
    const spaceHeld = type.resource === "namespaces" && object.spec.finalizers.length > 0;
    const gone = deletionTimestamp && !finalizers?.length && !spaceHeld && !deletionGracePeriodSeconds;
    if (gone && previous) {
      this.#remove(type, previous);
      return object;
    }
    this.#all(type).set(keyOf(object), freeze(object));
    this.#emit(type, previous ? "MODIFIED" : "ADDED", object, previous);
    return object;
  }

  #remove(type: GroupResource, object: KubeObject): void {
    this.#all(type).delete(keyOf(object));
    this.writes++;
    this.#emit(type, "DELETED", object, object);
  }

  #emit(type: GroupResource, event: WatchEventType, object: KubeObject, previous?: KubeObject): void {
    if (this.#queue.length === 0) {
      queueMicrotask(() => {
        for (let i = 0; i < this.#queue.length; i++) this.#queue[i]();
        this.#queue = [];
      });
    }
    this.#queue.push(() => {
      for (const watch of [...this.#watches]) if (watch.type === typeOf(type)) watch.handler(event, object, previous);
    });
  }

  #all(type: GroupResource): Map<string, KubeObject> {
    let objects = this.#objects.get(typeOf(type));
    if (!objects) this.#objects.set(typeOf(type), objects = new Map());
    return objects;
  }

  #require(type: GroupResource, namespace: string | undefined, name: string): KubeObject {
    const object = this.get(type, namespace, name);
    if (!object) throw ApiError.notFound(type.resource, type.group, name);
    return object;
  }

  #timestamp(): string {
    return new Date(this.#now()).toISOString().replace(/\.\d+Z$/, "Z");
  }
}

function typeOf(type: GroupResource): string {
  return `${type.group}/${type.resource}`;
}

function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace ?? ""}/${object.metadata.name}`;
}

function merge(target: unknown, patch: unknown): unknown {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = target !== null && typeof target === "object" && !Array.isArray(target)
    ? target as Record<string, unknown>
    : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}

function freeze<T>(value: T): T {
  if (value !== null && typeof value === "object" && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) freeze(inner);
  }
  return value;
}
