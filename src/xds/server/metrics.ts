import type { Cell, HistogramCell, Metric, Registry } from "../../telemetry/metrics.ts";

/** Metrics of the xDS server, with istiod's names. */
export class XdsServerMetrics {
  readonly clients: Metric<Cell>;
  readonly pushes: Metric<Cell>;
  readonly rejects: Metric<Cell>;
  readonly sizes: Metric<HistogramCell>;
  readonly debounce: HistogramCell;

  constructor(registry: Registry) {
    this.clients = registry.gauge("pilot_xds", "Number of endpoints connected to this pilot using XDS.", ["version"]);
    this.pushes = registry.counter("pilot_xds_pushes", "Pilot build and send errors for lds, rds, cds and eds.", [
      "type",
    ]);
    this.rejects = registry.counter(
      "pilot_total_xds_rejects",
      "Total number of XDS responses from pilot rejected by proxy.",
      ["type"],
    );
    const sizes = [1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000];
    this.sizes = registry.histogram(
      "pilot_xds_config_size_bytes",
      "Distribution of configuration sizes pushed to clients.",
      sizes,
      ["type"],
    );
    const seconds = [0.01, 0.1, 0.5, 1, 3, 5, 10, 20, 30];
    this.debounce = registry.histogram(
      "pilot_debounce_time",
      "Delay in seconds between the first config enters debouncing and the merged push request is pushed into the push queue.",
      seconds,
    ).with();
  }
}
