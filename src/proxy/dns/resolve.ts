import { parseIp } from "../../core/ip.ts";
import { type Service, serviceKey, type Workload } from "../../model/mod.ts";
import type { MeshView } from "../state/mod.ts";
import { candidateNames } from "./names.ts";

/** What the mesh knows about a question: an answer (possibly without addresses), or that others must be asked. */
export type Resolution =
  | { readonly kind: "forward" }
  | {
    readonly kind: "answer";
    readonly service: Service;
    /** The name the addresses belong to, when it is not the one that was asked for. */
    readonly alias: string | undefined;
    readonly addresses: readonly string[];
  };

export interface ResolveOptions {
  readonly clusterDomain: string;
  readonly network: string;
  /** Where AAAA is not wanted, it is answered without addresses. */
  readonly ipv6: boolean;
  readonly preferredNamespace?: string;
}

/** @param name without the final dot */
export function resolveName(
  view: MeshView,
  client: Workload,
  name: string,
  family: 4 | 6,
  options: ResolveOptions,
): Resolution {
  const { clusterDomain, preferredNamespace } = options;
  for (const candidate of candidateNames(name, client.namespace, clusterDomain)) {
    const service = view.serviceByHostname(candidate.name, client.namespace, preferredNamespace);
    if (!service || !answerable(service, clusterDomain)) continue;
    const alias = candidate.wildcard ? undefined : candidate.stripped;
    return { kind: "answer", service, alias, addresses: addressesOf(view, service, family, options) };
  }
  return { kind: "forward" };
}

/** A service without addresses of its own is answered by its endpoints, if its name is one of the cluster's. */
function answerable(service: Service, clusterDomain: string): boolean {
  return service.addresses.some((vip) => vip.length === undefined) ||
    service.hostname.endsWith(`.svc.${clusterDomain}`);
}

function addressesOf(view: MeshView, service: Service, family: 4 | 6, options: ResolveOptions): string[] {
  const forbidden = family === 6
    ? !options.ipv6 || service.ipFamilies === "IPV4_ONLY"
    : service.ipFamilies === "IPV6_ONLY";
  if (forbidden) return [];
  const right = (ip: string) => parseIp(ip)?.family === family;
  const vips = service.addresses.filter((vip) => vip.length === undefined);
  if (vips.length > 0) {
    return vips.filter((vip) => vip.network === options.network && right(vip.address)).map((vip) => vip.address);
  }
  const found: string[] = [];
  const anyHealth = service.loadBalancing?.healthPolicy === "ALLOW_ALL";
  for (const { workload } of view.endpoints(serviceKey(service))) {
    if (workload.status !== "HEALTHY" && !anyHealth) continue;
    const ip = workload.addresses.find(right);
    if (ip !== undefined) found.push(ip);
  }
  return found;
}
