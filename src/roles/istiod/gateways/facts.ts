// What is known of a Gateway's Service: where it can be reached, or what it waits for. Texts are Istio's.

import { BY, type GatewayFacts, type GatewayFactsOf, type RoutingInputs } from "../../../index/mod.ts";
import type { KubeObject, KubeService } from "../../../kube/mod.ts";
import { CONTROLLER, controllerOf } from "./controllers.ts";
import { addressesOf, ANNOTATION, listenersOf, servicesOf, traitsOf, typedAddresses } from "./names.ts";

type Address = GatewayFacts["addresses"][number];

/** Why a Gateway's parameters cannot be used, by its key. */
export type RefusedOf = (gateway: string) => GatewayFacts["refused"];

/** Reads the facts of Gateways out of the informers' stores. */
export function gatewayFacts(
  inputs: RoutingInputs,
  domain: string,
  refusedOf: RefusedOf = () => undefined,
): GatewayFactsOf {
  return (key) => {
    const gateway = inputs.gateways.get(key);
    if (!gateway) return undefined;
    if (controllerOf(gateway.spec?.gatewayClassName, inputs.gatewayClasses) === CONTROLLER.remote) {
      return { services: [], addresses: addressesOf(gateway).flatMap(typedAddress) };
    }
    const traits = traitsOf(gateway, inputs.gatewayClasses);
    if (!traits) return undefined;
    const override = gateway.metadata.annotations?.[ANNOTATION.addressType];
    const found = resolve(inputs, servicesOf(gateway, traits, domain), portsOf(gateway), domain);
    const addresses = reported(found, override ?? traits.addressType);
    return {
      services: [...new Set(found.internal.map(hostOf))],
      // Once there was a proxy that was ready, it stays where it is: it comes back.
      addresses: addresses.length > 0 ? addresses : typedAddresses(gateway.status?.addresses).flatMap(typedAddress),
      problem: problemOf(found),
      refused: refusedOf(key),
    };
  };
}

interface Found {
  /** `host:port` of Services with endpoints. */
  readonly internal: string[];
  readonly clusterIps: string[];
  readonly external: Address[];
  /** Hosts whose load balancer has no address yet. */
  readonly pending: Set<string>;
  readonly warnings: string[];
  /** Whether all of it may still come by itself. */
  allUsable: boolean;
}

function resolve(inputs: RoutingInputs, hosts: readonly string[], ports: readonly number[], domain: string): Found {
  const found: Found = {
    internal: [],
    clusterIps: [],
    external: [],
    pending: new Set(),
    warnings: [],
    allUsable: true,
  };
  for (const host of hosts) {
    const service = inputs.services.get(serviceKey(host, domain) ?? "");
    if (!service) {
      found.warnings.push(`hostname "${host}" not found`);
      found.allUsable = false;
    } else resolveService(inputs, host, service, ports, found);
  }
  return found;
}

function resolveService(
  inputs: RoutingInputs,
  host: string,
  service: KubeService,
  ports: readonly number[],
  found: Found,
): void {
  const { namespace, name } = service.metadata, spec = service.spec;
  const ready = readyPorts(inputs, `${namespace}/${name}`);
  if (ready.size === 0) {
    found.warnings.push(`no instances found for hostname "${host}"`);
    return;
  }
  let some = false;
  for (const number of ports) {
    const port = spec.ports?.find((one) => one.port === number);
    if (port && ready.has(port.name ?? "")) {
      found.internal.push(`${host}:${number}`);
      some = true;
    } else {
      const others = (spec.ports ?? []).map(({ port }) => port).sort((a, b) => a - b);
      found.warnings.push(
        `port ${number} not found for hostname "${host}" (hint: the service port should be specified, not the workload port. Did you mean one of these ports: [${
          others.join(" ")
        }])`,
      );
      found.allUsable = false;
    }
  }
  if (!some) return;
  for (const ip of spec.clusterIPs ?? [spec.clusterIP]) if (ip && ip !== "None") found.clusterIps.push(ip);
  const external = externalAddresses(service);
  found.external.push(...external);
  if (spec.type === "LoadBalancer" && external.length === 0) {
    found.pending.add(host);
    found.warnings.push(`address pending for hostname "${host}"`);
  }
}

/** Names of the ports on which something ready answers. */
function readyPorts(inputs: RoutingInputs, service: string): Set<string> {
  const names = new Set<string>();
  for (const slice of inputs.endpointSlices.by(BY.service, service)) {
    if (!slice.endpoints?.some(({ conditions }) => conditions?.ready !== false)) continue;
    for (const { name = "" } of slice.ports ?? []) names.add(name);
  }
  return names;
}

function externalAddresses(service: KubeService): Address[] {
  const { externalIPs = [] } = service.spec as { externalIPs?: string[] };
  const ingress = (service.status as KubeObject["status"])?.loadBalancer?.ingress ?? [];
  const addresses: Address[] = ingress.flatMap(({ ip, hostname }: { ip?: string; hostname?: string }) =>
    ip ? [{ type: "IPAddress", value: ip }] : hostname ? [{ type: "Hostname", value: hostname }] : []
  );
  return [...addresses, ...externalIPs.map((value): Address => ({ type: "IPAddress", value }))];
}

function reported(found: Found, addressType: string | undefined): Address[] {
  if (found.external.length > 0) return found.external;
  const addresses: Address[] = [];
  if (addressType !== "Hostname" && found.pending.size === 0) {
    for (const value of new Set(found.clusterIps)) addresses.push({ type: "IPAddress", value });
  }
  if (addressType !== "IPAddress") {
    for (const value of new Set(found.internal.map(hostOf))) {
      if (!found.pending.has(value)) addresses.push({ type: "Hostname", value });
    }
  }
  return addresses;
}

function problemOf({ internal, warnings, allUsable }: Found): GatewayFacts["problem"] {
  if (warnings.length === 0) return undefined;
  const text = warnings.join("; ");
  return {
    reason: allUsable ? "AddressNotAssigned" : "AddressNotUsable",
    message: internal.length > 0
      ? `Assigned to service(s) ${joined(internal)}, but failed to assign to all requested addresses: ${text}`
      : `Failed to assign to any requested addresses: ${text}`,
  };
}

/** The host of `host:port`. */
function hostOf(service: string): string {
  return service.slice(0, service.lastIndexOf(":"));
}

/** `a, b, and c`. */
function joined(items: readonly string[]): string {
  if (items.length < 3) return items.join(" and ");
  return `${items.slice(0, -1).join(", ")}, and ${items.at(-1)}`;
}

/** `namespace/name` of a Service's host name; undefined for other names. */
function serviceKey(host: string, domain: string): string | undefined {
  const [name, namespace, ...rest] = host.split(".");
  const suffix = rest.join(".");
  return suffix === `svc.${domain}` || suffix === "svc" ? `${namespace}/${name}` : undefined;
}

function portsOf(gateway: KubeObject): number[] {
  return [...new Set(listenersOf(gateway).map(({ port }) => port))];
}

function typedAddress({ type, value }: { type: string; value: string }): Address[] {
  return value && (type === "IPAddress" || type === "Hostname") ? [{ type, value }] : [];
}
