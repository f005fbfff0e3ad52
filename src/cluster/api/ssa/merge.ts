import type { Schema } from "../schema/schema.ts";
import { childSchema, type FieldSet, isBelow, itemElement, joinPath } from "./fields.ts";

function isObject(value: unknown): value is Record<string, any> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Lays an applied configuration over a live object: maps and keyed lists merge, everything else is replaced. */
export function mergeConfiguration(schema: Schema | undefined, live: any, config: any): any {
  if (isObject(live) && isObject(config)) {
    if (schema?.["x-kubernetes-map-type"] === "atomic") return config;
    const result: Record<string, any> = { ...live };
    for (const key of Object.keys(config)) {
      result[key] = mergeConfiguration(childSchema(schema, key).schema, live[key], config[key]);
    }
    return result;
  }
  if (Array.isArray(live) && Array.isArray(config)) return mergeLists(schema, live, config);
  return config;
}

function mergeLists(schema: Schema | undefined, live: any[], config: any[]): any[] {
  const kind = schema?.["x-kubernetes-list-type"];
  if (kind !== "map" && kind !== "set") return config;
  const liveIds = live.map((item) => itemElement(schema, item));
  const wanted = new Set(config.map((item) => itemElement(schema, item)));
  const result: any[] = [];
  let taken = 0;
  // The configuration's order holds; items that only the live list has stay behind those they followed.
  const takeUpTo = (end: number) => {
    for (; taken < end; taken++) if (!wanted.has(liveIds[taken])) result.push(live[taken]);
  };
  for (const item of config) {
    const at = liveIds.indexOf(itemElement(schema, item));
    if (at >= 0) takeUpTo(at);
    result.push(at >= 0 && kind === "map" ? mergeConfiguration(schema!.items, live[at], item) : item);
  }
  takeUpTo(live.length);
  return result;
}

/** Removes fields from an object; what holds a field in `keep` stays. Parents that become empty go too. */
export function removeFields(schema: Schema | undefined, value: any, remove: FieldSet, keep: FieldSet): any {
  const keptAbove = (path: string) => keep.has(path) || [...keep].some((other) => isBelow(other, path));
  const touched = (path: string) => [...remove].some((other) => isBelow(other, path));
  const walk = (inner: Schema | undefined, node: any, path: string): any => {
    if (isObject(node)) {
      const result: Record<string, any> = {};
      for (const key of Object.keys(node)) {
        const at = joinPath(path, `f:${key}`);
        if (remove.has(at) && !keptAbove(at)) continue;
        const child = touched(at) ? walk(childSchema(inner, key).schema, node[key], at) : node[key];
        if (child !== undefined) result[key] = child;
      }
      return Object.keys(result).length === 0 && Object.keys(node).length > 0 && path !== "" ? undefined : result;
    }
    if (!Array.isArray(node)) return node;
    const result: any[] = [];
    for (const item of node) {
      const element = itemElement(inner, item);
      const at = element === undefined ? path : joinPath(path, element);
      if (element !== undefined && remove.has(at) && !keptAbove(at)) continue;
      result.push(element !== undefined && touched(at) ? walk(inner?.items, item, at) : item);
    }
    return result.length === 0 && node.length > 0 ? undefined : result;
  };
  return walk(schema, value, "");
}
