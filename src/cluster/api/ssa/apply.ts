import { ApiError } from "../../api_error.ts";
import type { KubeObject } from "../../contracts.ts";
import type { WriteContext } from "../context.ts";
import type { ApiCore } from "../core.ts";
import { notFound } from "../errors.ts";
import { timestamp } from "../metadata.ts";
import { decodeObject } from "../object_decoding.ts";
import { inVersion } from "../patching.ts";
import { groupVersion, qualified, type ResourceType, type TypeVersion } from "../types.ts";
import { type FieldSet, showPath } from "./fields.ts";
import { compareFields, decodeManagers, type Manager, ownedFields, ownershipSchema, sameManager } from "./managed.ts";
import { mergeConfiguration, removeFields } from "./merge.ts";

/** The manager of `kubectl apply --server-side`. */
const KUBECTL = "kubectl";

/** Fields that another manager owns and that would change. */
interface Conflict {
  readonly manager: Manager;
  readonly paths: string[];
}

/**
 * Server-side apply: merges a configuration into the live object, removes what this manager applied before and no longer
 * does, and refuses to change what others own unless forced.
 *
 * @throws {ApiError} 409 naming every conflict and its owner
 */
export function applyConfiguration(
  core: ApiCore,
  type: ResourceType,
  version: TypeVersion,
  namespace: string | undefined,
  name: string,
  patch: unknown,
  context: WriteContext,
  subresource?: string,
): KubeObject {
  const config = decodeObject(type, version, patch, context, false);
  if (config.metadata.managedFields) throw ApiError.badRequest("metadata.managedFields must be nil");
  if (config.metadata.name && config.metadata.name !== name) {
    throw ApiError.badRequest(
      `the name of the object (${config.metadata.name}) does not match the name on the URL (${name})`,
    );
  }
  config.metadata.name = name;
  const self = {
    manager: context.fieldManager ?? context.user.name,
    operation: "Apply" as const,
    apiVersion: groupVersion(type.group, version.name),
    ...(subresource ? { subresource } : {}),
  };
  const fields: FieldSet = new Set(ownedFields(type, version, config, subresource).keys());
  const time = timestamp(core.now());
  const old = core.find(type, namespace, name);
  if (!old) {
    if (subresource) throw notFound(type, name);
    if (config.metadata.uid) {
      throw new ApiError(
        409,
        "Conflict",
        `Operation cannot be fulfilled on ${
          qualified(type)
        } "${name}": uid mismatch: the provided object specified uid ${config.metadata.uid}, and no existing object was found`,
      );
    }
    delete config.metadata.resourceVersion;
    (context as { created?: boolean }).created = true;
    return core.create(type, version, namespace, config, context, [{ ...self, time, fields }]);
  }
  const live = inVersion(type, version, old);
  const schema = ownershipSchema(type, version);
  const managers = decodeManagers(old);
  const others = managers.filter((manager) => !sameManager(manager, self));
  const previous = managers.find((manager) => sameManager(manager, self));

  let next = mergeConfiguration(schema, live, config) as KubeObject;
  const dropped: FieldSet = new Set([...previous?.fields ?? []].filter((path) => !fields.has(path)));
  if (dropped.size > 0) {
    const kept: FieldSet = new Set([...fields, ...others.flatMap((manager) => [...manager.fields])]);
    next = removeFields(schema, next, dropped, kept);
  }
  next = structuredClone(next);
  const { changed, removed } = compareFields(
    ownedFields(type, version, live, subresource),
    ownedFields(type, version, next, subresource),
  );
  const conflicts = others.map((manager) => ({
    manager,
    paths: [...manager.fields].filter((path) => changed.has(path)),
  }))
    .filter(({ paths }) => paths.length > 0);
  if (conflicts.length > 0 && !context.force) {
    const left = self.manager === KUBECTL ? withoutLastApplied(conflicts, type, version, live, subresource) : conflicts;
    if (left.length > 0) throw conflictError(left);
  }
  for (const manager of others) {
    for (const path of changed) manager.fields.delete(path);
    for (const path of removed) manager.fields.delete(path);
  }
  const same = previous !== undefined && previous.fields.size === fields.size &&
    [...fields].every((path) => previous.fields.has(path));
  const own: Manager = { ...self, time: same ? previous.time : time, fields };
  next.metadata.resourceVersion = config.metadata.resourceVersion as string;
  if (next.metadata.resourceVersion === undefined) delete next.metadata.resourceVersion;
  delete next.metadata.managedFields;
  return core.replace(type, version, old, next, context, subresource, [...others, own]);
}

/**
 * The conflicts that are left when `kubectl apply --server-side` takes over what `kubectl apply` applied before: the fields of
 * the last-applied annotation that still have the values that it says.
 */
function withoutLastApplied(
  conflicts: readonly Conflict[],
  type: ResourceType,
  version: TypeVersion,
  live: KubeObject,
  subresource: string | undefined,
): Conflict[] {
  const last = lastApplied(live);
  if (last?.apiVersion !== groupVersion(type.group, version.name)) return [...conflicts];
  const applied = ownedFields(type, version, sorted(last), subresource);
  const now = ownedFields(type, version, sorted(live), subresource);
  return conflicts.flatMap(({ manager, paths }) => {
    const left = paths.filter((path) => !applied.has(path) || applied.get(path) !== now.get(path));
    return left.length > 0 ? [{ manager, paths: left }] : [];
  });
}

function lastApplied(live: KubeObject): Record<string, unknown> | undefined {
  const text = live.metadata.annotations?.["kubectl.kubernetes.io/last-applied-configuration"];
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    // Whoever wrote that annotation was not kubectl: nothing is taken over.
    return undefined;
  }
}

/** The same value with the keys of its objects in order, so that equal values have equal JSON. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([key, item]) => [key, sorted(item)]),
  );
}

function conflictError(conflicts: readonly Conflict[]): ApiError {
  const causes = conflicts.flatMap(({ manager, paths }) =>
    paths.map((path) => ({
      reason: "FieldManagerConflict",
      message: `conflict with ${describe(manager)}`,
      field: showPath(path),
    }))
  );
  const lines = conflicts.map(({ manager, paths }) =>
    paths.length === 1
      ? `conflict with ${describe(manager)}: ${showPath(paths[0])}`
      : `conflicts with ${describe(manager)}:\n${paths.sort().map((path) => `- ${showPath(path)}`).join("\n")}`
  );
  const count = causes.length;
  return new ApiError(
    409,
    "Conflict",
    `Apply failed with ${count} conflict${count === 1 ? "" : "s"}: ${lines.join("\n")}`,
    { causes },
  );
}

function describe({ manager, operation, subresource, apiVersion }: Manager): string {
  const using = operation === "Update" ? ` using ${apiVersion}` : "";
  return `${JSON.stringify(manager)}${subresource ? ` with subresource "${subresource}"` : ""}${using}`;
}
