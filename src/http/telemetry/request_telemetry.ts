// What is told of requests: metrics always, the access log and spans where the configuration asks for them.

import type { L7Settings } from "../../model/mod.ts";
import type { Reactor, SocketAddress } from "../../net/mod.ts";
import type { L7Decision } from "../../policy/http.ts";
import { Logger } from "../../telemetry/logger.ts";
import type { Cell, Metric, Registry } from "../../telemetry/metrics.ts";
import type { Downstream } from "../exchange/downstream.ts";
import type { ExchangeObserver } from "../exchange/exchanges.ts";
import type { RequestRecord, TraceContext } from "../exchange/record.ts";
import type { ListenerRuntime } from "../exchange/runtime.ts";
import type { ProxySelf } from "../exchange/self.ts";
import type { RequestHead } from "../message.ts";
import type { TcpOutcome } from "../tcp_proxy.ts";
import type { Cluster, Host } from "../upstream/mod.ts";
import { AccessLog, type LogWriter } from "./access_log.ts";
import { RequestMetrics, type TcpOpen } from "./request_metrics.ts";
import { Tracer } from "./tracing.ts";

export interface RequestTelemetryOptions {
  readonly reactor: Reactor;
  readonly registry: Registry;
  readonly self: () => ProxySelf;
  readonly logger?: Logger;
  /** Where access log lines go; standard output. */
  readonly write?: LogWriter;
  readonly random?: () => number;
}

/** One finished TCP connection. */
export interface TcpReport {
  readonly runtime: ListenerRuntime;
  readonly downstream: Downstream;
  readonly decision: L7Decision;
  /** undefined when policy refused the connection. */
  readonly outcome: TcpOutcome | undefined;
}

/** Observes every request and connection of a proxy. */
export class RequestTelemetry implements ExchangeObserver {
  readonly metrics: RequestMetrics;
  readonly accessLog: AccessLog;
  readonly #options: RequestTelemetryOptions;
  readonly #logger: Logger;
  #tracer: Tracer | null = null;
  readonly #noted: Metric<Cell>;
  readonly #closing = new Set<Promise<void>>();

  constructor(options: RequestTelemetryOptions) {
    this.#options = options;
    this.#logger = options.logger ?? new Logger("telemetry");
    this.#noted = options.registry.counter(
      "ambientd_authorization_noted_total",
      "Requests that AUDIT and dry-run policies have matched",
      ["policy", "kind", "action"],
    );
    this.metrics = new RequestMetrics(options.registry, options.self);
    this.accessLog = new AccessLog(options.reactor, options.write);
  }

  get tracer(): Tracer | null {
    return this.#tracer;
  }

  /** Follows the proxy's settings. */
  configure(settings: L7Settings): void {
    const unknown = this.accessLog.configure(settings.accessLog);
    if (unknown.length > 0) this.#logger.warn("access log operators are not known", { operators: unknown.join(" ") });
    const { tracing } = settings;
    if (JSON.stringify(tracing) === JSON.stringify(this.#tracer?.settings)) return;
    this.#endTracer();
    if (tracing) this.#tracer = new Tracer(tracing, this.#options.self(), this.#logger, this.#options.random);
  }

  #endTracer(): void {
    const tracer = this.#tracer;
    this.#tracer = null;
    if (tracer === null) return;
    const closing: Promise<void> = tracer.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  trace(head: RequestHead): TraceContext | null {
    return this.#tracer === null ? null : this.#tracer.begin(head);
  }

  onNoted(record: RequestRecord, decision: L7Decision): void {
    for (const { policy } of decision.audited) this.#noted.with(policy.name, "audit", policy.action).inc();
    for (const { policy, rule } of decision.dryRun) {
      this.#noted.with(policy.name, "dry_run", policy.action).inc();
      if (!this.#logger.enabled("debug")) continue;
      this.#logger.debug("dry-run policy matched", {
        policy: policy.name,
        rule,
        action: policy.action,
        path: record.head?.path,
        peer: record.downstream.peerText,
      });
    }
  }

  onRequest(record: RequestRecord): void {
    this.metrics.observe(record);
    this.accessLog.log(record);
    if (this.#tracer !== null) this.#tracer.end(record);
  }

  /** A connection that carries bytes has reached its host. */
  onTcpConnected(open: TcpOpen): void {
    this.metrics.openTcp(open);
  }

  /** A connection that carried bytes is over. */
  onTcp(report: TcpReport): void {
    const record = new TcpConnectionRecord(report);
    if (report.outcome !== undefined) {
      const { downstream, runtime, outcome } = report;
      this.metrics.closeTcp({ downstream, runtime, traffic: outcome }, outcome.flag);
    }
    this.accessLog.log(record);
  }

  /** Writes what has gathered, and ends. */
  async close(): Promise<void> {
    this.accessLog.flush();
    this.#endTracer();
    await Promise.all(this.#closing);
  }
}

/** A connection as the access log sees it: a record without any HTTP. */
class TcpConnectionRecord implements RequestRecord {
  readonly head = null;
  readonly originalPath = "";
  readonly responseStatus = 0;
  readonly responseFields = null;
  readonly routeName = "-";
  readonly requestId = "";
  readonly grpc = false;
  readonly grpcStatus = -1;
  readonly requestMessages = 0;
  readonly responseMessages = 0;
  readonly upstreamMs = -1;
  readonly trace = null;
  readonly remoteIp: RequestRecord["remoteIp"];
  readonly downstream: Downstream;
  readonly runtime: ListenerRuntime;
  readonly flags: string;
  readonly details: string;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly startTime: number;
  readonly durationMs: number;
  readonly cluster: Cluster | null;
  readonly upstreamHost: Host | null;
  readonly upstreamLocal: SocketAddress | null;
  readonly upstreamFailure: string;
  readonly attempts: number;

  constructor({ runtime, downstream, decision, outcome }: TcpReport) {
    this.runtime = runtime;
    this.downstream = downstream;
    this.remoteIp = downstream.peerIp;
    this.flags = outcome === undefined || outcome.flag === "-" ? "" : outcome.flag;
    this.details = decision.allowed ? "" : decision.detail;
    this.bytesReceived = outcome?.bytesReceived ?? 0;
    this.bytesSent = outcome?.bytesSent ?? 0;
    this.startTime = outcome?.startedAt ?? Date.now();
    this.durationMs = outcome?.durationMs ?? 0;
    this.cluster = outcome?.cluster ?? null;
    this.upstreamHost = outcome?.host ?? null;
    this.upstreamLocal = outcome?.localAddress ?? null;
    this.upstreamFailure = outcome?.flag === "UF" || outcome?.flag === "UH" ? outcome.failure ?? "" : "";
    this.attempts = outcome?.attempts ?? 0;
  }
}
