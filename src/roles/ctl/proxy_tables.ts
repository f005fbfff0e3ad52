// Tables of `ctl proxy-config`, with istioctl's columns.

import { formatTable } from "../../core/terminal.ts";
import type { L7Listener, PathMatch, Route, VirtualHost } from "../../model/mod.ts";
import type { ProxyDump } from "./proxy_dump.ts";

/** Which rows to show; absent fields do not filter. */
export interface ProxyFilter {
  address?: string;
  port?: number;
  /** `HTTP`, `TCP`, `HTTP+TCP`. */
  type?: string;
  fqdn?: string;
  subset?: string;
  direction?: string;
  /** Of a route configuration. */
  name?: string;
  cluster?: string;
  status?: string;
  /** Show what a waypoint does for each of its services. */
  waypoint?: boolean;
  /** Without: fewer columns. */
  verbose: boolean;
}

/** One part of a dump: what passes a filter, as data and as a table. */
export interface ProxyView {
  select(dump: ProxyDump, filter: ProxyFilter): unknown;
  table(dump: ProxyDump, filter: ProxyFilter): string;
}

/** Space between columns; of listeners one, as istioctl's. */
const PADDING = 5;

// --- listeners

interface ListenerRow {
  readonly address: string;
  readonly port: number;
  readonly type: "HTTP" | "TCP";
  readonly chain: string;
  readonly match: string;
  readonly destination: string;
  /** What it is made from; null for the proxy's own. */
  readonly listeners: readonly L7Listener[];
}

const HTTP = new Set(["HTTP", "HTTPS", "AUTO"]);

function bytesDestination({ tcp }: L7Listener): string {
  const targets = tcp?.destinations ?? [];
  if (targets.length === 1) return `Cluster: ${targets[0].destination}`;
  return targets.length === 0 ? "Non-HTTP/Non-TCP" : `Clusters: ${targets.map((one) => one.destination).join(", ")}`;
}

function sniOf({ hostnames }: L7Listener): string {
  return hostnames.includes("*") || hostnames.length === 0 ? "ALL" : `SNI: ${hostnames.join(",")}`;
}

/** The name under which `route` shows the routes of a listener. */
function routeName(listener: L7Listener): string {
  const { binding, protocol, tls } = listener;
  if (binding.kind !== "port") return listener.name;
  // Listeners of Istio's Gateways are called as their route configurations.
  if (/^https?\./.test(listener.name) && (tls || protocol === "HTTPS")) return listener.name;
  return tls || protocol === "HTTPS" ? `https.${binding.port}.${listener.name}` : `http.${binding.port}`;
}

function listenerRows(dump: ProxyDump): ListenerRow[] {
  const own = (address: string, port: number, destination: string): ListenerRow => ({
    address,
    port,
    type: destination.startsWith("Inline") ? "HTTP" : "TCP",
    chain: "",
    match: "ALL",
    destination,
    listeners: [],
  });
  const rows: ListenerRow[] = [own("", 0, "Cluster: connect_originate")];
  const plain = new Map<number, L7Listener[]>();
  for (const listener of dump.listeners) {
    const { binding, protocol } = listener;
    const base = { chain: listener.name, listeners: [listener] };
    if (binding.kind === "port") {
      const { port } = binding, address = "0.0.0.0";
      if (protocol === "HTTP" && !listener.tls) plain.set(port, [...plain.get(port) ?? [], listener]);
      else if (protocol === "HTTPS") {
        rows.push({
          ...base,
          address,
          port,
          type: "HTTP",
          match: sniOf(listener),
          destination: `Route: ${routeName(listener)}`,
        });
      } else {
        rows.push({
          ...base,
          address,
          port,
          type: "TCP",
          match: sniOf(listener),
          destination: bytesDestination(listener),
        });
      }
      continue;
    }
    const match = binding.kind === "service"
      ? [...binding.addresses, binding.hostname].map((host) =>
        `${host.includes(":") ? `[${host}]` : host}:${binding.port}`
      ).join(", ")
      : Object.values(binding.workloads).flat().join(", ") || "ALL";
    const http = HTTP.has(protocol);
    const destination = http ? `Route: ${routeName(listener)}` : bytesDestination(listener);
    rows.push({ ...base, address: "", port: 0, type: http ? "HTTP" : "TCP", match, destination });
  }
  for (const [port, listeners] of plain) {
    rows.push({
      address: "0.0.0.0",
      port,
      type: "HTTP",
      chain: listeners.map(({ name }) => name).join(", "),
      match: "ALL",
      destination: `Route: http.${port}`,
      listeners,
    });
  }
  for (const { address, port, use } of dump.ports) {
    if (use === "hbone") rows.push(own(address, port, "Cluster: main_internal"));
    if (use === "readiness") rows.push(own(address, port, "Inline Route: /healthz/ready*"));
    if (use === "stats") rows.push(own(address, port, "Inline Route: /stats/prometheus*"));
  }
  return rows.sort((a, b) => a.port - b.port);
}

function listeners(dump: ProxyDump, { address, port, type, waypoint }: ProxyFilter): ListenerRow[] {
  return listenerRows(dump).filter((row) =>
    (address === undefined || row.address === address) &&
    (port === undefined || row.port === port) &&
    (type === undefined || row.type === type.toUpperCase() || type.toUpperCase() === "HTTP+TCP") &&
    (!waypoint || row.listeners.some(({ binding }) => binding.kind !== "port"))
  );
}

const listener: ProxyView = {
  select: (dump, filter) => [...new Set(listeners(dump, filter).flatMap((row) => row.listeners))],
  table(dump, filter) {
    const rows = listeners(dump, filter);
    if (filter.waypoint) {
      return formatTable([
        ["LISTENER", "CHAIN", "MATCH", "DESTINATION"],
        ...rows.map(({ chain, match, destination }) => ["main_internal", chain, match, destination]),
      ], 1);
    }
    if (!filter.verbose) {
      return formatTable([
        ["ADDRESS", "PORT", "TYPE"],
        ...rows.map(({ address, port, type }) => [address, String(port), type]),
      ], 1);
    }
    return formatTable([
      ["ADDRESS", "PORT", "MATCH", "DESTINATION"],
      ...rows.map(({ address, port, match, destination }) => [address, String(port), match, destination]),
    ], 1);
  },
};

// --- clusters

function clusters(dump: ProxyDump, { fqdn, port, subset, direction }: ProxyFilter) {
  return dump.destinations.filter((one) =>
    (!fqdn || one.hostname.includes(fqdn)) &&
    (port === undefined || one.port === port) &&
    (!subset || one.subset.includes(subset)) &&
    (!direction || directionOf(one.name).includes(direction))
  );
}

function directionOf(name: string): string {
  return name.includes("|") ? name.slice(0, name.indexOf("|")) : "-";
}

const CLUSTER_TYPES = { service: "EDS", static: "STATIC", dns: "STRICT_DNS", original: "ORIGINAL_DST" } as const;

/** `namespace/name` as istioctl writes it. */
function dotted(name: string): string {
  const [namespace, rest] = name.split("/");
  return rest === undefined ? name : `${rest}.${namespace}`;
}

const cluster: ProxyView = {
  select: clusters,
  table(dump, filter) {
    const unfiltered = filter.fqdn === undefined && filter.port === undefined && filter.subset === undefined &&
      filter.direction === undefined;
    const rows = clusters(dump, filter).map(({ name, hostname, port, subset, endpoints, rule }) => [
      hostname,
      String(port),
      subset || "-",
      directionOf(name),
      CLUSTER_TYPES[endpoints.kind],
      rule === "" ? "" : dotted(rule),
    ]);
    const own = unfiltered ? [["connect_originate", "-", "-", "-", "ORIGINAL_DST", ""]] : [];
    return formatTable([
      ["SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"],
      ...[...own, ...rows].sort((a, b) => compare(a.join(" "), b.join(" "))),
    ], PADDING);
  },
};

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

// --- routes

interface RouteRow {
  readonly name: string;
  readonly virtualHost: VirtualHost;
  readonly route: Route | undefined;
}

function routes(dump: ProxyDump, { name }: ProxyFilter): RouteRow[] {
  const byName = new Map(dump.listeners.map((one) => [one.name, routeName(one)]));
  return dump.virtualHosts.flatMap((virtualHost): RouteRow[] => {
    const row = { name: byName.get(virtualHost.listener) ?? virtualHost.listener, virtualHost };
    return virtualHost.routes.length === 0
      ? [{ ...row, route: undefined }]
      : virtualHost.routes.map((route) => ({ ...row, route }));
  }).filter((row) => name === undefined || row.name === name)
    .sort((a, b) => compare(a.name, b.name) || compare(a.virtualHost.name, b.virtualHost.name));
}

function pathText(path: PathMatch | undefined): string {
  if (!path) return "/*";
  if (path.kind === "exact") return path.value;
  return path.kind === "prefix" ? `${path.value}*` : `regex ${path.value}`;
}

function domainsText(hostnames: readonly string[]): string {
  return hostnames.length <= 2
    ? hostnames.join(", ")
    : `${hostnames.slice(0, 2).join(", ")} + ${hostnames.length - 2} more...`;
}

/** `HTTPRoute/default/reviews` as istioctl names VirtualServices; nothing for a service's own route. */
function originText(origin: string): string {
  const [kind, namespace, name] = origin.split("/");
  if (kind === "Service" || kind === "ServiceEntry") return "";
  return name === undefined ? origin : `${name}.${namespace}`;
}

const route: ProxyView = {
  select(dump, filter) {
    const found = new Map<string, { name: string; virtualHosts: Set<VirtualHost> }>();
    for (const { name, virtualHost } of routes(dump, filter)) {
      let one = found.get(name);
      if (!one) found.set(name, one = { name, virtualHosts: new Set() });
      one.virtualHosts.add(virtualHost);
    }
    return [...found.values()].map(({ name, virtualHosts }) => ({ name, virtualHosts: [...virtualHosts] }));
  },
  table(dump, filter) {
    const rows = routes(dump, filter);
    if (!filter.verbose) {
      const counts = new Map<string, Set<string>>();
      for (const { name, virtualHost } of rows) {
        counts.set(name, (counts.get(name) ?? new Set()).add(virtualHost.name));
      }
      return formatTable(
        [["NAME", "VIRTUAL HOSTS"], ...[...counts].map(([name, hosts]) => [name, String(hosts.size)])],
        PADDING,
      );
    }
    const own = filter.name === undefined
      ? dump.ports.flatMap(({ use }) =>
        use === "readiness" ? ["/healthz/ready*"] : use === "stats" ? ["/stats/prometheus*"] : []
      ).map((match) => ["", "backend", "*", match, ""])
      : [];
    return formatTable([
      ["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"],
      ...rows.map(({ name, virtualHost, route }) => [
        name,
        virtualHost.name,
        domainsText(virtualHost.hostnames),
        pathText(route?.match.path),
        route === undefined ? "404" : originText(route.origin),
      ]),
      ...own,
    ], PADDING);
  },
};

// --- endpoints

function endpoints(dump: ProxyDump, { address, port, cluster, status }: ProxyFilter) {
  return dump.endpoints.filter(({ endpoint, cluster: of, status: is }) => {
    const colon = endpoint.lastIndexOf(":");
    return (address === undefined || endpoint.slice(0, colon).replace(/^\[|\]$/g, "") === address) &&
      (port === undefined || Number(endpoint.slice(colon + 1)) === port) &&
      (cluster === undefined || of.toLowerCase() === cluster.toLowerCase()) &&
      (status === undefined || is === status.toUpperCase());
  }).sort((a, b) => compare(a.endpoint, b.endpoint) || compare(a.cluster, b.cluster));
}

const endpoint: ProxyView = {
  select: endpoints,
  table: (dump, filter) =>
    formatTable([
      ["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"],
      ...endpoints(dump, filter).map(({ endpoint, status, outlierCheck, cluster }) => [
        endpoint,
        status,
        outlierCheck,
        cluster,
      ]),
    ], PADDING),
};

// --- secrets

interface SecretCertificate {
  readonly serialNumber: string;
  readonly validFrom: string;
  readonly expirationTime: string;
}

const secret: ProxyView = {
  select: (dump) => [...dump.certificates, ...dump.secrets],
  table(dump) {
    const rows = [["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"]];
    const add = (name: string, type: string, state: string, found: SecretCertificate | undefined) =>
      rows.push([
        name,
        type,
        state,
        found ? String(isValid(found)) : "false",
        found ? hex(found.serialNumber) : "",
        found?.expirationTime ?? "",
        found?.validFrom ?? "",
      ]);
    for (const { state, certChain, rootCerts } of dump.certificates) {
      const status = state === "Available" ? "ACTIVE" : state.startsWith("Initializing") ? "WARMING" : "UNAVAILABLE";
      add("default", "Cert Chain", status, certChain[0]);
      for (const root of rootCerts) add("ROOTCA", "CA", status, root);
    }
    for (const { name, certChain, ca } of dump.secrets) {
      if (certChain.length > 0) add(name, "Cert Chain", "ACTIVE", certChain[0]);
      for (const root of ca) add(`${name}-cacert`, "CA", "ACTIVE", root);
    }
    return rows.length > 1 ? formatTable(rows, PADDING) : "No active or warming secrets found.";
  },
};

function isValid({ validFrom, expirationTime }: SecretCertificate): boolean {
  const now = Date.now();
  return Date.parse(validFrom) <= now && now < Date.parse(expirationTime);
}

function hex(serial: string): string {
  return /^\d+$/.test(serial) ? BigInt(serial).toString(16) : serial;
}

// --- what the proxy was started with, and extensions

const bootstrap: ProxyView = {
  select: ({ node, mode, version, bootstrap }) => ({ node, mode, version, bootstrap }),
  table: ({ node, mode, version }) =>
    formatTable([
      ["Istio Version:", String(node.metadata.ISTIO_VERSION ?? version.version)],
      ["Proxy Version:", `${version.name}/${version.version} (${mode})`],
      ["Node:", node.id],
    ], 1),
};

/** The control plane sends extensions as part of what they belong to, so there are never any. */
const ecds: ProxyView = {
  select: () => ({ ecdsFilters: [] }),
  table: () => formatTable([["ECDS NAME", "TYPE"]], PADDING),
};

/** The parts of `proxy-config` by sub-command, in the order of `all`. */
export const PROXY_VIEWS = { bootstrap, cluster, listener, route, secret, endpoint, ecds } satisfies Record<
  string,
  ProxyView
>;

export type ProxyViewName = keyof typeof PROXY_VIEWS;

/** Headings of `all --with-headers`. */
export const PROXY_TITLES: Readonly<Record<ProxyViewName, string>> = {
  bootstrap: "BOOTSTRAP INFO",
  cluster: "CLUSTER INFO",
  listener: "LISTENER INFO",
  route: "ROUTE INFO",
  secret: "SECRET INFO",
  endpoint: "ENDPOINTS INFO",
  ecds: "ECDS INFO",
};
