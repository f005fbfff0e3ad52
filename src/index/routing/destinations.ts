// Where requests go: a service's port or a subset of it, shaped by its DestinationRule.

import {
  type ConnectionLimits,
  DEFAULT_LIMITS,
  type Destination,
  type EndpointSource,
  type LoadBalancer,
  type StaticEndpoint,
  type UpstreamTls,
} from "../../model/l7.ts";
import { canonicalIp } from "../../core/ip.ts";
import { BY } from "../inputs.ts";
import { type Labels, selectorPair, selects } from "../labels.ts";
import { podUid } from "../pod_workload.ts";
import { labelsOf, objectOf, portOf, textOf } from "../read.ts";
import { workloadEntryLabels, workloadEntryUid } from "../workload_entry.ts";
import { readHostname } from "./hostname.ts";
import { type ParsedDestinationRule, policyFor, type TrafficPolicy } from "./istio/destination_rule.ts";
import type { RoutablePort, RoutableService } from "./services.ts";
import type { World } from "./world.ts";

/** The proxy that destinations are for. */
export interface DestinationScope {
  readonly kind: "waypoint" | "gateway";
  readonly namespace: string;
  readonly labels: Labels;
  /** Whether the proxy is the waypoint of a service. */
  serves(key: string): boolean;
  /** The name of a secret of the proxy's own namespace; undefined when it cannot be used. */
  secret(credentialName: string): string | undefined;
}

/** The destinations that one proxy's routes lead to, made as they are named. */
export class DestinationSet {
  readonly #world: World;
  readonly #scope: DestinationScope;
  readonly #found = new Map<string, Destination>();
  readonly #rules = new Map<string, ParsedDestinationRule | undefined>();

  constructor(world: World, scope: DestinationScope) {
    this.#world = world;
    this.#scope = scope;
  }

  values(): Iterable<Destination> {
    return this.#found.values();
  }

  /**
   * The name of the destination for a port of a service.
   *
   * @returns undefined when the service has no such port, or the subset is not defined
   */
  name(service: RoutableService, port: number, subset = "", traffic: "http" | "tcp" = "http"): string | undefined {
    const own = this.#scope.kind === "waypoint" && this.#scope.serves(service.key);
    const { hostname } = service;
    const usual = own
      ? `inbound-vip|${port}|${traffic}${subset && `/${subset}`}|${hostname}`
      : `outbound|${port}|${subset}|${hostname}`;
    const name = this.#world.uniqueName(usual, service);
    if (this.#found.has(name)) return name;
    const found = service.ports.find(({ number }) => number === port), rule = this.rule(service);
    if (!found || (subset !== "" && !rule?.subsets.has(subset))) return undefined;
    this.#found.set(name, this.#build(name, service, found, subset, traffic, rule));
    return name;
  }

  /** The DestinationRule for a service. */
  rule(service: RoutableService): ParsedDestinationRule | undefined {
    const { key } = service;
    if (!this.#rules.has(key)) {
      const { namespace, labels } = this.#scope;
      this.#rules.set(key, this.#world.destinationRules.find(service, namespace, labels));
    }
    return this.#rules.get(key);
  }

  /** A destination that is whatever address the client asked for. */
  original(port: number): string {
    const name = `original|${port}`;
    this.#found.set(name, {
      kind: "destination",
      name,
      hostname: "",
      namespace: this.#scope.namespace,
      port,
      subset: "",
      endpoints: { kind: "original" },
      protocol: "USE_CLIENT",
      loadBalancer: { policy: "PASSTHROUGH" },
      limits: DEFAULT_LIMITS,
      useWaypoint: false,
      rule: "",
    });
    return name;
  }

  #build(
    name: string,
    service: RoutableService,
    port: RoutablePort,
    subset: string,
    traffic: "http" | "tcp",
    rule: ParsedDestinationRule | undefined,
  ): Destination {
    const chosen = rule?.subsets.get(subset), policy = policyFor(rule, chosen, port.number);
    const { key, hostname, namespace } = service, ambient = this.#world.ambient.services.get(key);
    const tls = this.#tls(service, policy), labels = chosen?.labels ?? {};
    const endpoints: EndpointSource = tls === "broken"
      ? { kind: "static", endpoints: [] }
      : this.#endpoints(service, port, labels, policy);
    return {
      kind: "destination",
      name,
      hostname,
      namespace,
      port: port.number,
      subset,
      endpoints,
      protocol: traffic === "tcp" ? "TCP" : this.#protocol(port, policy),
      tls: tls === "broken" ? undefined : tls,
      loadBalancer: balancer(policy, ambient?.loadBalancing?.mode === "FAILOVER"),
      limits: { ...DEFAULT_LIMITS, ...policy.pool?.limits } as ConnectionLimits,
      outlierDetection: policy.outlier,
      useWaypoint: this.#scope.kind === "gateway" && ambient?.ingressUseWaypoint === true &&
        ambient.waypoint !== undefined,
      rule: rule ? `${rule.namespace}/${rule.name}` : "",
    };
  }

  #protocol(port: RoutablePort, { pool }: Omit<TrafficPolicy, "ports">): Destination["protocol"] {
    if (pool?.useClient) return "USE_CLIENT";
    if (port.protocol === "HTTP2" || pool?.upgrade) return "HTTP2";
    // Where nobody says what the server speaks, it is what clients that know it speak; a gateway's clients have never met it.
    return this.#scope.kind === "waypoint" && port.protocol !== "HTTP" ? "USE_CLIENT" : "HTTP1";
  }

  #tls(service: RoutableService, { tls }: Omit<TrafficPolicy, "ports">): UpstreamTls | "broken" | undefined {
    if (!tls || (!tls.broken && (tls.mode === "DISABLE" || tls.mode === "ISTIO_MUTUAL"))) return undefined;
    const secret = tls.credentialName ? this.#scope.secret(tls.credentialName) : undefined;
    if (tls.broken || (tls.credentialName && secret === undefined)) return "broken";
    const own = this.#world.ambient.services.get(service.key)?.subjectAltNames ?? [];
    return {
      mode: tls.mode === "MUTUAL" ? "MUTUAL" : "SIMPLE",
      sni: tls.sni,
      subjectAltNames: tls.subjectAltNames.length > 0 ? tls.subjectAltNames : own,
      secret,
      insecureSkipVerify: tls.insecureSkipVerify,
    };
  }

  #endpoints(
    service: RoutableService,
    port: RoutablePort,
    labels: Labels,
    policy: Omit<TrafficPolicy, "ports">,
  ): EndpointSource {
    const { entry, key } = service;
    if (policy.loadBalancer?.policy === "PASSTHROUGH" || entry?.resolution === "NONE") return { kind: "original" };
    const dns = entry && entry.resolution !== "STATIC" && !entry.selector;
    if (!dns) {
      const some = Object.keys(labels).length > 0;
      return { kind: "service", service: key, ...(some ? { only: this.#members(service, labels) } : {}) };
    }
    if (service.hostname.startsWith("*")) return { kind: "static", endpoints: [] };
    const target = entry.ports.find(({ servicePort }) => servicePort === port.number)?.targetPort ?? port.number;
    if (entry.endpoints.length === 0) {
      return { kind: "dns", endpoints: [{ address: service.hostname, port: target, weight: 1 }] };
    }
    const endpoints = entry.endpoints.flatMap((fields): StaticEndpoint[] => {
      const written = textOf(fields.address), ports = objectOf(fields.ports);
      const address = canonicalIp(written) ?? readHostname(written);
      if (address === undefined || !selects(labels, labelsOf(fields.labels))) return [];
      const own = Object.hasOwn(ports, port.name) ? portOf(ports[port.name]) : undefined;
      const [region = "", zone = "", subzone = ""] = textOf(fields.locality).split("/");
      const { weight } = fields;
      return [{
        address,
        port: own ?? target,
        weight: typeof weight === "number" && Number.isInteger(weight) && weight > 0 ? weight : 1,
        ...(region ? { locality: { region, zone, subzone } } : {}),
      }];
    });
    return { kind: "dns", endpoints };
  }

  /** Uids of the workloads of a service that have these labels, sorted. */
  #members({ key, namespace, entry }: RoutableService, labels: Labels): string[] {
    const { inputs, ambient } = this.#world, pair = `${namespace}|${selectorPair(labels)}`, uids: string[] = [];
    for (const pod of inputs.pods.by(BY.label, pair)) {
      if (selects(labels, pod.metadata.labels)) uids.push(podUid(pod, ambient.settings));
    }
    for (const object of inputs.workloadEntries.by(BY.label, pair)) {
      if (selects(labels, workloadEntryLabels(object))) uids.push(workloadEntryUid(object, ambient.settings));
    }
    for (const fields of entry?.endpoints ?? []) {
      const uid = `${ambient.settings.clusterId}/networking.istio.io/ServiceEntry/${namespace}/${entry!.name}/${
        textOf(fields.address)
      }`;
      if (selects(labels, labelsOf(fields.labels))) uids.push(uid);
    }
    return uids.filter((uid) => ambient.workloads.get(uid)?.services.has(key)).sort();
  }
}

function balancer({ loadBalancer, outlier }: Omit<TrafficPolicy, "ports">, distribution: boolean): LoadBalancer {
  const { policy = "LEAST_REQUEST", hash, warmupMs, locality, localityOff = false } = loadBalancer ?? {};
  // Nearer endpoints are preferred where something tells when they are not to be used, or the Service asks for it.
  const failoverEnabled = !localityOff && (outlier !== undefined || distribution);
  const wanted = !localityOff && (failoverEnabled || (locality?.distribute.length ?? 0) > 0);
  return {
    policy,
    hash,
    warmupMs,
    locality: wanted
      ? {
        failover: locality?.failover ?? [],
        distribute: locality?.distribute ?? [],
        failoverEnabled,
        ...locality?.priorities && { priorities: locality.priorities },
      }
      : undefined,
  };
}
