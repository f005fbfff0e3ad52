// Routes of one listener or service, in the order in which they are tried.

import type { Route, VirtualHost } from "../../../model/l7.ts";
import type { DestinationSet } from "../destinations.ts";
import { type Found, lowerRule } from "../lower.ts";
import type { BackendReference } from "../rule.ts";
import type { World } from "../world.ts";
import type { ListenerRoute } from "./attachment.ts";
import { type Home, resolveBackend } from "./backends.ts";
import type { ParsedRoute } from "./route.ts";

interface Entry {
  readonly rank: readonly number[];
  readonly age: string;
  readonly rule: number;
  readonly match: number;
  readonly route: Route;
}

/** Path, method, headers, query (each the more specific first), then the oldest route, then the order of its rules. */
function compare(a: Entry, b: Entry): number {
  for (let i = 0; i < a.rank.length; i++) if (a.rank[i] !== b.rank[i]) return b.rank[i] - a.rank[i];
  if (a.age !== b.age) return a.age < b.age ? -1 : 1;
  return a.rule - b.rule || a.match - b.match;
}

interface Options {
  readonly sourceNamespace?: string;
  readonly redirectPort?: number;
  /** The service and port whose routes these are. */
  readonly home?: Home;
}

function entriesOf(route: ParsedRoute, world: World, destinations: DestinationSet, options: Options): Entry[] {
  const { home, ...context } = options, homes = home ? [home] : [];
  const { kind, namespace, name, age } = route, origin = `${kind}/${namespace}/${name}`;
  const find = (ref: BackendReference): Found => {
    const backend = ref.api === "gateway" ? resolveBackend(world, { kind, namespace }, ref, homes) : undefined;
    const destination = backend && "service" in backend
      ? destinations.name(backend.service, backend.port.number)
      : undefined;
    return destination === undefined ? { invalid: 500 } : { destination };
  };
  return route.rules.flatMap((rule, i) =>
    lowerRule(rule, { origin, find, ...context }).map((lowered, j): Entry => ({
      rank: rule.matches[j].rank,
      age,
      rule: i,
      match: j,
      route: lowered,
    }))
  );
}

/** The routes of several objects, sorted. */
export function sortedRoutes(
  routes: readonly ParsedRoute[],
  world: World,
  destinations: DestinationSet,
  options: Options = {},
): Route[] {
  return routes.flatMap((route) => entriesOf(route, world, destinations, options)).sort(compare).map(({ route }) =>
    route
  );
}

/** The virtual hosts of a Gateway's listener. */
export function listenerHosts(
  listener: string,
  routes: readonly ListenerRoute[],
  world: World,
  destinations: DestinationSet,
  redirectPort: number | undefined,
): VirtualHost[] {
  const byHost = new Map<string, ParsedRoute[]>();
  for (const { route, hostnames } of routes) {
    for (const hostname of hostnames) {
      const same = byHost.get(hostname);
      if (same) same.push(route);
      else byHost.set(hostname, [route]);
    }
  }
  return [...byHost].map(([hostname, routes]) => ({
    kind: "virtualHost",
    name: `${listener}/${hostname}`,
    listener,
    hostnames: [hostname],
    routes: sortedRoutes(routes, world, destinations, { redirectPort }),
  }));
}
