// Which L7 proxy a client of xDS is. What it says of itself only finds its pod; who it is, its token or certificate says.

import type { ProxyTarget, RoutingInputs } from "../../index/mod.ts";
import { parseSpiffeId } from "../../model/identity.ts";
import type { XdsClientInfo } from "../../xds/resource.ts";

export const LABEL_GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name";

/** Controllers of GatewayClasses. */
export const CONTROLLER = {
  gateway: "istio.io/gateway-controller",
  waypoint: "istio.io/mesh-controller",
  remote: "istio.io/unmanaged-gateway",
} as const;

/** The built-in classes, which hold while their GatewayClass has not been seen. */
export const CLASS_CONTROLLER: Readonly<Record<string, string>> = {
  istio: CONTROLLER.gateway,
  "istio-waypoint": CONTROLLER.waypoint,
  "istio-remote": CONTROLLER.remote,
};

/** The controller of a class of Gateways; undefined for a class that is not known. */
export function controllerOf(className: unknown, classes: RoutingInputs["gatewayClasses"]): string | undefined {
  if (typeof className !== "string") return undefined;
  const named = classes.get(className)?.spec?.controllerName;
  return typeof named === "string"
    ? named
    : Object.hasOwn(CLASS_CONTROLLER, className)
    ? CLASS_CONTROLLER[className]
    : undefined;
}

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
  const labels = pod.metadata.labels ?? {}, gateway = labels[LABEL_GATEWAY_NAME];
  if (gateway === undefined) return { target: { kind: "gateway", namespace, labels, serviceAccount } };
  const object = inputs.gateways.get(`${namespace}/${gateway}`);
  if (!object) return { refused: `there is no Gateway "${namespace}/${gateway}"` };
  switch (controllerOf(object.spec?.gatewayClassName, inputs.gatewayClasses)) {
    case CONTROLLER.waypoint:
      return { target: { kind: "waypoint", namespace, gateway } };
    case CONTROLLER.gateway:
      return { target: { kind: "gateway", namespace, gateway, labels, serviceAccount } };
    default:
      return { refused: `the Gateway "${namespace}/${gateway}" is of a class that is not ours` };
  }
}
