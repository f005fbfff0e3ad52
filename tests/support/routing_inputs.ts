import {
  AmbientIndex,
  type IndexInputs,
  type MeshSettings,
  newRoutingInputs,
  type RoutingInputs,
} from "../../src/index/mod.ts";
import { inputOf } from "./index_inputs.ts";

const INPUT: Record<string, keyof RoutingInputs> = {
  HTTPRoute: "httpRoutes",
  GRPCRoute: "grpcRoutes",
  TCPRoute: "tcpRoutes",
  TLSRoute: "tlsRoutes",
  UDPRoute: "udpRoutes",
  BackendTLSPolicy: "backendTlsPolicies",
  RequestAuthentication: "requestAuthentications",
  Telemetry: "telemetries",
  EnvoyFilter: "envoyFilters",
  WasmPlugin: "wasmPlugins",
  TrafficExtension: "trafficExtensions",
  ProxyConfig: "proxyConfigs",
  Sidecar: "sidecars",
  WorkloadGroup: "workloadGroups",
  ListenerSet: "listenerSets",
  ReferenceGrant: "referenceGrants",
  VirtualService: "virtualServices",
  DestinationRule: "destinationRules",
  Secret: "secrets",
  ConfigMap: "configMaps",
};

/** The input that an object belongs to. Gateways of both APIs are told apart by their group. */
export function routingInputOf(object: any): keyof RoutingInputs {
  if (object.kind === "Gateway" && String(object.apiVersion).startsWith("networking.istio.io/")) return "istioGateways";
  return Object.hasOwn(INPUT, object.kind) ? INPUT[object.kind] : inputOf(object);
}

/** Objects as informers would have brought them, and the index of them. */
export function routingWorld(
  objects: readonly any[],
  settings?: MeshSettings,
): { inputs: RoutingInputs; ambient: AmbientIndex; set: (object: any) => void } {
  const inputs = newRoutingInputs(), ambient = new AmbientIndex(inputs, settings);
  const set = (object: any): void => {
    const name = routingInputOf(object), old = (inputs[name] as any).set(object);
    ambient.changed(name as keyof IndexInputs, [old ? { type: "updated", object, old } : { type: "added", object }]);
  };
  for (const object of objects) set(object);
  ambient.flush();
  return { inputs, ambient, set };
}
