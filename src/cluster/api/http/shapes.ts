import type { KubeObject } from "../../contracts.ts";
import { columnsOf, rowCells } from "../tables/mod.ts";
import type { ResourceType, TypeVersion } from "../types.ts";
import type { Call } from "./gateway.ts";
import type { AnswerFormat } from "./negotiation.ts";

/** The metadata of an object alone. */
export function partialMetadata(object: KubeObject, version: string, kind = "PartialObjectMetadata"): unknown {
  return { kind, apiVersion: `meta.k8s.io/${version}`, metadata: object.metadata };
}

/** A `Table` of objects. */
export function tableOf(
  call: Call,
  type: ResourceType,
  version: TypeVersion,
  objects: KubeObject[],
  metadata: Record<string, unknown>,
  withColumns = true,
): unknown {
  const include = call.info.query.get("includeObject") ?? "Metadata";
  const now = call.gateway.core.now();
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata,
    columnDefinitions: withColumns ? columnsOf(type, version) : [],
    rows: objects.map((object) => ({
      cells: rowCells(type, version, object, now),
      object: include === "None" ? undefined : include === "Object" ? object : partialMetadata(object, "v1"),
    })),
  };
}

/** One object in the shape the client asked for. */
export function shapeObject(
  call: Call,
  type: ResourceType,
  version: TypeVersion,
  object: KubeObject,
  format: AnswerFormat,
): unknown {
  if (format.as === "Table") {
    return tableOf(call, type, version, [object], { resourceVersion: object.metadata.resourceVersion });
  }
  if (format.as === "PartialObjectMetadata") return partialMetadata(object, format.version!);
  return object;
}

/** A list in the shape the client asked for; undefined where it is the plain one. */
export function shapeList(
  call: Call,
  type: ResourceType,
  version: TypeVersion,
  objects: KubeObject[],
  metadata: Record<string, unknown>,
  format: AnswerFormat,
): unknown {
  if (format.as === "Table") return tableOf(call, type, version, objects, metadata);
  if (format.as !== "PartialObjectMetadataList" && format.as !== "PartialObjectMetadata") return undefined;
  return {
    kind: "PartialObjectMetadataList",
    apiVersion: `meta.k8s.io/${format.version}`,
    metadata,
    items: objects.map((object) => partialMetadata(object, format.version!)),
  };
}
