// The proxy's own pages: readiness for kubelet and load balancers, metrics, and the admin interface on loopback.

import type { Readiness } from "../../core/readiness.ts";
import { VERSION } from "../../core/version.ts";
import type { HostView } from "../../http/upstream/mod.ts";
import type { LogLevels } from "../../telemetry/logger.ts";
import type { Registry } from "../../telemetry/metrics.ts";
import { statsHandler, textResponse as text } from "../../telemetry/serve.ts";

/** `GET /healthz/ready`: 200 once configuration is there, 503 again while draining. */
export function readinessHandler(readiness: Readiness): (request: Request) => Response {
  return (request) => {
    const { pathname } = new URL(request.url);
    if (pathname !== "/healthz/ready") return text("not found\n", 404);
    if (request.method !== "GET" && request.method !== "HEAD") return text("method not allowed\n", 405);
    return readiness.ready ? text("ready\n") : text(`not ready: ${readiness.pending().join(", ")}\n`, 503);
  };
}

export interface AdminOptions {
  readonly dump: () => unknown;
  readonly endpoints: () => readonly HostView[];
  /** Counters of destinations, in Envoy's text. */
  readonly clusterStats: () => string;
  readonly registry: Registry;
  readonly readiness: Readiness;
  readonly levels: LogLevels;
  /** Begins to drain without ending. */
  readonly drain: () => void;
  /** Begins shutdown. */
  readonly quit: () => void;
}

const INDEX = `<html><body><h1>ambientd waypoint</h1><ul>
<li><a href="config_dump">config_dump</a></li>
<li><a href="clusters">clusters</a> (?format=json)</li>
<li><a href="stats">stats</a></li>
<li><a href="stats/prometheus">stats/prometheus</a></li>
<li><a href="ready">ready</a></li>
<li><a href="server_info">server_info</a></li>
<li>POST logging?level=info, logging?reset</li>
<li>POST drain_listeners</li>
<li>POST quitquitquit</li>
</ul></body></html>
`;

/** The admin interface, with Envoy's paths where it has them; for loopback only. */
export function adminHandler(options: AdminOptions): (request: Request) => Response {
  const { dump, endpoints, clusterStats, registry, readiness, levels, drain, quit } = options;
  const stats = statsHandler(registry);
  const posts: Record<string, (query: URLSearchParams) => Response> = {
    "/logging": (query) => logging(query, levels),
    "/drain_listeners": () => {
      drain();
      return text("OK\n");
    },
    "/quitquitquit": () => {
      quit();
      return text("OK\n");
    },
  };
  posts["/drain"] = posts["/drain_listeners"];
  const gets: Record<string, (request: Request, url: URL) => Response> = {
    "/": () => new Response(INDEX, { headers: { "content-type": "text/html; charset=utf-8" } }),
    "/config_dump": () => json(dump()),
    "/clusters": (_request, url) =>
      url.searchParams.get("format") === "json" ? json(endpoints()) : text(clustersText(endpoints())),
    "/stats": () => text(clusterStats()),
    "/stats/prometheus": (request) => stats(request),
    "/ready": () => readiness.ready ? text("LIVE\n") : text(`not ready: ${readiness.pending().join(", ")}\n`, 503),
    "/server_info": () =>
      json({ version: VERSION, name: "ambientd", state: readiness.ready ? "LIVE" : "PRE_INITIALIZING" }),
  };
  return (request) => {
    const url = new URL(request.url);
    const isPost = request.method === "POST";
    const known = Object.hasOwn(posts, url.pathname) || Object.hasOwn(gets, url.pathname);
    if (!known) return text("not found\n", 404);
    if (isPost && Object.hasOwn(posts, url.pathname)) return posts[url.pathname](url.searchParams);
    if (request.method === "GET" && Object.hasOwn(gets, url.pathname)) return gets[url.pathname](request, url);
    return text("method not allowed\n", 405);
  };
}

function json(value: unknown): Response {
  return new Response(JSON.stringify(value, null, 2), { headers: { "content-type": "application/json" } });
}

/** Lines of `name::address::key::value`, as Envoy's. */
function clustersText(endpoints: readonly HostView[]): string {
  return endpoints.map(({ cluster, endpoint, status, outlierCheck, weight, priority, activeRequests, connections }) =>
    Object.entries({
      cx_active: connections,
      rq_active: activeRequests,
      health_flags: status === "HEALTHY" && outlierCheck === "OK" ? "healthy" : "/failed_outlier_check",
      weight,
      priority,
    }).map(([key, value]) => `${cluster}::${endpoint}::${key}::${value}\n`).join("")
  ).join("");
}

function logging(query: URLSearchParams, levels: LogLevels): Response {
  if (query.has("reset")) levels.reset();
  const level = query.get("level") ?? query.get("paths");
  if (level !== null && level !== "") {
    const problem = levels.apply(level);
    if (problem !== undefined) return text(`invalid level: ${problem}\n`, 400);
  }
  return text(`current log level is ${levels}\n`);
}
