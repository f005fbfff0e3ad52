import { ApiError } from "../../api_error.ts";
import type { KubeObject } from "../../contracts.ts";
import { expired } from "../errors.ts";
import { inVersion } from "../patching.ts";
import { parseFieldSelector, parseLabelSelector, type Predicate } from "../selectors.ts";
import { groupVersion, type ResourceType, type TypeVersion } from "../types.ts";
import type { Call } from "./gateway.ts";
import type { AnswerFormat } from "./negotiation.ts";
import { shapeList } from "./shapes.ts";

/** The filter of a list or watch, from its selectors. */
export function selectionOf(
  { info: { query } }: Call,
  type: ResourceType,
  version?: TypeVersion,
): Predicate | undefined {
  const tests: Predicate[] = [];
  const labels = query.get("labelSelector");
  const fields = query.get("fieldSelector");
  if (labels) tests.push(parseLabelSelector(labels));
  if (fields) {
    const selectable: any[] = type.crd?.spec.versions.find((candidate: any) =>
      candidate.name === version?.name
    )?.selectableFields ?? [];
    tests.push(parseFieldSelector(
      type.key,
      type.kind,
      fields,
      selectable.map(({ jsonPath }) => String(jsonPath).replace(/^\./, "")),
    ));
  }
  return tests.length === 0 ? undefined : (object) => tests.every((test) => test(object));
}

/** All objects that a request's namespace and selectors choose, by namespace and name. */
export function selectObjects(call: Call, type: ResourceType, version?: TypeVersion): KubeObject[] {
  const request = call.info.resource!;
  const passes = selectionOf(call, type, version);
  const objects: KubeObject[] = [];
  for (const object of call.gateway.core.store.values(type.key, type.namespaced ? request.namespace : undefined)) {
    if (request.name && object.metadata.name !== request.name) continue;
    if (!passes || passes(object)) objects.push(object);
  }
  return objects.sort(byKey);
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}

function byKey(a: KubeObject, b: KubeObject): number {
  const left = keyOf(a);
  const right = keyOf(b);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** A revision from a query. @throws {ApiError} 400 */
export function parseRevision(text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  if (!/^\d{1,16}$/.test(text)) {
    throw ApiError.badRequest(
      `resourceVersion: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${
        JSON.stringify(text)
      }: invalid syntax`,
    );
  }
  return Number(text);
}

interface ContinueToken {
  v: "meta.k8s.io/v1";
  rv: number;
  start: string;
}

function parseContinue(text: string): ContinueToken {
  try {
    const token = JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(text, { alphabet: "base64url" })));
    if (token?.v === "meta.k8s.io/v1" && Number.isInteger(token.rv) && typeof token.start === "string") return token;
  } catch {
    // Reported below.
  }
  throw ApiError.badRequest("continue key is not valid: encoded key is not base64 or not from this server");
}

function writeContinue(token: ContinueToken): string {
  return new TextEncoder().encode(JSON.stringify(token)).toBase64({ alphabet: "base64url", omitPadding: true });
}

/** The list a request asks for. Pages continue behind the last key; what changed meanwhile is seen as it is now. */
export function listOf(call: Call, type: ResourceType, version: TypeVersion, format: AnswerFormat): unknown {
  const { query } = call.info;
  const { store } = call.gateway.core;
  const continued = query.get("continue");
  const wanted = parseRevision(query.get("resourceVersion"));
  const match = query.get("resourceVersionMatch");
  if (match && !["Exact", "NotOlderThan"].includes(match)) {
    throw new ApiError(
      422,
      "Invalid",
      `resourceVersionMatch: Unsupported value: ${
        JSON.stringify(match)
      }: supported values: "Exact", "NotOlderThan", ""`,
    );
  }
  if (match && !wanted && match === "Exact") {
    throw new ApiError(
      422,
      "Invalid",
      'resourceVersionMatch: Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"',
    );
  }
  if (wanted !== undefined && wanted > store.revision) {
    throw new ApiError(504, "Timeout", `Too large resource version: ${wanted}, current: ${store.revision}`, {
      causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
      retryAfterSeconds: 1,
    });
  }
  if (match === "Exact" && wanted !== store.revision) {
    throw expired("The resourceVersion for the provided list is too old.");
  }
  const limitText = query.get("limit");
  const limit = limitText && /^\d{1,9}$/.test(limitText) ? Number(limitText) : 0;

  let objects = selectObjects(call, type, version);
  const total = objects.length;
  let revision = store.revision;
  if (continued) {
    const token = parseContinue(continued);
    revision = token.rv;
    objects = objects.filter((object) => keyOf(object) > token.start);
  }
  const metadata: Record<string, unknown> = { resourceVersion: String(revision) };
  if (limit > 0 && objects.length > limit) {
    const rest = objects.length - limit;
    objects = objects.slice(0, limit);
    metadata.continue = writeContinue({ v: "meta.k8s.io/v1", rv: revision, start: keyOf(objects[objects.length - 1]) });
    if (!query.get("labelSelector") && !query.get("fieldSelector")) metadata.remainingItemCount = Math.min(rest, total);
  }
  const shown = objects.map((object) => inVersion(type, version, object));
  const shaped = shapeList(call, type, version, shown, metadata, format);
  return shaped ?? { kind: type.listKind, apiVersion: groupVersion(type.group, version.name), metadata, items: shown };
}
