// Which L7 proxy a client of xDS is. What it says of itself only finds its pod; who it is, its token or certificate says.

import type { ProxyTarget, RoutingInputs } from "../../index/mod.ts";
import { CONTROLLER, controllerOf } from "./gateways/controllers.ts";
import { isManaged, LABEL, namesOf, traitsOf } from "./gateways/names.ts";
import { parseSpiffeId } from "../../model/identity.ts";
import type { KubeObject } from "../../kube/mod.ts";
import type { XdsClientInfo } from "../../xds/resource.ts";

/**
 * The proxy whose configuration a client may have. Its pod must exist, run as the service account that the caller has authenticated as,
 * and be the one that the token is bound to, where it is bound.
 */
export function identifyProxy(
  client: XdsClientInfo,
  inputs: Pick<RoutingInputs, "pods" | "gateways" | "gatewayClasses">,
): { readonly target: ProxyTarget } | { readonly refused: string } {
  const { caller } = client, cut = client.podName.lastIndexOf(".");
  if (!caller) return { refused: "no identity: this configuration is served over TLS only" };
  const name = client.podName.slice(0, Math.max(cut, 0)), namespace = client.podName.slice(cut + 1);
  const pod = inputs.pods.get(`${namespace}/${name}`);
  if (!pod) return { refused: `there is no pod "${namespace}/${name}"` };
  const serviceAccount = pod.spec.serviceAccountName || "default";
  const same = caller.identities.some((id) => {
    const identity = parseSpiffeId(id);
    return identity?.namespace === namespace && identity.serviceAccount === serviceAccount;
  });
  if (!same) return { refused: `the pod "${namespace}/${name}" runs as "${namespace}/${serviceAccount}"` };
  const { podName, podUid } = caller.kubernetes ?? {};
  if ((podName !== undefined && podName !== name) || (podUid !== undefined && podUid !== pod.metadata.uid)) {
    return { refused: "its token is bound to another pod" };
  }
  const labels = pod.metadata.labels ?? {}, gateway = labels[LABEL.gatewayName];
  if (gateway === undefined) return { target: { kind: "gateway", namespace, labels, serviceAccount } };
  const object = inputs.gateways.get(`${namespace}/${gateway}`);
  if (!object) return { refused: `there is no Gateway "${namespace}/${gateway}"` };
  switch (controllerOf(object.spec?.gatewayClassName, inputs.gatewayClasses)) {
    case CONTROLLER.waypoint:
      // Its replicas share what they are told, whatever their account: so there is only one.
      return runsAs(object, serviceAccount, inputs)
        ? { target: { kind: "waypoint", namespace, gateway } }
        : { refused: `the service account of the waypoint "${namespace}/${gateway}" is another` };
    case CONTROLLER.gateway:
      return { target: { kind: "gateway", namespace, gateway, labels, serviceAccount } };
    default:
      return { refused: `the Gateway "${namespace}/${gateway}" is of a class that is not ours` };
  }
}

/** Whether an account is the one that a Gateway's proxy is deployed with; a proxy that a user deploys has any. */
function runsAs(gateway: KubeObject, serviceAccount: string, inputs: Pick<RoutingInputs, "gatewayClasses">): boolean {
  const traits = traitsOf(gateway, inputs.gatewayClasses);
  return !traits || !isManaged(gateway) || namesOf(gateway, traits).serviceAccount === serviceAccount;
}

/** Whether Secrets of its namespace are a proxy's to have by what it is: one that istiod deploys. */
export function isDeployed(target: ProxyTarget, inputs: Pick<RoutingInputs, "gateways" | "gatewayClasses">): boolean {
  const gateway = target.gateway === undefined
    ? undefined
    : inputs.gateways.get(`${target.namespace}/${target.gateway}`);
  if (!gateway || !isManaged(gateway)) return false;
  return target.kind === "waypoint" || runsAs(gateway, target.serviceAccount, inputs);
}
