// Where a redirect leads.

import type { PathMatch, RedirectAction } from "../../model/mod.ts";
import { hostOf, portOf } from "../match/mod.ts";
import { replacePath } from "./rewrite.ts";

/** What a redirect depends on besides its rule. */
export interface RedirectFacts {
  readonly scheme: string;
  readonly authority: string;
  /** Path and query as the client knows them. */
  readonly path: string;
  readonly listenerPort: number;
}

/** The `location` of a redirect: default ports are left out, the query is kept. */
export function redirectLocation(action: RedirectAction, match: PathMatch | undefined, facts: RedirectFacts): string {
  const scheme = action.scheme ?? facts.scheme;
  const host = action.host ?? hostOf(facts.authority);
  const port = action.port ?? impliedPort(action, facts);
  const path = action.path ? replacePath(facts.path, match, action.path) : facts.path;
  return `${scheme}://${host}${isDefaultPort(scheme, port) ? "" : `:${port}`}${path}`;
}

/** -1: none is shown. */
function impliedPort(action: RedirectAction, facts: RedirectFacts): number {
  if (action.portRule === "SCHEME_DEFAULT") return -1;
  if (action.portRule === "FROM_REQUEST") return portOf(facts.authority);
  // A scheme that is given has its own port (Gateway API, HTTPRequestRedirectFilter.port).
  return action.scheme === undefined ? facts.listenerPort : -1;
}

function isDefaultPort(scheme: string, port: number): boolean {
  return port < 0 || (scheme === "http" && port === 80) || (scheme === "https" && port === 443);
}

/** `tls.httpsRedirect`: the same place by https; port 80 means the default port there. */
export function httpsLocation(authority: string, path: string): string {
  const place = portOf(authority) === 80 ? hostOf(authority) : authority;
  return `https://${place}${path}`;
}
