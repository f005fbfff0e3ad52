import type { Readiness } from "../../core/readiness.ts";
import type { LogLevels } from "../../telemetry/logger.ts";
import { textResponse as text } from "../../telemetry/serve.ts";

/** `GET /healthz/ready`. */
export function readinessHandler(readiness: Readiness): (request: Request) => Response {
  return (request) => {
    if (new URL(request.url).pathname !== "/healthz/ready") return text("not found\n", 404);
    if (request.method !== "GET") return text("method not allowed\n", 405);
    return readiness.ready
      ? text("ready\n")
      : text(`not ready, pending tasks: ${readiness.pending().join(", ")}\n`, 500);
  };
}

export interface AdminOptions {
  readonly dump: () => unknown;
  readonly levels: LogLevels;
  /** Begins shutdown. */
  readonly quit: () => void;
}

const INDEX = `<html><body><h1>ztunnel</h1><ul>
<li><a href="config_dump">config_dump</a></li>
<li>POST logging?level=info, logging?reset</li>
<li>POST quitquitquit</li>
</ul></body></html>
`;

/** The admin interface, for loopback only. */
export function adminHandler({ dump, levels, quit }: AdminOptions): (request: Request) => Response {
  return (request) => {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/":
        return new Response(INDEX, { headers: { "content-type": "text/html; charset=utf-8" } });
      case "/config_dump":
        return new Response(JSON.stringify(dump(), null, 2), { headers: { "content-type": "application/json" } });
      case "/logging":
        return request.method === "POST" ? logging(url.searchParams, levels) : text("method not allowed\n", 405);
      case "/quitquitquit":
        if (request.method !== "POST") return text("method not allowed\n", 405);
        quit();
        return text("shutdown now\n");
      default:
        return text("not found\n", 404);
    }
  };
}

function logging(query: URLSearchParams, levels: LogLevels): Response {
  if (query.has("reset")) levels.reset();
  const level = query.get("level");
  if (level !== null && level !== "") {
    const problem = levels.apply(level);
    if (problem !== undefined) return text(`invalid level: ${problem}\n`, 400);
  }
  return text(`current log level is ${levels}\n`);
}
