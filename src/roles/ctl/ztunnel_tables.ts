import { formatTable } from "../../core/terminal.ts";
import { DumpNames, type ZtunnelDump } from "./ztunnel_dump.ts";

/** Which rows to show; absent fields do not filter. */
export interface DumpFilter {
  namespace?: string;
  node?: string;
  address?: string;
  direction?: string;
  /** Only what concerns this pod. */
  pod?: { name: string; namespace: string };
  /** Addresses as they are, without names. */
  raw?: boolean;
}

/** Columns stand one space apart, as istioctl's do; those of certificates, five. */
const PADDING = 1;

/** One part of a dump: the objects that pass a filter, and their table. */
export interface DumpView {
  select(dump: ZtunnelDump, filter: DumpFilter): unknown;
  table(dump: ZtunnelDump, filter: DumpFilter): string;
}

function byNamespaceAndName(a: any, b: any): number {
  return compare(a.namespace ?? "", b.namespace ?? "") || compare(a.name ?? "", b.name ?? "");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function print(rows: string[][]): string {
  return formatTable(rows, PADDING);
}

function workloads(dump: ZtunnelDump, filter: DumpFilter): any[] {
  return dump.workloads.filter((workload) =>
    (!filter.namespace || workload.namespace === filter.namespace) &&
    (!filter.node || workload.node === filter.node) &&
    (!filter.address || (workload.workloadIps ?? []).includes(filter.address)) &&
    (!filter.pod || (workload.name === filter.pod.name && workload.namespace === filter.pod.namespace))
  ).sort(byNamespaceAndName);
}

const workload: DumpView = {
  select: workloads,
  table(dump, filter) {
    const names = new DumpNames(dump);
    return print([
      ["NAMESPACE", "POD NAME", "ADDRESS", "NODE", "WAYPOINT", "PROTOCOL"],
      ...workloads(dump, filter).map((w) => [
        w.namespace ?? "",
        w.name ?? "",
        (w.workloadIps ?? []).join(",") || w.hostname || "",
        w.node ?? "",
        names.waypoint(w.waypoint),
        w.protocol ?? "TCP",
      ]),
    ]);
  },
};

function services(dump: ZtunnelDump, filter: DumpFilter): any[] {
  return dump.services.filter((service) => !filter.namespace || service.namespace === filter.namespace)
    .sort(byNamespaceAndName);
}

const service: DumpView = {
  select: services,
  table(dump, filter) {
    const names = new DumpNames(dump);
    const unhealthy = new Set(
      dump.workloads.filter(({ status }) => status !== undefined && status !== "Healthy").map(({ uid }) => uid),
    );
    return print([
      ["NAMESPACE", "SERVICE NAME", "SERVICE VIP", "WAYPOINT", "ENDPOINTS"],
      ...services(dump, filter).map((s) => {
        const endpoints: any[] = Object.values(s.endpoints ?? {});
        const healthy = endpoints.filter(({ workloadUid }) => !unhealthy.has(workloadUid)).length;
        return [
          s.namespace ?? "",
          s.name ?? "",
          (s.vips ?? []).map((vip: string) => vip.slice(vip.indexOf("/") + 1)).join(","),
          names.waypoint(s.waypoint),
          `${healthy}/${endpoints.length}`,
        ];
      }),
    ]);
  },
};

function policies(dump: ZtunnelDump, filter: DumpFilter): any[] {
  return dump.policies.filter((policy) => !filter.namespace || policy.namespace === filter.namespace)
    .sort(byNamespaceAndName);
}

const policy: DumpView = {
  select: policies,
  table: (dump, filter) =>
    print([
      ["NAMESPACE", "POLICY NAME", "ACTION", "SCOPE"],
      ...policies(dump, filter).map((p) => [p.namespace ?? "", p.name ?? "", p.action ?? "", p.scope ?? ""]),
    ]),
};

function certificates(dump: ZtunnelDump, filter: DumpFilter): any[] {
  const { pod } = filter;
  const own = pod && dump.workloads.find(({ name, namespace }) => name === pod.name && namespace === pod.namespace);
  return dump.certificates.filter(({ identity }) =>
    !own || String(identity).endsWith(`/ns/${own.namespace}/sa/${own.serviceAccount}`)
  ).sort((a, b) => compare(String(a.identity), String(b.identity)));
}

const certificate: DumpView = {
  select: certificates,
  table(dump, filter) {
    const rows = [["CERTIFICATE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"]];
    for (const { identity, state, certChain, rootCerts } of certificates(dump, filter)) {
      const chain: [string, any][] = [
        ...(certChain ?? []).map((cert: any, i: number) => [i === 0 ? "Leaf" : "Intermediate", cert]),
        ...(rootCerts ?? []).map((cert: any) => ["Root", cert]),
      ];
      if (chain.length === 0) chain.push(["NA", undefined]);
      for (const [type, cert] of chain) {
        rows.push([
          String(identity),
          type,
          String(state ?? "Available").includes("Unavailable") ? "Unavailable" : state ?? "Available",
          String(cert !== undefined && isValid(cert)),
          cert ? hex(cert.serialNumber) : "NA",
          cert?.expirationTime ?? "NA",
          cert?.validFrom ?? "NA",
        ]);
      }
    }
    return formatTable(rows, 5);
  },
};

function isValid(cert: any): boolean {
  const now = Date.now();
  return Date.parse(cert.validFrom) <= now && now < Date.parse(cert.expirationTime);
}

function hex(serial: unknown): string {
  const text = String(serial ?? "");
  return /^\d+$/.test(text) ? BigInt(text).toString(16) : text;
}

interface ConnectionRow {
  workload: string;
  direction: string;
  src?: string;
  actualDst?: string;
  originalDst?: string;
  protocol?: string;
}

function connections(dump: ZtunnelDump, filter: DumpFilter): ConnectionRow[] {
  const rows: ConnectionRow[] = [];
  for (const { info, connections } of Object.values(dump.workloadState)) {
    if (filter.namespace && info?.namespace !== filter.namespace) continue;
    if (filter.pod && (info?.name !== filter.pod.name || info?.namespace !== filter.pod.namespace)) continue;
    for (const direction of ["inbound", "outbound"]) {
      if (filter.direction && filter.direction !== direction) continue;
      for (const connection of connections?.[direction] ?? []) {
        rows.push({ workload: `${info?.name}.${info?.namespace}`, direction, ...connection });
      }
    }
  }
  return rows.sort((a, b) => compare(a.workload, b.workload) || compare(a.direction, b.direction));
}

const connection: DumpView = {
  // As in the dump: the state of each workload with its connections.
  select: (dump, { namespace, pod, direction }) =>
    Object.values(dump.workloadState).filter(({ info }) =>
      (!namespace || info?.namespace === namespace) &&
      (!pod || (info?.name === pod.name && info?.namespace === pod.namespace))
    ).sort((a, b) => byNamespaceAndName(a.info ?? {}, b.info ?? {})).map((state) =>
      direction === undefined ? state : { ...state, connections: { [direction]: state.connections?.[direction] ?? [] } }
    ),
  table(dump, filter) {
    const names = new DumpNames(dump);
    const show = (address: string | undefined) => filter.raw ? address ?? "" : names.address(address);
    return print([
      ["WORKLOAD", "DIRECTION", "LOCAL", "REMOTE", "REMOTE TARGET", "PROTOCOL"],
      ...connections(dump, filter).map(({ workload, direction, src, actualDst, originalDst, protocol }) => [
        workload,
        direction === "inbound" ? "Inbound" : "Outbound",
        show(direction === "inbound" ? actualDst : src),
        show(direction === "inbound" ? src : actualDst),
        direction === "inbound" ? originalDst ?? "" : show(originalDst),
        protocol ?? "",
      ]),
    ]);
  },
};

/** The parts of `ztunnel-config` by sub-command, in the order of `all`. */
export const DUMP_VIEWS = { workload, service, policy, certificate, connections: connection } satisfies Record<
  string,
  DumpView
>;

export type DumpViewName = keyof typeof DUMP_VIEWS;

/** Headings of `all --with-headers`. */
export const DUMP_TITLES: Readonly<Record<DumpViewName, string>> = {
  workload: "WORKLOAD INFO",
  service: "SERVICE INFO",
  policy: "POLICY INFO",
  certificate: "SECRET INFO",
  connections: "CONNECTIONS INFO",
};
