// Walks the schema of a CustomResourceDefinition: every field that can be given, values for it, and objects that hold it.

import type { Schema } from "../../manifests/crds/schema.ts";

/** A field that holds no further fields; `http[].match[].headers{}.exact`. */
export interface Leaf {
  readonly path: string;
  readonly schema: Schema;
}

const isScalar = ({ type, properties, additionalProperties, items }: Schema): boolean =>
  !properties && !additionalProperties && !items && type !== "array";

export function leavesOf(schema: Schema, path = ""): Leaf[] {
  if (schema.properties) {
    return Object.entries(schema.properties).flatMap(([name, child]) =>
      leavesOf(child, path === "" ? name : `${path}.${name}`)
    );
  }
  if (schema.items) return isScalar(schema.items) ? [{ path, schema }] : leavesOf(schema.items, `${path}[]`);
  if (schema.additionalProperties) {
    const values = schema.additionalProperties;
    return isScalar(values) ? [{ path, schema }] : leavesOf(values, `${path}{}`);
  }
  return [{ path, schema }];
}

/** What holds fields, for a field that no schema has; `http[].match[]`, "" for the whole. */
export function holdersOf(schema: Schema, path = ""): string[] {
  if (schema.items) return holdersOf(schema.items, `${path}[]`);
  if (schema.additionalProperties) return holdersOf(schema.additionalProperties, `${path}{}`);
  if (!schema.properties) return [];
  const below = Object.entries(schema.properties).flatMap(([name, child]) =>
    holdersOf(child, path === "" ? name : `${path}.${name}`)
  );
  return [path, ...below];
}

/** Two values of a kind, or all of a closed set. */
export function valuesOf(schema: Schema): unknown[] {
  if (schema.enum) return [...schema.enum];
  if (schema.items) return valuesOf(schema.items).map((value) => [value]);
  if (schema.additionalProperties) return valuesOf(schema.additionalProperties).map((value) => ({ k: value }));
  const least = schema.minimum ?? 0, most = schema.maximum ?? 1e6;
  switch (schema.type) {
    case "boolean":
      return [false, true];
    case "integer":
      return [Math.min(most, least + 3), Math.min(most, least + 7)];
    case "number":
      return [Math.min(most, least + 3), Math.min(most, least + 7)];
    case "string":
      return schema.pattern?.includes("ms") ? ["7s", "9s"] : ["one", "two"];
    default:
      return [{ one: 1 }, { two: 2 }];
  }
}

type Json = Record<string, any>;

/** An object with what its schema requires. `examples` holds values by path. */
function required(schema: Schema, path: string, examples: Json): unknown {
  if (Object.hasOwn(examples, path)) return structuredClone(examples[path]);
  if (!schema.properties) return valuesOf(schema)[0];
  return Object.fromEntries((schema.required ?? []).map((name) => [
    name,
    required(schema.properties![name], `${path}.${name}`, examples),
  ]));
}

export const ABSENT = Symbol("absent");

/**
 * Sets the field at `path` of `spec`, with what its parents require; `ABSENT` leaves it out, its parents stay.
 *
 * @returns where the field is: `http[0].match[0].headers["k"].exact`
 */
export function setLeaf(spec: Json, schema: Schema, path: string, value: unknown, examples: Json): string {
  const steps = path.match(/[^.[\]{}]+|\[\]|\{\}/g)!;
  let node: any = spec, at: Schema = schema, place = "", pattern = "";
  for (const [i, step] of steps.entries()) {
    const last = i === steps.length - 1;
    let key: string | number;
    if (step === "[]") {
      [at, key, place, pattern] = [at.items!, 0, `${place}[0]`, `${pattern}[]`];
    } else if (step === "{}") {
      key = Object.keys(node)[0] ?? examples[`${pattern}{}key`] ?? "k";
      [at, place, pattern] = [at.additionalProperties!, `${place}["${key}"]`, `${pattern}{}`];
    } else {
      [at, key] = [at.properties![step] ?? {}, step];
      [place, pattern] = [place, pattern].map((text) => text === "" ? step : `${text}.${step}`);
    }
    if (last) {
      if (value === ABSENT) delete node[key];
      else node[key] = structuredClone(value);
    } else {
      const list = steps[i + 1] === "[]" || steps[i + 1] === "{}";
      node[key] ??= list ? (at.items ? [] : {}) : required(at, pattern, examples);
      node = node[key];
    }
  }
  return place;
}
