// A rule, read, and its backends, found -> routes of the model.

import {
  DEFAULT_RETRY,
  type Mirror,
  type Route,
  type RouteAction,
  type RouteMatch,
  type WeightedDestination,
} from "../../model/l7.ts";
import type { BackendReference, ParsedRule } from "./rule.ts";

/** What a reference leads to: the name of a destination, or the status of requests that would go there. */
export type Found = { readonly destination: string } | { readonly invalid: number };

/** What a rule's routes depend on beside the rule. */
export interface RuleContext {
  /** `HTTPRoute/default/reviews`. */
  readonly origin: string;
  readonly find: (ref: BackendReference) => Found;
  /** Requests of workloads of this namespace alone. */
  readonly sourceNamespace?: string;
  /** What redirects without a port or scheme name, where it is not the port that the listener is bound to. */
  readonly redirectPort?: number;
}

/** Lowered routes by rule: a rule whose backends lead where they led before gives the same objects. */
const lowered = new WeakMap<ParsedRule, Map<string, readonly Route[]>>();
const MAX_VARIANTS = 32;

/** One route for each match of the rule, in their order. */
export function lowerRule(rule: ParsedRule, context: RuleContext): readonly Route[] {
  const backends = rule.backends.map(({ ref, broken }): Found => broken ? { invalid: 500 } : context.find(ref));
  const mirrors = rule.mirrors.map(({ ref }) => context.find(ref));
  const text = (found: Found) => "destination" in found ? found.destination : `!${found.invalid}`;
  const variant = [
    context.origin,
    context.sourceNamespace,
    context.redirectPort,
    ...backends.map(text),
    "+",
    ...mirrors.map(text),
  ].join("\n");
  let variants = lowered.get(rule);
  if (!variants) lowered.set(rule, variants = new Map());
  let routes = variants.get(variant);
  if (!routes) {
    if (variants.size >= MAX_VARIANTS) variants.clear();
    variants.set(variant, routes = build(rule, context, backends, mirrors));
  }
  return routes;
}

function build(
  rule: ParsedRule,
  { origin, sourceNamespace, redirectPort }: RuleContext,
  backends: readonly Found[],
  mirrors: readonly Found[],
): readonly Route[] {
  const action = actionOf(rule, backends, mirrors, redirectPort);
  return rule.matches.map(({ match, name }): Route => ({
    name: name ? `${rule.name}.${name}` : rule.name,
    origin,
    match: trimmed(sourceNamespace === undefined ? match : { ...match, sourceNamespace }),
    action,
    // What a broken rule holds may be what broke it.
    ...(rule.broken ? {} : {
      requestHeaders: rule.requestHeaders,
      responseHeaders: rule.responseHeaders,
      cors: rule.cors,
      fault: rule.fault,
    }),
  }));
}

/** Without fields that say nothing, so that plain data stays plain. */
function trimmed(match: RouteMatch): RouteMatch {
  return Object.fromEntries(Object.entries(match).filter(([, value]) => value !== undefined)) as unknown as RouteMatch;
}

const BROKEN: RouteAction = Object.freeze({ kind: "direct", status: 500, body: "" });

function actionOf(
  rule: ParsedRule,
  backends: readonly Found[],
  mirrors: readonly Found[],
  redirectPort: number | undefined,
): RouteAction {
  if (rule.broken) return BROKEN;
  if (rule.redirect) {
    const { redirect } = rule, open = redirect.port === undefined && redirect.scheme === undefined;
    return open && redirectPort !== undefined && redirect.portRule === "LISTENER"
      ? { ...redirect, port: redirectPort }
      : redirect;
  }
  if (rule.direct) return rule.direct;
  return {
    kind: "forward",
    destinations: rule.backends.map(({ weight, requestHeaders, responseHeaders }, i): WeightedDestination => {
      const found = backends[i];
      return "destination" in found
        ? { destination: found.destination, weight, requestHeaders, responseHeaders }
        : { destination: "", invalid: found.invalid, weight };
    }),
    rewrite: rule.rewrite,
    timeoutMs: rule.timeoutMs,
    retry: rule.retry ?? DEFAULT_RETRY,
    mirrors: rule.mirrors.flatMap(({ millionths }, i): Mirror[] => {
      const found = mirrors[i];
      return "destination" in found && millionths > 0 ? [{ destination: found.destination, millionths }] : [];
    }),
  };
}

/** The route to a service itself, where nobody routes. */
export function defaultRoute(destination: string, origin: string): Route {
  return {
    name: "default",
    origin,
    match: { headers: [], query: [] },
    action: {
      kind: "forward",
      destinations: [{ destination, weight: 1 }],
      retry: DEFAULT_RETRY,
      mirrors: [],
    },
  };
}
