import type { KubeObject } from "../../../kube/types.ts";
import type { Route, TcpRoute, WeightedDestination } from "../../../model/l7.ts";
import type { DestinationSet } from "../destinations.ts";
import { covers, specificity } from "../hostname.ts";
import { type Found, lowerRule } from "../lower.ts";
import type { BackendReference, ParsedMatch } from "../rule.ts";
import type { RoutableService } from "../services.ts";
import type { World } from "../world.ts";
import { isExported } from "./hosts.ts";
import type { ParsedStreamRule, StreamMatch } from "./stream_rule.ts";
import { type ParsedVirtualService, readVirtualService } from "./virtual_service.ts";

/** All VirtualServices, by host and by gateway. */
export class VirtualServices {
  readonly all: readonly ParsedVirtualService[];
  /** Of the mesh, by exact host; those with wildcards apart. */
  readonly #meshHosts = new Map<string, ParsedVirtualService[]>();
  readonly #meshWildcards: ParsedVirtualService[] = [];
  readonly #byGateway = new Map<string, ParsedVirtualService[]>();

  constructor(objects: Iterable<KubeObject>, domain: string, readonly defaults: readonly string[]) {
    const byName = new Map([...objects].map((one) => [`${one.metadata.namespace}/${one.metadata.name}`, one]));
    const find = (namespace: string, name: string) => byName.get(`${namespace}/${name}`);
    this.all = [...byName.values()].map((object) => readVirtualService(object, domain, find)).sort((a, b) =>
      a.age < b.age ? -1 : 1
    );
    for (const one of this.all) {
      for (const gateway of one.gateways) push(this.#byGateway, gateway, one);
      if (!one.gateways.includes("mesh")) continue;
      for (const host of one.hosts) if (!host.startsWith("*")) push(this.#meshHosts, host, one);
      if (one.hosts.some((host) => host.startsWith("*."))) this.#meshWildcards.push(one);
    }
  }

  /**
   * The one that routes for a service at its waypoint: the most specific host, then the oldest. Only its own namespace and the
   * waypoint's have a say, and `*` is for gateways alone.
   */
  forService(service: RoutableService, proxyNamespace: string): ParsedVirtualService | undefined {
    const { hostname, namespace } = service;
    let best: ParsedVirtualService | undefined, rank = -1;
    for (const one of [...this.#meshHosts.get(hostname) ?? [], ...this.#meshWildcards]) {
      if (one.namespace !== namespace && one.namespace !== proxyNamespace) continue;
      if (!isExported(one.exportTo, this.defaults, one.namespace, proxyNamespace)) continue;
      const own = Math.max(...one.hosts.filter((host) => host !== "*" && covers(host, hostname)).map(specificity), -1);
      if (own > rank) [best, rank] = [one, own];
    }
    return best;
  }

  /** Those bound to an Istio Gateway (`namespace/name`) that a proxy's namespace sees, oldest first. */
  ofGateway(gateway: string, proxyNamespace: string): ParsedVirtualService[] {
    return (this.#byGateway.get(gateway) ?? []).filter((one) =>
      isExported(one.exportTo, this.defaults, one.namespace, proxyNamespace)
    );
  }
}

function push<V>(map: Map<string, V[]>, key: string, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

/** Where a VirtualService is applied. */
export interface Place {
  readonly world: World;
  readonly destinations: DestinationSet;
  readonly proxyNamespace: string;
  /** `mesh`, or names of the Gateways whose servers share a port. */
  readonly gateways: readonly string[];
  /** As the author counts ports: of the service, or of the Gateway's server. */
  readonly port: number;
  /** Gateways: labels and namespace of the proxy itself, which stands for the source. */
  readonly source?: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> };
}

/** The routes of `http`, in the author's order. */
export function httpRoutes(virtual: ParsedVirtualService, place: Place): Route[] {
  const origin = `VirtualService/${virtual.namespace}/${virtual.name}`;
  const find = finder(virtual, place);
  return virtual.http.flatMap((rule) => {
    if (!rule.matches.some((match) => applies(match, place))) return [];
    const routes = lowerRule(rule, { origin, find });
    return rule.matches.flatMap((match, i) => applies(match, place) ? [withoutSource(routes[i], place)] : []);
  });
}

function applies({ gateways, port, match }: ParsedMatch, place: Place): boolean {
  if (gateways && !gateways.some((one) => place.gateways.includes(one))) return false;
  if (port !== undefined && port !== place.port) return false;
  return !place.source || sourceHolds(match.sourceNamespace, match.sourceLabels, place.source);
}

function sourceHolds(
  namespace: string | undefined,
  labels: Readonly<Record<string, string>> | undefined,
  source: NonNullable<Place["source"]>,
): boolean {
  if (namespace !== undefined && namespace !== source.namespace) return false;
  return Object.entries(labels ?? {}).every(([key, value]) => source.labels[key] === value);
}

/** At a gateway the source has been compared already. */
function withoutSource(route: Route, { source }: Place): Route {
  if (!source || (route.match.sourceNamespace === undefined && !route.match.sourceLabels)) return route;
  const { sourceNamespace: _, sourceLabels: __, ...match } = route.match;
  return { ...route, match };
}

/** Finds destinations as the author of a VirtualService names them. A host that nobody knows is answered 503, as Envoy does. */
function finder(
  virtual: ParsedVirtualService,
  place: Place,
  traffic: "http" | "tcp" = "http",
): (ref: BackendReference) => Found {
  const { world, destinations, proxyNamespace } = place;
  return (ref) => {
    if (ref.api !== "istio") return { invalid: 500 };
    const service = world.services.byHost(ref.hostname, virtual.namespace, world.ambient);
    const seen = service &&
      isExported(service.exportTo, world.settings.defaultServiceExportTo, service.namespace, proxyNamespace);
    if (!service || !seen) return { invalid: 503 };
    const port = ref.port ?? (service.ports.length === 1 ? service.ports[0].number : place.port);
    const destination = destinations.name(service, port, ref.subset, traffic);
    return destination === undefined ? { invalid: 503 } : { destination };
  };
}

export interface SelectedStream {
  readonly rule: ParsedStreamRule;
  readonly match: StreamMatch | undefined;
}

/** The rules of a list whose matches hold for the place; `sni` of TLS rules is left to the caller. */
export function streamRules(
  rules: readonly ParsedStreamRule[],
  place: Place,
): SelectedStream[] {
  return rules.flatMap((rule): SelectedStream[] => {
    if (rule.matches.length === 0) return [{ rule, match: undefined }];
    return rule.matches.filter((match) => {
      if (match.gateways && !match.gateways.some((one) => place.gateways.includes(one))) return false;
      if (match.port !== undefined && match.port !== place.port) return false;
      // A waypoint's bytes are not told apart by their source.
      const asks = match.sourceNamespace !== undefined || Object.keys(match.sourceLabels).length > 0;
      return place.source ? sourceHolds(match.sourceNamespace, match.sourceLabels, place.source) : !asks;
    }).map((match) => ({ rule, match }));
  });
}

/** Where the bytes of a rule go. Shares of backends that nobody knows lead nowhere: their connections are closed. */
export function streamRoute(virtual: ParsedVirtualService, rule: ParsedStreamRule, place: Place): TcpRoute {
  const find = finder(virtual, place, "tcp");
  return {
    destinations: rule.backends.map(({ ref, weight }): WeightedDestination => {
      const found = find(ref);
      return "destination" in found
        ? { destination: found.destination, weight }
        : { destination: "", weight, invalid: 503 };
    }),
  };
}
