import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { grpc } from "../../../identity/grpc.ts";
import { newSelfSignedCa } from "../../../identity/ca_material.ts";
import { goDuration } from "../fortio/flags.ts";
import type { Program } from "../program.ts";
import { serveUnary } from "./grpc.ts";
import { listen } from "./listen.ts";
import { field, headerLists, pairsOf, textOf } from "./wire.ts";

// The application of the conformance suite's mesh tests (gateway-api/echo-advanced), which is Istio's echo server: it answers with lines
// `Field=value`. The client that the tests run in its pods is in echo_client.ts.

export const ECHO_METHOD = "/proto.EchoTestService/Echo";

interface Ports {
  http: number[];
  grpc: number[];
  tcp: number[];
  /** Those of `http` that speak TLS. */
  tls: Set<number>;
  version: string;
}

/** `--port=8080 --port 8443 --tls=8443 --grpc=7070 --tcp=9090 --version=v1`; others change nothing here. */
function portsOf(args: readonly string[]): Ports {
  const ports: Ports = { http: [], grpc: [], tcp: [], tls: new Set(), version: "" };
  for (let i = 0; i < args.length; i++) {
    const [, name, joined] = /^--([\w-]+)(?:=(.*))?$/s.exec(args[i]) ?? [];
    if (!name) continue;
    const value = joined ?? args[++i] ?? "";
    if (name === "port") ports.http.push(Number(value));
    else if (name === "grpc") ports.grpc.push(Number(value));
    else if (name === "tcp") ports.tcp.push(Number(value));
    else if (name === "tls") ports.tls.add(Number(value));
    else if (name === "version") ports.version = value;
  }
  if (ports.http.length + ports.grpc.length + ports.tcp.length === 0) ports.http.push(8080);
  return ports;
}

export const echoAdvanced: Program = async ({ args, env, signal }) => {
  const ports = portsOf(args), hostname = env("HOSTNAME") ?? Deno.hostname();
  const about = (
    port: number,
    more: readonly (readonly [string, string])[],
    headers: Iterable<readonly [string, string]>,
  ) =>
    [
      ["ServiceVersion", ports.version],
      ["ServicePort", String(port)],
      ...more,
      ...[...headers].map(([name, value]) => ["RequestHeader", `${name}:${value}`]),
      ["Hostname", hostname],
    ].map(([name, value]) => `${name}=${value}\n`).join("");

  const onRequest = (port: number) => async (request: IncomingMessage, response: ServerResponse) => {
    const uri = request.url ?? "/", query = new URL(uri, "http://echo").searchParams;
    await new Promise((resolve) => setTimeout(resolve, goDuration(query.get("delay") ?? "") ?? 0));
    for (const pair of (query.get("headers") ?? "").split(",").filter((pair) => pair.includes(":"))) {
      const [name, value] = pair.split(":");
      try {
        response.setHeader(name, value);
      } catch {
        // Not a header.
      }
    }
    response.statusCode = codeOf(query.get("codes") ?? "");
    response.setHeader("Content-Type", "application/text");
    const headers = [...headerLists(pairsOf(request.rawHeaders))].flatMap(([name, values]) =>
      values.map((value) => [name, value] as const)
    );
    const facts = [
      ["Host", request.headers.host ?? ""],
      ["URL", uri],
      ["Method", request.method ?? ""],
      ["Proto", `HTTP/${request.httpVersion}`],
      ["IP", request.socket.remoteAddress ?? ""],
      ["Alpn", String((request.socket as { alpnProtocol?: string }).alpnProtocol || "")],
    ] as const;
    response.end(about(port, facts, headers));
  };

  const closers: (() => Promise<void>)[] = [], servers: Promise<void>[] = [];
  for (const port of ports.http) {
    const handler = onRequest(port);
    const answer = (request: IncomingMessage, response: ServerResponse) =>
      void handler(request, response).catch(() => response.destroy());
    const certificate = ports.tls.has(port) ? await selfSigned() : undefined;
    const server = certificate ? createHttpsServer(certificate, answer) : createServer({ keepAliveTimeout: 0 }, answer);
    closers.push(await listen(server, port, certificate ? "https" : "http"));
  }
  for (const port of ports.grpc) {
    const echo = ({ request, authority, peer, metadata }: Parameters<Parameters<typeof serveUnary>[2][string]>[0]) =>
      field(
        1,
        `Host=${authority}\n` +
          about(
            port,
            [["StatusCode", "200"], ["IP", peer], ["Proto", "GRPC"], ["Echo", textOf(request, 1)]],
            [[":authority", authority], ...metadata.filter(([name]) => !name.endsWith("-bin"))],
          ),
      );
    servers.push(serveUnary(port, grpc.ServerCredentials.createInsecure(), { [ECHO_METHOD]: echo }, signal));
  }
  for (const port of ports.tcp) {
    const { tcpEcho } = await import("../echo.ts");
    servers.push(tcpEcho({ args: [String(port)], env, signal }).then(() => {}));
  }
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.all([...closers.map((close) => close()), ...servers]);
  return 0;
};

/** `500:20,200:80`: one of the codes, as often as the numbers say. */
function codeOf(text: string): number {
  const slices = text.split(",").map((part) => part.split(":")).filter(([code]) => /^[2-5]\d\d$/.test(code));
  const total = slices.reduce((sum, [, weight = "1"]) => sum + Number(weight), 0);
  let at = Math.random() * total;
  for (const [code, weight = "1"] of slices) {
    at -= Number(weight);
    if (at < 0) return Number(code);
  }
  return 200;
}

/** A certificate that nobody can verify: the image's own is of that kind. */
async function selfSigned(): Promise<{ cert: string; key: string }> {
  const { certPem, keyPem } = await newSelfSignedCa({
    trustDomain: "echo",
    ttlMs: 365 * 24 * 3600_000,
    key: { kind: "EC", curve: "P-256" },
    now: Date.now(),
  });
  return { cert: certPem, key: keyPem };
}
