// What an ingress or egress gateway is told: the listeners of its Gateway (Gateway API), and of Istio Gateways that select it.

import type { L7Listener, ProxyResource } from "../../model/l7.ts";
import type { KubeService } from "../../kube/types.ts";
import { selects } from "../labels.ts";
import { BY } from "../inputs.ts";
import { containerPort } from "../pod_workload.ts";
import { DestinationSet } from "./destinations.ts";
import { type GatewayState, isUsable, type ListenerState } from "./gateway_api/gateway.ts";
import { listenerHosts } from "./gateway_api/virtual_hosts.ts";
import { serverResources } from "./istio/gateway_servers.ts";
import { gatewayPolicies } from "./policies/attach.ts";
import { SecretSet } from "./secret_set.ts";
import type { GatewayTarget } from "./target.ts";
import type { World } from "./world.ts";

export function gatewayConfig(world: World, target: GatewayTarget): ProxyResource[] {
  const secrets = new SecretSet(world, target.namespace);
  const destinations = new DestinationSet(world, {
    kind: "gateway",
    namespace: target.namespace,
    labels: target.labels,
    serves: () => false,
    secret: (name) => secrets.credential(name),
  });
  const resources: ProxyResource[] = [];
  for (const { state, portOf } of gatewaysOf(world, target)) {
    for (const listener of state.listeners) {
      if (!isUsable(listener)) continue;
      const bound = portOf(listener.listener.port);
      if (bound !== undefined) {
        resources.push(...listenerResources(world, state, listener, bound, destinations, secrets));
      }
    }
  }
  const services = servicesOf(world, target);
  resources.push(
    ...serverResources({
      world,
      target,
      destinations,
      secrets,
      // Classic gateways bind what their Service leads to: 8080 for 80.
      portOf: (port) => targetPort(world, target, services, port) ?? port,
    }),
    ...gatewayPolicies(world, target),
  );
  return [...resources, ...destinations.values(), ...secrets.values()];
}

interface Served {
  readonly state: GatewayState;
  /** The port to bind for a port of the Gateway; undefined when clients cannot reach it. */
  readonly portOf: (port: number) => number | undefined;
}

/** Gateways that the proxy was deployed for, or that name a Service that leads to it. */
function gatewaysOf(world: World, target: GatewayTarget): Served[] {
  const found: Served[] = [];
  for (const [key, state] of world.gatewayRoutes.gateways) {
    const { gateway } = state;
    if (state.controller !== "istio.io/gateway-controller") continue;
    if (gateway.hostnames.length === 0) {
      if (target.gateway !== undefined && key === `${target.namespace}/${target.gateway}`) {
        found.push({ state, portOf: (port) => port });
      }
      continue;
    }
    const services = servicesOf(world, target).filter(({ metadata }) => {
      const { name } = metadata, { namespace } = target;
      const full = `${name}.${namespace}.svc.${world.ambient.settings.clusterDomain}`;
      return gateway.hostnames.some((host) => host === full || host === `${name}.${namespace}` || host === name);
    });
    if (services.length > 0) found.push({ state, portOf: (port) => targetPort(world, target, services, port) });
  }
  return found;
}

/** Services that lead to the proxy. */
export function servicesOf(world: World, { namespace, labels }: GatewayTarget): KubeService[] {
  return [...world.inputs.services.by(BY.namespace, namespace)].filter(({ spec }) =>
    spec?.selector && Object.keys(spec.selector).length > 0 && selects(spec.selector, labels)
  );
}

/** The container port behind a port of the Services; undefined when none has it. */
export function targetPort(
  world: World,
  { namespace, labels }: GatewayTarget,
  services: readonly KubeService[],
  port: number,
): number | undefined {
  for (const { spec } of services) {
    const found = spec.ports?.find((one) => one.port === port && (one.protocol ?? "TCP") === "TCP");
    if (!found) continue;
    const target = found.targetPort ?? found.port;
    if (typeof target === "number") return target;
    for (const pod of world.inputs.pods.by(BY.namespace, namespace)) {
      if (!selects(labels, pod.metadata.labels)) continue;
      const number = containerPort(pod, target);
      if (number !== undefined) return number;
    }
  }
  return undefined;
}

function listenerResources(
  world: World,
  { gateway }: GatewayState,
  state: ListenerState,
  bound: number,
  destinations: DestinationSet,
  secrets: SecretSet,
): ProxyResource[] {
  const { listener, roots } = state, name = `${gateway.key}/${listener.name}`;
  const https = listener.protocol === "HTTPS";
  const resource: L7Listener = {
    kind: "listener",
    name,
    binding: { kind: "port", port: bound },
    protocol: https ? "HTTPS" : "HTTP",
    hostnames: [listener.hostname],
    ...(https
      ? {
        tls: {
          mode: roots ? "MUTUAL" as const : "SIMPLE" as const,
          secrets: state.secrets.map((secret) => secrets.add(secret)),
          ...(roots ? { caSecret: secrets.add(roots) } : {}),
          minVersion: "TLSv1_2" as const,
        },
      }
      : {}),
    httpsRedirect: false,
    origin: `Gateway/${gateway.key}`,
  };
  const redirectPort = bound === listener.port ? undefined : listener.port;
  const routes = world.gatewayRoutes.ofListener(gateway.key, listener.name);
  return [resource, ...listenerHosts(name, routes, world, destinations, redirectPort)];
}
