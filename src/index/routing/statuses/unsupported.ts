// Kinds that nothing here does yet: their status says so, since their authors count on them.

import type { KubeObject } from "../../../kube/types.ts";
import { listOf, objectOf, textOf } from "../../read.ts";
import type { RoutingInputs } from "../inputs.ts";
import type { RoutingStatus, UnsupportedKind } from "../status.ts";
import type { World } from "../world.ts";
import { condition } from "./conditions.ts";

const MANAGER = "istio-ambient-routing";
const CONTROLLER = "istio.io/gateway-controller";

/** Each kind's input, and what comes of it. */
const KINDS: readonly (readonly [UnsupportedKind, keyof RoutingInputs, consequence: string])[] = [
  ["BackendTLSPolicy", "backendTlsPolicies", "connections to its targets are made without TLS"],
  [
    "RequestAuthentication",
    "requestAuthentications",
    "no token is checked, and what policies ask of tokens never holds",
  ],
  ["Telemetry", "telemetries", "metrics, logs and traces are as the mesh configuration says"],
  ["EnvoyFilter", "envoyFilters", "no proxy of this mesh is an Envoy"],
  ["WasmPlugin", "wasmPlugins", "no extension is loaded"],
  ["TrafficExtension", "trafficExtensions", "no extension is loaded"],
  ["ProxyConfig", "proxyConfigs", "proxies are as the mesh configuration says"],
  ["Sidecar", "sidecars", "workloads of ambient mode have no sidecars"],
  ["WorkloadGroup", "workloadGroups", "no workload registers itself, WorkloadEntries are written by hand"],
  ["ListenerSet", "listenerSets", "its listeners are not served"],
];

export function unsupportedStatuses({ inputs }: World): RoutingStatus[] {
  return KINDS.flatMap(([kind, input, consequence]) =>
    [...inputs[input].values() as Iterable<KubeObject>].map((object) =>
      statusOf(kind, object, { reason: "UnsupportedValue", message: `${kind} is not supported: ${consequence}` })
    )
  );
}

function statusOf(
  kind: UnsupportedKind,
  object: KubeObject,
  fault: { readonly reason: string; readonly message: string },
): RoutingStatus {
  const { name, namespace = "default", generation = 0 } = object.metadata;
  const base = { kind, namespace, name, generation };
  const good = { reason: "", message: "" };
  if (kind === "ListenerSet") {
    const refused = { ...fault, reason: "Invalid" };
    const conditions = ["Accepted", "Programmed"].map((type) => condition(type, generation, good, refused));
    return { ...base, fieldManager: CONTROLLER, conditions };
  }
  if (kind !== "BackendTLSPolicy") {
    return { ...base, fieldManager: MANAGER, conditions: [condition("Reconciled", generation, good, fault)] };
  }
  const refused = [condition("Accepted", generation, good, { ...fault, reason: "Invalid" })];
  return {
    ...base,
    fieldManager: CONTROLLER,
    ancestors: listOf(object.spec?.targetRefs).slice(0, 16).map(objectOf).map((target) => ({
      ancestorRef: { group: textOf(target.group), kind: textOf(target.kind), name: textOf(target.name) },
      controllerName: CONTROLLER,
      conditions: refused,
    })),
  };
}
