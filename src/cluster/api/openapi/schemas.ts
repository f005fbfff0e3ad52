import { builtinSchema } from "../schema/builtin.ts";
import type { Schema } from "../schema/schema.ts";
import type { ResourceType, TypeVersion } from "../types.ts";

type Json = Record<string, unknown>;

/** Turns schemas into published form, gathering the named types that they need. */
export class SchemaWriter {
  readonly schemas: Record<string, Json> = {};
  readonly #prefix: string;

  /** @param prefix where references point: `#/components/schemas/` or `#/definitions/` */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Writes a resource type's schema, and returns a reference to it. */
  resource(type: ResourceType, version: TypeVersion): Json {
    const gvk = { group: type.group, kind: type.kind, version: version.name };
    const name = type.crd ? customName(type, version) : version.schema!.typeName!;
    if (!this.schemas[name]) {
      if (type.crd) this.schemas[name] = this.#custom(version);
      else this.reference(version.schema!);
      (this.schemas[name] as Json)["x-kubernetes-group-version-kind"] = [gvk];
      this.#list(name, type, version);
    }
    return { $ref: this.#prefix + name };
  }

  listReference(type: ResourceType, version: TypeVersion): Json {
    const name = type.crd ? customName(type, version) : version.schema!.typeName!;
    return { $ref: `${this.#prefix}${name}List` };
  }

  /** Reference to a built-in type, which is written where it has not been yet. */
  reference(schema: Schema): Json {
    const name = schema.typeName!;
    if (!this.schemas[name]) {
      this.schemas[name] = {};
      this.schemas[name] = this.#plain(schema, true);
    }
    return { $ref: this.#prefix + name };
  }

  #list(name: string, type: ResourceType, version: TypeVersion): void {
    this.schemas[`${name}List`] = {
      type: "object",
      required: ["items"],
      properties: {
        apiVersion: { type: "string" },
        kind: { type: "string" },
        metadata: this.#wrap(builtinSchema("meta.ListMeta")),
        items: { type: "array", items: { $ref: this.#prefix + name } },
      },
      "x-kubernetes-group-version-kind": [{ group: type.group, kind: type.listKind, version: version.name }],
    };
  }

  #custom(version: TypeVersion): Json {
    const schema = version.schema
      ? this.#plain(version.schema, true)
      : { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    return {
      ...schema,
      properties: {
        apiVersion: { type: "string" },
        kind: { type: "string" },
        ...schema.properties as Json,
        metadata: this.#wrap(builtinSchema("meta.ObjectMeta")),
      },
    };
  }

  /** A field of a named type; siblings of `$ref` need `allOf`. */
  #wrap(schema: Schema): Json {
    const reference = this.reference(schema);
    const extra = Object.fromEntries(
      Object.entries(schema).filter(([key]) =>
        key.startsWith("x-kubernetes-list") || key.startsWith("x-kubernetes-patch")
      ),
    );
    return schema.type === "object" && Object.keys(extra).length === 0
      ? { default: {}, allOf: [reference] }
      : { allOf: [reference], ...extra };
  }

  #plain(schema: Schema, top = false): Json {
    if (schema.typeName && !top) return this.#wrap(schema);
    const result: Json = {};
    for (const [key, value] of Object.entries(schema) as [keyof Schema, any][]) {
      switch (key) {
        case "typeName":
        case "quantity":
          break;
        case "properties":
          result.properties = Object.fromEntries(
            Object.entries<Schema>(value).map(([name, inner]) => [name, this.#plain(inner)]),
          );
          break;
        case "items":
        case "not":
          result[key] = this.#plain(value);
          break;
        case "additionalProperties":
          result[key] = typeof value === "object" ? this.#plain(value) : value;
          break;
        case "allOf":
        case "anyOf":
        case "oneOf":
          result[key] = value.map((inner: Schema) => this.#plain(inner));
          break;
        case "x-kubernetes-preserve-unknown-fields":
          if (value) result[key] = value;
          break;
        default:
          result[key] = value;
      }
    }
    if (schema["x-kubernetes-int-or-string"]) {
      delete result.type;
      result.format = "int-or-string";
      result.oneOf ??= [{ type: "integer" }, { type: "string" }];
    }
    return result;
  }
}

/** `io.istio.security.v1.AuthorizationPolicy`, as real clusters name the schemas of custom types. */
function customName(type: ResourceType, version: TypeVersion): string {
  return [...type.group.split(".").reverse(), version.name, type.kind].join(".");
}
