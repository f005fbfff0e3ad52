import type { Cell, Metric, Registry } from "../../telemetry/metrics.ts";

/** Metrics of the xDS client, with ztunnel's names. */
export class XdsClientMetrics {
  readonly terminations: Metric<Cell>;
  readonly messages: Metric<Cell>;
  readonly bytes: Metric<Cell>;

  constructor(registry: Registry) {
    this.terminations = registry.counter(
      "istio_xds_connection_terminations_total",
      "The total number of completed connections to xds server (unstable)",
      ["reason"],
    );
    this.messages = registry.counter("istio_xds_message_total", "Total number of messages received (unstable)", [
      "url",
    ]);
    this.bytes = registry.counter("istio_xds_message_bytes_total", "Total number of bytes received (unstable)", [
      "url",
    ]);
  }
}
