// A route with everything of it compiled, so that a request does no work that is the same for all requests.

import type { RedirectAction, RetryPolicy, Route, RouteAction, WeightedDestination } from "../../model/mod.ts";
import { CompiledCors, type CompiledHeaderChanges, CompiledRewrite, compileHeaderChanges } from "../filters/mod.ts";
import { CompiledRetry } from "./retry.ts";

/** One weighted destination. */
export interface CompiledDestination {
  readonly name: string;
  /** Sum of the weights up to and including this one. */
  readonly upTo: number;
  /** Answer its share with this status; 0: forward. */
  readonly invalid: number;
  readonly requestHeaders: CompiledHeaderChanges | null;
  readonly responseHeaders: CompiledHeaderChanges | null;
}

/** A route whose action is to forward. */
export interface CompiledForward {
  readonly destinations: readonly CompiledDestination[];
  readonly totalWeight: number;
  readonly rewrite: CompiledRewrite | null;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly retry: CompiledRetry | null;
  readonly mirrors: readonly { readonly destination: string; readonly millionths: number }[];
}

export interface CompiledDirect {
  readonly status: number;
  readonly text: string;
  /** Set instead of `text` where the body is no text. */
  readonly bytes: Uint8Array | null;
}

export class CompiledRoute {
  readonly route: Route;
  readonly name: string;
  readonly forward: CompiledForward | null;
  readonly redirect: RedirectAction | null;
  readonly direct: CompiledDirect | null;
  readonly requestHeaders: CompiledHeaderChanges | null;
  readonly responseHeaders: CompiledHeaderChanges | null;
  readonly cors: CompiledCors | null;
  /** What of the route cannot be done as written, for dumps and logs. */
  readonly problems: readonly string[];

  constructor(route: Route) {
    const { action } = route;
    this.route = route;
    this.name = route.name === "" ? "-" : route.name;
    this.requestHeaders = compileHeaderChanges(route.requestHeaders);
    this.responseHeaders = compileHeaderChanges(route.responseHeaders);
    this.cors = route.cors ? new CompiledCors(route.cors) : null;
    this.redirect = action.kind === "redirect" ? action : null;
    this.direct = action.kind === "direct" ? compileDirect(action) : null;
    this.forward = action.kind === "forward"
      ? {
        ...compileWeights(action.destinations),
        rewrite: action.rewrite ? new CompiledRewrite(action.rewrite, route.match.path) : null,
        timeoutMs: action.timeoutMs ?? 0,
        retry: compileRetry(action.retry),
        mirrors: action.mirrors,
      }
      : null;
    this.problems = [
      ...this.requestHeaders?.refused ?? [],
      ...this.responseHeaders?.refused ?? [],
      ...this.forward?.rewrite?.refused ?? [],
      ...this.forward?.retry?.problems ?? [],
      ...this.forward?.destinations.flatMap((destination) => [
        ...destination.requestHeaders?.refused ?? [],
        ...destination.responseHeaders?.refused ?? [],
      ]) ?? [],
    ];
  }
}

function compileDirect(action: Extract<RouteAction, { kind: "direct" }>): CompiledDirect {
  if (!action.binary) return { status: action.status, text: action.body, bytes: null };
  try {
    return { status: action.status, text: "", bytes: Uint8Array.from(atob(action.body), (c) => c.charCodeAt(0)) };
  } catch {
    return { status: 500, text: "", bytes: null };
  }
}

function compileRetry(policy: RetryPolicy | undefined): CompiledRetry | null {
  // The time of one attempt is limited even where it is the only one.
  return policy && (policy.retries > 0 || policy.perTryTimeoutMs > 0) ? new CompiledRetry(policy) : null;
}

function compileWeights(
  destinations: readonly WeightedDestination[],
): { destinations: CompiledDestination[]; totalWeight: number } {
  let total = 0;
  const compiled: CompiledDestination[] = [];
  for (const destination of destinations) {
    if (destination.weight <= 0) continue;
    total += destination.weight;
    compiled.push({
      name: destination.destination,
      upTo: total,
      invalid: destination.invalid ?? 0,
      requestHeaders: compileHeaderChanges(destination.requestHeaders),
      responseHeaders: compileHeaderChanges(destination.responseHeaders),
    });
  }
  return { destinations: compiled, totalWeight: total };
}

/** Chooses by weight; null when every weight is 0. */
export function chooseDestination(forward: CompiledForward, random: () => number): CompiledDestination | null {
  const { destinations } = forward;
  if (destinations.length === 1) return destinations[0];
  const ticket = random() * forward.totalWeight;
  for (let i = 0; i < destinations.length; i++) if (ticket < destinations[i].upTo) return destinations[i];
  return null;
}
