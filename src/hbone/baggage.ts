/** What the `baggage` header of a CONNECT says about a workload (hbone.md, 3). Every member may be missing. */
export interface Baggage {
  clusterId?: string;
  namespace?: string;
  /** `deployment`, `pod`, `job`, `cronjob`: the `<type>` in `k8s.<type>.name`. */
  workloadType?: string;
  workloadName?: string;
  /** Canonical service name. */
  serviceName?: string;
  /** Canonical revision. */
  revision?: string;
  region?: string;
  zone?: string;
}

const WORKLOAD_TYPES = ["deployment", "pod", "job", "cronjob"];

/** The header's value, members in ztunnel's order, empty ones left out. */
export function formatBaggage(baggage: Baggage): string {
  const members: [string, string | undefined][] = [
    ["k8s.cluster.name", baggage.clusterId],
    ["k8s.namespace.name", baggage.namespace],
    [`k8s.${(baggage.workloadType ?? "pod").toLowerCase()}.name`, baggage.workloadName],
    ["service.name", baggage.serviceName],
    ["service.version", baggage.revision],
    ["cloud.region", baggage.region],
    ["cloud.availability_zone", baggage.zone],
  ];
  let text = "";
  for (const [name, value] of members) {
    if (!value) continue;
    text += `${text === "" ? "" : ","}${name}=${value}`;
  }
  return text;
}

/** Reads a header's value; members that are unknown or without `=` are skipped, and the last of several wins. */
export function parseBaggage(text: string): Baggage {
  const baggage: Baggage = {};
  for (const member of text.split(",")) {
    const cut = member.indexOf("=");
    if (cut < 0) continue;
    // Properties after ";" (W3C baggage) say nothing about the value.
    const name = member.slice(0, cut).trim(), value = member.slice(cut + 1).split(";")[0].trim();
    if (value === "") continue;
    switch (name) {
      case "k8s.cluster.name":
        baggage.clusterId = value;
        break;
      case "k8s.namespace.name":
        baggage.namespace = value;
        break;
      case "service.name":
        baggage.serviceName = value;
        break;
      case "service.version":
        baggage.revision = value;
        break;
      case "cloud.region":
        baggage.region = value;
        break;
      case "cloud.availability_zone":
        baggage.zone = value;
        break;
      default: {
        const type = /^k8s\.(\w+)\.name$/.exec(name)?.[1];
        if (type && WORKLOAD_TYPES.includes(type)) {
          baggage.workloadType = type;
          baggage.workloadName = value;
        }
      }
    }
  }
  return baggage;
}
