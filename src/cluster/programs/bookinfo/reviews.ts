import { flag, json, methodNotAllowed, notFound, type Program, serveHttp } from "../program.ts";
import { callJson, propagated, serviceUrl } from "./upstream.ts";

const TEXTS: [reviewer: string, text: string][] = [
  [
    "Reviewer1",
    "Two nights of quarrels, disguises and a man with the head of a donkey. I laughed until the candles went out.",
  ],
  [
    "Reviewer2",
    "Thin on plot next to his other comedies, yet nothing he wrote is lighter on its feet. Keep it by the bed.",
  ],
];

/** v1 shows no stars, v2 black ones, v3 red ones. */
const STAR_COLORS: Record<string, string | undefined> = { v2: "black", v3: "red" };

/** Bookinfo's reviews service, in its three versions; v2 and v3 ask ratings for stars. */
export const reviews: Program = (context) => {
  const { args, env } = context;
  const color = env("STAR_COLOR") ?? STAR_COLORS[flag(args, "version", env("SERVICE_VERSION") ?? "v1")];
  const withStars = env("ENABLE_RATINGS") === "true" || color !== undefined;
  const ratingsUrl = serviceUrl("ratings", env);
  return serveHttp(context, 9080, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/health") return json({ status: "Reviews is healthy" });
    const id = /^\/reviews\/([^/]+)$/.exec(pathname)?.[1];
    if (id === undefined) return notFound();
    if (request.method !== "GET") return methodNotAllowed("GET");
    if (!/^\d{1,9}$/.test(id)) return json({ error: "please provide numeric product id" }, 400);
    const stars = withStars ? await askRatings(`${ratingsUrl}/ratings/${id}`, request, color ?? "black") : () => ({});
    return json({
      id,
      podname: env("HOSTNAME") ?? Deno.hostname(),
      clustername: env("CLUSTER_NAME") ?? "null",
      reviews: TEXTS.map(([reviewer, text]) => ({ reviewer, text, ...stars(reviewer) })),
    });
  });
};

async function askRatings(url: string, request: Request, color: string): Promise<(reviewer: string) => object> {
  const answer = await callJson(url, propagated(request), color === "black" ? 10_000 : 2_500);
  const stars: Record<string, number> | undefined = answer.status === 200 ? answer.body?.ratings : undefined;
  return (reviewer) =>
    stars?.[reviewer] === undefined
      ? { rating: { error: "Ratings service is currently unavailable" } }
      : { rating: { stars: stars[reviewer], color } };
}
