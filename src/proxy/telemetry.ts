// One connection's account: its counters, and the one access-log line of this side at its end.

import { hostPort } from "../core/ip.ts";
import { bare, escapeControls, type Logger } from "../telemetry/logger.ts";
import {
  type ConnectionFacts,
  destinationFields,
  type Reporter,
  type ResponseFlag,
  type SocketPlace,
  sourceFields,
  type Traffic,
  type TrafficMetrics,
} from "./traffic.ts";

export { type ConnectionFacts, type Reporter, type ResponseFlag, type SocketPlace, TrafficMetrics } from "./traffic.ts";

/** Bytes so far: from the client towards the server, and back. A {@linkcode Pump} is one. */
export interface ByteCount {
  readonly aToB: number;
  readonly bToA: number;
}

const NO_BYTES: ByteCount = { aToB: 0, bToA: 0 };

/** Counts and logs one connection; `close()` once, when it has ended or never came about. */
export class ConnectionAccount {
  readonly facts: ConnectionFacts;
  readonly #traffic: Traffic;
  readonly #metrics: TrafficMetrics;
  readonly #log: Logger;
  readonly #startMs: number;
  #toServer = 0;
  #toClient = 0;
  #bytes: ByteCount = NO_BYTES;
  #closed = false;

  /** @param log the logger of scope `access` */
  constructor(facts: ConnectionFacts, metrics: TrafficMetrics, log: Logger, startMs: number = performance.now()) {
    this.facts = facts;
    this.#metrics = metrics;
    this.#log = log;
    this.#startMs = startMs;
    this.#traffic = metrics.traffic(facts);
    this.#traffic.cells.opened.inc();
    metrics.sockets(facts.reporter).inc();
    metrics.open.add(this);
    if (log.enabled("debug")) this.#write("debug", "connection opened", false, undefined);
  }

  /** Where the bytes so far can be read while the connection is open. */
  watch(bytes: ByteCount): void {
    this.#bytes = bytes;
  }

  /** Brings the byte counters up to date. */
  flush(): void {
    const { aToB, bToA } = this.#bytes;
    const { received, sent } = this.#traffic.cells;
    received.inc(aToB - this.#toServer);
    sent.inc(bToA - this.#toClient);
    this.#toServer = aToB;
    this.#toClient = bToA;
  }

  /** @param error what went wrong, in ztunnel's words; undefined for an orderly end */
  close(flag: ResponseFlag, error?: string): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#bytes !== NO_BYTES) this.flush();
    const metrics = this.#metrics;
    metrics.open.delete(this);
    metrics.sockets(this.facts.reporter).inc(-1);
    this.#traffic.countClosed(flag);
    const level = error === undefined ? "info" : "error";
    if (this.#log.enabled(level)) this.#write(level, "connection complete", true, error);
  }

  #write(level: "debug" | "info" | "error", message: string, ended: boolean, error: string | undefined): void {
    const { facts } = this, log = this.#log;
    const inbound = facts.reporter === "destination";
    const sent = inbound ? this.#toClient : this.#toServer, received = inbound ? this.#toServer : this.#toClient;
    const duration = ended ? `${Math.round(performance.now() - this.#startMs)}ms` : "";
    const source = hostPort(facts.source.address, facts.source.port);
    const destination = hostPort(facts.destination.address, facts.destination.port);
    if (log.json) {
      return log.log(level, message, {
        "src.addr": source,
        ...sourceFields(facts),
        "dst.addr": destination,
        "dst.hbone_addr": facts.hboneTarget,
        ...destinationFields(facts),
        ...(ended ? { bytes_sent: sent, bytes_recv: received, duration, error } : undefined),
      });
    }
    // The same as text: thousands of these lines a second are mostly the same.
    const { sourceText, destinationText } = this.#traffic;
    let text = `src.addr=${source}${sourceText} dst.addr=${destination}`;
    if (facts.hboneTarget !== undefined) text += ` dst.hbone_addr=${escapeControls(facts.hboneTarget)}`;
    text += destinationText;
    if (ended) text += ` bytes_sent=${sent} bytes_recv=${received} duration="${duration}"`;
    if (error !== undefined) text += ` error=${JSON.stringify(error)}`;
    log.text(level, message, text);
  }
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
