// The console's HTTP: pages and their files, the API, health. Paths are where Kiali has them, so that probes and bookmarks fit.

import { parseDurationMs } from "../core/duration.ts";
import { asset } from "./assets.ts";
import {
  applicationsAnswer,
  graphAnswer,
  namespacesAnswer,
  type Query,
  type Sources,
  statusAnswer,
  WINDOW,
} from "./answers.ts";
import { type Grouping, GROUPINGS } from "./graph_model.ts";
import { refusal, SECURITY_HEADERS } from "./guard.ts";

export interface ConsoleServerOptions extends Sources {
  /** Brings the metrics up to date if they are older than `maxAgeMs`. */
  readonly refresh: (maxAgeMs: number) => Promise<void>;
  readonly hosts: readonly string[];
  readonly ready: () => boolean;
}

const ROOT = "/kiali";
/** Who asks gets metrics no older than this. */
const FRESH_MS = 1_500;
/** Answers of the API under way at once; more are asked to come back. */
const MAX_CONCURRENT = 16;
const MAX_NAMESPACES = 100;

/** A request that is not understood. */
class BadQuery extends Error {}

/** Handles requests for the console. */
export function consoleHandler(options: ConsoleServerOptions): (request: Request) => Promise<Response> {
  let active = 0;
  return async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    // Kubelets ask by the pod's address or by a name of their own; there is nothing in the answer.
    if (pathname === `${ROOT}/healthz` || pathname === "/healthz") {
      return options.ready() ? text("ok\n", 200) : text("the cluster's objects are not known yet\n", 503);
    }
    const refused = refusal(request, options.hosts);
    if (refused) {
      const headers: Record<string, string> = refused.status === 405 ? { allow: "GET, HEAD" } : {};
      return text(`${refused.text}\n`, refused.status, headers);
    }
    if (pathname === "/" || pathname === ROOT) return redirect(`${ROOT}/`);
    if (!pathname.startsWith(`${ROOT}/`)) return text("not found\n", 404);
    const path = pathname.slice(ROOT.length);
    if (path.startsWith("/api/")) {
      if (active >= MAX_CONCURRENT) return text("too many requests at once\n", 503, { "retry-after": "1" });
      active++;
      try {
        return await api(options, path.slice("/api/".length), searchParams);
      } catch (error) {
        if (error instanceof BadQuery) return json({ error: error.message }, 400);
        throw error;
      } finally {
        active--;
      }
    }
    // Pages are places within one document.
    const page = path === "/" || path === "/console" || path.startsWith("/console/");
    const found = asset(page ? "index.html" : path.slice(1));
    if (!found) return text("not found\n", 404);
    if (request.headers.get("if-none-match") === found.etag) {
      return new Response(null, { status: 304, headers: { ...SECURITY_HEADERS, etag: found.etag } });
    }
    return new Response(found.text, {
      headers: { ...SECURITY_HEADERS, "content-type": found.type, "cache-control": "no-cache", etag: found.etag },
    });
  };
}

async function api(options: ConsoleServerOptions, name: string, params: URLSearchParams): Promise<Response> {
  switch (name) {
    case "status":
      return json(statusAnswer(options));
    case "namespaces":
      return json(namespacesAnswer(options));
    case "applications": {
      const query = readQuery(params);
      await options.refresh(FRESH_MS);
      return json(applicationsAnswer(options, query));
    }
    case "graph": {
      const query = readQuery(params);
      await options.refresh(FRESH_MS);
      return json(graphAnswer(options, query));
    }
  }
  return json({ error: "there is no such part of the API" }, 404);
}

/** What a query asks for. */
export function readQuery(params: URLSearchParams): Query {
  const names = (params.get("namespaces") ?? "").split(",").map((name) => name.trim()).filter((name) => name !== "");
  if (names.length > MAX_NAMESPACES || names.some((name) => !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))) {
    throw new BadQuery("namespaces: want names of namespaces, separated by commas");
  }
  const grouping = params.get("by") ?? "versioned-app";
  if (!(GROUPINGS as readonly string[]).includes(grouping)) {
    throw new BadQuery(`by: want one of ${GROUPINGS.join(", ")}`);
  }
  return {
    namespaces: names.length > 0 ? new Set(names) : undefined,
    windowMs: readWindow(params.get("window")),
    grouping: grouping as Grouping,
    idle: readBoolean(params, "idle", true),
    waypoints: readBoolean(params, "waypoints", false),
  };
}

function readWindow(value: string | null): number {
  if (value === null || value === "") return WINDOW.defaultMs;
  let ms: number;
  try {
    ms = parseDurationMs(value);
  } catch {
    throw new BadQuery("window: want a duration such as 1m");
  }
  if (!(ms >= WINDOW.shortestMs && ms <= WINDOW.longestMs)) throw new BadQuery("window: want 10s to 1h");
  return ms;
}

function readBoolean(params: URLSearchParams, name: string, fallback: boolean): boolean {
  const value = params.get(name);
  if (value === null || value === "") return fallback;
  if (value !== "true" && value !== "false") throw new BadQuery(`${name}: want true or false`);
  return value === "true";
}

function json(value: unknown, status = 200): Response {
  const headers = { ...SECURITY_HEADERS, "content-type": "application/json", "cache-control": "no-store" };
  return new Response(JSON.stringify(value), { status, headers });
}

function text(body: string, status: number, headers: Record<string, string> = {}): Response {
  return new Response(body, {
    status,
    headers: {
      ...SECURITY_HEADERS,
      "content-type": "text/plain; charset=utf-8",
      "cache-control": "no-store",
      ...headers,
    },
  });
}

function redirect(location: string): Response {
  return new Response(null, { status: 302, headers: { ...SECURITY_HEADERS, location } });
}
