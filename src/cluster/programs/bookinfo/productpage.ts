import { Registry } from "../../../telemetry/metrics.ts";
import { metricsResponse } from "../../../telemetry/serve.ts";
import { json, methodNotAllowed, notFound, type Program, serveHttp } from "../program.ts";
import { indexPage, type PageContent, productPage, STYLE } from "./page.ts";
import { callJson, propagated, serviceUrl } from "./upstream.ts";

const TIMEOUT_MS = 3_000;
const PRODUCT = { id: 0, title: "The Comedy of Errors", descriptionHtml: "A comedy of mistaken twins." };

/** Bookinfo's front end: pages for people, and the same data as JSON under /api/v1/products. */
export const productpage: Program = (context) => {
  const { env } = context;
  const detailsUrl = serviceUrl("details", env),
    reviewsUrl = serviceUrl("reviews", env),
    ratingsUrl = serviceUrl("ratings", env);
  const servedBy = env("HOSTNAME") ?? Deno.hostname();
  // The original's one metric: its pod asks to be scraped.
  const registry = new Registry();
  const results = registry.counter("request_result_total", "Results of requests", ["destination_app", "response_code"]);
  const counted = async (app: string, url: string, headers: Headers) => {
    const answer = await callJson(url, headers, TIMEOUT_MS);
    results.with(app, String(answer.status)).inc();
    return answer;
  };
  const details = (headers: Headers) => counted("details", `${detailsUrl}/details/0`, headers);
  const reviews = async (headers: Headers) => {
    const first = await counted("reviews", `${reviewsUrl}/reviews/0`, headers);
    // The one retry of the original: a lesson about retries that hide a slow service.
    return first.status === 200 ? first : await counted("reviews", `${reviewsUrl}/reviews/0`, headers);
  };

  async function page(request: Request, user: string | undefined): Promise<Response> {
    const headers = onBehalfOf(request, user);
    const [facts, opinions] = await Promise.all([details(headers), reviews(headers)]);
    const content: PageContent = {
      user,
      servedBy,
      details: facts.status === 200 ? facts.body : undefined,
      reviews: opinions.status === 200 && Array.isArray(opinions.body?.reviews) ? opinions.body : undefined,
    };
    return html(productPage(content));
  }

  async function api(request: Request, path: string): Promise<Response> {
    const match = /^(?:\/(\d+)(?:\/(reviews|ratings))?)?$/.exec(path);
    if (!match) return notFound();
    const headers = onBehalfOf(request, signedInUser(request));
    if (match[1] === undefined) return json([PRODUCT]);
    if (match[1] !== "0") return json({ error: "no such product" }, 404);
    const { status, body } = match[2] === "reviews"
      ? await reviews(headers)
      : match[2] === "ratings"
      ? await callJson(`${ratingsUrl}/ratings/0`, headers, TIMEOUT_MS)
      : await details(headers);
    return json(body ?? { error: `${match[2] ?? "details"} is currently unavailable` }, status);
  }

  return serveHttp(context, 9080, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/login") return request.method === "POST" ? await signIn(request) : methodNotAllowed("POST");
    if (request.method !== "GET" && request.method !== "HEAD") return methodNotAllowed("GET", "HEAD");
    const user = signedInUser(request);
    switch (pathname) {
      case "/":
      case "/index.html":
        return html(indexPage(user, servedBy));
      case "/productpage":
        return await page(request, user);
      case "/health":
        return new Response("Product page is healthy");
      case "/metrics":
        return metricsResponse(registry, request);
      case "/logout":
        return redirect("session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
      case "/static/style.css":
        return new Response(STYLE, { headers: { "content-type": "text/css", "cache-control": "max-age=300" } });
    }
    return pathname.startsWith("/api/v1/products")
      ? await api(request, pathname.slice("/api/v1/products".length))
      : notFound();
  });
};

function onBehalfOf(request: Request, user: string | undefined): Headers {
  const headers = propagated(request);
  if (user) headers.set("end-user", user);
  return headers;
}

/** The demo trusts its cookie, as the original does: it shows routing by user, not security. */
function signedInUser(request: Request): string | undefined {
  const value = /(?:^|;\s*)session=([^;]*)/.exec(request.headers.get("cookie") ?? "")?.[1];
  if (!value) return undefined;
  try {
    const user = decodeURIComponent(value);
    return /^[\w .@-]{1,64}$/.test(user) ? user : undefined;
  } catch {
    return undefined;
  }
}

async function signIn(request: Request): Promise<Response> {
  if (Number(request.headers.get("content-length") ?? Infinity) > 4096) {
    return new Response("too long\n", { status: 413 });
  }
  const user = new URLSearchParams(await request.text()).get("username")?.trim() ?? "";
  if (!/^[\w .@-]{1,64}$/.test(user)) return new Response("give a user name of letters and digits\n", { status: 400 });
  return redirect(`session=${encodeURIComponent(user)}; Path=/; HttpOnly; SameSite=Lax`);
}

function redirect(cookie: string): Response {
  return new Response(null, { status: 302, headers: { location: "productpage", "set-cookie": cookie } });
}

function html(text: string): Response {
  return new Response(text, { headers: { "content-type": "text/html; charset=utf-8" } });
}
