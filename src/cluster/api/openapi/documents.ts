import type { TypeRegistry } from "../registry.ts";
import { builtinSchema } from "../schema/builtin.ts";
import { groupVersion, type ResourceType, type TypeVersion } from "../types.ts";
import { SchemaWriter } from "./schemas.ts";

type Json = Record<string, unknown>;

const INFO = { title: "Kubernetes", version: "v1.32.0" };
const PATCH_MEDIA = [
  "application/apply-patch+yaml",
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
];

/** Query parameters by operation; kubectl looks for `fieldValidation` and `dryRun` at PATCH. */
const WRITE_PARAMETERS = ["dryRun", "fieldManager", "fieldValidation"];
const LIST_PARAMETERS = [
  "allowWatchBookmarks",
  "continue",
  "fieldSelector",
  "labelSelector",
  "limit",
  "resourceVersion",
  "resourceVersionMatch",
  "sendInitialEvents",
  "timeoutSeconds",
  "watch",
];
const DELETE_PARAMETERS = ["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];

/** What differs between the second and the third version of OpenAPI. */
interface Dialect {
  parameter(name: string, place: "query" | "path"): Json;
  body(schema: Json, media: string[]): Json;
  answer(schema: Json): Json;
}

const V3: Dialect = {
  parameter: (name, place) => ({
    name,
    in: place,
    ...(place === "path" ? { required: true } : {}),
    schema: { type: "string", uniqueItems: true },
  }),
  body: (schema, media) => ({
    requestBody: { content: Object.fromEntries(media.map((type) => [type, { schema }])), required: true },
  }),
  answer: (schema) => ({
    "200": { description: "OK", content: { "application/json": { schema } } },
    "401": { description: "Unauthorized" },
  }),
};

const V2: Dialect = {
  parameter: (name, place) => ({
    name,
    in: place,
    type: "string",
    ...(place === "path" ? { required: true } : {}),
    uniqueItems: true,
  }),
  body: (schema, media) => ({ consumes: media, parameters: [{ name: "body", in: "body", required: true, schema }] }),
  answer: (schema) => ({ "200": { description: "OK", schema }, "401": { description: "Unauthorized" } }),
};

function operations(
  type: ResourceType,
  version: TypeVersion,
  writer: SchemaWriter,
  dialect: Dialect,
): Record<string, Json> {
  const gvk = { group: type.group, kind: type.kind, version: version.name };
  const own = writer.resource(type, version);
  const list = writer.listReference(type, version);
  const base = type.group === "" ? `/api/${version.name}` : `/apis/${type.group}/${version.name}`;
  const at = (namespaced: boolean) => `${base}${namespaced ? "/namespaces/{namespace}" : ""}/${type.plural}`;
  const suffix = `${type.kind}`;
  const make = (action: string, id: string, parameters: string[], schema: Json, body: Json = {}): Json => {
    const { parameters: bodyParameters = [], ...rest } = body as { parameters?: Json[] };
    return {
      operationId: `${id}${pascal(type.group || "core")}${pascal(version.name)}${
        type.namespaced ? "Namespaced" : ""
      }${suffix}`,
      tags: [`${type.group || "core"}_${version.name}`],
      ...rest,
      parameters: [...parameters.map((name) => dialect.parameter(name, "query")), ...bodyParameters],
      responses: dialect.answer(schema),
      "x-kubernetes-action": action,
      "x-kubernetes-group-version-kind": gvk,
    };
  };
  const whole = dialect.body(own, ["application/json", "application/yaml"]);
  const placeholders = [
    ...(type.namespaced ? [dialect.parameter("namespace", "path")] : []),
  ];
  const collection: Json = { parameters: placeholders, post: make("post", "create", WRITE_PARAMETERS, own, whole) };
  const paths: Record<string, Json> = { [at(type.namespaced)]: collection };
  if (type.virtual) return paths;
  collection.get = make("list", "list", LIST_PARAMETERS, list);
  collection.delete = make("deletecollection", "deleteCollection", [...DELETE_PARAMETERS, ...LIST_PARAMETERS], {
    type: "object",
  });
  if (type.namespaced) paths[at(false)] = { get: make("list", "listAll", LIST_PARAMETERS, list) };
  const one = (): Json => ({
    parameters: [dialect.parameter("name", "path"), ...placeholders],
    get: make("get", "read", [], own),
    put: make("put", "replace", WRITE_PARAMETERS, own, whole),
    patch: make(
      "patch",
      "patch",
      [...WRITE_PARAMETERS, "force"],
      own,
      dialect.body(
        { type: "object" },
        type.crd ? PATCH_MEDIA.filter((media) => !media.includes("strategic")) : PATCH_MEDIA,
      ),
    ),
  });
  paths[`${at(type.namespaced)}/{name}`] = {
    ...one(),
    delete: make("delete", "delete", DELETE_PARAMETERS, { type: "object" }),
  };
  if (version.hasStatus) paths[`${at(type.namespaced)}/{name}/status`] = one();
  return paths;
}

function pascal(text: string): string {
  return text.replace(/(?:^|[.-])(\w)/g, (_, letter) => letter.toUpperCase());
}

/** Documents by path, good for one generation of the registry. */
const cache = new WeakMap<TypeRegistry, { generation: number; documents: Map<string, unknown> }>();

function cached(registry: TypeRegistry, name: string, make: () => unknown): unknown {
  let entry = cache.get(registry);
  if (!entry || entry.generation !== registry.generation) {
    entry = { generation: registry.generation, documents: new Map() };
    cache.set(registry, entry);
  }
  if (!entry.documents.has(name)) entry.documents.set(name, make());
  return entry.documents.get(name);
}

function servedTypes(registry: TypeRegistry): [ResourceType, TypeVersion][] {
  return [...registry.all()].flatMap((type) =>
    type.versions.filter(({ served }) => served).map((version): [ResourceType, TypeVersion] => [type, version])
  );
}

/** /openapi/v3: where the document of each group and version lies. */
export function openApiV3Index(registry: TypeRegistry): unknown {
  const paths: Json = {};
  for (const { group, versions } of registry.groups()) {
    for (const version of versions) {
      const path = group === "" ? `api/${version}` : `apis/${group}/${version}`;
      paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${registry.generation}` };
    }
  }
  return { paths };
}

/** /openapi/v3/PATH; undefined where there is no such group and version. */
export function openApiV3(registry: TypeRegistry, path: string): unknown {
  return cached(registry, `v3/${path}`, () => {
    const wanted = servedTypes(registry).filter(([type, version]) =>
      path === (type.group === "" ? `api/${version.name}` : `apis/${groupVersion(type.group, version.name)}`)
    );
    if (wanted.length === 0) return undefined;
    const writer = new SchemaWriter("#/components/schemas/");
    const paths: Json = {};
    for (const [type, version] of wanted) Object.assign(paths, operations(type, version, writer, V3));
    for (const name of ["meta.Status", "meta.DeleteOptions"]) writer.reference(builtinSchema(name));
    return { openapi: "3.0.0", info: INFO, paths, components: { schemas: writer.schemas } };
  });
}

/** /openapi/v2: everything in one document. */
export function openApiV2(registry: TypeRegistry): unknown {
  return cached(registry, "v2", () => {
    const writer = new SchemaWriter("#/definitions/");
    const paths: Json = {};
    for (const [type, version] of servedTypes(registry)) Object.assign(paths, operations(type, version, writer, V2));
    return { swagger: "2.0", info: INFO, paths, definitions: writer.schemas };
  });
}

/** What kubectl calls the binary encoding of /openapi/v2. */
export const OPENAPI_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/**
 * /openapi/v2 in its binary encoding: a document without types. Current kubectl reads types from v3 and asks for this only
 * about a group or version that v3 does not have, to learn that it is not here either.
 */
export function openApiV2Protobuf(): Uint8Array<ArrayBuffer> {
  const field = (number: number, value: readonly number[]) => [number << 3 | 2, value.length, ...value];
  const text = (value: string) => [...new TextEncoder().encode(value)];
  // Document: swagger = 1, info = 2 (title = 1, version = 2), paths = 8.
  const info = [...field(1, text(INFO.title)), ...field(2, text(INFO.version))];
  return Uint8Array.from([...field(1, text("2.0")), ...field(2, info), ...field(8, [])]);
}
