import { json, methodNotAllowed, notFound, type Program, serveHttp } from "./program.ts";

const BODY_MAX = 1 << 20;
const BYTES_MAX = 10 << 20;
const DELAY_MAX_S = 10;

/** The parts of httpbin that tutorials use: it tells what it received, and answers as asked. */
export const httpbin: Program = (context) =>
  serveHttp(context, 80, async (request, peer) => {
    const url = new URL(request.url);
    const [, first, second] = url.pathname.split("/");
    const about = () => ({
      args: Object.fromEntries(url.searchParams),
      headers: titled(request.headers),
      method: request.method,
      origin: request.headers.get("x-forwarded-for") ?? peer,
      url: request.url,
    });
    switch (first) {
      case "":
        return new Response("httpbin\n");
      case "get":
        return request.method === "GET" || request.method === "HEAD" ? json(about()) : methodNotAllowed("GET");
      case "post":
      case "put":
      case "patch":
      case "delete":
        return request.method === first.toUpperCase()
          ? json(await withBody(request, about()))
          : methodNotAllowed(first.toUpperCase());
      case "anything":
        return json(await withBody(request, about()));
      case "headers":
        return json({ headers: titled(request.headers) });
      case "ip":
        return json({ origin: about().origin });
      case "user-agent":
        return json({ "user-agent": request.headers.get("user-agent") });
      case "uuid":
        return json({ uuid: crypto.randomUUID() });
      case "hostname":
        return json({ hostname: Deno.hostname() });
      case "status":
        return status(second);
      case "delay":
        await new Promise((resolve) =>
          setTimeout(resolve, 1000 * Math.min(DELAY_MAX_S, Math.max(0, Number(second) || 0)))
        );
        return json(about());
      case "bytes":
        return new Response(new Uint8Array(Math.min(BYTES_MAX, Math.max(0, Number(second) || 0))));
      case "stream":
        return stream(Math.min(100, Math.max(1, Number(second) || 1)), about());
      case "drip":
        return drip(url.searchParams);
      case "cookies":
        return json({ cookies: cookiesOf(request) });
      case "basic-auth":
        return basicAuth(request, `${second}:${url.pathname.split("/")[3]}`);
      case "json":
        return json({ slideshow: { title: "Sample Slide Show", slides: [] } });
      case "redirect":
        return redirect(Math.min(20, Number(second) || 1));
      case "response-headers":
        return json(Object.fromEntries(url.searchParams), 200, Object.fromEntries(url.searchParams));
      case "html":
        return new Response("<!DOCTYPE html><title>httpbin</title><h1>A page</h1>\n", {
          headers: { "content-type": "text/html" },
        });
    }
    return notFound();
  });

function titled(headers: Headers): Record<string, string> {
  return Object.fromEntries(
    [...headers].map(([name, value]) => [name.replace(/(^|-)[a-z]/g, (c) => c.toUpperCase()), value]),
  );
}

async function withBody(request: Request, about: Record<string, unknown>): Promise<Record<string, unknown>> {
  if (Number(request.headers.get("content-length") ?? 0) > BODY_MAX) return { ...about, data: "(too long)" };
  const data = (await request.text()).slice(0, BODY_MAX);
  let parsed: unknown = null;
  try {
    parsed = JSON.parse(data);
  } catch {
    // Not JSON.
  }
  const form = request.headers.get("content-type")?.startsWith("application/x-www-form-urlencoded");
  return { ...about, data, json: parsed, form: form ? Object.fromEntries(new URLSearchParams(data)) : {} };
}

function status(codes = ""): Response {
  const all = codes.split(",").map(Number).filter((code) => Number.isInteger(code) && code >= 200 && code <= 599);
  if (all.length === 0) return new Response("give a status from 200 to 599\n", { status: 400 });
  const code = all[Math.floor(Math.random() * all.length)];
  const empty = code === 204 || code === 205 || code === 304;
  if (code === 418) return new Response("\n    -=[ teapot ]=-\n", { status: code });
  return new Response(empty ? null : `${code}\n`, {
    status: code,
    headers: code >= 300 && code < 400 && code !== 304 ? { location: "/get" } : {},
  });
}

/** `numbytes` over `duration` seconds, the first after `delay`. */
function drip(query: URLSearchParams): Response {
  const number = (name: string, fallback: number, max: number) =>
    Math.min(max, Math.max(0, Number(query.get(name) ?? fallback) || 0));
  const bytes = number("numbytes", 10, BYTES_MAX),
    everyMs = number("duration", 2, DELAY_MAX_S) * 1000 / Math.max(1, bytes);
  const code = Number(query.get("code") ?? 200);
  let left = bytes, waitMs = number("delay", 0, DELAY_MAX_S) * 1000;
  return new Response(
    new ReadableStream({
      async pull(controller) {
        if (left <= 0) return controller.close();
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        waitMs = everyMs;
        left--;
        controller.enqueue(new Uint8Array([42]));
      },
    }),
    {
      status: code >= 200 && code <= 599 ? code : 200,
      headers: { "content-type": "application/octet-stream", "content-length": String(bytes) },
    },
  );
}

function cookiesOf(request: Request): Record<string, string> {
  const pairs = (request.headers.get("cookie") ?? "").split(/;\s*/).filter(Boolean);
  return Object.fromEntries(pairs.map((pair) => [pair.split("=")[0], pair.slice(pair.indexOf("=") + 1)]));
}

function basicAuth(request: Request, wanted: string): Response {
  if (request.headers.get("authorization") === `Basic ${btoa(wanted)}`) {
    return json({ authenticated: true, user: wanted.split(":")[0] });
  }
  return new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="Fake Realm"' } });
}

function redirect(times: number): Response {
  return new Response(null, { status: 302, headers: { location: times > 1 ? `/redirect/${times - 1}` : "/get" } });
}

function stream(lines: number, about: Record<string, unknown>): Response {
  const encoder = new TextEncoder();
  let id = 0;
  return new Response(
    new ReadableStream({
      pull(controller) {
        if (id >= lines) return controller.close();
        controller.enqueue(encoder.encode(JSON.stringify({ ...about, id: id++ }) + "\n"));
      },
    }),
    { headers: { "content-type": "application/json" } },
  );
}
