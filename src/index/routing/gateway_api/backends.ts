import type { RoutablePort, RoutableService } from "../services.ts";
import type { BackendReference } from "../rule.ts";
import type { World } from "../world.ts";
import type { Fault } from "./gateway.ts";
import { GATEWAY_GROUP, ISTIO_GROUP } from "./references.ts";

export interface ResolvedBackend {
  readonly service: RoutableService;
  readonly port: RoutablePort;
}

/** What requests were sent to in the first place: a service, and one of its ports or (undefined) any. */
export interface Home {
  readonly service: string;
  readonly port: number | undefined;
}

/**
 * The service and port that a `backendRef` means, or the fault for the route's status.
 *
 * @param homes parents of the route: what was asked for needs no ReferenceGrant, so that a namespace can shape its own requests to a service
 * of another. Another port of it does: what may be sent to a port is decided at that port.
 */
export function resolveBackend(
  world: World,
  route: { readonly kind: string; readonly namespace: string },
  ref: BackendReference & { readonly api: "gateway" },
  homes: readonly Home[] = [],
): ResolvedBackend | Fault {
  const { group, kind, namespace, name, port } = ref, { clusterDomain } = world.ambient.settings;
  const hostname = group === ISTIO_GROUP && kind === "Hostname";
  const entry = group === ISTIO_GROUP && kind === "ServiceEntry";
  const core = group === "" && kind === "Service";
  if (!hostname && !entry && !core) {
    return { reason: "InvalidKind", message: `referencing unsupported backendRef: group "${group}" kind "${kind}"` };
  }
  const from = { group: GATEWAY_GROUP, kind: route.kind, namespace: route.namespace };
  const refused = (owner: string): Fault => ({
    reason: "RefNotPermitted",
    message:
      `backendRef ${name}/${owner} not accessible to a ${route.kind} in namespace "${route.namespace}" (missing a ReferenceGrant?)`,
  });
  let service: RoutableService | undefined;
  if (core) service = world.services.get(`${namespace}/${name}.${namespace}.svc.${clusterDomain}`);
  else if (hostname) service = world.services.byHost(name.toLowerCase(), route.namespace, world.ambient);
  else service = world.services.entry(namespace, name);
  const home = homes.some((one) => one.service === service?.key && (one.port === undefined || one.port === port));
  if (!hostname && !home && !world.grants.permits(from, { group, kind, namespace, name })) return refused(namespace);
  if (!service) {
    return { reason: "BackendNotFound", message: `backend(${hostname ? name : `${namespace}/${name}`}) not found` };
  }
  // Whose host it is decides, as for a Service by its name (Istio asks for no grant here): the proxy connects with its own identity, which
  // may reach what the author of the route may not.
  if (hostname && !home) {
    const { kind, namespace, name } = service, group = kind === "Service" ? "" : ISTIO_GROUP;
    if (!world.grants.permits(from, { group, kind, namespace, name })) return refused(namespace);
  }
  if (port === undefined) {
    return { reason: "BackendNotFound", message: `backend(${service.hostname}): port is required in backendRef` };
  }
  const found = service.ports.find(({ number }) => number === port);
  if (!found) return { reason: "BackendNotFound", message: `backend(${service.hostname}) has no port ${port}` };
  return { service, port: found };
}
