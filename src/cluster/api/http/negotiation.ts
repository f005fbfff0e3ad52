import { notAcceptable } from "../errors.ts";

/** How a client wants its answer. */
export interface AnswerFormat {
  encoding: "json" | "yaml";
  /** Another shape of the same objects. */
  as?: "Table" | "PartialObjectMetadata" | "PartialObjectMetadataList" | "APIGroupDiscoveryList";
  version?: string;
}

const OFFERED = ["application/json", "application/yaml"];
const SHAPES = new Set(["Table", "PartialObjectMetadata", "PartialObjectMetadataList"]);

/** One part of an Accept header. */
interface MediaRange {
  type: string;
  params: Record<string, string>;
  quality: number;
}

function parseAccept(header: string): MediaRange[] {
  return header.slice(0, 8192).split(",").map((part) => {
    const [type, ...rest] = part.split(";").map((piece) => piece.trim());
    const params: Record<string, string> = {};
    for (const piece of rest) {
      const equals = piece.indexOf("=");
      if (equals > 0) params[piece.slice(0, equals).toLowerCase()] = piece.slice(equals + 1);
    }
    const quality = params.q === undefined ? 1 : Number(params.q);
    return { type: type.toLowerCase(), params, quality: Number.isNaN(quality) ? 0 : quality };
  }).filter((range) => range.quality > 0).sort((a, b) => b.quality - a.quality);
}

/**
 * The first of the client's formats that the server has. Protobuf is not among them: clients name JSON behind it.
 *
 * @throws {ApiError} 406
 */
export function negotiate(accept: string | undefined, discovery = false): AnswerFormat {
  if (!accept) return { encoding: "json" };
  for (const { type, params } of parseAccept(accept)) {
    const encoding = type === "application/yaml"
      ? "yaml"
      : ["application/json", "*/*", "application/*", "text/*"].includes(type)
      ? "json"
      : undefined;
    if (!encoding) continue;
    if (!params.as) return { encoding };
    if (params.g === "apidiscovery.k8s.io") {
      if (discovery && params.as === "APIGroupDiscoveryList" && ["v2", "v2beta1"].includes(params.v)) {
        return { encoding, as: "APIGroupDiscoveryList", version: params.v };
      }
      continue;
    }
    if (params.g === "meta.k8s.io" && SHAPES.has(params.as) && ["v1", "v1beta1"].includes(params.v)) {
      return { encoding, as: params.as as AnswerFormat["as"], version: params.v };
    }
  }
  throw notAcceptable(OFFERED);
}
