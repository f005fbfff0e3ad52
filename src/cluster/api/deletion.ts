import { ApiError } from "../api_error.ts";
import type { DeleteOptions, KubeObject } from "../contracts.ts";
import { conflict } from "./errors.ts";
import { timestamp } from "./metadata.ts";
import type { ResourceType } from "./types.ts";

const ORPHAN = "orphan";
const FOREGROUND = "foregroundDeletion";
const KEPT_NAMESPACES = ["default", "kube-system", "kube-public"];

/** Whether an object that is being deleted has nothing left to wait for. */
export function readyToGo(type: ResourceType, object: KubeObject): boolean {
  if (object.metadata.finalizers?.length) return false;
  if (type.key === "/namespaces" && object.spec?.finalizers?.length > 0) return false;
  return !object.metadata.deletionGracePeriodSeconds;
}

/**
 * What a deletion does: `marked` is the object with its deletion begun (or `object` itself where nothing changes), and
 * is absent where the object goes at once.
 */
export function planDeletion(
  type: ResourceType,
  object: KubeObject,
  options: DeleteOptions,
  now: number,
): { marked?: KubeObject } {
  const { metadata } = object;
  const { preconditions } = options;
  if (preconditions?.uid !== undefined && preconditions.uid !== metadata.uid) {
    throw conflict(
      type,
      metadata.name,
      `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${metadata.uid}`,
    );
  }
  if (preconditions?.resourceVersion !== undefined && preconditions.resourceVersion !== metadata.resourceVersion) {
    throw conflict(
      type,
      metadata.name,
      `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${metadata.resourceVersion}`,
    );
  }
  if (type.key === "/namespaces" && KEPT_NAMESPACES.includes(metadata.name)) {
    throw ApiError.forbidden(`namespaces "${metadata.name}" is forbidden: this namespace may not be deleted`, {
      name: metadata.name,
      kind: "namespaces",
    });
  }
  const finalizers = new Set(metadata.finalizers ?? []);
  if (options.propagationPolicy !== undefined) {
    finalizers.delete(ORPHAN);
    finalizers.delete(FOREGROUND);
    if (options.propagationPolicy === "Orphan") finalizers.add(ORPHAN);
    if (options.propagationPolicy === "Foreground") finalizers.add(FOREGROUND);
  }
  const requested = options.gracePeriodSeconds;
  if (requested !== undefined && requested < 0) throw ApiError.badRequest("gracePeriodSeconds must not be negative");
  let grace = type.strategy.gracePeriod?.(object, requested) ?? 0;
  if (metadata.deletionTimestamp) grace = Math.min(grace, metadata.deletionGracePeriodSeconds ?? 0);
  const begun = metadata.deletionTimestamp !== undefined;
  const shortened = begun && type.strategy.gracePeriod !== undefined &&
    grace < (metadata.deletionGracePeriodSeconds ?? 0);

  const marked: KubeObject = { ...object, metadata: { ...metadata } };
  if (finalizers.size > 0) marked.metadata.finalizers = [...finalizers];
  else delete marked.metadata.finalizers;
  marked.metadata.deletionGracePeriodSeconds = grace;
  if (readyToGo(type, marked)) return {};
  const samePolicy = [...finalizers].join() === (metadata.finalizers ?? []).join();
  if (begun && !shortened && samePolicy) return { marked: object };
  if (!begun || shortened) marked.metadata.deletionTimestamp = timestamp(now + grace * 1000);
  if (!begun && metadata.generation !== undefined) marked.metadata.generation = metadata.generation + 1;
  if (type.key === "/namespaces") marked.status = { ...object.status, phase: "Terminating" };
  return { marked };
}
