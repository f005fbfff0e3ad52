// The controllers that GatewayClasses name, as far as they are ours.

import type { RoutingInputs } from "../../../index/mod.ts";

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
