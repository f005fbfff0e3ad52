import type { Schema } from "../schema/schema.ts";

// Paths of fields, as structured-merge-diff has them: each element is written as in FieldsV1 (`f:name`, `k:{…}`, `v:…`),
// and a path is its elements joined by a character that none of them holds.

const SEPARATOR = "\u0001";

/** A set of paths. */
export type FieldSet = Set<string>;

/** Every path of an object that can be owned, with the JSON of what stands there ("" for what only holds others). */
export type FieldMap = Map<string, string>;

export function joinPath(parent: string, element: string): string {
  return parent === "" ? element : `${parent}${SEPARATOR}${element}`;
}

export function splitPath(path: string): string[] {
  return path.split(SEPARATOR);
}

export function isBelow(path: string, ancestor: string): boolean {
  return path.startsWith(ancestor + SEPARATOR);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The schema of a property, and whether the schema names it (or it is the key of a map). */
export function childSchema(schema: Schema | undefined, key: string): { schema: Schema | undefined; named: boolean } {
  if (schema?.properties && Object.hasOwn(schema.properties, key)) {
    return { schema: schema.properties[key], named: true };
  }
  return {
    schema: typeof schema?.additionalProperties === "object" ? schema.additionalProperties : undefined,
    named: false,
  };
}

/** How an element of a list is told from the others; undefined for lists that are owned as a whole. */
export function itemElement(schema: Schema | undefined, item: unknown): string | undefined {
  const kind = schema?.["x-kubernetes-list-type"];
  if (kind === "set") return `v:${JSON.stringify(item)}`;
  if (kind !== "map" || !isObject(item)) return undefined;
  const keys: Record<string, unknown> = {};
  for (const key of [...schema!["x-kubernetes-list-map-keys"] ?? []].sort()) {
    const value = item[key] ?? schema!.items?.properties?.[key]?.default ?? (key === "protocol" ? "TCP" : undefined);
    if (value !== undefined) keys[key] = value;
  }
  return `k:${JSON.stringify(keys)}`;
}

/** All paths of an object. */
export function fieldsOf(schema: Schema | undefined, value: unknown): FieldMap {
  const fields: FieldMap = new Map();
  visit(schema, value, "", fields);
  return fields;
}

function visit(schema: Schema | undefined, value: unknown, path: string, fields: FieldMap): void {
  if (isObject(value)) {
    const keys = Object.keys(value);
    if (keys.length === 0 || schema?.["x-kubernetes-map-type"] === "atomic") {
      if (path !== "") fields.set(path, JSON.stringify(value));
      return;
    }
    for (const key of keys) {
      const item = value[key];
      if (item === undefined) continue;
      const child = childSchema(schema, key);
      const at = joinPath(path, `f:${key}`);
      if (!child.named && isObject(item)) fields.set(at, "");
      visit(child.schema, item, at, fields);
    }
    return;
  }
  if (Array.isArray(value) && value.length > 0) {
    const elements = value.map((item) => itemElement(schema, item));
    if (elements.every((element) => element !== undefined)) {
      value.forEach((item, i) => {
        const at = joinPath(path, elements[i]!);
        fields.set(at, "");
        if (schema?.["x-kubernetes-list-type"] === "map") visit(schema.items, item, at, fields);
      });
      return;
    }
  }
  fields.set(path, JSON.stringify(value));
}

/** The set in the form in which managedFields hold it. */
export function encodeFields(set: FieldSet): Record<string, unknown> {
  const root: Record<string, any> = {};
  for (const path of [...set].sort()) {
    let node = root;
    for (const element of splitPath(path)) node = node[element] ??= {};
    // What holds others is marked as a member itself; leaves are empty.
    node["."] = {};
  }
  const tidy = (node: Record<string, any>): void => {
    for (const key of Object.keys(node)) {
      const child = node[key];
      if (key === ".") continue;
      if (Object.keys(child).length === 1 && child["."]) node[key] = {};
      else tidy(child);
    }
  };
  tidy(root);
  return root;
}

const DEPTH_LIMIT = 100;

/** Reads FieldsV1. Unreadable parts are left out. */
export function decodeFields(fields: unknown): FieldSet {
  const set: FieldSet = new Set();
  const walk = (node: unknown, path: string, depth: number): void => {
    if (!isObject(node) || depth > DEPTH_LIMIT) return;
    const keys = Object.keys(node);
    if (path !== "" && (keys.length === 0 || Object.hasOwn(node, "."))) set.add(path);
    for (const key of keys) {
      if (key !== "." && !key.includes(SEPARATOR)) walk(node[key], joinPath(path, key), depth + 1);
    }
  };
  walk(fields, "", 0);
  return set;
}

/** A path as messages show it: `.spec.containers[name="a"].image`. */
export function showPath(path: string): string {
  return splitPath(path).map((element) => {
    if (element.startsWith("f:")) return `.${element.slice(2)}`;
    if (element.startsWith("v:")) return `[=${element.slice(2)}]`;
    const keys = JSON.parse(element.slice(2)) as Record<string, unknown>;
    return `[${Object.entries(keys).map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(",")}]`;
  }).join("");
}
