// What the connections between two workloads have in common: labels, counters, and the unchanging parts of their log lines.

import { orUnknown, TRAFFIC_LABELS } from "../telemetry/traffic_labels.ts";
import type { Baggage } from "../hbone/baggage.ts";
import type { Service, SpiffeId, Workload } from "../model/mod.ts";
import { formatFields, type LogFields } from "../telemetry/logger.ts";
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
  ...TRAFFIC_LABELS,
  "request_protocol",
  "response_flags",
  "connection_security_policy",
  "source_region",
  "source_zone",
  "destination_region",
  "destination_zone",
] as const;
const FLAG_AT = LABELS.indexOf("response_flags");

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

/** Log fields of the source, after its address. */
export function sourceFields(facts: ConnectionFacts): LogFields {
  const source = facts.sourceWorkload, baggage = source ? undefined : facts.sourceBaggage;
  return {
    "src.workload": some(source?.name) ?? some(source?.canonicalName) ?? some(baggage?.workloadName),
    "src.namespace": some(source?.namespace) ?? some(baggage?.namespace),
    "src.identity": facts.sourceIdentity,
    "src.cluster": some(source?.clusterId) ?? some(baggage?.clusterId),
  };
}

/** Log fields of the destination, after its addresses. */
export function destinationFields(facts: ConnectionFacts): LogFields {
  const destination = facts.destinationWorkload;
  return {
    "dst.service": facts.destinationService?.hostname,
    "dst.workload": some(destination?.name) ?? some(destination?.canonicalName),
    "dst.namespace": some(destination?.namespace),
    "dst.identity": facts.destinationIdentity,
    "dst.cluster": some(destination?.clusterId),
    direction: facts.reporter === "destination" ? "inbound" : "outbound",
  };
}

function some(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

/** The counters of one combination of labels. */
interface TrafficCells {
  readonly opened: Cell;
  readonly received: Cell;
  readonly sent: Cell;
  /** Made by the first connection that ends. */
  closed?: Cell;
}

/** What all connections with the same facts, addresses aside, share. */
export class Traffic {
  readonly #metrics: TrafficMetrics;
  readonly #labels: readonly string[];
  readonly cells: TrafficCells;
  /** `src.workload="…" …`, each field with a space before it. */
  readonly sourceText: string;
  readonly destinationText: string;

  constructor(metrics: TrafficMetrics, readonly facts: ConnectionFacts) {
    this.#metrics = metrics;
    this.#labels = labelsOf(facts);
    this.cells = metrics.cells(this.#labels);
    this.sourceText = spaced(formatFields(sourceFields(facts)));
    this.destinationText = spaced(formatFields(destinationFields(facts)));
  }

  /** Whether these are the facts of `other`, which has the same workloads at both ends. */
  covers(other: ConnectionFacts): boolean {
    const facts = this.facts;
    return facts.reporter === other.reporter && facts.destinationService === other.destinationService &&
      facts.sourceIdentity === other.sourceIdentity && facts.destinationIdentity === other.destinationIdentity;
  }

  /** Counts the end of a connection. */
  countClosed(flag: ResponseFlag): void {
    const { closed, failed } = this.#metrics;
    if (flag === "-") return (this.cells.closed ??= closed.with(...this.#labels)).inc();
    const labels = this.#labels.with(FLAG_AT, flag);
    closed.with(...labels).inc();
    failed.with(...labels).inc();
  }
}

function spaced(text: string): string {
  return text === "" ? "" : " " + text;
}

/** Combinations whose cells are remembered; a mesh with more finds them by their labels each time. */
const SERIES_REMEMBERED = 10_000;
/** Combinations remembered for two workloads: their services and identities seldom make more than two. */
const PER_PAIR = 16;

/** Stands for a workload that is not known, as a key. */
const UNKNOWN = {};

/** The counters of ztunnel's traffic. */
export class TrafficMetrics {
  readonly #series = new Map<string, TrafficCells>();
  /** By source and destination; forgotten with the workloads when xDS replaces them. */
  readonly #pairs = new WeakMap<object, WeakMap<object, Traffic[]>>();
  readonly opened: Metric<Cell>;
  readonly closed: Metric<Cell>;
  readonly received: Metric<Cell>;
  readonly sent: Metric<Cell>;
  readonly failed: Metric<Cell>;
  readonly #sockets: Metric<Cell>;
  readonly #socketCells: Partial<Record<Reporter, Cell>> = {};
  /** Accounts that are open. */
  readonly open = new Set<{ flush(): void }>();

  constructor(registry: Registry) {
    const counter = (name: string, help: string) => registry.counter(name, help, LABELS);
    this.opened = counter("istio_tcp_connections_opened_total", "The total number of TCP connections opened");
    this.closed = counter("istio_tcp_connections_closed_total", "The total number of TCP connections closed");
    this.received = counter("istio_tcp_received_bytes_total", "The size of total bytes received during request");
    this.sent = counter("istio_tcp_sent_bytes_total", "The size of total bytes sent during response");
    this.failed = counter("istio_tcp_connections_failed_total", "The total number of TCP connections that failed");
    this.#sockets = registry.gauge("istio_tcp_sockets_open", "The current number of open TCP sockets", ["reporter"]);
    // Bytes of connections that go on for hours must not wait for their end.
    registry.onCollect(() => this.open.forEach((account) => account.flush()));
  }

  /** The gauge of open connections. */
  sockets(reporter: Reporter): Cell {
    return this.#socketCells[reporter] ??= this.#sockets.with(reporter);
  }

  /** What is shared with earlier connections of the same kind: every connection asks. */
  traffic(facts: ConnectionFacts): Traffic {
    // Claims of a peer are seldom the same object twice.
    if (facts.sourceBaggage !== undefined) return new Traffic(this, facts);
    const source = facts.sourceWorkload ?? UNKNOWN, destination = facts.destinationWorkload ?? UNKNOWN;
    let ofSource = this.#pairs.get(source);
    if (!ofSource) this.#pairs.set(source, ofSource = new WeakMap());
    let known = ofSource.get(destination);
    if (!known) ofSource.set(destination, known = []);
    for (const traffic of known) if (traffic.covers(facts)) return traffic;
    const made = new Traffic(this, facts);
    if (known.length >= PER_PAIR) known.shift();
    known.push(made);
    return made;
  }

  /** All cells of a combination by one look-up. */
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
