import type { Schema } from "./schema.ts";

/**
 * The notation of ./tables, one type a line: `Name: field=type other!=type …`, under a line `# group published.prefix`.
 *
 * - types: `s` string, `i` int32, `l` int64, `n` double, `b` boolean, `y` base64, `t` time, `mt` time with microseconds,
 *   `q` quantity, `x` integer or string, `o` any object, `j` any JSON, `[T]` list, `{T}` map, `Name` or `group.Name`
 * - `:n` number of the field in Protobuf; `:m.n` where it lies in an embedded message that JSON does not show
 * - `!` required; `@a,b` list merged by these keys; `+` list that is a set; `%` atomic map (after a type's name: atomic
 *   object); `~key` strategic merge by that key (`~` alone: a list of scalars that merges); `^` strategy retainKeys
 */
export class TypeTables {
  readonly #lines = new Map<string, string>();
  readonly #groups = new Map<string, string>();
  readonly #built = new Map<string, Schema>();

  constructor(tables: string[]) {
    for (const table of tables) {
      let group = "";
      for (const line of table.split("\n")) {
        if (line === "") continue;
        if (line.startsWith("# ")) {
          const [, alias, prefix] = line.split(" ");
          group = alias;
          this.#groups.set(alias, prefix);
          continue;
        }
        const colon = line.indexOf(":");
        this.#lines.set(`${group}.${line.slice(0, colon).replace("%", "")}`, line);
      }
    }
  }

  /** Schema of a type, e.g. `core.Pod`; parsed on first use. */
  get(name: string): Schema {
    const known = this.#built.get(name);
    if (known) return known;
    const line = this.#lines.get(name);
    if (line === undefined) throw new Error(`there is no type "${name}" in the tables`);
    const dot = name.indexOf(".");
    const group = name.slice(0, dot);
    const schema: Schema = { type: "object", typeName: `${this.#groups.get(group)}.${name.slice(dot + 1)}` };
    this.#built.set(name, schema);
    const [head, ...fields] = line.split(" ");
    if (head.includes("%")) schema["x-kubernetes-map-type"] = "atomic";
    const properties: Record<string, Schema> = {};
    const required: string[] = [];
    const numbers: ProtoFields = new Map();
    protoFields.set(schema, numbers);
    for (const field of fields) {
      if (field === "") continue;
      const equals = field.indexOf("=");
      const mandatory = field[equals - 1] === "!";
      const fieldName = field.slice(0, mandatory ? equals - 1 : equals);
      if (mandatory) required.push(fieldName);
      const text = field.slice(equals + 1);
      properties[fieldName] = this.#field(text, group);
      const number = /:([\d.]+)/.exec(text)?.[1];
      if (number) register(numbers, number.split(".").map(Number), fieldName);
    }
    if (fields.length > 0) schema.properties = properties;
    else schema["x-kubernetes-preserve-unknown-fields"] = false;
    if (required.length > 0) schema.required = required;
    return schema;
  }

  #field(text: string, group: string): Schema {
    const end = text.search(/[:@+%~^]/);
    const schema = this.#type(end < 0 ? text : text.slice(0, end), group);
    const marks = end < 0 ? "" : text.slice(end).replace(/^:[\d.]+/, "");
    if (marks === "") return schema;
    const marked = { ...schema };
    if (protoFields.has(schema)) protoFields.set(marked, protoFields.get(schema)!);
    const keys = /@([^+%~^]+)/.exec(marks)?.[1];
    if (keys) {
      marked["x-kubernetes-list-type"] = "map";
      marked["x-kubernetes-list-map-keys"] = keys.split(",");
    }
    if (marks.includes("+")) marked["x-kubernetes-list-type"] = "set";
    if (marks.includes("%")) marked["x-kubernetes-map-type"] = "atomic";
    const mergeKey = /~([^+%^]*)/.exec(marks)?.[1];
    const strategies = [];
    if (mergeKey !== undefined) {
      strategies.push("merge");
      if (mergeKey !== "") marked["x-kubernetes-patch-merge-key"] = mergeKey;
    }
    if (marks.includes("^")) strategies.push("retainKeys");
    if (strategies.length > 0) marked["x-kubernetes-patch-strategy"] = strategies.join(",");
    return marked;
  }

  #type(text: string, group: string): Schema {
    if (text.startsWith("[")) return { type: "array", items: this.#type(text.slice(1, -1), group) };
    if (text.startsWith("{")) return { type: "object", additionalProperties: this.#type(text.slice(1, -1), group) };
    const basic = BASIC[text];
    if (basic) return basic;
    return this.get(text.includes(".") ? text : `${group}.${text}`);
  }
}

/** Fields of a message by number: the JSON name, or the fields of an embedded message. */
export type ProtoFields = Map<number, string | ProtoFields>;

/** Protobuf numbers by schema. */
export const protoFields = new WeakMap<Schema, ProtoFields>();

function register(fields: ProtoFields, path: number[], name: string): void {
  const [number, ...rest] = path;
  if (rest.length === 0) {
    fields.set(number, name);
    return;
  }
  let inner = fields.get(number);
  if (!(inner instanceof Map)) fields.set(number, inner = new Map());
  register(inner, rest, name);
}

const BASIC: Record<string, Schema> = {
  s: { type: "string" },
  i: { type: "integer", format: "int32" },
  l: { type: "integer", format: "int64" },
  n: { type: "number", format: "double" },
  b: { type: "boolean" },
  y: { type: "string", format: "byte" },
  t: { type: "string", format: "date-time", typeName: "io.k8s.apimachinery.pkg.apis.meta.v1.Time" },
  mt: { type: "string", format: "date-time", typeName: "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime" },
  q: { type: "string", quantity: true, typeName: "io.k8s.apimachinery.pkg.api.resource.Quantity" },
  x: {
    "x-kubernetes-int-or-string": true,
    format: "int-or-string",
    typeName: "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
  },
  o: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  j: { "x-kubernetes-preserve-unknown-fields": true },
};
