// Exposition text and Kubernetes objects as the mesh has them, for tests of the console.

import type { Source } from "../../src/console/history.ts";
import { TrafficHistory } from "../../src/console/history.ts";
import type { Objects, PodFacts } from "../../src/console/objects.ts";
import { TRAFFIC_LABELS } from "../../src/telemetry/traffic_labels.ts";

/** What differs from one series to the next; everything else is `unknown`. */
export interface Told {
  readonly reporter: "source" | "destination" | "waypoint";
  /** `workload`, or `workload version`; in namespace default, with an account of the application's name. "" is unknown. */
  readonly from: string;
  readonly to: string;
  readonly service?: string;
  readonly protocol?: "tcp" | "http" | "grpc";
  readonly code?: string;
  readonly flags?: string;
  readonly mtls?: boolean;
  /** Whether the identity of the destination is named; as `mtls` when absent. */
  readonly named?: boolean;
}

const principal = (app: string) => `spiffe://cluster.local/ns/default/sa/${app}`;

function peer(side: "source" | "destination", text: string, named: boolean): Record<string, string> {
  if (text === "") return {};
  const [workload, version = "latest"] = text.split(" ");
  const app = workload.replace(/-v\d$/, "");
  return {
    [`${side}_workload`]: workload,
    [`${side}_canonical_service`]: app,
    [`${side}_canonical_revision`]: version,
    [`${side}_workload_namespace`]: "default",
    [`${side}_app`]: app,
    [`${side}_version`]: version,
    ...named ? { [`${side}_principal`]: principal(app) } : {},
  };
}

/** One line of a metric. */
export function line(metric: string, told: Told, value: number): string {
  const mtls = told.mtls ?? true;
  const labels: Record<string, string> = {
    ...Object.fromEntries(TRAFFIC_LABELS.map((name) => [name, "unknown"])),
    ...peer("source", told.from, mtls || told.reporter === "source" && told.protocol !== undefined),
    ...peer("destination", told.to, told.named ?? mtls),
    ...told.service
      ? {
        destination_service: `${told.service}.default.svc.cluster.local`,
        destination_service_namespace: "default",
        destination_service_name: told.service,
      }
      : {},
    reporter: told.reporter,
    request_protocol: told.protocol ?? "tcp",
    ...told.protocol ? { response_code: told.code ?? "200", grpc_response_status: "" } : {},
    response_flags: told.flags ?? "-",
    connection_security_policy: mtls && !(told.protocol && told.reporter === "source") ? "mutual_tls" : "unknown",
  };
  return `${metric}{${Object.entries(labels).map(([name, text]) => `${name}="${text}"`).join(",")}} ${value}`;
}

/** Connections as ztunnel counts them, all ended. */
export const connections = (told: Told, count: number): string =>
  [
    line("istio_tcp_connections_opened_total", { ...told, flags: "-" }, count),
    line("istio_tcp_connections_closed_total", told, count),
    line("istio_tcp_sent_bytes_total", { ...told, flags: "-" }, count * 1000),
    line("istio_tcp_received_bytes_total", { ...told, flags: "-" }, count * 100),
  ].join("\n");

/** Requests as waypoints and gateways count them, each of 8 ms. */
export const requests = (told: Told, count: number): string => {
  const http = { protocol: "http" as const, ...told };
  return [
    line("istio_requests_total", http, count),
    line("istio_request_duration_milliseconds_sum", http, count * 8),
    line("istio_request_duration_milliseconds_count", http, count),
  ].join("\n");
};

/** ztunnel's own account of refusals. */
export const refusal = (policy: string, from: string, to: string, count: number): string =>
  `ambientd_authorization_denied_total{policy="${policy}",source_principal="${
    from === "" ? "unknown" : principal(from)
  }",` +
  `destination_workload="${to}",destination_workload_namespace="default"} ${count}`;

export const ZTUNNEL: Source = { id: "z", kind: "ztunnel", proxy: "istio-system/ztunnel", startedAtMs: 0 };
export const WAYPOINT: Source = { id: "w", kind: "waypoint", proxy: "default/waypoint", startedAtMs: 0 };
export const GATEWAY: Source = { id: "g", kind: "gateway", proxy: "default/bookinfo-gateway-istio", startedAtMs: 0 };

/** When tests begin to look. */
export const START = 1_800_000_000_000;

/** A history that has read nothing from these proxies, and then, ten seconds later, this. */
export function historyOf(...told: [Source, string][]): TrafficHistory {
  const history = new TrafficHistory(START);
  for (const [source] of told) history.record(source, "", START);
  for (const [source, text] of told) history.record(source, text, START + 10_000);
  return history;
}

export function pod(workload: string, more: Partial<PodFacts> = {}): PodFacts {
  const app = workload.replace(/-v\d$/, ""), version = /v\d$/.exec(workload)?.[0];
  return {
    namespace: "default",
    name: `${workload}-0`,
    uid: `uid of ${workload}`,
    labels: { app, ...version ? { version } : {} },
    workload,
    serviceAccount: app,
    node: "n1",
    ip: "10.0.0.1",
    hostNetwork: false,
    running: true,
    ready: true,
    startedAtMs: 1,
    captured: true,
    sidecar: false,
    ...more,
  };
}

export const gatewayPod = (name: string, waypoint = false): PodFacts =>
  pod(name, {
    captured: false,
    labels: {
      "gateway.networking.k8s.io/gateway-name": name.replace(/-istio$/, ""),
      "gateway.istio.io/managed": waypoint ? "istio.io-mesh-controller" : "istio.io-gateway-controller",
    },
  });

/** Bookinfo, sleep and notsleep, with their Services and a gateway, in the mesh or out of it. */
export function bookinfo(captured: boolean, more: Partial<Objects> = {}): Objects {
  const names = [
    "productpage-v1",
    "details-v1",
    "reviews-v1",
    "reviews-v2",
    "reviews-v3",
    "ratings-v1",
    "sleep",
    "notsleep",
  ];
  const service = (app: string, selector: Record<string, string>, name = app) => ({
    namespace: "default",
    name,
    labels: {},
    selector,
  });
  return {
    pods: [...names.map((name) => pod(name, { captured })), gatewayPod("bookinfo-gateway-istio"), ...more.pods ?? []],
    services: [
      ...["productpage", "details", "reviews", "ratings", "sleep", "notsleep"].map((app) => service(app, { app })),
      service("reviews", { app: "reviews", version: "v1" }, "reviews-v1"),
    ],
    namespaces: more.namespaces ??
      [{ name: "default", labels: captured ? { "istio.io/dataplane-mode": "ambient" } : {} }],
    gateways: more.gateways ?? [],
    policies: more.policies ?? [],
    rootNamespace: "istio-system",
  };
}
