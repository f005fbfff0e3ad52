// Small HTTP servers that every role has: metrics, health, admin.

import { MeshError } from "../core/errors.ts";
import { splitHostPort } from "../core/ip.ts";
import type { Registry } from "./metrics.ts";

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

/** A plain-text answer. */
export const textResponse = (body: string, status = 200): Response =>
  new Response(body, { status, headers: { "content-type": "text/plain; charset=utf-8" } });

const TEXT = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/** All metrics, as OpenMetrics for scrapers that accept it. */
export function metricsResponse(registry: Registry, request: Request): Response {
  const open = (request.headers.get("accept") ?? "").includes("application/openmetrics-text");
  return new Response(registry.expose(open), { headers: { "content-type": open ? OPEN_METRICS : TEXT } });
}

/** `GET /metrics`, `/stats/prometheus`. */
export function statsHandler(registry: Registry): (request: Request) => Response {
  return (request) => {
    const { pathname } = new URL(request.url);
    if (pathname !== "/metrics" && pathname !== "/stats/prometheus") return textResponse("not found\n", 404);
    return metricsResponse(registry, request);
  };
}
