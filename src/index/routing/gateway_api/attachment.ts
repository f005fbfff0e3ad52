// Which routes belong to which listeners and services.

import type { KubeObject } from "../../../kube/types.ts";
import { matchesLabelSelector } from "../../label_selector.ts";
import { listOf, objectOf, textOf } from "../../read.ts";
import { intersection } from "../hostname.ts";
import type { RoutableService } from "../services.ts";
import type { World } from "../world.ts";
import {
  type Fault,
  type GatewayState,
  isUsable,
  judgeGateway,
  type ListenerState,
  type ParsedListener,
} from "./gateway.ts";
import { GATEWAY_GROUP, ISTIO_GROUP } from "./references.ts";
import { isL4, type ParsedParent, type ParsedRoute, readRoute, type RouteKind } from "./route.ts";

/** What came of one `parentRef`. Those of other controllers have no outcome. */
export interface ParentOutcome {
  readonly parent: ParsedParent;
  readonly refused?: Fault;
  /** Listeners that it is attached to, with the host names that both have. */
  readonly listeners: readonly { readonly state: ListenerState; readonly hostnames: readonly string[] }[];
  readonly service?: RoutableService;
}

export interface RouteOutcome {
  readonly route: ParsedRoute;
  readonly parents: readonly ParentOutcome[];
  /** Its status holds entries of ours, which must go when it has no parents of ours any more. */
  readonly told: boolean;
}

/** A route of a listener. */
export interface ListenerRoute {
  readonly route: ParsedRoute;
  readonly hostnames: readonly string[];
}

/** A route of a service; `port` undefined for all of its ports. */
export interface ServiceRoute {
  readonly route: ParsedRoute;
  readonly port: number | undefined;
}

type RouteInput = "httpRoutes" | "grpcRoutes" | "tcpRoutes" | "tlsRoutes" | "udpRoutes";

const ROUTE_KINDS: readonly (readonly [RouteKind, RouteInput])[] = [
  ["HTTPRoute", "httpRoutes"],
  ["GRPCRoute", "grpcRoutes"],
  ["TCPRoute", "tcpRoutes"],
  ["TLSRoute", "tlsRoutes"],
  ["UDPRoute", "udpRoutes"],
];

/** All Gateways that are ours, and what is attached to what. */
export class GatewayRoutes {
  readonly gateways = new Map<string, GatewayState>();
  readonly outcomes: RouteOutcome[] = [];
  readonly #byListener = new Map<string, ListenerRoute[]>();
  readonly #byService = new Map<string, ServiceRoute[]>();
  readonly #attached = new Map<string, number>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
    for (const object of world.inputs.gateways.values()) {
      const state = judgeGateway(object, world);
      if (state) this.gateways.set(state.gateway.key, state);
    }
    for (const [kind, input] of ROUTE_KINDS) {
      for (const object of world.inputs[input].values()) this.#attach(kind, object);
    }
  }

  /** Routes of a listener that serves. */
  ofListener(gateway: string, listener: string): readonly ListenerRoute[] {
    return this.#byListener.get(`${gateway}/${listener}`) ?? [];
  }

  /** Routes whose parent is the service. */
  ofService(key: string): readonly ServiceRoute[] {
    return this.#byService.get(key) ?? [];
  }

  /** How many routes a listener has, serving or not. */
  attachedRoutes(gateway: string, listener: string): number {
    return this.#attached.get(`${gateway}/${listener}`) ?? 0;
  }

  #attach(kind: RouteKind, object: KubeObject): void {
    const route = readRoute(kind, object), parents: ParentOutcome[] = [], counted = new Set<string>();
    for (const parent of route.parents) {
      const outcome = this.#outcome(route, parent);
      if (!outcome) continue;
      parents.push(outcome);
      for (const { state, hostnames } of outcome.listeners) {
        const key = `${parent.namespace}/${parent.name}/${state.listener.name}`;
        if (!counted.has(key)) this.#attached.set(key, (this.#attached.get(key) ?? 0) + 1);
        if (isUsable(state) && !counted.has(key)) push(this.#byListener, key, { route, hostnames });
        counted.add(key);
      }
      if (outcome.service && !outcome.refused) push(this.#byService, outcome.service.key, { route, port: parent.port });
    }
    const told = parents.length === 0 &&
      listOf(object.status?.parents).some((one) => textOf(objectOf(one).controllerName).startsWith("istio.io/"));
    this.outcomes.push({ route, parents, told });
  }

  #outcome(route: ParsedRoute, parent: ParsedParent): ParentOutcome | undefined {
    const { group, kind, namespace, name } = parent;
    if (group === GATEWAY_GROUP && kind === "Gateway") {
      const state = this.gateways.get(`${namespace}/${name}`);
      return state && this.#gatewayOutcome(route, parent, state);
    }
    const core = group === "" && kind === "Service", entry = group === ISTIO_GROUP && kind === "ServiceEntry";
    if (!core && !entry) return undefined;
    const { services, ambient } = this.#world;
    const service = core
      ? services.get(`${namespace}/${name}.${namespace}.svc.${ambient.settings.clusterDomain}`)
      : services.entry(namespace, name);
    const refused = (reason: string, message: string) => ({
      parent,
      listeners: [],
      service,
      refused: { reason, message },
    });
    if (parent.broken !== "") return refused("UnsupportedValue", parent.broken);
    if (!service) return refused("NoMatchingParent", `parent ${kind} ${namespace}/${name} not found`);
    if (isL4(route.kind)) {
      return refused("UnsupportedValue", `${route.kind} is not supported`);
    }
    if (parent.sectionName) return refused("UnsupportedValue", "sectionName is not supported for services");
    if (parent.port !== undefined && !service.ports.some(({ number }) => number === parent.port)) {
      return refused("NoMatchingParent", `${kind} ${namespace}/${name} has no port ${parent.port}`);
    }
    const ports = service.ports.filter(({ number }) => parent.port === undefined || parent.port === number);
    if (ports.length > 0 && ports.every(({ protocol }) => protocol === "TCP" || protocol === "TLS")) {
      const told = ports.map(({ number, name }) => name ? `${number} (${name})` : number).join(", ");
      return refused("UnsupportedProtocol", `port ${told} of ${kind} ${namespace}/${name} does not speak HTTP`);
    }
    return { parent, listeners: [], service };
  }

  #gatewayOutcome(route: ParsedRoute, parent: ParsedParent, { gateway, listeners }: GatewayState): ParentOutcome {
    const { sectionName, port } = parent;
    const refused = (reason: string, message: string) => ({ parent, listeners: [], refused: { reason, message } });
    if (parent.broken !== "") return refused("UnsupportedValue", parent.broken);
    if (isL4(route.kind)) {
      return refused("UnsupportedValue", `${route.kind} is not supported`);
    }
    const named = listeners.filter(({ listener }) =>
      (sectionName === "" || listener.name === sectionName) && (port === undefined || listener.port === port)
    );
    if (named.length === 0) {
      const what = [sectionName && `sectionName "${sectionName}"`, port !== undefined && `port ${port}`].filter(
        Boolean,
      );
      return refused("NoMatchingParent", `no listener of ${gateway.key} has ${what.join(" and ") || "a place for it"}`);
    }
    const kinds = named.filter((state) => state.kinds.some(({ kind }) => kind === route.kind));
    if (kinds.length === 0) {
      return refused("NotAllowedByListeners", `kind ${GATEWAY_GROUP}/${route.kind} is not allowed`);
    }
    const allowed = kinds.filter(({ listener }) => this.#admits(gateway.namespace, listener, route.namespace));
    if (allowed.length === 0) {
      return refused("NotAllowedByListeners", `namespace "${route.namespace}" is not allowed by any listener`);
    }
    const matching = allowed.flatMap((state) => {
      const hostnames = new Set<string>();
      for (const one of route.hostnames) {
        const both = intersection(state.listener.hostname, one);
        if (both !== undefined) hostnames.add(both);
      }
      return hostnames.size > 0 ? [{ state, hostnames: [...hostnames] }] : [];
    });
    if (matching.length === 0) {
      return refused("NoMatchingListenerHostname", "no hostnames matched parent hostname");
    }
    return { parent, listeners: matching };
  }

  #admits(gateway: string, { from, selector }: ParsedListener, namespace: string): boolean {
    switch (from) {
      case "All":
        return true;
      case "Same":
        return namespace === gateway;
      case "Selector":
        return matchesLabelSelector(selector, this.#world.namespaceLabels(namespace));
      default:
        return false;
    }
  }
}

function push<V>(map: Map<string, V[]>, key: string, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}
