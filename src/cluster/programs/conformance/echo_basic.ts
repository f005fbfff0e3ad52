import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import http2 from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { WebSocketServer } from "ws";
import { closeSessionsLater } from "../../../identity/http2_goaway.ts";
import { goDuration } from "../fortio/flags.ts";
import type { Program, ProgramContext } from "../program.ts";
import { listen } from "./listen.ts";
import { headerLists, pairsOf } from "./wire.ts";

// The backend of the Gateway API's conformance suite (gateway-api/echo-basic): HTTP/1.1 and WebSocket on 3000, HTTP/2 without TLS on 3001,
// TLS on 8443 where a certificate is given, or with GRPC_ECHO_SERVER the suite's gRPC service in their place.

/** Requests that are to fail some times are counted by their id; so many ids are remembered. */
const ATTEMPTS_MAX = 10_000;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export const echoBasic: Program = async (context) => {
  const { env } = context;
  if (env("GRPC_ECHO_SERVER")) return (await import("./echo_basic_grpc.ts")).serveGrpcEcho(context);
  closeSessionsLater();
  const port = Number(env("HTTP_PORT") || 3000), attempts = new Map<string, number>();
  const answer = (request: IncomingMessage, response: ServerResponse) =>
    void route(context, port, attempts, request, response).catch((error) => failed(response, error));
  const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const onUpgrade = (request: IncomingMessage, socket: Socket, head: Uint8Array) => {
    if (new URL(request.url ?? "/", "http://echo").pathname !== "/ws") return socket.destroy();
    webSockets.handleUpgrade(request, socket, head as never, (webSocket) => {
      webSocket.on("message", (data, binary) => webSocket.send(data, { binary }));
      webSocket.on("error", () => {});
    });
  };
  const plain = createServer({ keepAliveTimeout: 0 }, answer).on("upgrade", onUpgrade);
  const h2c = http2.createServer((request, response) => {
    void echo(context, port, request as never, response as never, "HTTP/2.0").catch((error) =>
      failed(response as never, error)
    );
  });
  const servers = [listen(plain, port, "http"), listen(h2c, Number(env("H2C_PORT") || 3001), "h2c")];
  const cert = env("TLS_SERVER_CERT"), key = env("TLS_SERVER_PRIVKEY"), ca = env("TLS_CLIENT_CACERTS");
  if (cert && key) {
    const files = { cert: Deno.readTextFileSync(cert), key: Deno.readTextFileSync(key) };
    const clients = ca ? { ca: Deno.readTextFileSync(ca), requestCert: true, rejectUnauthorized: false } : {};
    const secure = createHttpsServer({ ...files, ...clients }, answer).on("upgrade", onUpgrade as never);
    servers.push(listen(secure, Number(env("HTTPS_PORT") || 8443), "https"));
  }
  const closers = await Promise.all(servers);
  await new Promise<void>((resolve) => {
    if (context.signal.aborted) resolve();
    context.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  for (const webSocket of webSockets.clients) webSocket.terminate();
  await Promise.all(closers.map((close) => close()));
  return 0;
};

async function route(
  context: ProgramContext,
  port: number,
  attempts: Map<string, number>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname } = new URL((request.url ?? "/").replaceAll("//", "/"), "http://echo");
  if (pathname === "/health") return void response.end("OK");
  if (pathname.startsWith("/status/")) {
    response.statusCode = Number(/^\/status\/(\d\d\d)$/.exec(request.url ?? "")?.[1] ?? 400);
    return void response.end();
  }
  if (pathname.startsWith("/retry/") && !await fails(attempts, request, response)) return;
  await echo(context, port, request, response, `HTTP/${request.httpVersion}`);
}

/**
 * `/retry/…?uuid=…&succeedAfter=n`: the first n requests with an id fail, by a reset of the connection or with `responseCode`.
 *
 * @returns whether the request is to be answered now
 */
async function fails(
  attempts: Map<string, number>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const query = new URL(request.url ?? "/", "http://echo").searchParams;
  const id = query.get("uuid"), succeedAfter = query.get("succeedAfter") ?? "";
  if (!id || !/^\d+$/.test(succeedAfter)) {
    response.statusCode = 400;
    response.end(`${id ? "succeedAfter" : "uuid"} is required`);
    return false;
  }
  const failures = attempts.get(id) ?? 0;
  if (failures >= Number(succeedAfter)) return true;
  if (attempts.size >= ATTEMPTS_MAX) attempts.clear();
  attempts.set(id, failures + 1);
  await sleep(delayOf(query, "delayRetry"));
  const code = query.get("responseCode");
  if (code !== null && /^[1-5]\d\d$/.test(code)) {
    response.statusCode = Number(code);
    response.end();
  } else request.socket.resetAndDestroy();
  return false;
}

/** @throws Error when it is no duration of Go's */
function delayOf(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? "";
  if (text === "") return 0;
  const ms = goDuration(text);
  if (ms === undefined) throw new Error(`time: invalid duration ${JSON.stringify(text)}`);
  return ms;
}

async function echo(
  { env }: ProgramContext,
  port: number,
  request: IncomingMessage,
  response: ServerResponse,
  proto: string,
): Promise<void> {
  const uri = request.url ?? "/";
  console.log(`Echoing back request made to ${uri} to client (${request.socket?.remoteAddress ?? ""})`);
  await sleep(delayOf(new URL(uri, "http://echo").searchParams, "delay"));
  const headers = headerLists(pairsOf(request.rawHeaders));
  const tls = tlsOf(request);
  const told = {
    path: uri,
    host: String(request.headers[":authority"] ?? request.headers.host ?? ""),
    method: request.method,
    proto,
    headers: Object.fromEntries(headers),
    httpPort: String(port),
    namespace: env("NAMESPACE") ?? "",
    ingress: env("INGRESS_NAME") ?? "",
    service: env("SERVICE_NAME") ?? "",
    pod: env("POD_NAME") ?? "",
    ...(tls ? { tls } : {}),
  };
  for (const [name, value] of wantedHeaders(headers)) response.setHeader(name, value);
  response.setHeader("Content-Type", "application/json");
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.end(JSON.stringify(told, null, 1));
}

/** `X-Echo-Set-Header: name:value, name:value`, the values of a name joined. */
function wantedHeaders(headers: ReadonlyMap<string, string[]>): Map<string, string> {
  const wanted = new Map<string, string>();
  for (const pair of (headers.get("X-Echo-Set-Header") ?? []).flatMap((line) => line.split(","))) {
    const [, name, value] = /^\s*([^:]*):?(.*)$/s.exec(pair) ?? [];
    if (name) wanted.set(name, wanted.has(name) ? `${wanted.get(name)},${value.trim()}` : value.trim());
  }
  return wanted;
}

const VERSIONS: Record<string, string> = { "TLSv1.3": "TLSv1.3", "TLSv1.2": "TLSv1.2" };

function tlsOf(request: IncomingMessage): Record<string, unknown> | undefined {
  const socket = request.socket as TLSSocket | undefined;
  if (socket?.encrypted !== true) return undefined;
  const peer = socket.getPeerCertificate?.(false)?.raw;
  const pem = (raw: Uint8Array) =>
    `-----BEGIN CERTIFICATE-----\n${raw.toBase64().replace(/.{64}/g, "$&\n").trimEnd()}\n-----END CERTIFICATE-----\n`;
  return {
    version: VERSIONS[socket.getProtocol?.() ?? ""] ?? "",
    ...(peer ? { peerCertificates: [pem(peer as Uint8Array)] } : {}),
    serverName: (socket as TLSSocket & { servername?: string | false }).servername || "",
    ...(socket.alpnProtocol ? { negotiatedProtocol: socket.alpnProtocol } : {}),
    cipherSuite: socket.getCipher?.()?.standardName ?? "",
  };
}

function failed(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return;
  response.statusCode = 500;
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ message: error instanceof Error ? error.message : String(error) }));
}
