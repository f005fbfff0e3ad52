import { createHash } from "node:crypto";
import type { ReviewedToken, TokenReviewer } from "../../identity/authenticate.ts";
import type { KubeClient } from "../../kube/mod.ts";

/** How long a good answer is believed; Kubernetes' own default for such reviews is 10 s. */
const KEEP_MS = 5_000;
const MAX_KEPT = 1_000;

/**
 * Asks the API about tokens. A ztunnel asks for many certificates with one token: good answers are kept for a few seconds, never
 * past the token's own end; refusals are not kept.
 */
export function tokenReviewer(client: KubeClient, now: () => number = Date.now): TokenReviewer {
  const kept = new Map<string, { until: number; token: ReviewedToken }>();
  const asking = new Map<string, Promise<ReviewedToken | undefined>>();
  const ask = async (key: string, token: string, audiences: readonly string[]) => {
    const { authenticated, user, audiences: agreed } = await client.reviewToken(token, audiences);
    // An API that knows no audiences leaves the list out; then nobody has said that the token is meant for istiod.
    if (!authenticated || !agreed?.some((audience) => audiences.includes(audience))) return undefined;
    const reviewed = { username: user?.username ?? "", groups: user?.groups ?? [], extra: user?.extra ?? {} };
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(key, { until: Math.min(now() + KEEP_MS, expiryOf(token)), token: reviewed });
    return reviewed;
  };
  return (token, audiences) => {
    const key = createHash("sha256").update(`${audiences.join()}\n${token}`).digest("base64");
    const known = kept.get(key);
    if (known && now() < known.until) return Promise.resolve(known.token);
    let answer = asking.get(key);
    if (!answer) {
      answer = ask(key, token, audiences).finally(() => asking.delete(key));
      asking.set(key, answer);
    }
    return answer;
  };
}

/** Milliseconds of the `exp` claim; 0 when there is none. Read only of tokens that the API has found good. */
function expiryOf(token: string): number {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return typeof claims.exp === "number" ? claims.exp * 1000 : 0;
  } catch {
    return 0;
  }
}
