import { ApiError } from "../../api_error.ts";
import { jsonEqual } from "../../store/freeze.ts";
import type { Schema } from "../schema/schema.ts";

const PATCH = "$patch";
const RETAIN_KEYS = "$retainKeys";
const ORDER_PREFIX = "$setElementOrder/";
const DELETE_PREFIX = "$deleteFromPrimitiveList/";

type Json = Record<string, any>;

/**
 * Strategic merge: like a merge patch, but lists merge by the key their schema names, and directives (`$patch`,
 * `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`) steer it.
 *
 * @throws {ApiError} 400 for directives that make no sense
 */
export function strategicMergePatch(schema: Schema | undefined, target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) throw ApiError.badRequest("a strategic merge patch is an object");
  return mergeObject(schema, isObject(target) ? target : {}, patch);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isDirective(key: string): boolean {
  return key === PATCH || key === RETAIN_KEYS || key.startsWith(ORDER_PREFIX) || key.startsWith(DELETE_PREFIX);
}

/** What a patch leaves when there is nothing to merge it with: its values without directives and nulls. */
function clean(schema: Schema | undefined, patch: unknown): unknown {
  if (Array.isArray(patch)) {
    return patch.filter((item) => !(isObject(item) && item[PATCH] !== undefined && item[PATCH] !== "merge"))
      .map((item) => clean(schema?.items, item));
  }
  if (!isObject(patch)) return patch;
  const result: Json = {};
  for (const key of Object.keys(patch)) {
    if (isDirective(key) || patch[key] === null) continue;
    result[key] = clean(propertyOf(schema, key), patch[key]);
  }
  return result;
}

function propertyOf(schema: Schema | undefined, key: string): Schema | undefined {
  if (schema?.properties && Object.hasOwn(schema.properties, key)) return schema.properties[key];
  return typeof schema?.additionalProperties === "object" ? schema.additionalProperties : undefined;
}

function mergeObject(schema: Schema | undefined, target: Json, patch: Json): Json {
  if (patch[PATCH] !== undefined) {
    if (patch[PATCH] === "replace") return clean(schema, patch) as Json;
    if (patch[PATCH] === "delete") return {};
    if (patch[PATCH] !== "merge") throw ApiError.badRequest(`unknown patch directive "$patch: ${patch[PATCH]}"`);
  }
  const result: Json = { ...target };
  if (patch[RETAIN_KEYS] !== undefined) {
    if (!Array.isArray(patch[RETAIN_KEYS])) throw ApiError.badRequest("the $retainKeys directive is a list of names");
    for (const key of Object.keys(result)) if (!patch[RETAIN_KEYS].includes(key)) delete result[key];
  }
  for (const key of Object.keys(patch)) {
    if (key.startsWith(DELETE_PREFIX)) {
      const name = key.slice(DELETE_PREFIX.length);
      const remove = asList(patch[key], key);
      if (Array.isArray(result[name])) result[name] = result[name].filter((item: unknown) => !remove.includes(item));
    }
    if (isDirective(key)) continue;
    const value = patch[key];
    const inner = propertyOf(schema, key);
    if (value === null) delete result[key];
    else if (Array.isArray(value)) result[key] = mergeList(inner, result[key], value, patch[ORDER_PREFIX + key]);
    else if (isObject(value)) {
      if (value[PATCH] === "delete") delete result[key];
      else if (isObject(result[key])) result[key] = mergeObject(inner, result[key], value);
      else result[key] = clean(inner, value);
    } else result[key] = value;
  }
  // An order may come alone, when elements only moved.
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(ORDER_PREFIX)) continue;
    const name = key.slice(ORDER_PREFIX.length);
    if (patch[name] === undefined && Array.isArray(result[name])) {
      result[name] = reorder(propertyOf(schema, name), result[name], target[name] ?? [], asList(patch[key], key));
    }
  }
  return result;
}

function asList(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw ApiError.badRequest(`the directive "${name}" is a list`);
  return value;
}

function mergeList(schema: Schema | undefined, target: unknown, patch: any[], order: unknown): unknown {
  const strategy = schema?.["x-kubernetes-patch-strategy"]?.split(",") ?? [];
  const key = schema?.["x-kubernetes-patch-merge-key"];
  if (!strategy.includes("merge")) return clean(schema, patch);
  const existing = Array.isArray(target) ? target : [];
  if (patch.some((item) => isObject(item) && item[PATCH] === "replace")) {
    return clean(
      schema,
      patch.filter((item) => !(isObject(item) && item[PATCH] === "replace" && Object.keys(item).length === 1)),
    );
  }
  let merged: any[];
  if (key === undefined) {
    merged = [...existing, ...patch.filter((item) => !existing.some((other) => jsonEqual(other, item)))];
  } else {
    merged = [...existing];
    for (const item of patch) {
      if (!isObject(item)) throw ApiError.badRequest(`a list that merges by "${key}" holds objects`);
      if (item[key] === undefined) {
        throw ApiError.badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
      }
      // Not only the first: Kubernetes too keeps ports of one number and two protocols apart only by this key.
      const at = merged.findIndex((other) => isObject(other) && jsonEqual(other[key], item[key]));
      if (item[PATCH] === "delete") {
        merged = merged.filter((other) => !(isObject(other) && jsonEqual(other[key], item[key])));
      } else if (at < 0) merged.push(clean(schema?.items, item));
      else merged[at] = mergeObject(schema?.items, merged[at], item);
    }
  }
  return reorder(schema, merged, existing, order === undefined ? undefined : asList(order, ORDER_PREFIX));
}

/** Puts the elements that `order` names into its order; others stay behind the one they followed. */
function reorder(schema: Schema | undefined, list: any[], before: any[], order: unknown[] | undefined): any[] {
  if (!order) return list;
  const key = schema?.["x-kubernetes-patch-merge-key"];
  const idOf = (item: any) => (key === undefined || !isObject(item) ? item : item[key]);
  const wanted = order.map((item) => JSON.stringify(idOf(item) ?? null));
  const ordered = list.filter((item) => wanted.includes(JSON.stringify(idOf(item) ?? null)))
    .map((item, i) => ({ item, rank: wanted.indexOf(JSON.stringify(idOf(item) ?? null)), i }))
    .sort((a, b) => a.rank - b.rank || a.i - b.i).map(({ item }) => item);
  const others = list.filter((item) => !ordered.includes(item));
  // Server-only elements keep their place relative to the elements before them on the server.
  const position = (item: any) => before.findIndex((other) => jsonEqual(idOf(other), idOf(item)));
  const result = [...ordered];
  for (const item of others) {
    const at = position(item);
    const follower = result.findIndex((other) => position(other) > at && at >= 0);
    if (follower < 0) result.push(item);
    else result.splice(follower, 0, item);
  }
  return result;
}
