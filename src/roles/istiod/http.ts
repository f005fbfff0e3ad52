// istiod's plain HTTP: 8080 (readiness, debug) and 15014 (metrics, version, debug).

import { MeshError } from "../../core/errors.ts";
import { splitHostPort } from "../../core/ip.ts";
import type { Readiness } from "../../core/readiness.ts";
import { VERSION } from "../../core/version.ts";
import { authenticate, type Authenticator } from "../../identity/authenticate.ts";
import type { LogLevels } from "../../telemetry/logger.ts";
import type { Registry } from "../../telemetry/metrics.ts";
import { metricsResponse } from "../../telemetry/serve.ts";
import { type DebugPages, isLoopback } from "./debug_pages.ts";
import type { Caller } from "../../identity/types.ts";

/** An HTTP server and how it ends. */
export interface Served {
  readonly port: number;
  close(): Promise<void>;
}

type Handler = (request: Request, peerAddress: string) => Response | Promise<Response>;

/**
 * Serves plain HTTP on `host:port`; `[::]` falls back to IPv4 where there is no IPv6.
 *
 * @throws MeshError `listen_failed`
 */
export function serveHttp(address: string, handler: Handler): Served {
  const { host, port } = splitHostPort(address)!;
  let problem: unknown;
  for (const hostname of host === "::" ? ["::", "0.0.0.0"] : [host]) {
    const stop = new AbortController();
    try {
      const server = Deno.serve(
        { hostname, port, onListen: () => {}, signal: stop.signal },
        (request, { remoteAddr }) => handler(request, (remoteAddr as Deno.NetAddr).hostname),
      );
      return {
        port: (server.addr as Deno.NetAddr).port,
        async close() {
          // Scrapers keep their connections open: they are not waited for.
          stop.abort();
          await server.finished;
        },
      };
    } catch (cause) {
      problem = cause;
    }
  }
  throw new MeshError("listen_failed", `cannot listen on "${address}"`, { cause: problem });
}

export interface HttpSources {
  readonly readiness: Readiness;
  readonly registry: Registry;
  readonly levels: LogLevels;
  readonly pages: DebugPages;
  /** Undefined: debug pages are open to everyone. */
  readonly debugAuth?: {
    /** Empty until the API is known. */
    readonly authenticators: () => readonly Authenticator[];
    readonly mayRead: (caller: Caller | undefined, peerAddress: string) => boolean;
  };
}

const text = (body: string, status = 200, type = "text/plain; charset=utf-8"): Response =>
  new Response(body, { status, headers: { "content-type": type } });

/** 8080. */
export function readinessHandler(sources: HttpSources): Handler {
  const { readiness } = sources;
  return (request, peer) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/ready") {
      return readiness.ready ? text("ready\n") : text(`not ready: ${readiness.pending().join(", ")}\n`, 503);
    }
    return debug(sources, request, peer);
  };
}

/** 15014. */
export function monitoringHandler(sources: HttpSources): Handler {
  const { registry } = sources;
  return (request, peer) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/version") return text(VERSION);
    return pathname === "/metrics" ? metricsResponse(registry, request) : debug(sources, request, peer);
  };
}

async function debug(sources: HttpSources, request: Request, peer: string): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url), { pages } = sources;
  if (pathname !== "/debug" && !pathname.startsWith("/debug/") && pathname !== "/logging") {
    return text("not found\n", 404);
  }
  const refusal = await refused(sources, request, peer);
  if (refusal) return refusal;
  if (pathname === "/logging") return logging(sources.levels, request, searchParams);
  if (request.method !== "GET" && request.method !== "HEAD") return text("method not allowed\n", 405);
  if (pathname === "/debug" || pathname === "/debug/") return text(pages.html(), 200, "text/html; charset=utf-8");
  const json = pages.json(pathname.slice("/debug/".length), searchParams);
  return json === undefined ? text("not found\n", 404) : text(json + "\n", 200, "application/json");
}

async function refused({ debugAuth }: HttpSources, request: Request, peer: string): Promise<Response | undefined> {
  if (!debugAuth || isLoopback(peer)) return undefined;
  const authorization = request.headers.get("authorization"), cluster = request.headers.get("clusterid");
  const values: Record<string, string | null> = { authorization, clusterid: cluster };
  const caller = authorization === null ? undefined : await authenticate(debugAuth.authenticators(), {
    metadata: (name) => values[name] ? [values[name]] : [],
    peerAddress: peer,
  });
  if (!caller) return text("debug pages want a token of the system namespace\n", 401);
  return debugAuth.mayRead(caller, peer) ? undefined : text("forbidden\n", 403);
}

/** `POST /logging?level=scope:level`, as ztunnel has it. */
function logging(levels: LogLevels, request: Request, query: URLSearchParams): Response {
  if (request.method !== "POST") return text("method not allowed\n", 405);
  if (query.has("reset")) levels.reset();
  const level = query.get("level"), problem = level ? levels.apply(level) : undefined;
  return problem === undefined ? text(`current log level is ${levels}\n`) : text(`invalid level: ${problem}\n`, 400);
}
