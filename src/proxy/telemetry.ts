// One connection's account: its labels, its counters, and the one access-log line of this side at its end.

import { hostPort } from "../core/ip.ts";
import type { Baggage } from "../hbone/baggage.ts";
import type { Service, SpiffeId, Workload } from "../model/mod.ts";
import { bare, type LogFields, type Logger } from "../telemetry/logger.ts";
import type { Cell, Metric, Registry } from "../telemetry/metrics.ts";

/** How a connection ended, as `response_flags` shows it. */
export type ResponseFlag =
  | "-"
  | "DENY"
  | "CONNECT"
  | "TLS_FAILURE"
  | "H2_HANDSHAKE_FAILURE"
  | "NETWORK_POLICY"
  | "IDENTITY_ERROR";

export type Reporter = "source" | "destination";

export interface SocketPlace {
  readonly address: string;
  readonly port: number;
}

/** What is known when a connection opens. */
export interface ConnectionFacts {
  readonly reporter: Reporter;
  readonly source: SocketPlace;
  readonly sourceWorkload: Workload | undefined;
  /** Consulted where the source workload is not known. */
  readonly sourceBaggage?: Baggage;
  /** Identities are said only where mutual TLS proved them. */
  readonly sourceIdentity: SpiffeId | undefined;
  /** The next hop outbound; our own end inbound. */
  readonly destination: SocketPlace;
  /** The `:authority`, where the connection goes by HBONE. */
  readonly hboneTarget: string | undefined;
  readonly destinationWorkload: Workload | undefined;
  readonly destinationService: Service | undefined;
  readonly destinationIdentity: SpiffeId | undefined;
}

const LABELS = [
  "reporter",
  "source_workload",
  "source_canonical_service",
  "source_canonical_revision",
  "source_workload_namespace",
  "source_principal",
  "source_app",
  "source_version",
  "source_cluster",
  "destination_service",
  "destination_service_namespace",
  "destination_service_name",
  "destination_workload",
  "destination_canonical_service",
  "destination_canonical_revision",
  "destination_workload_namespace",
  "destination_principal",
  "destination_app",
  "destination_version",
  "destination_cluster",
  "request_protocol",
  "response_flags",
  "connection_security_policy",
  "source_region",
  "source_zone",
  "destination_region",
  "destination_zone",
] as const;
const FLAG_AT = LABELS.indexOf("response_flags");

const orUnknown = (value: string | undefined): string => value === undefined || value === "" ? "unknown" : value;

/** Label values in the order of {@linkcode LABELS}, response flag `-`. */
function labelsOf(facts: ConnectionFacts): string[] {
  const source = facts.sourceWorkload, baggage = source ? undefined : facts.sourceBaggage;
  const name = source?.canonicalName ?? baggage?.serviceName;
  const revision = source?.canonicalRevision ?? baggage?.revision;
  const destination = facts.destinationWorkload, service = facts.destinationService;
  const values = [
    facts.reporter,
    source?.workloadName ?? baggage?.workloadName,
    name,
    revision,
    source?.namespace ?? baggage?.namespace,
    facts.sourceIdentity,
    name,
    revision,
    source?.clusterId ?? baggage?.clusterId,
    service?.hostname,
    service?.namespace,
    service?.name,
    destination?.workloadName,
    destination?.canonicalName,
    destination?.canonicalRevision,
    destination?.namespace,
    facts.destinationIdentity,
    destination?.canonicalName,
    destination?.canonicalRevision,
    destination?.clusterId,
    "tcp",
    "-",
    facts.sourceIdentity !== undefined || facts.destinationIdentity !== undefined ? "mutual_tls" : "unknown",
    source?.locality?.region ?? baggage?.region,
    source?.locality?.zone ?? baggage?.zone,
    destination?.locality?.region,
    destination?.locality?.zone,
  ];
  return values.map(orUnknown);
}

/** The cells of one combination of labels. */
interface TrafficCells {
  readonly opened: Cell;
  readonly received: Cell;
  readonly sent: Cell;
  /** Made by the first connection that ends. */
  closed?: Cell;
}

/** Combinations whose cells are remembered; a mesh with more finds them by their labels each time. */
const SERIES_REMEMBERED = 10_000;

/** The counters of ztunnel's traffic. */
export class TrafficMetrics {
  readonly #series = new Map<string, TrafficCells>();
  readonly opened: Metric<Cell>;
  readonly closed: Metric<Cell>;
  readonly received: Metric<Cell>;
  readonly sent: Metric<Cell>;
  readonly failed: Metric<Cell>;
  readonly sockets: Metric<Cell>;
  readonly open = new Set<ConnectionAccount>();

  constructor(registry: Registry) {
    const counter = (name: string, help: string) => registry.counter(name, help, LABELS);
    this.opened = counter("istio_tcp_connections_opened_total", "The total number of TCP connections opened");
    this.closed = counter("istio_tcp_connections_closed_total", "The total number of TCP connections closed");
    this.received = counter("istio_tcp_received_bytes_total", "The size of total bytes received during request");
    this.sent = counter("istio_tcp_sent_bytes_total", "The size of total bytes sent during response");
    this.failed = counter("istio_tcp_connections_failed_total", "The total number of TCP connections that failed");
    this.sockets = registry.gauge("istio_tcp_sockets_open", "The current number of open TCP sockets", ["reporter"]);
    // Bytes of connections that go on for hours must not wait for their end.
    registry.onCollect(() => this.open.forEach((account) => account.flush()));
  }

  /** All cells of a combination by one look-up: the labels are long, and every connection asks. */
  cells(labels: readonly string[]): TrafficCells {
    const key = labels.join("\u0000");
    let cells = this.#series.get(key);
    if (!cells) {
      cells = {
        opened: this.opened.with(...labels),
        received: this.received.with(...labels),
        sent: this.sent.with(...labels),
      };
      if (this.#series.size < SERIES_REMEMBERED) this.#series.set(key, cells);
    }
    return cells;
  }
}

/** Bytes so far: from the client towards the server, and back. */
export interface ByteCount {
  readonly toServer: number;
  readonly toClient: number;
}

const NO_BYTES: ByteCount = { toServer: 0, toClient: 0 };

/** Counts and logs one connection; `close()` once, when it has ended or never came about. */
export class ConnectionAccount {
  readonly facts: ConnectionFacts;
  readonly #labels: string[];
  readonly #metrics: TrafficMetrics;
  readonly #log: Logger;
  readonly #startMs: number;
  readonly #cells: TrafficCells;
  #counted: ByteCount = NO_BYTES;
  #bytes: (() => ByteCount) | undefined;
  #closed = false;

  /** @param log the logger of scope `access` */
  constructor(facts: ConnectionFacts, metrics: TrafficMetrics, log: Logger, startMs: number = performance.now()) {
    this.facts = facts;
    this.#metrics = metrics;
    this.#log = log;
    this.#startMs = startMs;
    this.#labels = labelsOf(facts);
    this.#cells = metrics.cells(this.#labels);
    this.#cells.opened.inc();
    metrics.sockets.with(facts.reporter).inc();
    metrics.open.add(this);
    if (log.enabled("debug")) log.debug("connection opened", this.#fields());
  }

  /** Where the bytes so far can be read while the connection is open. */
  watch(bytes: () => ByteCount): void {
    this.#bytes = bytes;
  }

  /** Brings the byte counters up to date. */
  flush(): void {
    if (this.#bytes) this.#count(this.#bytes());
  }

  #count(now: ByteCount): void {
    this.#cells.received.inc(now.toServer - this.#counted.toServer);
    this.#cells.sent.inc(now.toClient - this.#counted.toClient);
    this.#counted = now;
  }

  /** @param error what went wrong, in ztunnel's words; undefined for an orderly end */
  close(flag: ResponseFlag, error?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.flush();
    this.#bytes = undefined;
    const metrics = this.#metrics;
    metrics.open.delete(this);
    metrics.sockets.with(this.facts.reporter).inc(-1);
    if (flag === "-") (this.#cells.closed ??= metrics.closed.with(...this.#labels)).inc();
    else {
      const labels = this.#labels.with(FLAG_AT, flag);
      metrics.closed.with(...labels).inc();
      metrics.failed.with(...labels).inc();
    }
    const level = error === undefined ? "info" : "error";
    if (!this.#log.enabled(level)) return;
    const inbound = this.facts.reporter === "destination";
    const { toServer, toClient } = this.#counted;
    this.#log.log(level, "connection complete", {
      ...this.#fields(),
      bytes_sent: inbound ? toClient : toServer,
      bytes_recv: inbound ? toServer : toClient,
      duration: `${Math.round(performance.now() - this.#startMs)}ms`,
      error,
    });
  }

  #fields(): LogFields {
    const facts = this.facts, source = facts.sourceWorkload, destination = facts.destinationWorkload;
    const baggage = source ? undefined : facts.sourceBaggage;
    return {
      "src.addr": bare(hostPort(facts.source.address, facts.source.port)),
      "src.workload": some(source?.name) ?? some(source?.canonicalName) ?? some(baggage?.workloadName),
      "src.namespace": some(source?.namespace) ?? some(baggage?.namespace),
      "src.identity": facts.sourceIdentity,
      "src.cluster": some(source?.clusterId) ?? some(baggage?.clusterId),
      "dst.addr": bare(hostPort(facts.destination.address, facts.destination.port)),
      "dst.hbone_addr": facts.hboneTarget === undefined ? undefined : bare(facts.hboneTarget),
      "dst.service": facts.destinationService?.hostname,
      "dst.workload": some(destination?.name) ?? some(destination?.canonicalName),
      "dst.namespace": some(destination?.namespace),
      "dst.identity": facts.destinationIdentity,
      "dst.cluster": some(destination?.clusterId),
      direction: facts.reporter === "destination" ? "inbound" : "outbound",
    };
  }
}

function some(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

/** A connection refused before anything was known about its ends beyond their addresses. */
export function logEarlyFailure(
  log: Logger,
  reporter: Reporter,
  source: SocketPlace,
  destination: SocketPlace,
  error: string,
): void {
  log.warn("connection failed", {
    "src.addr": bare(hostPort(source.address, source.port)),
    "dst.addr": bare(hostPort(destination.address, destination.port)),
    direction: reporter === "destination" ? "inbound" : "outbound",
    error,
  });
}
