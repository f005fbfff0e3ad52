import type { ServerResponse } from "node:http";
import { ApiError } from "../../api_error.ts";
import type { KubeObject } from "../../contracts.ts";
import type { StoreEvent } from "../../store/history.ts";
import { expired } from "../errors.ts";
import { inVersion } from "../patching.ts";
import { groupVersion, type ResourceType, type TypeVersion } from "../types.ts";
import { filteredEvent } from "../watch_hub.ts";
import type { Call } from "./gateway.ts";
import { parseRevision, selectionOf, selectObjects } from "./lists.ts";
import { negotiate } from "./negotiation.ts";
import { isTrue } from "./request_info.ts";
import { partialMetadata, tableOf } from "./shapes.ts";

const BOOKMARK_INTERVAL_MS = 60_000;
const DEFAULT_TIMEOUT_S = 30 * 60;
/** A client that reads this much too slowly is cut off; it will list again. */
const BACKLOG_LIMIT_BYTES = 64 * 1024 * 1024;

/** The latest events as JSON: many watches see the same ones. */
const rendered = new Map<KubeObject, string>();
const RENDERED_LIMIT = 64;

function renderObject(object: KubeObject): string {
  let text = rendered.get(object);
  if (text === undefined) {
    text = JSON.stringify(object);
    if (rendered.size >= RENDERED_LIMIT) rendered.delete(rendered.keys().next().value!);
    rendered.set(object, text);
  }
  return text;
}

/** Streams changes, one JSON document a line, until the client leaves, the time is up, or the server closes. */
export async function serveWatch(
  call: Call,
  response: ServerResponse,
  type: ResourceType,
  version: TypeVersion,
  warnings: string[],
): Promise<void> {
  const { info: { query, resource }, gateway } = call;
  const { store } = gateway.core;
  const format = negotiate(call.request.headers.accept);
  const passes = selectionOf(call, type, version);
  const from = parseRevision(query.get("resourceVersion"));
  const bookmarks = isTrue(query.get("allowWatchBookmarks"));
  const initialEvents = isTrue(query.get("sendInitialEvents"));
  if (initialEvents && query.get("resourceVersionMatch") !== "NotOlderThan") {
    throw new ApiError(
      422,
      "Invalid",
      "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    );
  }
  const namespace = type.namespaced ? resource!.namespace : undefined;
  const timeoutText = query.get("timeoutSeconds");
  const timeoutS = timeoutText && /^\d{1,7}$/.test(timeoutText) && Number(timeoutText) > 0
    ? Number(timeoutText)
    : DEFAULT_TIMEOUT_S;

  const headers: Record<string, string | string[]> = {
    "Content-Type": "application/json",
    "Cache-Control": "no-cache, private",
  };
  if (warnings.length > 0) headers.Warning = warnings.map((text) => `299 - "${text.replaceAll('"', '\\"')}"`);
  response.writeHead(200, headers);
  response.flushHeaders();

  let firstTable = true;
  const show = (object: KubeObject): string => {
    const shown = inVersion(type, version, object);
    if (format.as === "Table") {
      const table = tableOf(
        call,
        type,
        version,
        [shown],
        { resourceVersion: object.metadata.resourceVersion },
        firstTable,
      );
      firstTable = false;
      return JSON.stringify(table);
    }
    if (format.as?.startsWith("PartialObjectMetadata")) return JSON.stringify(partialMetadata(shown, format.version!));
    return shown === object ? renderObject(object) : JSON.stringify(shown);
  };
  const bookmark = (initialEnd = false): string => {
    const metadata: Record<string, unknown> = { resourceVersion: String(store.revision), creationTimestamp: null };
    if (initialEnd) metadata.annotations = { "k8s.io/initial-events-end": "true" };
    const apiVersion = groupVersion(type.group, version.name);
    const object = format.as === "Table"
      ? { kind: "Table", apiVersion: "meta.k8s.io/v1", metadata, columnDefinitions: [], rows: [] }
      : format.as
      ? { kind: "PartialObjectMetadata", apiVersion: `meta.k8s.io/${format.version}`, metadata }
      : { kind: type.kind, apiVersion, metadata };
    return `{"type":"BOOKMARK","object":${JSON.stringify(object)}}\n`;
  };
  const relevant = (event: StoreEvent): string | undefined => {
    if (namespace !== undefined && event.object.metadata.namespace !== namespace) return undefined;
    if (resource!.name && event.object.metadata.name !== resource!.name) return undefined;
    const seen = filteredEvent(event, passes);
    if (!seen) return undefined;
    // An object that no longer passes is shown as it was, with the revision at which it left.
    const object = seen === "DELETED" && event.type !== "DELETED" && event.previous
      ? { ...event.previous, metadata: { ...event.previous.metadata, resourceVersion: String(event.revision) } }
      : event.object;
    return `{"type":"${seen}","object":${show(object)}}\n`;
  };

  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  let pending = "";
  const flush = () => {
    const text = pending;
    pending = "";
    if (text === "" || response.writableEnded || response.destroyed) return;
    response.write(text);
    if (response.writableLength > BACKLOG_LIMIT_BYTES) {
      response.destroy();
      end();
    }
  };
  const send = (text: string) => {
    if (pending === "") queueMicrotask(flush);
    pending += text;
  };

  let start = "";
  if (from === undefined || from === 0 || initialEvents) {
    for (const object of selectObjects(call, type, version)) start += `{"type":"ADDED","object":${show(object)}}\n`;
    if (initialEvents && bookmarks) start += bookmark(true);
  } else {
    const missed = store.since(type.key, from);
    if (!missed) {
      const status = expired(`too old resource version: ${from} (${store.revision})`).toStatus();
      response.end(`{"type":"ERROR","object":${JSON.stringify(status)}}\n`);
      return;
    }
    for (const event of missed) start += relevant(event) ?? "";
  }
  if (start !== "") response.write(start);

  const stop = store.listen(type.key, (event) => {
    const line = relevant(event);
    if (line !== undefined) send(line);
  });
  const timer = setTimeout(end, timeoutS * 1000);
  const ticker = bookmarks ? setInterval(() => send(bookmark()), BOOKMARK_INTERVAL_MS) : undefined;
  response.on("close", end);
  gateway.closing.addEventListener("abort", end as () => void, { once: true });
  if (gateway.closing.aborted) end();
  await ended;
  stop();
  clearTimeout(timer);
  clearInterval(ticker);
  gateway.closing.removeEventListener("abort", end as () => void);
  flush();
  if (!response.destroyed && !response.writableEnded) {
    if (bookmarks) response.write(bookmark());
    response.end();
  }
}
