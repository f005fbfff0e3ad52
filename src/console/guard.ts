// What requests have to look like, and what answers say to browsers. The console shows who talks to whom in a cluster: pages of other
// sites must not read it through a user's port-forward.

import { canonicalIp } from "../core/ip.ts";

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
};

/** `kiali.istio-system`, `….svc`, `….svc.cluster.local`; two words alone could be a public domain, but for this namespace. */
const SERVICE_NAME = /^[a-z0-9-]+\.(istio-system|[a-z0-9-]+\.svc(\.cluster\.local)?)$/;

/**
 * Why a request is refused: `{ status, text }`, or undefined when it may pass. A Host that no user would type is the mark of DNS
 * rebinding, by which a foreign page makes the console's address its own.
 */
export function refusal(request: Request, hosts: readonly string[]): { status: number; text: string } | undefined {
  if (request.method !== "GET" && request.method !== "HEAD") return { status: 405, text: "only GET is answered" };
  if (request.headers.get("sec-fetch-site") === "cross-site" && request.headers.get("sec-fetch-mode") !== "navigate") {
    return { status: 403, text: "asked for by another site" };
  }
  const host = new URL(request.url).hostname.replace(/^\[|\]$/g, "").toLowerCase().replace(/\.$/, "");
  if (!isOurs(host, hosts)) return { status: 421, text: "not served under this name; CONSOLE_HOSTS allows it" };
  return undefined;
}

function isOurs(host: string, hosts: readonly string[]): boolean {
  if (hosts.includes("*") || hosts.includes(host)) return true;
  if (host === "localhost" || host.endsWith(".localhost") || canonicalIp(host) !== undefined) return true;
  // A name without dots, or of a Service: nobody outside can make browsers believe that it is theirs.
  return !host.includes(".") || SERVICE_NAME.test(host);
}
