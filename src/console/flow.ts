// What Istio's standard metrics say about traffic: one flow is one set of labels, with its counters side by side.

import type { Series } from "./exposition.ts";

/** One end of a flow, as a proxy reported it; "" for what it did not know. */
export interface Peer {
  readonly namespace: string;
  readonly workload: string;
  readonly app: string;
  readonly version: string;
  /** `spiffe://…`, where mutual TLS proved it. */
  readonly principal: string;
}

/** Who saw the traffic: the client's proxy, the server's, or a waypoint between them. */
export type Reporter = "source" | "destination" | "waypoint";

/** A flow's labels; `protocol` is "tcp" exactly for what knows no requests. */
export interface Flow {
  readonly reporter: Reporter;
  readonly source: Peer;
  readonly destination: Peer;
  /** The Service that was addressed; empty where none was. */
  readonly service: { readonly hostname: string; readonly namespace: string; readonly name: string };
  readonly protocol: "tcp" | "http" | "grpc";
  /** HTTP status, "" for tcp and where there was none. */
  readonly code: string;
  readonly grpcStatus: string;
  /** "" where nothing went wrong. */
  readonly flags: string;
  readonly mutualTls: boolean;
  /** Not "" in ztunnel's own account of refusals: `namespace/name` of a policy that refused. Its `source` is a principal alone. */
  readonly policy: string;
}

/** Counters of a flow, in the order in which they are stored. */
export const COUNTERS = [
  "requests",
  "durationMs",
  "requestBytes",
  "responseBytes",
  "opened",
  "closed",
  "sent",
  "received",
  "refused",
] as const;
export type Counter = typeof COUNTERS[number];
export type Counts = Record<Counter, number>;

const METRICS: ReadonlyMap<string, Counter> = new Map([
  ["istio_requests_total", "requests"],
  ["istio_request_duration_milliseconds_sum", "durationMs"],
  ["istio_request_bytes_sum", "requestBytes"],
  ["istio_response_bytes_sum", "responseBytes"],
  ["istio_tcp_connections_opened_total", "opened"],
  ["istio_tcp_connections_closed_total", "closed"],
  ["istio_tcp_sent_bytes_total", "sent"],
  ["istio_tcp_received_bytes_total", "received"],
  // ambientd's ztunnel; others do not tell.
  ["ambientd_authorization_denied_total", "refused"],
]);

/** Whether a metric counts traffic. */
export function isTrafficMetric(name: string): boolean {
  return METRICS.has(name);
}

/** The flow that a series belongs to and which of its counters it is; undefined for series that do not say who talks to whom. */
export function flowOf({ name, labels }: Series): { flow: Flow; counter: Counter } | undefined {
  const counter = METRICS.get(name);
  const value = (label: string) => {
    const text = labels.get(label) ?? "";
    return text === "unknown" || text === "-" ? "" : text;
  };
  const peer = (side: "source" | "destination"): Peer => ({
    namespace: value(`${side}_workload_namespace`),
    workload: value(`${side}_workload`),
    app: value(`${side}_canonical_service`) || value(`${side}_app`),
    version: value(`${side}_canonical_revision`) || value(`${side}_version`),
    principal: value(`${side}_principal`),
  });
  const reporter = counter === "refused" ? "destination" : labels.get("reporter");
  const policy = counter === "refused" ? value("policy") : "";
  if (counter === undefined || (reporter !== "source" && reporter !== "destination" && reporter !== "waypoint")) {
    return undefined;
  }
  if (counter === "refused" && policy === "") return undefined;
  const protocol = value("request_protocol");
  const flow: Flow = {
    reporter,
    source: peer("source"),
    destination: peer("destination"),
    service: {
      hostname: value("destination_service"),
      namespace: value("destination_service_namespace"),
      name: value("destination_service_name"),
    },
    protocol: protocol === "http" || protocol === "grpc" ? protocol : "tcp",
    code: value("response_code"),
    grpcStatus: value("grpc_response_status"),
    flags: value("response_flags"),
    mutualTls: labels.get("connection_security_policy") === "mutual_tls",
    policy,
  };
  return { flow, counter };
}

/** Names a flow among those of one proxy. */
export function flowKey(flow: Flow): string {
  const { reporter, source, destination, service, protocol, code, grpcStatus, flags, mutualTls, policy } = flow;
  const peer = (p: Peer) => [p.namespace, p.workload, p.app, p.version, p.principal];
  return [
    reporter,
    ...peer(source),
    ...peer(destination),
    service.hostname,
    service.namespace,
    service.name,
    protocol,
    code,
    grpcStatus,
    flags,
    mutualTls ? "m" : "",
    policy,
  ].join("\u0000");
}
