import { flag, json, notFound, type Program, type ProgramContext, serveHttp } from "./program.ts";

/** Answers every request with what it was (ealen/echo-server and its kin), and every message of a WebSocket with itself. */
export const echo: Program = (context) =>
  serveHttp(context, Number(context.env("PORT")) || 80, (request, peer) => {
    const url = new URL(request.url);
    if (request.headers.get("upgrade")?.toLowerCase() === "websocket") return echoMessages(context, request);
    return json({
      host: { hostname: url.hostname, ip: peer },
      http: { method: request.method, protocol: "http", originalUrl: url.pathname + url.search },
      request: { headers: Object.fromEntries(request.headers), query: Object.fromEntries(url.searchParams) },
      environment: { HOSTNAME: context.env("HOSTNAME") },
    });
  });

/** The first message names the pod. */
function echoMessages({ env, signal }: ProgramContext, request: Request): Response {
  const { socket, response } = Deno.upgradeWebSocket(request);
  const close = () => socket.close();
  signal.addEventListener("abort", close, { once: true });
  socket.onopen = () => socket.send(`Request served by ${env("HOSTNAME") ?? Deno.hostname()}`);
  socket.onmessage = ({ data }) => socket.send(data);
  socket.onclose = () => signal.removeEventListener("abort", close);
  return response;
}

/** Answers every request with one text (hashicorp/http-echo: `-text`, `-listen :5678`). */
export const httpEcho: Program = (context) => {
  const value = (name: string) =>
    context.args.map((arg, i) =>
      arg === `-${name}` ? context.args[i + 1] : arg.startsWith(`-${name}=`) ? arg.slice(name.length + 2) : undefined
    )
      .find((found) => found !== undefined);
  const text = value("text") ?? context.env("ECHO_TEXT") ?? "";
  const port = value("listen")?.split(":").at(-1) ?? "5678";
  return serveHttp({ ...context, args: ["--port", port] }, 5678, () => new Response(text + "\n"));
};

/** Sends back every byte it receives; with a prefix argument, before each chunk (istio/tcp-echo-server). */
export const tcpEcho: Program = async ({ args, signal }) => {
  const positional = args.filter((arg, i) => !arg.startsWith("--") && !args[i - 1]?.startsWith("--"));
  const ports = flag(args, "port", positional[0] ?? "9000").split(",").map(Number);
  const prefix = new TextEncoder().encode(positional[1] ? positional[1] + " " : "");
  const listeners = ports.map((port) => Deno.listen({ port, hostname: "0.0.0.0" }));
  signal.addEventListener("abort", () => listeners.forEach((listener) => listener.close()));
  console.log(`listening on port ${ports.join(", ")}`);
  await Promise.all(listeners.map(async (listener) => {
    try {
      for await (const conn of listener) void echoBytes(conn, prefix);
    } catch {
      // Closed at the end.
    }
  }));
  return 0;
};

async function echoBytes(conn: Deno.Conn, prefix: Uint8Array): Promise<void> {
  const buffer = new Uint8Array(65536);
  try {
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
      for (const bytes of [prefix, buffer.subarray(0, n)]) {
        for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
      }
    }
  } catch {
    // The peer went away.
  } finally {
    conn.close();
  }
}

/** One page for every path below `/`, in place of a web server's default site. */
export const staticSite: Program = (context) =>
  serveHttp(context, 80, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname !== "/" && pathname !== "/index.html") return notFound();
    return new Response("<!DOCTYPE html><title>Welcome</title><h1>Welcome</h1><p>Served by ambientd.</p>\n", {
      headers: { "content-type": "text/html" },
    });
  });
