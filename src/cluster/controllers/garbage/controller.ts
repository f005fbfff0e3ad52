import { ApiError } from "../../api_error.ts";
import type { KubeObject, OwnerReference } from "../../contracts.ts";
import type { ControllerContext } from "../kit/context.ts";
import { customType, type ServedType, ServedTypes, typeKey } from "../kit/served_types.ts";
import { CRDS, groupOf } from "../kit/types.ts";
import { unless } from "../kit/writes.ts";
import { type Item, OwnerGraph } from "./graph.ts";

const COMPONENT = "garbage-collector-controller";
/** How many deleted owners are remembered, for dependents whose owner's type is gone as well. */
const REMEMBERED = 2000;
const FOREGROUND = "foregroundDeletion";
const ORPHAN = "orphan";

/**
 * Deletes objects whose owners are gone, and carries out foreground deletion and orphaning. As in kube an owner counts
 * by its UID: one of the same name that came later is another.
 */
export function startGarbageCollector({ api, caches, runner, events }: ControllerContext): void {
  const crds = caches.of(CRDS);
  const types = new ServedTypes(crds);
  const graph = new OwnerGraph();
  const queue = runner.register("garbage", collect);
  const owners = runner.register("garbage-owner", settleOwner);
  const watched = new Set<string>();
  const gone = new Set<string>();

  for (const type of types.all()) follow(type);
  crds.onChange((event, crd) => {
    const type = customType(crd);
    if (event === "DELETED") {
      watched.delete(typeKey(type));
      caches.drop(type);
    } else follow(type);
  });

  function follow(type: ServedType): void {
    // Events come and go by themselves; there are many and none owns anything.
    if (type.resource === "events" || watched.has(typeKey(type))) return;
    watched.add(typeKey(type));
    caches.of(type).onChange((event, object) => {
      const { uid } = object.metadata;
      if (!uid) return;
      if (event === "DELETED") {
        const known = graph.get(uid);
        const dependents = graph.dependentsOf(uid);
        graph.remove(uid);
        if (dependents.length > 0) gone.add(uid);
        if (gone.size > REMEMBERED) gone.delete(gone.values().next().value!);
        for (const dependent of dependents) queue.add(dependent.uid);
        // Its owners may be waiting for it.
        for (const owner of known?.owners ?? []) if (graph.get(owner.uid)?.deleting) owners.add(owner.uid);
        return;
      }
      const before = graph.get(uid);
      const item = graph.put(type, object);
      if (item.owners.length > 0 && (!before || !sameOwners(item.owners, before.owners))) queue.add(uid);
      if (item.deleting && (item.finalizers.includes(FOREGROUND) || item.finalizers.includes(ORPHAN))) owners.add(uid);
      for (const owner of before?.owners ?? []) if (graph.get(owner.uid)?.deleting) owners.add(owner.uid);
    });
  }

  /** Whether an object stays, seen from its owners. */
  function collect(uid: string): void {
    const item = graph.get(uid);
    if (!item || item.owners.length === 0) return;
    const object = api.get(item.type, item.namespace, item.name);
    if (!object || object.metadata.uid !== uid) return;
    if (object.metadata.deletionTimestamp && !object.metadata.finalizers?.includes(FOREGROUND)) return;
    const references = object.metadata.ownerReferences ?? [];
    const solid: OwnerReference[] = [];
    const dangling: OwnerReference[] = [];
    const waiting: OwnerReference[] = [];
    for (const reference of references) {
      const state = ownerState(item, object, reference);
      if (state === "unknown") return;
      (state === "solid" ? solid : state === "gone" ? dangling : waiting).push(reference);
    }
    if (solid.length > 0) {
      if (dangling.length + waiting.length > 0) keepOwners(item, object, solid);
      return;
    }
    if (references.length === 0) return;
    const finalizers = object.metadata.finalizers ?? [];
    const dependents = graph.dependentsOf(uid);
    const propagationPolicy = waiting.length > 0 && dependents.length > 0
      ? "Foreground"
      : finalizers.includes(ORPHAN)
      ? "Orphan"
      : finalizers.includes(FOREGROUND)
      ? "Foreground"
      : "Background";
    if (object.metadata.deletionTimestamp) return;
    unless(
      ["NotFound", "Conflict"],
      () => api.delete(item.type, item.namespace, item.name, { propagationPolicy, preconditions: { uid } }),
    );
  }

  function ownerState(
    item: Item,
    object: KubeObject,
    reference: OwnerReference,
  ): "solid" | "gone" | "waiting" | "unknown" {
    if (gone.has(reference.uid)) return "gone";
    const type = types.byKind(groupOf(reference.apiVersion), reference.kind);
    // A kind nobody serves: its definition may come (back), so nothing is known about the owner.
    if (!type) return "unknown";
    if (type.namespaced && item.namespace === undefined) {
      events.warning(
        object,
        COMPONENT,
        "OwnerRefInvalidNamespace",
        `ownerRef [${reference.apiVersion}/${reference.kind}, namespace: , name: ${reference.name}, uid: ${reference.uid}] does not exist in namespace ""`,
      );
      return "unknown";
    }
    let owner: KubeObject | undefined;
    try {
      owner = api.get(type, type.namespaced ? item.namespace : undefined, reference.name);
    } catch (thrown) {
      if (thrown instanceof ApiError && thrown.code === 404) return "unknown";
      throw thrown;
    }
    if (owner?.metadata.uid !== reference.uid) return "gone";
    const foreground = owner.metadata.deletionTimestamp && owner.metadata.finalizers?.includes(FOREGROUND);
    return foreground ? "waiting" : "solid";
  }

  /** Drops references to owners that are gone or going: another owner holds the object. */
  function keepOwners(item: Item, object: KubeObject, ownerReferences: OwnerReference[]): void {
    unless(["NotFound"], () => api.update(item.type, withOwners(object, ownerReferences)));
  }

  /** Carries on the foreground deletion, or the orphaning, of an owner. */
  function settleOwner(uid: string): void {
    const item = graph.get(uid);
    const object = item && api.get(item.type, item.namespace, item.name);
    if (!item || !object || object.metadata.uid !== uid || !object.metadata.deletionTimestamp) return;
    const finalizers = object.metadata.finalizers ?? [];
    const dependents = graph.dependentsOf(uid);
    if (finalizers.includes(ORPHAN)) {
      for (const dependent of dependents) orphan(dependent, uid);
      finish(item, object, ORPHAN);
    } else if (finalizers.includes(FOREGROUND)) {
      const blocking = dependents.filter((dependent) =>
        dependent.owners.some((owner) => owner.uid === uid && owner.blockOwnerDeletion)
      );
      for (const dependent of dependents) queue.add(dependent.uid);
      if (blocking.length === 0) finish(item, object, FOREGROUND);
    }
  }

  function orphan(dependent: Item, ownerUid: string): void {
    const object = api.get(dependent.type, dependent.namespace, dependent.name);
    if (!object || object.metadata.uid !== dependent.uid) return;
    const rest = (object.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== ownerUid);
    unless(["NotFound"], () => api.update(dependent.type, withOwners(object, rest)));
  }

  function finish(item: Item, object: KubeObject, finalizer: string): void {
    const next = structuredClone(object);
    next.metadata.finalizers = (next.metadata.finalizers ?? []).filter((other) => other !== finalizer);
    unless(["NotFound"], () => api.update(item.type, next));
  }
}

function withOwners(object: KubeObject, ownerReferences: OwnerReference[]): KubeObject {
  const next = structuredClone(object);
  next.metadata.ownerReferences = ownerReferences;
  return next;
}

function sameOwners(a: OwnerReference[], b: OwnerReference[]): boolean {
  return a.length === b.length && a.every((owner, i) => owner.uid === b[i].uid);
}
