import type { KubeObject } from "../../../kube/types.ts";
import type { L7Policy } from "../../../model/l7.ts";
import { selects } from "../../labels.ts";
import { GATEWAY_GROUP, ISTIO_GROUP } from "../gateway_api/references.ts";
import type { ProxyTarget } from "../target.ts";
import type { World } from "../world.ts";
import { convertL7Policy } from "./convert.ts";
import { policyScope, type PolicyTarget } from "./targets.ts";

/** What a target of a policy means for one proxy: the names of listeners, or `*`. */
type ListenersOf = (target: PolicyTarget, namespace: string) => readonly string[];

function policyOf(object: KubeObject, listeners: readonly string[]): L7Policy {
  const { action, dryRun, rules } = convertL7Policy(object), { name, namespace = "default" } = object.metadata;
  return {
    kind: "policy",
    name: `${namespace}/${name}`,
    listeners: listeners.includes("*") ? ["*"] : [...new Set(listeners)].sort(),
    action,
    dryRun,
    rules,
  };
}

/** Policies whose targets are this proxy, its class, or what it serves. */
function targeted(object: KubeObject, world: World, proxy: ProxyTarget, listenersOf: ListenersOf): string[] {
  const { namespace = "default" } = object.metadata, { rootNamespace } = world.ambient.settings;
  return policyScope(object).targets.flatMap((target) => {
    const { group, kind, name } = target;
    if (group === GATEWAY_GROUP && kind === "Gateway") {
      return namespace === proxy.namespace && name === proxy.gateway ? ["*"] : [];
    }
    if (group === GATEWAY_GROUP && kind === "GatewayClass") {
      const gateway = world.inputs.gateways.get(`${proxy.namespace}/${proxy.gateway}`);
      return namespace === rootNamespace && proxy.kind === "waypoint" && gateway?.spec?.gatewayClassName === name
        ? ["*"]
        : [];
    }
    return listenersOf(target, namespace);
  });
}

/** Policies of a waypoint: those with targets alone. `services` names the listeners of a service by its key. */
export function waypointPolicies(
  world: World,
  proxy: ProxyTarget,
  services: ReadonlyMap<string, readonly string[]>,
): L7Policy[] {
  const { clusterDomain } = world.ambient.settings;
  const listenersOf: ListenersOf = ({ group, kind, name }, namespace) => {
    if (group === "" && kind === "Service") {
      return services.get(`${namespace}/${name}.${namespace}.svc.${clusterDomain}`) ?? [];
    }
    if (group !== ISTIO_GROUP || kind !== "ServiceEntry") return [];
    return world.services.hostsOf(namespace, name).flatMap(({ key }) => services.get(key) ?? []);
  };
  return [...world.inputs.authorizationPolicies.values()].flatMap((object) => {
    const listeners = targeted(object, world, proxy, listenersOf);
    return listeners.length > 0 ? [policyOf(object, listeners)] : [];
  });
}

/** Policies of a gateway: by target, or by selector in its namespace and the root namespace. */
export function gatewayPolicies(world: World, proxy: ProxyTarget & { readonly kind: "gateway" }): L7Policy[] {
  const { rootNamespace } = world.ambient.settings;
  return [...world.inputs.authorizationPolicies.values()].flatMap((object) => {
    const { namespace = "default" } = object.metadata, { targets, selector, broken } = policyScope(object);
    const mine = targets.length > 0 || broken
      ? targeted(object, world, proxy, () => []).length > 0
      : (namespace === proxy.namespace || namespace === rootNamespace) && selects(selector, proxy.labels);
    return mine ? [policyOf(object, ["*"])] : [];
  });
}
