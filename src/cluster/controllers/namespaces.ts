import { ApiError } from "../api_error.ts";
import type { ClusterApi, GroupResource, KubeObject } from "../contracts.ts";
import { type Condition, withCondition } from "./kit/conditions.ts";
import type { ControllerContext } from "./kit/context.ts";
import { type ServedType, ServedTypes } from "./kit/served_types.ts";
import { CRDS, EVENTS, NAMESPACES } from "./kit/types.ts";
import { unless, writeStatus } from "./kit/writes.ts";

/** Objects deleted per turn of the event loop. */
const BURST = 50;
/** How often to look again while something is left, such as pods within their grace period. */
const RECHECK_MS = 200;
const RECHECK_MAX_MS = 5_000;

/** Empties namespaces that are being deleted, objects of custom types included, then lets them go. */
export function startNamespaces({ api, caches, runner, clock }: ControllerContext): void {
  const namespaces = caches.of(NAMESPACES);
  const types = new ServedTypes(caches.of(CRDS));
  const queue = runner.register("namespace", reconcile);
  const rounds = new Map<string, number>();

  namespaces.onChange((event, namespace) => {
    const { name } = namespace.metadata;
    if (event === "DELETED") rounds.delete(name);
    else if (namespace.metadata.deletionTimestamp) queue.add(name);
  });

  function reconcile(name: string): void {
    const namespace = namespaces.find(undefined, name);
    if (!namespace?.metadata.deletionTimestamp) return;
    if (!namespace.spec?.finalizers?.includes("kubernetes")) return;
    const { deleted, left } = empty(name);
    if (deleted >= BURST) return queue.add(name);
    if (left.length > 0) {
      report(namespace, left);
      const round = rounds.get(name) ?? 0;
      rounds.set(name, round + 1);
      return queue.addAfter(name, Math.min(RECHECK_MAX_MS, RECHECK_MS * 1.5 ** round));
    }
    const next = structuredClone(api.get(NAMESPACES, undefined, name) ?? namespace);
    next.spec.finalizers = (next.spec.finalizers ?? []).filter((finalizer: string) => finalizer !== "kubernetes");
    unless(["NotFound"], () => api.update(NAMESPACES, next, { subresource: "finalize" }));
  }

  function empty(namespace: string): { deleted: number; left: { type: ServedType; objects: KubeObject[] }[] } {
    let deleted = 0;
    const left: { type: ServedType; objects: KubeObject[] }[] = [];
    for (const type of types.all()) {
      if (!type.namespaced || type.resource === EVENTS.resource) continue;
      const objects = listed(api, type, namespace);
      for (const object of objects) {
        if (object.metadata.deletionTimestamp) continue;
        if (deleted >= BURST) return { deleted, left };
        deleted++;
        // Owners are deleted like everything else here: nothing has to wait for the garbage collector.
        unless(
          ["NotFound", "Conflict"],
          () => api.delete(type, namespace, object.metadata.name, { propagationPolicy: "Background" }),
        );
      }
      const remaining = objects.length > 0 ? listed(api, type, namespace) : [];
      if (remaining.length > 0) left.push({ type, objects: remaining });
    }
    if (left.length > 0) return { deleted, left };
    // Events go last: deleting the rest made some.
    for (const object of listed(api, EVENTS, namespace)) {
      if (deleted >= BURST) break;
      deleted++;
      unless(["NotFound"], () => api.delete(EVENTS, namespace, object.metadata.name));
    }
    return { deleted, left };
  }

  /** Says in the namespace's conditions what keeps it, in kube's words. */
  function report(namespace: KubeObject, left: { type: ServedType; objects: KubeObject[] }[]): void {
    const now = clock.now();
    const counts = left.map(({ type, objects }) => `${qualified(type)} has ${objects.length} resource instances`);
    const held = new Map<string, number>();
    for (const { objects } of left) {
      for (const object of objects) {
        for (const finalizer of object.metadata.finalizers ?? []) held.set(finalizer, (held.get(finalizer) ?? 0) + 1);
      }
    }
    const finalizers = [...held].map(([finalizer, count]) => `${finalizer} in ${count} resource instances`);
    let conditions: Condition[] = withCondition(namespace.status?.conditions, {
      type: "NamespaceContentRemaining",
      status: "True",
      reason: "SomeResourcesRemain",
      message: `Some resources are remaining: ${counts.join(", ")}`,
    }, now);
    conditions = withCondition(conditions, {
      type: "NamespaceFinalizersRemaining",
      status: finalizers.length > 0 ? "True" : "False",
      reason: finalizers.length > 0 ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
      message: finalizers.length > 0
        ? `Some content in the namespace has finalizers remaining: ${finalizers.join(", ")}`
        : "All content-preserving finalizers finished",
    }, now);
    writeStatus(api, NAMESPACES, namespace, { ...namespace.status, conditions });
  }
}

/** Objects of a type in the namespace; a type that is not served (any more) has none. */
function listed(api: ClusterApi, type: GroupResource, namespace: string): KubeObject[] {
  try {
    return api.list({ group: type.group, resource: type.resource }, { namespace });
  } catch (thrown) {
    if (thrown instanceof ApiError && thrown.code === 404) return [];
    throw thrown;
  }
}

function qualified(type: GroupResource): string {
  return type.group === "" ? `${type.resource}.` : `${type.resource}.${type.group}`;
}
