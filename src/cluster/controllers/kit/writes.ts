import { ApiError } from "../../api_error.ts";
import type { ClusterApi, DeleteOptions, GroupResource, KubeObject } from "../../contracts.ts";
import { canonicalJson } from "./hash.ts";

/** Writes the status when it differs from what is stored. `object` must be as it is stored, or this is a conflict. */
export function writeStatus(api: ClusterApi, type: GroupResource, object: KubeObject, status: unknown): KubeObject {
  if (canonicalJson(object.status ?? {}) === canonicalJson(status)) return object;
  return api.update(type, { ...structuredClone(object), status }, { subresource: "status" });
}

/** Runs `write`; a refusal with one of these reasons counts as done and gives undefined. */
export function unless<T>(reasons: string[], write: () => T): T | undefined {
  try {
    return write();
  } catch (thrown) {
    if (thrown instanceof ApiError && reasons.includes(thrown.reason)) return undefined;
    throw thrown;
  }
}

/** Creates an object unless there is one of this name; a namespace that is going away takes none. */
export function ensure(api: ClusterApi, type: GroupResource, object: KubeObject): KubeObject | undefined {
  return unless(["AlreadyExists"], () => api.create(type, object));
}

/** Deletes the object unless it is gone or has been replaced by another of this name. */
export function remove(api: ClusterApi, type: GroupResource, object: KubeObject, options: DeleteOptions = {}): void {
  unless(["NotFound", "Conflict"], () =>
    api.delete(type, object.metadata.namespace, object.metadata.name, {
      ...options,
      preconditions: { uid: object.metadata.uid },
    }));
}
