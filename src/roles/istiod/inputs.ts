// The informers of istiod, and how they feed the indexes.

import {
  type DefinitionWatch,
  type EndpointSlice,
  Informer,
  type InformerOptions,
  type InformerTiming,
  type KubeClient,
  type KubeObject,
  type KubeService,
  type ObjectSource,
  type Pod,
  type Resource,
  RESOURCES,
  ServedInformer,
  type ServedType,
} from "../../kube/mod.ts";
import { leanNode, leanPod, type RoutingInputs, withoutManagedFields } from "../../index/mod.ts";
import type { Logger } from "../../telemetry/logger.ts";

const GATEWAY_API = "gateway.networking.k8s.io", NETWORKING = "networking.istio.io";

function served(group: string, resource: string, kind: string, versions: string[], namespaced = true): ServedType {
  return { group, resource, kind, versions, namespaced };
}

const ISTIO_VERSIONS = ["v1", "v1beta1", "v1alpha3"];

/** Types whose definitions may come late, go and come back; Gateway API from v0.6.2 on. */
export const SERVED_TYPES = {
  gateways: served(GATEWAY_API, "gateways", "Gateway", ["v1", "v1beta1"]),
  gatewayClasses: served(GATEWAY_API, "gatewayclasses", "GatewayClass", ["v1", "v1beta1"], false),
  httpRoutes: served(GATEWAY_API, "httproutes", "HTTPRoute", ["v1", "v1beta1"]),
  grpcRoutes: served(GATEWAY_API, "grpcroutes", "GRPCRoute", ["v1", "v1alpha2"]),
  tcpRoutes: served(GATEWAY_API, "tcproutes", "TCPRoute", ["v1", "v1alpha2"]),
  tlsRoutes: served(GATEWAY_API, "tlsroutes", "TLSRoute", ["v1", "v1alpha3", "v1alpha2"]),
  udpRoutes: served(GATEWAY_API, "udproutes", "UDPRoute", ["v1", "v1alpha2"]),
  backendTlsPolicies: served(GATEWAY_API, "backendtlspolicies", "BackendTLSPolicy", ["v1", "v1alpha3", "v1alpha2"]),
  requestAuthentications: served("security.istio.io", "requestauthentications", "RequestAuthentication", [
    "v1",
    "v1beta1",
  ]),
  telemetries: served("telemetry.istio.io", "telemetries", "Telemetry", ["v1", "v1alpha1"]),
  envoyFilters: served(NETWORKING, "envoyfilters", "EnvoyFilter", ["v1alpha3"]),
  wasmPlugins: served("extensions.istio.io", "wasmplugins", "WasmPlugin", ["v1alpha1"]),
  trafficExtensions: served("extensions.istio.io", "trafficextensions", "TrafficExtension", ["v1alpha1"]),
  proxyConfigs: served(NETWORKING, "proxyconfigs", "ProxyConfig", ["v1beta1"]),
  sidecars: served(NETWORKING, "sidecars", "Sidecar", ISTIO_VERSIONS),
  workloadGroups: served(NETWORKING, "workloadgroups", "WorkloadGroup", ISTIO_VERSIONS),
  listenerSets: served(GATEWAY_API, "listenersets", "ListenerSet", ["v1"]),
  referenceGrants: served(GATEWAY_API, "referencegrants", "ReferenceGrant", ["v1", "v1beta1", "v1alpha2"]),
  istioGateways: served(NETWORKING, "gateways", "Gateway", ISTIO_VERSIONS),
  virtualServices: served(NETWORKING, "virtualservices", "VirtualService", ISTIO_VERSIONS),
  destinationRules: served(NETWORKING, "destinationrules", "DestinationRule", ISTIO_VERSIONS),
  serviceEntries: served(NETWORKING, "serviceentries", "ServiceEntry", ISTIO_VERSIONS),
  workloadEntries: served(NETWORKING, "workloadentries", "WorkloadEntry", ISTIO_VERSIONS),
} as const;

export type ServedName = keyof typeof SERVED_TYPES;

/** Kubernetes' own types, and policies. */
export interface FixedInformers {
  readonly pods: Informer<Pod>;
  readonly services: Informer<KubeService>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly namespaces: Informer;
  readonly nodes: Informer;
  readonly authorizationPolicies: Informer;
  readonly peerAuthentications: Informer;
  readonly secrets: Informer;
  readonly configMaps: Informer;
}

export type Informers = FixedInformers & { readonly [K in ServedName]: ServedInformer };

/** The informers of everything that the indexes read, not started yet. */
export function newInformers(
  client: KubeClient,
  definitions: DefinitionWatch,
  logger: Logger,
  timing?: Partial<InformerTiming>,
): Informers {
  const informer = <T extends KubeObject>(
    type: Resource,
    transform: (object: T) => T,
    options: Partial<InformerOptions<T>> = {},
  ) => new Informer<T>({ client, type, logger, transform, timing, ...options });
  return {
    pods: informer<Pod>(RESOURCES.pods, leanPod),
    services: informer<KubeService>(RESOURCES.services, withoutManagedFields),
    endpointSlices: informer<EndpointSlice>(RESOURCES.endpointSlices, withoutManagedFields),
    namespaces: informer<KubeObject>(RESOURCES.namespaces, withoutManagedFields),
    nodes: informer<KubeObject>(RESOURCES.nodes, leanNode),
    authorizationPolicies: informer<KubeObject>(RESOURCES.authorizationPolicies, withoutManagedFields, {
      optional: true,
    }),
    peerAuthentications: informer<KubeObject>(RESOURCES.peerAuthentications, withoutManagedFields, { optional: true }),
    secrets: informer<KubeObject>(RESOURCES.secrets, leanSecret, {
      // Releases of Helm are large, and no gateway serves with them or with accounts' tokens.
      fieldSelector: "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token",
    }),
    configMaps: informer<KubeObject>(RESOURCES.configMaps, leanConfigMap),
    ...Object.fromEntries(
      Object.entries(SERVED_TYPES).map(([name, type]) => [
        name,
        new ServedInformer({ client, definitions, type, logger, timing, transform: withoutManagedFields }),
      ]),
    ) as { [K in ServedName]: ServedInformer },
  };
}

/** The informers' stores as the indexes want them. */
export function storesOf(informers: Informers): RoutingInputs {
  return Object.fromEntries(
    Object.entries(informers).map(([name, informer]: [string, ObjectSource<any>]) => [name, informer.store]),
  ) as unknown as RoutingInputs;
}

const SECRET_KEYS: readonly string[] = ["tls.crt", "tls.key", "ca.crt", "cert", "key", "cacert", "ca.crl", "crl"];
/** Certificates of others, and what gateways' parametersRef overlays. */
const CONFIG_KEYS: readonly string[] = [
  "ca.crt",
  "root-cert.pem",
  "deployment",
  "service",
  "serviceAccount",
  "horizontalPodAutoscaler",
  "podDisruptionBudget",
];

/** A Secret with what gateways may serve with, and nothing else of it. */
function leanSecret(object: KubeObject): KubeObject {
  return { kind: "Secret", metadata: identity(object), type: object.type, data: only(object.data, SECRET_KEYS) };
}

function leanConfigMap(object: KubeObject): KubeObject {
  return { kind: "ConfigMap", metadata: identity(object), data: only(object.data, CONFIG_KEYS) };
}

function identity({ metadata }: KubeObject): KubeObject["metadata"] {
  const { name, namespace, uid, resourceVersion, labels } = metadata;
  return { name, namespace, uid, resourceVersion, labels };
}

function only(data: Readonly<Record<string, string>> | undefined, keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(keys.flatMap((key) => data?.[key] === undefined ? [] : [[key, data[key]]]));
}
