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
  if (conflicts.length > 0 && !context.force) throw conflictError(conflicts);
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

function conflictError(conflicts: { manager: Manager; paths: string[] }[]): ApiError {
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
