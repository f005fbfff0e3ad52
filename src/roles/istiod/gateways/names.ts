// How a Gateway's objects are called, and which Gateways are ours to deploy.

import type { RoutingInputs } from "../../../index/mod.ts";
import { listOf, objectOf, textOf } from "../../../index/read.ts";
import type { KubeObject } from "../../../kube/mod.ts";
import { CONTROLLER, controllerOf } from "./controllers.ts";

export const ANNOTATION = {
  nameOverride: "gateway.istio.io/name-override",
  serviceAccount: "gateway.istio.io/service-account",
  controllerVersion: "gateway.istio.io/controller-version",
  serviceType: "networking.istio.io/service-type",
  addressType: "networking.istio.io/address-type",
} as const;

export const LABEL = {
  gatewayName: "gateway.networking.k8s.io/gateway-name",
  gatewayClass: "gateway.networking.k8s.io/gateway-class-name",
  managed: "gateway.istio.io/managed",
  classDefaults: "gateway.istio.io/defaults-for-class",
  revision: "istio.io/rev",
} as const;

/** What the controller of a class decides. */
export interface GatewayClassTraits {
  readonly controller: string;
  /** Value of the label {@linkcode LABEL.managed}. */
  readonly managed: string;
  readonly serviceType: string;
  /** Whether names end in the class. */
  readonly suffix: boolean;
  /** Which address is reported where there is no load balancer; undefined: the IP and the name. */
  readonly addressType: "Hostname" | undefined;
  readonly proxy: "router" | "waypoint";
}

const TRAITS: Readonly<Record<string, GatewayClassTraits>> = {
  [CONTROLLER.gateway]: {
    controller: CONTROLLER.gateway,
    managed: "istio.io-gateway-controller",
    serviceType: "LoadBalancer",
    suffix: true,
    addressType: "Hostname",
    proxy: "router",
  },
  [CONTROLLER.waypoint]: {
    controller: CONTROLLER.waypoint,
    managed: "istio.io-mesh-controller",
    serviceType: "ClusterIP",
    suffix: false,
    addressType: undefined,
    proxy: "waypoint",
  },
};

/** The traits of a Gateway's class; undefined for one that nothing is deployed for. */
export function traitsOf(
  gateway: KubeObject,
  classes: RoutingInputs["gatewayClasses"],
): GatewayClassTraits | undefined {
  const controller = controllerOf(gateway.spec?.gatewayClassName, classes);
  return controller !== undefined && Object.hasOwn(TRAITS, controller) ? TRAITS[controller] : undefined;
}

interface Address {
  readonly type: string;
  readonly value: string;
}

/** Those of a list that are addresses. */
export function typedAddresses(list: unknown): readonly Address[] {
  return listOf(list).map(objectOf).map(({ type, value }) => ({
    type: textOf(type) || "IPAddress",
    value: textOf(value),
  }));
}

export function addressesOf(gateway: KubeObject): readonly Address[] {
  return typedAddresses(gateway.spec?.addresses);
}

/** Whether a proxy is to be deployed: an address that is a host name says that there is one already. */
export function isManaged(gateway: KubeObject): boolean {
  const addresses = addressesOf(gateway);
  return addresses.length === 0 || (addresses.length === 1 && addresses[0].type === "IPAddress");
}

interface Listener {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

/** The listeners that name a port. */
export function listenersOf(gateway: KubeObject): readonly Listener[] {
  return listOf(gateway.spec?.listeners).flatMap((one) => {
    const { name, port, protocol } = objectOf(one);
    return typeof port === "number" ? [{ name: textOf(name), port, protocol: textOf(protocol) || "TCP" }] : [];
  });
}

export interface GatewayNames {
  /** Of Deployment and Service. */
  readonly name: string;
  readonly serviceAccount: string;
}

export function namesOf(gateway: KubeObject, traits: GatewayClassTraits): GatewayNames {
  const { name, annotations } = gateway.metadata;
  const standard = label(traits.suffix ? `${name}-${gateway.spec.gatewayClassName}` : name);
  return {
    name: annotations?.[ANNOTATION.nameOverride] || standard,
    serviceAccount: annotations?.[ANNOTATION.serviceAccount] || standard,
  };
}

/** A name that a Service may have: what is too long ends in a hash of all of it. */
function label(name: string): string {
  if (name.length <= 63) return name;
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return `${name.slice(0, 54).replace(/[^a-z0-9]+$/, "")}-${(hash >>> 0).toString(16).padStart(8, "0")}`;
}

/** Host names of the Services that a Gateway is reached by. */
export function servicesOf(gateway: KubeObject, traits: GatewayClassTraits, domain: string): string[] {
  const { namespace } = gateway.metadata;
  if (isManaged(gateway)) return [`${namesOf(gateway, traits).name}.${namespace}.svc.${domain}`];
  return addressesOf(gateway).filter(({ type, value }) => type === "Hostname" && value).map(({ value }) =>
    value.includes(".") ? value : `${value}.${namespace}.svc.${domain}`
  );
}
