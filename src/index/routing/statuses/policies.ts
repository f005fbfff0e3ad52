// WaypointAccepted of AuthorizationPolicies with targets (istiod-behaviour.md §4 and §5).

import type { KubeObject } from "../../../kube/types.ts";
import { controllerOf } from "../../waypoints.ts";
import type { Fault } from "../gateway_api/gateway.ts";
import { GATEWAY_GROUP, ISTIO_GROUP } from "../gateway_api/references.ts";
import { convertL7Policy } from "../policies/convert.ts";
import { policyScope, type PolicyTarget } from "../policies/targets.ts";
import type { RoutingStatus } from "../status.ts";
import type { World } from "../world.ts";
import { condition } from "./conditions.ts";

export function policyStatuses(world: World): RoutingStatus[] {
  return [...world.inputs.authorizationPolicies.values()].flatMap((object) => {
    const { targets, broken } = policyScope(object);
    return targets.length > 0 || broken ? [policyStatus(world, object, targets, broken)] : [];
  });
}

function policyStatus(
  world: World,
  object: KubeObject,
  targets: readonly PolicyTarget[],
  broken: boolean,
): RoutingStatus {
  const { name, namespace = "default", generation = 0 } = object.metadata, { notes } = convertL7Policy(object);
  const outcomes = targets.map((target) => bindingOf(world, namespace, target));
  const bound = outcomes.flatMap((one) => typeof one === "string" ? [one] : []);
  const faults: Fault[] = outcomes.filter((one): one is Fault => typeof one !== "string");
  if (broken) faults.push({ reason: "Invalid", message: "a target is in another namespace, or cannot be read" });
  if (object.spec?.selector) faults.push({ reason: "Invalid", message: "targetRefs stand beside a selector" });
  const told = [`bound to ${bound.join(",")}`, ...faults.map(({ message }) => message)];
  if (notes.size > 0) told.push(`more restrictive than requested, since not all of it is supported: ${notes}`);
  const good = {
    reason: faults.length > 0 || notes.size > 0 ? "PartiallyInvalid" : "Accepted",
    message: told.join("; "),
  };
  const fault = bound.length > 0
    ? undefined
    : { reason: faults[0].reason, message: faults.map(({ message }) => message).join("; ") };
  return {
    kind: "AuthorizationPolicy",
    namespace,
    name,
    generation,
    fieldManager: "istio-ambient-waypoint-policy",
    conditions: [condition("WaypointAccepted", generation, good, fault)],
  };
}

/** The Gateways that enforce the policy for a target, as text, or why none does. */
function bindingOf(world: World, namespace: string, { group, kind, name }: PolicyTarget): string | Fault {
  const { ambient, inputs, services } = world, { clusterDomain, rootNamespace } = ambient.settings;
  const missing = { reason: "TargetNotFound", message: `${kind} ${namespace}/${name} was not found` };
  if (group === GATEWAY_GROUP && kind === "GatewayClass") {
    const gatewayClass = inputs.gatewayClasses.get(name);
    if (namespace !== rootNamespace) {
      return {
        reason: "Invalid",
        message: `GatewayClass can only be targeted from the root namespace "${rootNamespace}"`,
      };
    }
    if (!gatewayClass) return { reason: "TargetNotFound", message: `GatewayClass ${name} was not found` };
    const controller = controllerOf({ metadata: { name }, spec: { gatewayClassName: name } }, gatewayClass);
    return controller === "istio.io/mesh-controller"
      ? name
      : { reason: "Invalid", message: `GatewayClass ${name} is not of waypoints` };
  }
  if (group === GATEWAY_GROUP && kind === "Gateway") {
    return world.gatewayRoutes.gateways.has(`${namespace}/${name}`) ? `${namespace}/${name}` : missing;
  }
  const core = group === "" && kind === "Service", entry = group === ISTIO_GROUP && kind === "ServiceEntry";
  if (!core && !entry) return { reason: "Invalid", message: `targets of kind ${group}/${kind} are not supported` };
  const service = core
    ? services.get(`${namespace}/${name}.${namespace}.svc.${clusterDomain}`)
    : services.entry(namespace, name);
  if (!service) return missing;
  const waypoints = ambient.waypointsOf(service.key);
  if (waypoints.length > 0) return waypoints.join(",");
  return { reason: "AncestorNotBound", message: `${kind} ${namespace}/${name} is not bound to a waypoint` };
}
