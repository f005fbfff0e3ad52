// Which waypoint serves a service or a workload (istiod-behaviour.md §3).

import { canonicalIp } from "../core/ip.ts";
import type { KubeObject } from "../kube/types.ts";
import type { GatewayAddress, Service, WeightedWaypoint, Workload } from "../model/workload.ts";
import { type AuthorizationPolicy, EMPTY_MATCH } from "../model/policy.ts";
import { isObject } from "./authorization/rule.ts";
import { ANNOTATION, LABEL, type Labels } from "./labels.ts";
import { matchesLabelSelector } from "./label_selector.ts";
import type { MeshSettings } from "./settings.ts";
import type { StatusCondition } from "./status.ts";

/** What a waypoint takes: `istio.io/waypoint-for`. */
export type TrafficType = "service" | "workload" | "all" | "none";

/** Controllers of Gateway classes. */
export const CONTROLLER = {
  gateway: "istio.io/gateway-controller",
  waypoint: "istio.io/mesh-controller",
  eastWest: "istio.io/eastwest-controller",
  unmanaged: "istio.io/unmanaged-gateway",
} as const;

/** Classes that istiod makes itself: known before their objects are. */
const OWN_CLASSES: Readonly<Record<string, string>> = {
  istio: CONTROLLER.gateway,
  "istio-waypoint": CONTROLLER.waypoint,
  "istio-east-west": CONTROLLER.eastWest,
  "istio-remote": CONTROLLER.unmanaged,
};

/** The controller of a Gateway's class; undefined when nobody has said. */
export function controllerOf(gateway: KubeObject, gatewayClass: KubeObject | undefined): string | undefined {
  const said = gatewayClass?.spec?.controllerName, name = gateway.spec?.gatewayClassName;
  if (typeof said === "string") return said;
  return typeof name === "string" && Object.hasOwn(OWN_CLASSES, name) ? OWN_CLASSES[name] : undefined;
}

/** A Gateway that services and workloads may be bound to. */
export interface Waypoint {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  /** Where ztunnels find it; undefined until it is ready. */
  readonly address?: GatewayAddress;
  readonly trafficType: TrafficType;
  /** From which namespaces it may be used. */
  readonly allowed: { readonly from: "Same" | "All" | "None" } | {
    readonly from: "Selector";
    readonly selector: unknown;
  };
  /** How its instances want connections handed to them, in place of HBONE. */
  readonly inboundBinding?: Workload["applicationTunnel"];
  /** Whose identity its instances have. */
  readonly serviceAccount: string;
}

const HBONE_PORT = 15008;

/** Reads a Gateway; undefined when it is of a class that is no waypoint's. */
export function readWaypoint(gateway: KubeObject, gatewayClass: KubeObject | undefined): Waypoint | undefined {
  const controller = controllerOf(gateway, gatewayClass);
  if (controller === undefined || controller === CONTROLLER.gateway || controller === CONTROLLER.unmanaged) {
    return undefined;
  }
  const { name, namespace = "default", labels, annotations } = gateway.metadata;
  const said = labels?.[LABEL.waypointFor] ?? gatewayClass?.metadata.labels?.[LABEL.waypointFor];
  const binding = annotations?.[ANNOTATION.inboundBinding] ??
    gatewayClass?.metadata.annotations?.[ANNOTATION.inboundBinding];
  return {
    key: `${namespace}/${name}`,
    namespace,
    name,
    address: addressOf(gateway, namespace),
    trafficType: said === "workload" || said === "all" || said === "none" ? said : "service",
    allowed: allowedNamespaces(gateway),
    inboundBinding: readBinding(binding),
    serviceAccount: annotations?.[ANNOTATION.serviceAccount] ?? name,
  };
}

/** The host name is preferred: ztunnel finds the waypoint's pods by it. */
function addressOf(gateway: KubeObject, namespace: string): GatewayAddress | undefined {
  const addresses = gateway.status?.addresses;
  if (!Array.isArray(addresses)) return undefined;
  const known = addresses.filter(isObject);
  const hostname = known.find(({ type, value }) => type === "Hostname" && typeof value === "string");
  if (hostname) {
    return {
      destination: { hostname: { namespace, hostname: hostname.value as string } },
      hboneMtlsPort: HBONE_PORT,
    };
  }
  for (const { type, value } of known) {
    const address = (type ?? "IPAddress") === "IPAddress" && typeof value === "string" ? canonicalIp(value) : undefined;
    if (address !== undefined) {
      return { destination: { address: { network: "", address } }, hboneMtlsPort: HBONE_PORT };
    }
  }
  return undefined;
}

function allowedNamespaces(gateway: KubeObject): Waypoint["allowed"] {
  const listeners = Array.isArray(gateway.spec?.listeners) ? gateway.spec.listeners.filter(isObject) : [];
  const listener: any = listeners.find(({ protocol, port }: any) => protocol === "HBONE" && port === HBONE_PORT) ??
    listeners.find(({ protocol }: any) => protocol === "HBONE");
  const namespaces = listener?.allowedRoutes?.namespaces, from = namespaces?.from ?? "Same";
  if (from === "Selector") return { from, selector: namespaces.selector };
  return { from: from === "All" || from === "Same" ? from : "None" };
}

/** `PROTOCOL[/port]`. */
function readBinding(text: string | undefined): Waypoint["inboundBinding"] {
  const parsed = /^(NONE|PROXY)(?:\/(\d{1,5}))?$/.exec(text ?? "");
  if (!parsed) return undefined;
  const port = Number(parsed[2] ?? 0);
  return port > 65535 ? undefined : { protocol: parsed[1] as "NONE" | "PROXY", port };
}

/** Whether objects of a namespace may use the waypoint. */
export function admits(waypoint: Waypoint, namespace: string, labels: Labels | undefined): boolean {
  const { allowed } = waypoint;
  switch (allowed.from) {
    case "All":
      return true;
    case "Same":
      return namespace === waypoint.namespace;
    case "Selector":
      return matchesLabelSelector(allowed.selector, { "kubernetes.io/metadata.name": namespace, ...labels });
    default:
      return false;
  }
}

/** What came of looking for an object's waypoint. */
export interface WaypointBinding {
  /** Keys of the Gateways that were named, whether they are there or not. */
  readonly named: readonly string[];
  readonly waypoint?: Waypoint;
  /** Two waypoints that share the connections. */
  readonly weighted: readonly WeightedWaypoint[];
  /** The second of them. */
  readonly canary?: Waypoint;
  /** For services; undefined where no waypoint is asked for. */
  readonly condition?: StatusCondition;
}

const UNBOUND: WaypointBinding = Object.freeze({ named: [], weighted: [] });

interface Seeker {
  readonly kind: "service" | "workload";
  readonly namespace: string;
  readonly labels: Labels | undefined;
  readonly annotations?: Labels;
  readonly namespaceObject: KubeObject | undefined;
}

/**
 * The waypoint of a service or workload: its own label (`none` ends the search), else its namespace's. A waypoint that is named but cannot
 * be used is not replaced by another.
 */
export function bindWaypoint(seeker: Seeker, find: (key: string) => Waypoint | undefined): WaypointBinding {
  const { kind, namespace, namespaceObject } = seeker, own = seeker.labels?.[LABEL.useWaypoint];
  const labels = own ? seeker.labels : namespaceObject?.metadata.labels;
  const annotations = own ? seeker.annotations : namespaceObject?.metadata.annotations;
  const name = labels?.[LABEL.useWaypoint];
  if (!name || name === "none") return UNBOUND;
  const key = `${labels?.[LABEL.useWaypointNamespace] || namespace}/${name}`;
  const found = find(key), problem = whyNot(found, key, seeker);
  // A namespace's waypoint is for services unless it says otherwise: its pods have asked for nothing.
  if (kind === "workload" && !own && found && problem?.reason === "UnsupportedTrafficType") {
    return { named: [key], weighted: [] };
  }
  if (problem || !found) return { named: [key], weighted: [], condition: problem };
  const canary = kind === "service" ? bindCanary(seeker, found, labels, annotations, find) : undefined;
  return {
    named: [key, ...canary?.named ?? []],
    waypoint: found,
    weighted: canary?.weighted ?? [],
    canary: canary?.waypoint,
    condition: {
      type: WAYPOINT_BOUND,
      status: "True",
      reason: "WaypointAccepted",
      message: `Successfully attached to waypoint ${key}${ingressNote(seeker)}${canary?.note ?? ""}`,
    },
  };
}

/** Keys of the waypoints that an object is bound to. */
export function waypointKeys({ waypoint, canary }: WaypointBinding): string[] {
  return [...waypoint ? [waypoint.key] : [], ...canary ? [canary.key] : []];
}

/** The condition of services that ask for a waypoint. */
export const WAYPOINT_BOUND = "istio.io/WaypointBound";

function whyNot(waypoint: Waypoint | undefined, key: string, seeker: Seeker): StatusCondition | undefined {
  const failed = (reason: string, message: string): StatusCondition => ({
    type: WAYPOINT_BOUND,
    status: "False",
    reason,
    message,
  });
  if (!waypoint?.address) return failed("WaypointIsNotReady", `waypoint "${key}" is not ready`);
  if (!admits(waypoint, seeker.namespace, seeker.namespaceObject?.metadata.labels)) {
    return failed(
      "AttachmentDenied",
      `we are not permitted to attach to waypoint "${key}" (missing allowedRoutes?)`,
    );
  }
  if (waypoint.trafficType !== "all" && waypoint.trafficType !== seeker.kind) {
    return failed(
      "UnsupportedTrafficType",
      `attempting to bind to traffic type "${seeker.kind}" which the waypoint "${key}" does not support`,
    );
  }
  return undefined;
}

function ingressNote({ labels, namespaceObject }: Seeker): string {
  const label = labels?.[LABEL.ingressUseWaypoint] ?? namespaceObject?.metadata.labels?.[LABEL.ingressUseWaypoint];
  if (label === undefined) return "";
  return label === "true"
    ? ". Ingress traffic will traverse the waypoint"
    : ". Ingress traffic is not using the waypoint, set the istio.io/ingress-use-waypoint label to true if desired.";
}

interface Canary {
  readonly named: readonly string[];
  readonly weighted: readonly WeightedWaypoint[];
  readonly waypoint?: Waypoint;
  readonly note: string;
}

/** A second waypoint for a share of new connections. Its faults leave the first one bound. */
function bindCanary(
  seeker: Seeker,
  primary: Waypoint,
  labels: Labels | undefined,
  annotations: Labels | undefined,
  find: (key: string) => Waypoint | undefined,
): Canary | undefined {
  const name = labels?.[LABEL.waypointCanary];
  if (!name) return undefined;
  const key = `${labels?.[LABEL.waypointCanaryNamespace] || seeker.namespace}/${name}`;
  const without = (note: string): Canary => ({ named: [key], weighted: [], note: `. ${note}` });
  if (key === primary.key) return without("CanarySameAsPrimary: the canary waypoint is the primary one");
  const text = annotations?.[ANNOTATION.waypointCanaryWeight] ?? "",
    weight = /^\d{1,3}$/.test(text) ? Number(text) : NaN;
  if (!(weight >= 0 && weight <= 100)) {
    return without(`CanaryInvalidWeight: "${text.slice(0, 40)}" is not within 0-100`);
  }
  const waypoint = find(key), problem = whyNot(waypoint, key, seeker);
  if (problem || !waypoint) return without(`Canary ${problem?.reason}: ${problem?.message}`);
  return {
    named: [key],
    waypoint,
    weighted: [
      { destination: primary.address!, weight: 100 - weight },
      { destination: waypoint.address!, weight },
    ],
    note: `, canary ${key} (${weight}%)`,
  };
}

/** The service with its waypoints. */
export function withWaypoint(service: Service, binding: WaypointBinding | undefined): Service {
  if (!binding?.waypoint) return service;
  return { ...service, waypoint: binding.waypoint.address, weightedWaypoints: binding.weighted };
}

/**
 * The policy that lets a waypoint's identity through to the workloads that it serves, and, unless other policies allow more, nobody else: with
 * `PILOT_AUTO_ALLOW_WAYPOINT_POLICY` alone.
 */
export function allowWaypointPolicy(waypoint: Waypoint, { trustDomain }: MeshSettings): AuthorizationPolicy {
  const { namespace, name, serviceAccount } = waypoint;
  const principal = `${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
  return {
    namespace,
    // `_` is in no name of Kubernetes: it meets no policy of a user's.
    name: `istio_allow_waypoint_${namespace}_${name}`,
    scope: "WORKLOAD_SELECTOR",
    action: "ALLOW",
    rules: [[[{ ...EMPTY_MATCH, principals: [{ kind: "exact", value: principal }] }]]],
    dryRun: false,
  };
}

/** The Service of a waypoint or east-west gateway: it never has a waypoint itself. */
export function isWaypointService({ metadata }: KubeObject): boolean {
  const managed = metadata.labels?.[LABEL.gatewayManaged];
  return managed === "istio.io-mesh-controller" || managed === "istio.io-eastwest-controller";
}
