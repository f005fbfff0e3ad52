import type { StatusCondition } from "../status.ts";

/** A condition as Kubernetes keeps it; the writer adds `lastTransitionTime`. */
export interface RoutingCondition extends StatusCondition {
  readonly observedGeneration: number;
}

/** Kinds whose status routing says. */
export type RoutingStatusKind =
  | "Gateway"
  | "GatewayClass"
  | "HTTPRoute"
  | "GRPCRoute"
  | "TCPRoute"
  | "TLSRoute"
  | "UDPRoute"
  | "AuthorizationPolicy"
  | "VirtualService"
  | "DestinationRule"
  | "IstioGateway"
  | "PeerAuthentication"
  | UnsupportedKind;

/** Kinds that are read only so that their status says that nobody does what they say. */
export type UnsupportedKind =
  | "BackendTLSPolicy"
  | "RequestAuthentication"
  | "Telemetry"
  | "EnvoyFilter"
  | "WasmPlugin"
  | "TrafficExtension"
  | "ProxyConfig"
  | "Sidecar"
  | "WorkloadGroup"
  | "ListenerSet";

/** The status of one object. Of what is not given nothing is written. */
export interface RoutingStatus {
  readonly kind: RoutingStatusKind;
  /** "" for GatewayClass. */
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** Who writes, in managedFields. */
  readonly fieldManager: string;
  /**
   * The conditions of this writer. Gateway API kinds have all of them here; AuthorizationPolicy, VirtualService, … one.
   * Istio kinds write `observedGeneration` as text.
   */
  readonly conditions?: readonly RoutingCondition[];
  readonly listeners?: readonly ListenerStatus[];
  readonly addresses?: readonly { readonly type: string; readonly value: string }[];
  /** Routes: entries of our controllers. Entries of other controllers must be kept. */
  readonly parents?: readonly RouteParentStatus[];
  /** Policies of the Gateway API: likewise. */
  readonly ancestors?: readonly PolicyAncestorStatus[];
}

export interface PolicyAncestorStatus {
  readonly ancestorRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly RoutingCondition[];
}

export interface ListenerStatus {
  readonly name: string;
  readonly supportedKinds: readonly { readonly group: string; readonly kind: string }[];
  readonly attachedRoutes: number;
  readonly conditions: readonly RoutingCondition[];
}

export interface ParentReference {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly sectionName?: string;
  readonly port?: number;
}

export interface RouteParentStatus {
  /** As the route has it. */
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly RoutingCondition[];
}

/** `kind/namespace/name`. */
export function routingStatusKey(status: { kind: string; namespace: string; name: string }): string {
  return `${status.kind}/${status.namespace}/${status.name}`;
}
