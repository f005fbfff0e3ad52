import { ApiError } from "../api_error.ts";
import type { KubeObject } from "../contracts.ts";
import type { WriteContext } from "./context.ts";
import { decodeCustomObject } from "./crd/decode_object.ts";
import { decodeBuiltin } from "./schema/decode.ts";
import { groupVersion, type ResourceType, splitApiVersion, type TypeVersion } from "./types.ts";

/**
 * Makes a private, pruned copy of what a client sent, as an object of the type and version; types with a conversion of their
 * own come out in the version they are stored in.
 *
 * @param withDefaults whether the schema of a custom type fills in its defaults
 * @throws {ApiError} 400 where it is another kind of object or does not decode; with strict field validation also for
 * unknown and duplicate fields
 */
export function decodeObject(
  type: ResourceType,
  version: TypeVersion,
  raw: unknown,
  context: WriteContext,
  withDefaults = true,
): KubeObject {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
    throw ApiError.badRequest(`the object provided is unrecognized (must be of type ${type.kind})`);
  }
  const source = raw as KubeObject;
  const wanted = groupVersion(type.group, version.name);
  if (source.apiVersion === undefined || source.apiVersion === "" || source.kind === undefined || source.kind === "") {
    const missing = source.kind ? "apiVersion" : "Kind";
    throw ApiError.badRequest(`Object '${missing}' is missing in '${excerpt(raw)}'`);
  }
  const given = typeof source.apiVersion === "string" ? splitApiVersion(source.apiVersion) : undefined;
  const sameGroup = given?.group === type.group && type.versions.some((candidate) => candidate.name === given.version);
  if (!sameGroup || source.kind !== type.kind) {
    throw ApiError.badRequest(
      `the API version in the data (${source.apiVersion}, Kind=${source.kind}) does not match the expected API version (${wanted}, Kind=${type.kind})`,
    );
  }
  const unknown: string[] = [];
  const object: KubeObject = type.crd
    ? decodeCustomObject(type, version, source, unknown, withDefaults)
    : decodeBuiltin(version.schema!, source, type.kind, version.name, { unknown });
  object.apiVersion = wanted;
  object.kind = type.kind;
  object.metadata ??= { name: "" };
  reportFields(type, version, context, unknown);
  return type.convert ? type.convert(object, type.storageVersion) : object;
}

function reportFields(type: ResourceType, version: TypeVersion, context: WriteContext, unknown: string[]): void {
  const problems = [
    ...unknown.map((path) => `unknown field "${path}"`),
    ...(context.duplicateFields ?? []).map((path) => `duplicate field "${path}"`),
  ];
  if (problems.length === 0 || context.fieldValidation === "Ignore") return;
  if (context.fieldValidation === "Strict") {
    throw ApiError.badRequest(
      `${type.kind} in version "${version.name}" cannot be handled as a ${type.kind}: strict decoding error: ${
        problems.join(", ")
      }`,
    );
  }
  context.warnings.push(...problems);
}

function excerpt(raw: unknown): string {
  const text = JSON.stringify(raw);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
