import type { KubeObject } from "../../contracts.ts";
import type { WriteContext } from "../context.ts";
import { timestamp } from "../metadata.ts";
import { builtinSchema } from "../schema/builtin.ts";
import type { Schema } from "../schema/schema.ts";
import { groupVersion, type ResourceType, type TypeVersion } from "../types.ts";
import { decodeFields, encodeFields, type FieldMap, type FieldSet, fieldsOf, isBelow } from "./fields.ts";

/** Who owns which fields. */
export interface Manager {
  manager: string;
  operation: "Apply" | "Update";
  apiVersion: string;
  subresource?: string;
  time: string;
  fields: FieldSet;
}

/** Fields that nobody owns. */
const UNOWNED = new Set([
  "f:apiVersion",
  "f:kind",
  "f:metadata",
  ...[
    "name",
    "namespace",
    "generateName",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
  ].map((name) => `f:metadata\u0001f:${name}`),
]);

/** More managers that update than this are joined, the oldest first. */
const UPDATE_MANAGERS = 10;
const ANCIENT = "ancient-changes";

const schemas = new WeakMap<TypeVersion, Schema>();

/** The schema by which fields of a type are told apart: custom types say nothing of metadata. */
export function ownershipSchema(type: ResourceType, version: TypeVersion): Schema {
  if (!type.crd) return version.schema!;
  let schema = schemas.get(version);
  if (!schema) {
    schema = {
      ...version.schema,
      properties: { ...version.schema?.properties, metadata: builtinSchema("meta.ObjectMeta") },
    };
    schemas.set(version, schema);
  }
  return schema;
}

/** Whether a write to `subresource` can own a path. */
function ownable(path: string, hasStatus: boolean, subresource: string | undefined): boolean {
  if (UNOWNED.has(path) || path.startsWith("f:metadata\u0001f:managedFields")) return false;
  if (!hasStatus) return true;
  const ofStatus = path === "f:status" || isBelow(path, "f:status");
  return ofStatus === (subresource === "status") || (subresource === "status" && isBelow(path, "f:metadata"));
}

/** All paths of an object that a write can own. */
export function ownedFields(type: ResourceType, version: TypeVersion, object: unknown, subresource?: string): FieldMap {
  const fields = fieldsOf(ownershipSchema(type, version), object);
  for (const path of fields.keys()) if (!ownable(path, version.hasStatus, subresource)) fields.delete(path);
  return fields;
}

export function decodeManagers(object: KubeObject | undefined): Manager[] {
  return ((object?.metadata.managedFields ?? []) as any[]).filter((entry) => entry?.fieldsV1).map((entry) => ({
    manager: entry.manager ?? "",
    operation: entry.operation === "Apply" ? "Apply" : "Update",
    apiVersion: entry.apiVersion ?? "",
    ...(entry.subresource ? { subresource: entry.subresource } : {}),
    time: entry.time ?? "",
    fields: decodeFields(entry.fieldsV1),
  }));
}

export function encodeManagers(managers: Manager[]): unknown[] {
  const filled = managers.filter(({ fields }) => fields.size > 0);
  const updates = filled.filter(({ operation }) => operation === "Update").sort((a, b) => a.time < b.time ? -1 : 1);
  if (updates.length > UPDATE_MANAGERS) {
    const joined = updates.slice(0, updates.length - UPDATE_MANAGERS + 1);
    const fields: FieldSet = new Set(joined.flatMap((manager) => [...manager.fields]));
    const rest = filled.filter((manager) => !joined.includes(manager));
    return encodeManagers([...rest, { ...joined[joined.length - 1], manager: ANCIENT, fields }]);
  }
  const order = (a: Manager, b: Manager) =>
    a.operation !== b.operation
      ? (a.operation === "Apply" ? -1 : 1)
      : a.time < b.time
      ? -1
      : a.time > b.time
      ? 1
      : a.manager < b.manager
      ? -1
      : 1;
  return filled.sort(order).map(({ manager, operation, apiVersion, subresource, time, fields }) => ({
    apiVersion,
    fieldsType: "FieldsV1",
    fieldsV1: encodeFields(fields),
    manager,
    operation,
    ...(subresource ? { subresource } : {}),
    time,
  }));
}

export function sameManager(a: Manager, b: Omit<Manager, "time" | "fields">): boolean {
  return a.manager === b.manager && a.operation === b.operation && a.subresource === b.subresource &&
    (a.operation === "Apply" || a.apiVersion === b.apiVersion);
}

/** Fields that a write sets or changes, and those it takes away. */
export function compareFields(old: FieldMap, next: FieldMap): { changed: FieldSet; removed: FieldSet } {
  const changed: FieldSet = new Set();
  const removed: FieldSet = new Set();
  for (const [path, value] of next) if (old.get(path) !== value) changed.add(path);
  for (const path of old.keys()) if (!next.has(path)) removed.add(path);
  return { changed, removed };
}

export interface ManagedWrite {
  type: ResourceType;
  version: TypeVersion;
  object: KubeObject;
  old?: KubeObject;
  context: WriteContext;
  now: number;
  subresource?: string;
  /** The managers as server-side apply has worked them out; absent for other writes. */
  applied?: Manager[];
}

/**
 * Sets `metadata.managedFields` of an object that is about to be written. Writes of the cluster's own parts that name no
 * manager are recorded only where somebody's applied configuration may be touched: the record costs time on each write.
 */
export function recordManagedFields(write: ManagedWrite): void {
  const { type, version, object, old, context, now, subresource, applied } = write;
  const { metadata } = object;
  if (applied) {
    metadata.managedFields = encodeManagers(applied);
    return;
  }
  // A client may rewrite the record; leaving it out keeps it, an empty list clears it.
  const given = metadata.managedFields !== undefined && old !== undefined;
  const before = decodeManagers(given ? object : old);
  if (context.fieldManager === undefined && !before.some(({ operation }) => operation === "Apply")) {
    if (!given && old?.metadata.managedFields) metadata.managedFields = old.metadata.managedFields;
    if (!old || metadata.managedFields?.length === 0) delete metadata.managedFields;
    return;
  }
  const { changed, removed } = compareFields(
    old ? ownedFields(type, version, old, subresource) : new Map(),
    ownedFields(type, version, object, subresource),
  );
  const self = {
    manager: context.fieldManager ?? context.user.name,
    operation: "Update" as const,
    apiVersion: groupVersion(type.group, version.name),
    ...(subresource ? { subresource } : {}),
  };
  let own = before.find((manager) => sameManager(manager, self));
  if (!own && changed.size > 0) before.push(own = { ...self, time: "", fields: new Set() });
  for (const manager of before) {
    const size = manager.fields.size;
    for (const path of removed) manager.fields.delete(path);
    if (manager === own) {
      for (const path of changed) manager.fields.add(path);
      if (changed.size > 0 || manager.fields.size !== size) manager.time = timestamp(now);
    } else for (const path of changed) manager.fields.delete(path);
  }
  const entries = encodeManagers(before);
  if (entries.length > 0) metadata.managedFields = entries;
  else delete metadata.managedFields;
}
