import type { Cell, HistogramCell, Metric, Registry } from "../../telemetry/metrics.ts";

const MAX_VERSIONS = 100;

/** Metrics of the xDS server, with istiod's names. */
export class XdsServerMetrics {
  readonly clients: Metric<Cell>;
  readonly pushes: Metric<Cell>;
  readonly rejects: Metric<Cell>;
  readonly sizes: Metric<HistogramCell>;
  readonly debounce: HistogramCell;
  readonly pushTime: Metric<HistogramCell>;
  readonly convergence: HistogramCell;
  #versions: () => Iterable<string> = () => [];

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
    this.pushTime = registry.histogram(
      "pilot_xds_push_time",
      "Total time in seconds Pilot takes to push lds, rds, cds and eds.",
      seconds,
      ["type"],
    );
    this.convergence = registry.histogram(
      "pilot_proxy_convergence_time",
      "Delay in seconds between config change and a proxy receiving all required configuration.",
      [0.1, 0.5, 1, 3, 5, 10, 20, 30],
    ).with();
    registry.onCollect(() => this.#countClients());
  }

  /** `versions`: what each client that is connected now says its version is. */
  countClients(versions: () => Iterable<string>): void {
    this.#versions = versions;
  }

  #countClients(): void {
    const counts = new Map<string, number>();
    for (const version of this.#versions()) {
      // A client says what it likes; only so many versions have a series of their own.
      const known = /^[\w.+-]{1,64}$/.test(version) && (counts.has(version) || counts.size < MAX_VERSIONS);
      const label = known ? version : "unknown";
      counts.set(label, (counts.get(label) ?? 0) + 1);
    }
    for (const { labels } of [...this.clients.series()]) if (!counts.has(labels[0])) this.clients.remove(...labels);
    for (const [version, count] of counts) this.clients.with(version).set(count);
  }
}
