import { MeshError } from "../../core/errors.ts";

/** What ztunnel's `config_dump` holds; maps are turned into lists. Fields are as on the wire and may be missing. */
export interface ZtunnelDump {
  readonly workloads: readonly any[];
  readonly services: readonly any[];
  readonly policies: readonly any[];
  readonly certificates: readonly any[];
  readonly workloadState: Readonly<Record<string, any>>;
  readonly raw: Record<string, any>;
}

/** @throws MeshError `bad_answer` when the text is not a dump of ztunnel */
export function readDump(text: string, from: string): ZtunnelDump {
  let raw: any;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw new MeshError("bad_answer", `cannot read the configuration dump of "${from}"`, { cause });
  }
  if (typeof raw !== "object" || raw === null || (raw.workloads === undefined && raw.services === undefined)) {
    throw new MeshError("bad_answer", `cannot read the configuration dump of "${from}": it is not one of ztunnel`);
  }
  return {
    workloads: items(raw.workloads),
    services: items(raw.services),
    policies: items(raw.policies),
    certificates: items(raw.certificates),
    workloadState: raw.workloadState ?? {},
    raw,
  };
}

function items(value: unknown): any[] {
  if (Array.isArray(value)) return value;
  return typeof value === "object" && value !== null ? Object.values(value) : [];
}

/** Finds names for addresses and references in one dump. */
export class DumpNames {
  readonly #serviceByVip = new Map<string, any>();
  readonly #serviceByHost = new Map<string, any>();
  readonly #workloadByIp = new Map<string, any>();

  constructor(dump: ZtunnelDump) {
    for (const service of dump.services) {
      this.#serviceByHost.set(`${service.namespace}/${service.hostname}`, service);
      for (const vip of service.vips ?? []) this.#serviceByVip.set(vip, service);
    }
    for (const workload of dump.workloads) {
      for (const ip of workload.workloadIps ?? []) this.#workloadByIp.set(ip, workload);
    }
  }

  /** The waypoint's Service name, `None` where there is no waypoint, `NA` where it is not known. */
  waypoint(waypoint: any): string {
    const destination = waypoint?.destination;
    if (!destination) return "None";
    const key = typeof destination === "string"
      ? destination
      : destination.hostname
      ? `${destination.namespace}/${destination.hostname}`
      : `${destination.network ?? ""}/${destination.address ?? ""}`;
    return (this.#serviceByHost.get(key) ?? this.#serviceByVip.get(key))?.name ?? "NA";
  }

  /** `host:port` of a service or `pod.namespace:port` of a workload at `ip:port`; the address itself when it is unknown. */
  address(address: string | undefined): string {
    if (!address) return "";
    const colon = address.lastIndexOf(":");
    const ip = address.slice(0, colon).replace(/^\[|\]$/g, "");
    const port = address.slice(colon);
    for (const [vip, service] of this.#serviceByVip) if (vip.endsWith(`/${ip}`)) return service.hostname + port;
    const workload = this.#workloadByIp.get(ip);
    return workload ? `${workload.name}.${workload.namespace}${port}` : address;
  }
}
