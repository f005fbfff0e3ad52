// The flows of one edge, added up. The same traffic is told by several proxies: the best witness is believed, the others are not added.

import type { Reporter } from "./flow.ts";
import type { GraphEdge, HttpTraffic, Outcome, Refuser, TcpTraffic } from "./graph_model.ts";
import type { ActiveFlow } from "./history.ts";
import type { PolicyRef } from "./workloads.ts";

interface HttpSum {
  requests: number;
  grpc: number;
  durationMs: number;
  errors: number;
  denied: number;
  secure: number;
  readonly outcomes: Map<string, Outcome>;
}

interface TcpSum {
  opened: number;
  sent: number;
  received: number;
  failed: number;
  denied: number;
  secure: number;
  plain: number;
  readonly outcomes: Map<string, Outcome>;
}

const newHttp = (): HttpSum => ({
  requests: 0,
  grpc: 0,
  durationMs: 0,
  errors: 0,
  denied: 0,
  secure: 0,
  outcomes: new Map(),
});
const newTcp = (): TcpSum => ({
  opened: 0,
  sent: 0,
  received: 0,
  failed: 0,
  denied: 0,
  secure: 0,
  plain: 0,
  outcomes: new Map(),
});

/** ztunnel's flag for what policy refused. */
const DENY = "DENY";
/** Names kept for one edge; there are few, unless somebody makes them up. */
const MAX_NAMES = 16;

function count(outcomes: Map<string, Outcome>, name: string, kind: Outcome["kind"], by: number): void {
  const known = outcomes.get(name);
  if (!known && outcomes.size >= MAX_NAMES) return;
  outcomes.set(name, { name, kind, rate: (known?.rate ?? 0) + by });
}

export class EdgeSum {
  readonly #http = new Map<Reporter, HttpSum>();
  readonly #tcp = new Map<Reporter, TcpSum>();
  readonly #sources = new Set<string>();
  readonly #targets = new Set<string>();
  readonly #waypoints = new Set<string>();
  readonly #services = new Set<string>();

  add({ flow, waypoint, counts }: ActiveFlow): void {
    note(this.#sources, flow.source.principal);
    note(this.#targets, flow.destination.principal);
    note(this.#waypoints, waypoint);
    note(this.#services, flow.service.hostname);
    if (flow.protocol === "tcp") this.#addTcp(flow.reporter, flow.flags, flow.mutualTls, counts);
    else this.#addHttp({ flow, waypoint, counts });
  }

  #addHttp({ flow, counts }: ActiveFlow): void {
    let sum = this.#http.get(flow.reporter);
    if (!sum) this.#http.set(flow.reporter, sum = newHttp());
    const { requests } = counts, { code, grpcStatus, flags } = flow;
    sum.requests += requests;
    sum.durationMs += counts.durationMs;
    if (flow.protocol === "grpc") sum.grpc += requests;
    const reached = flow.destination.workload !== "";
    // Policy answers 403 (gRPC: 7) and calls nobody. A backend's own 403 is its answer, not a refusal of the mesh.
    const refused = !reached && (code === "403" || grpcStatus === "7");
    const failed = !refused &&
      (/^5/.test(code) || code === "0" || code === "" || (grpcStatus !== "" && grpcStatus !== "0"));
    if (refused) sum.denied += requests;
    if (failed) sum.errors += requests;
    // Sources never claim mutual TLS of themselves (Istio): that they name whom they reached says so.
    const secure = flow.reporter === "source"
      ? flow.destination.principal !== ""
      : flow.mutualTls && (!reached || flow.destination.principal !== "");
    if (secure) sum.secure += requests;
    const status = grpcStatus !== "" ? `gRPC ${grpcStatus}` : code === "" || code === "0" ? "no answer" : code;
    count(
      sum.outcomes,
      flags === "" ? status : `${status} ${flags}`,
      refused ? "refused" : failed ? "failed" : "ok",
      requests,
    );
  }

  #addTcp(reporter: Reporter, flags: string, mutualTls: boolean, counts: ActiveFlow["counts"]): void {
    let sum = this.#tcp.get(reporter);
    if (!sum) this.#tcp.set(reporter, sum = newTcp());
    sum.opened += counts.opened;
    sum.sent += counts.sent;
    sum.received += counts.received;
    // Connections that stay open are there too, though none is new.
    const weight = counts.opened + counts.closed > 0 ? counts.opened + counts.closed : 1e-9;
    if (mutualTls) sum.secure += weight;
    else sum.plain += weight;
    if (flags === DENY) sum.denied += counts.closed;
    else if (flags !== "") sum.failed += counts.closed;
    const kind = flags === DENY ? "refused" : flags === "" ? "ok" : "failed";
    if (counts.closed > 0) count(sum.outcomes, flags === "" ? "closed" : flags, kind, counts.closed);
  }

  /** The edge; undefined when nothing is left of it. */
  edge(of: {
    readonly id: string;
    readonly source: string;
    readonly target: string;
    readonly seconds: number;
    /** Policies that apply to the target. */
    readonly policies: readonly PolicyRef[];
    /** Policies that its proxy says have refused one of these identities. */
    readonly refusers: (principals: readonly string[]) => readonly PolicyRef[];
  }): GraphEdge | undefined {
    const { id, source, target, seconds } = of;
    const http = this.#http.get("destination") ?? this.#http.get("waypoint") ?? this.#http.get("source");
    const server = this.#tcp.get("destination"), client = this.#tcp.get("source");
    const tcp = server ?? client;
    if (http === undefined && tcp === undefined) return undefined;
    // A client sees a refusal as a failure; what failed beyond that never reached the server's proxy.
    const unseen = server && client ? Math.max(0, client.failed - server.denied - server.failed) : 0;
    const failures = (tcp?.failed ?? 0) + unseen;
    const tcpDenied = tcp?.denied ?? 0;
    const denied = ((http?.denied ?? 0) + tcpDenied) / seconds;
    const total = http && http.requests > 0 ? http.requests : tcp ? Math.max(tcp.opened, tcpDenied + failures) : 0;
    const bad = http && http.requests > 0 ? http.errors : failures;
    const secureShare = http && http.requests > 0
      ? http.secure / http.requests
      : tcp && tcp.secure + tcp.plain > 0
      ? tcp.secure / (tcp.secure + tcp.plain)
      : 0;
    const mtlsShare = secureShare > 0.9999 ? 1 : secureShare < 0.0001 ? 0 : secureShare;
    return {
      id,
      source,
      target,
      mtls: mtlsShare === 1,
      mtlsShare,
      http: http && httpTraffic(http, seconds),
      tcp: tcp && tcpTraffic(tcp, failures, seconds),
      sourcePrincipals: [...this.#sources].sort(),
      targetPrincipals: [...this.#targets].sort(),
      waypoints: [...this.#waypoints].sort(),
      services: [...this.#services].sort(),
      denied,
      deniedBy: this.#deniedBy(of, (http?.denied ?? 0) > 0, tcpDenied > 0),
      health: health(total, bad, denied * seconds),
      rate: total / seconds,
      share: undefined,
    };
  }

  #deniedBy(of: Parameters<EdgeSum["edge"]>[0], requests: boolean, connections: boolean): Refuser[] {
    const named = connections ? of.refusers([...this.#sources]) : [];
    const maybe = of.policies.filter(({ at }) => at === "waypoint" ? requests : connections && named.length === 0);
    return [
      ...named.map((policy) => ({ ...policy, certain: true })),
      ...maybe.map((policy) => ({ ...policy, certain: false })),
    ];
  }
}

function note(names: Set<string>, name: string): void {
  if (name !== "" && names.size < MAX_NAMES) names.add(name);
}

function health(total: number, bad: number, denied: number): GraphEdge["health"] {
  if (denied > 0 && denied >= total / 2) return "denied";
  if (bad > 0 && bad >= total / 5) return "failing";
  return bad > 0 || denied > 0 ? "degraded" : "ok";
}

function outcomes(found: ReadonlyMap<string, Outcome>, seconds: number): Outcome[] {
  return [...found.values()].map((one) => ({ ...one, rate: one.rate / seconds }))
    .sort((a, b) => b.rate - a.rate || (a.name < b.name ? -1 : 1));
}

function httpTraffic(sum: HttpSum, seconds: number): HttpTraffic {
  return {
    protocol: sum.grpc > sum.requests / 2 ? "grpc" : "http",
    requests: sum.requests / seconds,
    errors: sum.errors / seconds,
    meanMs: sum.requests > 0 ? sum.durationMs / sum.requests : undefined,
    outcomes: outcomes(sum.outcomes, seconds),
  };
}

function tcpTraffic(sum: TcpSum, failures: number, seconds: number): TcpTraffic {
  return {
    connections: sum.opened / seconds,
    failures: failures / seconds,
    bytesSent: sum.sent / seconds,
    bytesReceived: sum.received / seconds,
    outcomes: outcomes(sum.outcomes, seconds),
  };
}
