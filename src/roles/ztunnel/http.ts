import { MeshError } from "../../core/errors.ts";
import { splitHostPort } from "../../core/ip.ts";
import type { Readiness } from "../../core/readiness.ts";
import type { LogLevels } from "../../telemetry/logger.ts";
import type { Registry } from "../../telemetry/metrics.ts";

/** An HTTP server and how it ends. */
export interface Served {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves plain HTTP on `host:port`; localhost is 127.0.0.1, and `[::]` falls back to IPv4 where there is no IPv6.
 *
 * @throws MeshError `cannot_listen`
 */
export function serveHttp(address: string, handler: (request: Request) => Response | Promise<Response>): Served {
  const place = splitHostPort(address);
  if (!place) throw new MeshError("cannot_listen", `"${address}" is not host:port`);
  const host = place.host === "localhost" ? "127.0.0.1" : place.host;
  const candidates = host === "::" ? ["::", "0.0.0.0"] : [host];
  let problem: unknown;
  for (const hostname of candidates) {
    try {
      const server = Deno.serve({ hostname, port: place.port, onListen: () => {} }, handler);
      return { port: (server.addr as Deno.NetAddr).port, close: () => server.shutdown() };
    } catch (cause) {
      problem = cause;
    }
  }
  throw new MeshError("cannot_listen", `cannot listen on "${address}"`, { cause: problem });
}

const text = (body: string, status = 200): Response =>
  new Response(body, { status, headers: { "content-type": "text/plain; charset=utf-8" } });

const OPEN_METRICS = "application/openmetrics-text;charset=utf-8;version=1.0.0";

/** `GET /metrics`, `/stats/prometheus`. */
export function statsHandler(registry: Registry): (request: Request) => Response {
  return (request) => {
    const { pathname } = new URL(request.url);
    if (pathname !== "/metrics" && pathname !== "/stats/prometheus") return text("not found\n", 404);
    const open = (request.headers.get("accept") ?? "").includes("application/openmetrics-text");
    return new Response(registry.expose(open), { headers: { "content-type": open ? OPEN_METRICS : "text/plain" } });
  };
}

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
