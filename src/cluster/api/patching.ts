import { ApiError } from "../api_error.ts";
import type { KubeObject, PatchType } from "../contracts.ts";
import type { WriteContext } from "./context.ts";
import type { ApiCore } from "./core.ts";
import { invalid, unsupportedMediaType } from "./errors.ts";
import { decodeObject } from "./object_decoding.ts";
import { jsonPatch } from "./patch/json_patch.ts";
import { mergePatch } from "./patch/merge_patch.ts";
import { strategicMergePatch } from "./patch/strategic.ts";
import { applyConfiguration } from "./ssa/apply.ts";
import { patchScale, writePart } from "./subresources.ts";
import { groupVersion, type ResourceType, type TypeVersion } from "./types.ts";

/** Applies a patch of any kind to an object or to its status or scale. */
export function patchObject(
  core: ApiCore,
  type: ResourceType,
  version: TypeVersion,
  namespace: string | undefined,
  name: string,
  patchType: PatchType,
  patch: unknown,
  context: WriteContext,
  subresource?: string,
): KubeObject {
  if (subresource === "scale") return patchScale(core, type, version, namespace, name, patchType, patch, context);
  if (patchType === "apply") {
    return applyConfiguration(core, type, version, namespace, name, patch, context, subresource);
  }
  if (patchType === "strategic" && type.crd) {
    throw unsupportedMediaType([
      "application/json-patch+json",
      "application/merge-patch+json",
      "application/apply-patch+yaml",
    ]);
  }
  const old = core.get(type, namespace, name);
  const current = inVersion(type, version, old);
  const patched = applyPatch(patchType, version, current, patch) as KubeObject;
  if (
    typeof patched !== "object" || patched === null || typeof patched.metadata !== "object" || patched.metadata === null
  ) {
    throw ApiError.badRequest("the patch removes the object's metadata");
  }
  if (patched.metadata.name !== name) {
    throw invalid(type.kind, type.group, name, [{
      type: "Invalid",
      field: "metadata.name",
      message: `Invalid value: ${JSON.stringify(patched.metadata.name ?? "")}: field is immutable`,
    }]);
  }
  const next = decodeObject(type, version, patched, context);
  // Whoever may write a part of an object only must not reach the rest through it.
  if (subresource !== undefined && subresource !== "status") {
    return writePart(core, type, version, old, next, context, subresource);
  }
  return core.replace(type, version, old, next, context, subresource);
}

/** The document that results from a patch. */
export function applyPatch(patchType: PatchType, version: TypeVersion, current: unknown, patch: unknown): unknown {
  switch (patchType) {
    case "json":
      return jsonPatch(current, patch);
    case "merge":
      if (typeof patch !== "object" || patch === null || Array.isArray(patch)) {
        throw ApiError.badRequest("a merge patch of an object is an object");
      }
      return mergePatch(current, patch);
    case "strategic":
      return strategicMergePatch(version.schema, current, patch);
    case "apply":
      throw ApiError.badRequest("this resource does not take apply patches");
  }
}

/** The object as a version shows it. */
export function inVersion(type: ResourceType, version: TypeVersion, object: KubeObject): KubeObject {
  if (type.convert) return type.convert(object, version.name);
  const apiVersion = groupVersion(type.group, version.name);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}
