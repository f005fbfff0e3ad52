/** Names of labels in the order they are written. */
export type LabelNames = readonly string[];

type MetricKind = "counter" | "gauge" | "histogram";

/** One labelled child of a metric. Hold on to it: `inc` is then one addition. */
export class Cell {
  value = 0;
  inc(by = 1): void {
    this.value += by;
  }
  set(value: number): void {
    this.value = value;
  }
}

/** One labelled child of a histogram. */
export class HistogramCell {
  readonly counts: Float64Array;
  sum = 0;
  count = 0;
  constructor(readonly bounds: readonly number[]) {
    this.counts = new Float64Array(bounds.length);
  }
  observe(value: number): void {
    this.sum += value;
    this.count++;
    for (let i = 0; i < this.bounds.length; i++) {
      if (value <= this.bounds[i]) {
        this.counts[i]++;
        return;
      }
    }
  }
}

/** A named metric with labelled children. Children are made on first use and bounded by `maxSeries`. */
export class Metric<C extends Cell | HistogramCell = Cell> {
  readonly #cells = new Map<string, { labels: readonly string[]; cell: C }>();
  #overflow: C | undefined;

  constructor(
    readonly name: string,
    readonly help: string,
    readonly kind: MetricKind,
    readonly labelNames: LabelNames,
    readonly make: () => C,
    readonly maxSeries: number,
  ) {}

  /** The child for these label values, in the order of `labelNames`. */
  with(...values: readonly string[]): C {
    const key = values.join("\u0000");
    const known = this.#cells.get(key);
    if (known) return known.cell;
    // Past the bound everything is counted in one series, so that peers cannot grow memory by varying labels.
    if (this.#cells.size >= this.maxSeries) {
      this.#overflow ??= this.make();
      return this.#overflow;
    }
    const cell = this.make();
    this.#cells.set(key, { labels: values, cell });
    return cell;
  }

  remove(...values: readonly string[]): void {
    this.#cells.delete(values.join("\u0000"));
  }

  *series(): Iterable<{ labels: readonly string[]; cell: C }> {
    yield* this.#cells.values();
    if (this.#overflow) yield { labels: this.labelNames.map(() => "overflow"), cell: this.#overflow };
  }
}

/**
 * The metrics of one role, written in the Prometheus text format (version 0.0.4) or OpenMetrics.
 * Counter names are given with their `_total`.
 */
export class Registry {
  readonly #metrics = new Map<string, Metric<any>>();
  readonly #collectors: (() => void)[] = [];

  counter(name: string, help: string, labelNames: LabelNames = [], maxSeries = 20_000): Metric<Cell> {
    return this.#add(new Metric(name, help, "counter", labelNames, () => new Cell(), maxSeries));
  }

  gauge(name: string, help: string, labelNames: LabelNames = [], maxSeries = 20_000): Metric<Cell> {
    return this.#add(new Metric(name, help, "gauge", labelNames, () => new Cell(), maxSeries));
  }

  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
    labelNames: LabelNames = [],
    maxSeries = 5_000,
  ): Metric<HistogramCell> {
    return this.#add(new Metric(name, help, "histogram", labelNames, () => new HistogramCell(bounds), maxSeries));
  }

  /** Called before every scrape, to set gauges that are read rather than kept. */
  onCollect(collect: () => void): void {
    this.#collectors.push(collect);
  }

  #add<M extends Metric<any>>(metric: M): M {
    if (this.#metrics.has(metric.name)) throw new Error(`metric "${metric.name}" is declared twice`);
    this.#metrics.set(metric.name, metric);
    return metric;
  }

  /**
   * Exposition text; `openMetrics` ends it with `# EOF` and names counter families without `_total`. A counter that Istio names
   * otherwise is of unknown type there, since OpenMetrics has no counter without that ending.
   */
  expose(openMetrics = false): string {
    for (const collect of this.#collectors) collect();
    const out: string[] = [];
    for (const metric of this.#metrics.values()) {
      const { name, help, kind } = metric, total = kind === "counter" && name.endsWith("_total");
      const family = openMetrics && total ? name.slice(0, -"_total".length) : name;
      const type = openMetrics && kind === "counter" && !total ? "unknown" : kind;
      out.push(`# HELP ${family} ${help}`, `# TYPE ${family} ${type}`);
      for (const { labels, cell } of metric.series()) {
        const pairs = metric.labelNames.map((name, i) => `${name}="${escapeLabel(labels[i] ?? "")}"`);
        if (cell instanceof HistogramCell) writeHistogram(out, metric.name, pairs, cell);
        else out.push(`${metric.name}${braces(pairs)} ${cell.value}`);
      }
    }
    if (openMetrics) out.push("# EOF");
    return out.join("\n") + "\n";
  }
}

function writeHistogram(out: string[], name: string, pairs: string[], cell: HistogramCell): void {
  let running = 0;
  cell.bounds.forEach((bound, i) => {
    running += cell.counts[i];
    out.push(`${name}_bucket${braces([...pairs, `le="${bound}"`])} ${running}`);
  });
  out.push(`${name}_bucket${braces([...pairs, 'le="+Inf"'])} ${cell.count}`);
  out.push(`${name}_sum${braces(pairs)} ${cell.sum}`, `${name}_count${braces(pairs)} ${cell.count}`);
}

function braces(pairs: string[]): string {
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (c) => c === "\n" ? "\\n" : "\\" + c);
}
