import { json, methodNotAllowed, notFound, type Program, serveHttp } from "../program.ts";

/** Ratings may be posted by anybody who can reach the service; it keeps those of this many products. */
const PRODUCTS_MAX = 1000;
const BODY_MAX = 4096;

/** Bookinfo's ratings service: stars by reviewer, kept in memory. */
export const ratings: Program = (context) => {
  const posted = new Map<number, Record<string, number>>();
  return serveHttp(context, 9080, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/health") return json({ status: "Ratings is healthy" });
    const text = /^\/ratings\/([^/]+)$/.exec(pathname)?.[1];
    if (text === undefined) return notFound();
    if (!/^\d{1,9}$/.test(text)) return json({ error: "please provide numeric product ID" }, 400);
    const id = Number(text);
    if (request.method === "GET") return json({ id, ratings: posted.get(id) ?? { Reviewer1: 5, Reviewer2: 4 } });
    if (request.method !== "POST" && request.method !== "PUT") return methodNotAllowed("GET", "POST", "PUT");
    const stars = await readRatings(request);
    if (!stars) return json({ error: "please provide valid ratings JSON" }, 400);
    if (!posted.has(id) && posted.size >= PRODUCTS_MAX) return json({ error: "too many products" }, 507);
    posted.set(id, stars);
    return json({ id, ratings: stars });
  });
};

async function readRatings(request: Request): Promise<Record<string, number> | undefined> {
  if (Number(request.headers.get("content-length") ?? BODY_MAX + 1) > BODY_MAX) return undefined;
  try {
    const body = await request.json();
    const entries = Object.entries(body);
    return !Array.isArray(body) && entries.every(([, stars]) => typeof stars === "number") ? body : undefined;
  } catch {
    return undefined;
  }
}
