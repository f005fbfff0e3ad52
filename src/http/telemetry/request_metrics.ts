// istio_requests_total and its family.

import type { Cell, HistogramCell, Metric, Registry } from "../../telemetry/metrics.ts";
import type { Downstream } from "../exchange/downstream.ts";
import type { RequestRecord } from "../exchange/record.ts";
import type { ListenerRuntime } from "../exchange/runtime.ts";
import type { ProxySelf } from "../exchange/self.ts";
import type { Cluster, Host } from "../upstream/mod.ts";
import { TRAFFIC_LABELS } from "../../telemetry/traffic_labels.ts";
import { securityPolicy, trafficLabels } from "./labels.ts";

const REQUEST_LABELS = [
  ...TRAFFIC_LABELS,
  "request_protocol",
  "response_code",
  "grpc_response_status",
  "response_flags",
  "connection_security_policy",
];
const MESSAGE_LABELS = REQUEST_LABELS.slice(0, -1);
const TCP_LABELS = [...TRAFFIC_LABELS, "request_protocol", "response_flags", "connection_security_policy"];

/** Milliseconds, and bytes: Envoy's default buckets for both. */
const BUCKETS = [
  0.5,
  1,
  5,
  10,
  25,
  50,
  100,
  250,
  500,
  1000,
  2500,
  5000,
  10_000,
  30_000,
  60_000,
  300_000,
  600_000,
  1_800_000,
  3_600_000,
];

/** Pairs of client and host whose series are at hand; a mesh with more finds them by their labels again. */
const PAIRS_REMEMBERED = 10_000;
/** Hosts that one connection remembers. */
const HOSTS_REMEMBERED = 64;

/** The cells of one kind of outcome between a client and a host. */
interface RequestCells {
  readonly requests: Cell;
  readonly duration: HistogramCell;
  readonly requestBytes: HistogramCell;
  readonly responseBytes: HistogramCell;
  readonly labels: readonly string[];
  requestMessages: Cell | null;
  responseMessages: Cell | null;
}

/** The series between one client workload and one backend. */
class Pair {
  /** Plain outcomes by status; what has flags or speaks gRPC by a key of its own. */
  readonly plain = new Map<number, RequestCells>();
  readonly other = new Map<string, RequestCells>();
  opened: Cell | null = null;
  constructor(readonly labels: readonly string[], readonly policy: string) {}
}

/** What a connection remembers of a host; looked up again when the host is described anew. */
interface Remembered {
  readonly pair: Pair;
  readonly spec: unknown;
  readonly cluster: Cluster | null;
}

/** What a TCP connection has carried so far. */
export interface TcpTraffic {
  readonly cluster: Cluster | null;
  readonly host: Host | null;
  readonly bytesReceived: number;
  readonly bytesSent: number;
}

/** A TCP connection that has reached its host. */
export interface TcpOpen {
  readonly runtime: ListenerRuntime;
  readonly downstream: Downstream;
  /** Lives as long as the connection. */
  readonly traffic: TcpTraffic;
}

/** The account of an open TCP connection: bytes are counted while it is open, or hours of them would come at once. */
class TcpAccount {
  #counted: { received: number; sent: number } = { received: 0, sent: 0 };
  constructor(readonly pair: Pair, readonly received: Cell, readonly sent: Cell) {}

  count({ bytesReceived, bytesSent }: TcpTraffic): void {
    this.received.inc(bytesReceived - this.#counted.received);
    this.sent.inc(bytesSent - this.#counted.sent);
    this.#counted = { received: bytesReceived, sent: bytesSent };
  }
}

export class RequestMetrics {
  readonly #self: () => ProxySelf;
  readonly #pairs = new Map<string, Pair>();
  readonly #requests: Metric<Cell>;
  readonly #duration: Metric<HistogramCell>;
  readonly #requestBytes: Metric<HistogramCell>;
  readonly #responseBytes: Metric<HistogramCell>;
  readonly #requestMessages: Metric<Cell>;
  readonly #responseMessages: Metric<Cell>;
  readonly #opened: Metric<Cell>;
  readonly #closed: Metric<Cell>;
  readonly #received: Metric<Cell>;
  readonly #sent: Metric<Cell>;
  /** One connection each. */
  readonly #tcp = new Map<Downstream, { readonly open: TcpOpen; readonly account: TcpAccount }>();
  /** By connection: found again without building labels. */
  #remembered = new WeakMap<Downstream, Map<Host | Cluster | ListenerRuntime, Remembered>>();

  constructor(registry: Registry, self: () => ProxySelf) {
    this.#self = self;
    const counter = (name: string, help: string, labels: readonly string[]) => registry.counter(name, help, labels);
    const histogram = (name: string, help: string) => registry.histogram(name, help, BUCKETS, REQUEST_LABELS);
    this.#requests = counter("istio_requests_total", "The total number of requests", REQUEST_LABELS);
    this.#duration = histogram("istio_request_duration_milliseconds", "How long requests took");
    this.#requestBytes = histogram("istio_request_bytes", "The size of requests");
    this.#responseBytes = histogram("istio_response_bytes", "The size of responses");
    this.#requestMessages = counter("istio_request_messages_total", "gRPC messages sent by clients", MESSAGE_LABELS);
    this.#responseMessages = counter("istio_response_messages_total", "gRPC messages sent by servers", MESSAGE_LABELS);
    this.#opened = counter(
      "istio_tcp_connections_opened_total",
      "The total number of TCP connections opened",
      TCP_LABELS,
    );
    this.#closed = counter(
      "istio_tcp_connections_closed_total",
      "The total number of TCP connections closed",
      TCP_LABELS,
    );
    this.#received = counter(
      "istio_tcp_received_bytes_total",
      "The size of total bytes received during request",
      TCP_LABELS,
    );
    registry.onCollect(() => this.#tcp.forEach(({ open, account }) => account.count(open.traffic)));
    this.#sent = counter("istio_tcp_sent_bytes_total", "The size of total bytes sent during response", TCP_LABELS);
  }

  observe(record: RequestRecord): void {
    const pair = this.#pair(record.downstream, record.runtime, record.cluster, record.upstreamHost);
    const { responseStatus, flags, grpc } = record;
    let cells: RequestCells | undefined;
    if (flags === "" && !grpc) {
      cells = pair.plain.get(responseStatus);
      if (cells === undefined) {
        pair.plain.set(responseStatus, cells = this.#cells(pair, "http", responseStatus, "", "-"));
      }
    } else {
      const grpcStatus = grpc && record.grpcStatus >= 0 ? String(record.grpcStatus) : "";
      const key = `${responseStatus} ${flags} ${grpc} ${grpcStatus}`;
      cells = pair.other.get(key);
      if (cells === undefined) {
        cells = this.#cells(pair, grpc ? "grpc" : "http", responseStatus, grpcStatus, flags === "" ? "-" : flags);
        pair.other.set(key, cells);
      }
    }
    cells.requests.inc();
    cells.duration.observe(record.durationMs);
    cells.requestBytes.observe(record.bytesReceived);
    cells.responseBytes.observe(record.bytesSent);
    if (grpc) this.#messages(cells, record);
  }

  #messages(cells: RequestCells, record: RequestRecord): void {
    const labels = cells.labels.slice(0, -1);
    cells.requestMessages ??= this.#requestMessages.with(...labels);
    cells.responseMessages ??= this.#responseMessages.with(...labels);
    cells.requestMessages.inc(record.requestMessages);
    cells.responseMessages.inc(record.responseMessages);
  }

  #cells(pair: Pair, protocol: string, status: number, grpcStatus: string, flags: string): RequestCells {
    const labels = [...pair.labels, protocol, String(status), grpcStatus, flags, pair.policy];
    return {
      requests: this.#requests.with(...labels),
      duration: this.#duration.with(...labels),
      requestBytes: this.#requestBytes.with(...labels),
      responseBytes: this.#responseBytes.with(...labels),
      labels,
      requestMessages: null,
      responseMessages: null,
    };
  }

  #pair(downstream: Downstream, runtime: ListenerRuntime, cluster: Cluster | null, host: Host | null): Pair {
    let hosts = this.#remembered.get(downstream);
    if (hosts === undefined) this.#remembered.set(downstream, hosts = new Map());
    const key = host ?? cluster ?? runtime;
    const spec = host === null ? null : host.spec;
    const known = hosts.get(key);
    if (known !== undefined && known.spec === spec && known.cluster === cluster) return known.pair;
    const pair = this.#pairByLabels(downstream, runtime, cluster, host);
    if (hosts.size >= HOSTS_REMEMBERED) hosts.clear();
    hosts.set(key, { pair, spec, cluster });
    return pair;
  }

  #pairByLabels(downstream: Downstream, runtime: ListenerRuntime, cluster: Cluster | null, host: Host | null): Pair {
    const labels = trafficLabels(this.#self(), downstream, runtime, cluster, host);
    const policy = securityPolicy(downstream);
    const key = `${policy}\u0000${labels.join("\u0000")}`;
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      pair = new Pair(labels, policy);
      if (this.#pairs.size < PAIRS_REMEMBERED) this.#pairs.set(key, pair);
    }
    return pair;
  }

  /** A TCP connection has reached its host. */
  openTcp(open: TcpOpen): void {
    this.#tcp.set(open.downstream, { open, account: this.#account(open) });
  }

  #account({ downstream, runtime, traffic }: TcpOpen): TcpAccount {
    const pair = this.#pair(downstream, runtime, traffic.cluster, traffic.host);
    const labels = [...pair.labels, "tcp", "-", pair.policy];
    this.#opened.with(...labels).inc();
    return new TcpAccount(pair, this.#received.with(...labels), this.#sent.with(...labels));
  }

  /** A TCP connection that was let in is over; one that never reached a host is counted now as opened and closed. */
  closeTcp(closed: TcpOpen, flag: string): void {
    const account = this.#tcp.get(closed.downstream)?.account ?? this.#account(closed);
    this.#tcp.delete(closed.downstream);
    account.count(closed.traffic);
    this.#closed.with(...account.pair.labels, "tcp", flag === "" ? "-" : flag, account.pair.policy).inc();
  }
}
