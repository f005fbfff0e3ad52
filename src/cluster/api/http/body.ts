import type { IncomingMessage } from "node:http";
import { ApiError } from "../../api_error.ts";
import { tooLarge, unsupportedMediaType } from "../errors.ts";
import { decodeProtobuf, PROTOBUF_MEDIA } from "../schema/protobuf.ts";
import { findDuplicateKeys } from "./duplicate_keys.ts";

/** Largest body, as in kube-apiserver. */
export const BODY_LIMIT = 3 * 1024 * 1024;

const DEPTH_LIMIT = 200;

/** Reads a whole body. @throws {ApiError} 413 */
export async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > BODY_LIMIT) throw tooLarge(BODY_LIMIT);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_LIMIT) throw tooLarge(BODY_LIMIT);
    chunks.push(chunk);
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

/** The media type of a request, lower case, without parameters. */
export function contentType(request: IncomingMessage): string {
  return (request.headers["content-type"] ?? "").split(";")[0].trim().toLowerCase();
}

export interface ParsedBody {
  value: unknown;
  /** Paths of keys that stand twice, where asked for. */
  duplicates: string[];
}

/**
 * Parses a body as JSON, or as YAML where its type says so.
 *
 * @throws {ApiError} 400 for text that is neither, 415 for other types
 */
export async function parseBody(bytes: Uint8Array, type: string, withDuplicates: boolean): Promise<ParsedBody> {
  if (type === PROTOBUF_MEDIA) return { value: decodeProtobuf(bytes), duplicates: [] };
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw ApiError.badRequest("the body of the request is not UTF-8 text");
  }
  if (type === "application/yaml" || type.endsWith("+yaml")) return { value: await parseYaml(text), duplicates: [] };
  if (type !== "" && type !== "application/json" && !type.endsWith("+json")) {
    throw unsupportedMediaType(["application/json", "application/yaml", PROTOBUF_MEDIA]);
  }
  const value = parseJson(text);
  checkDepth(value);
  return { value, duplicates: withDuplicates ? findDuplicateKeys(text) : [] };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw ApiError.badRequest(
      `couldn't get version/kind; json parse error: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** YAML as the API takes it: one document, no aliases that unfold without end. */
export async function parseYaml(text: string): Promise<unknown> {
  const json = asJson(text);
  if (json !== undefined) {
    checkDepth(json);
    return json;
  }
  const { parse } = await import("yaml");
  try {
    const value = parse(text, { maxAliasCount: 100, schema: "yaml-1.1", merge: true });
    checkDepth(value);
    return value;
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw ApiError.badRequest(
      `error converting YAML to JSON: ${error instanceof Error ? error.message.split("\n")[0] : error}`,
    );
  }
}

/**
 * An object that is written as JSON, which clients send under YAML's type too: parsed a hundred times faster than YAML.
 * Undefined for anything else, a key that stands twice included, which YAML refuses.
 */
function asJson(text: string): unknown {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    const value = JSON.parse(text);
    return findDuplicateKeys(text).length === 0 ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps recursion over what clients send from overflowing the stack. */
function checkDepth(root: unknown): void {
  let level: unknown[] = [root];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH_LIMIT) {
      throw ApiError.badRequest(`the body of the request is nested more than ${DEPTH_LIMIT} levels deep`);
    }
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value !== "object" || value === null) continue;
      for (const item of Array.isArray(value) ? value : Object.values(value)) {
        if (typeof item === "object" && item !== null) next.push(item);
      }
    }
    level = next;
  }
}
