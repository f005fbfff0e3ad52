import type { PathStep } from "./set_path.ts";

/** What may stand in a place of an IstioOperator spec. */
export type Shape =
  | "string"
  /** A string that may be written as a number or a boolean: annotations' values. */
  | "text"
  | "boolean"
  | "integer"
  | "number"
  | "any"
  | { map: Shape }
  | { list: Shape }
  | { fields: Record<string, Shape> };

/** The shape at a path, or the part of the path that names nothing. */
export function shapeAt(root: Shape, path: readonly PathStep[]): { shape: Shape } | { unknownAt: number } {
  let shape = root;
  for (let i = 0; i < path.length; i++) {
    const step = path[i];
    if (shape === "any") return { shape };
    if (typeof shape === "string") return { unknownAt: i };
    if ("field" in step) {
      const next: Shape | undefined = "map" in shape
        ? shape.map
        : "fields" in shape && Object.hasOwn(shape.fields, step.field)
        ? shape.fields[step.field]
        : undefined;
      if (next === undefined) return { unknownAt: i };
      shape = next;
    } else if ("list" in shape) shape = shape.list;
    else return { unknownAt: i };
  }
  return { shape };
}

/** Turns the text of `--set` into what the shape wants; text that does not fit stays for {@linkcode problems} to name. */
export function coerce(shape: Shape, text: string): unknown {
  if (shape === "string" || shape === "text") return text;
  if (/^(true|false)$/.test(text)) return text === "true";
  if (shape === "boolean") return text;
  if (/^-?(0|[1-9]\d{0,14})(\.\d+)?$/.test(text)) return Number(text);
  if (text === "null") return null;
  if (/^[[{]/.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return text;
}

/** What is wrong with `value`, one line each with its path; nothing when it fits. */
export function problems(shape: Shape, value: unknown, path: string): string[] {
  if (value === null || value === undefined || shape === "any") return [];
  if (typeof shape === "string") {
    const kind = typeof value;
    if (shape === "text") return kind === "object" ? [`"${path}" must be a string`] : [];
    const fits = shape === "integer" ? Number.isInteger(value) : kind === shape;
    return fits ? [] : [`"${path}" must be ${article(shape)}, not ${JSON.stringify(value)}`];
  }
  if ("list" in shape) {
    if (!Array.isArray(value)) return [`"${path}" must be a list`];
    return value.flatMap((item, i) => problems(shape.list, item, `${path}[${i}]`));
  }
  if (typeof value !== "object" || Array.isArray(value)) return [`"${path}" must be a map`];
  return Object.entries(value).flatMap(([key, item]) => {
    const inner = path === "" ? key : `${path}.${key}`;
    if ("map" in shape) return problems(shape.map, item, inner);
    if (!Object.hasOwn(shape.fields, key)) return [`unknown field "${inner}"`];
    return problems(shape.fields[key], item, inner);
  });
}

function article(shape: string): string {
  return shape === "integer" ? "a whole number" : shape === "boolean" ? "true or false" : `a ${shape}`;
}
