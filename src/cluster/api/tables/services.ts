import type { KubeObject } from "../../contracts.ts";
import { age, labelsText } from "./cells.ts";

function externalAddress(service: KubeObject): string {
  const { spec } = service;
  const external: string[] = spec.externalIPs ?? [];
  if (spec.type === "ExternalName") return spec.externalName;
  if (spec.type === "LoadBalancer") {
    const assigned = (service.status?.loadBalancer?.ingress ?? []).map((entry: any) => entry.ip || entry.hostname)
      .filter(Boolean);
    const all = [...assigned, ...external];
    return all.length > 0 ? all.join(",") : "<pending>";
  }
  return external.length > 0 ? external.join(",") : "<none>";
}

export function serviceCells(service: KubeObject, now: number): unknown[] {
  const { spec } = service;
  const ports: any[] = spec.ports ?? [];
  const portsText = ports.map(({ port, nodePort, protocol }) =>
    nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`
  );
  return [
    service.metadata.name,
    spec.type,
    spec.clusterIP || "<none>",
    externalAddress(service),
    portsText.length > 0 ? portsText.join(",") : "<none>",
    age(service, now),
    labelsText(spec.selector),
  ];
}

const SHOWN = 3;

export function endpointsCells(endpoints: KubeObject, now: number): unknown[] {
  const all: string[] = (endpoints.subsets ?? []).flatMap((subset: any) =>
    subset.ports?.length
      ? subset.ports.flatMap((port: any) =>
        (subset.addresses ?? []).map((address: any) => `${address.ip}:${port.port}`)
      )
      : (subset.addresses ?? []).map((address: any) => address.ip)
  );
  const text = all.slice(0, SHOWN).join(",") + (all.length > SHOWN ? ` + ${all.length - SHOWN} more...` : "");
  return [endpoints.metadata.name, text || "<none>", age(endpoints, now)];
}

export function endpointSliceCells(slice: KubeObject, now: number): unknown[] {
  const some = (list: unknown[], empty: string) =>
    list.length === 0
      ? empty
      : list.slice(0, SHOWN).join(",") + (list.length > SHOWN ? ` + ${list.length - SHOWN} more...` : "");
  return [
    slice.metadata.name,
    slice.addressType,
    some((slice.ports ?? []).map((port: any) => port.port ?? port.name), "<unset>"),
    some((slice.endpoints ?? []).flatMap((endpoint: any) => endpoint.addresses ?? []), "<unset>"),
    age(slice, now),
  ];
}

export function ingressCells(ingress: KubeObject, now: number): unknown[] {
  const { spec = {} } = ingress;
  const hosts = (spec.rules ?? []).map((rule: any) => rule.host).filter(Boolean);
  const addresses = (ingress.status?.loadBalancer?.ingress ?? []).map((entry: any) => entry.ip || entry.hostname);
  return [
    ingress.metadata.name,
    spec.ingressClassName ?? "<none>",
    hosts.length > 0
      ? hosts.slice(0, SHOWN).join(",") + (hosts.length > SHOWN ? ` + ${hosts.length - SHOWN} more...` : "")
      : "*",
    addresses.join(","),
    spec.tls?.length ? "80, 443" : "80",
    age(ingress, now),
  ];
}
