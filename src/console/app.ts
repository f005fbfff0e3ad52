import { describeError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import type { KubeClient } from "../kube/mod.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Registry } from "../telemetry/metrics.ts";
import { addProcessMetrics } from "../telemetry/process_metrics.ts";
import { type Served, serveHttp, statsHandler, textResponse } from "../telemetry/serve.ts";
import type { ConsoleConfig } from "./config.ts";
import { TrafficHistory } from "./history.ts";
import { ObjectWatch } from "./objects.ts";
import { Scraper } from "./scraper.ts";
import { consoleHandler } from "./server.ts";

export interface ConsoleOptions {
  readonly config: ConsoleConfig;
  readonly client: KubeClient;
  readonly logger: Logger;
  /** For tests: the port of proxies' metrics. */
  readonly statsPort?: number;
}

export interface Console {
  readonly port: number;
  shutdown(): Promise<void>;
}

/** Starts the console; resolves when it serves, which is before it knows the cluster. */
export function startConsole({ config, client, logger, statsPort }: ConsoleOptions): Console {
  const registry = new Registry();
  registry.gauge("istio_build", "Istio component build info", ["component", "tag"]).with("console", VERSION).set(1);
  addProcessMetrics(registry);
  const history = new TrafficHistory(Date.now());
  const objects = new ObjectWatch({ client, logger: logger.child("kube"), rootNamespace: config.rootNamespace });
  const scraper = new Scraper({
    objects: () => objects.snapshot(),
    history,
    intervalMs: config.scrapeMs,
    port: statsPort,
  });
  const rounds = registry.counter("ambientd_console_scrapes_total", "Rounds of reading all proxies").with();
  const failures = registry.counter("ambientd_console_scrape_failures_total", "Proxies that could not be read").with();
  const flows = registry.gauge("ambientd_console_flows", "Combinations of labels that are remembered").with();
  registry.onCollect(() => {
    rounds.set(scraper.rounds);
    failures.set(scraper.failures);
    flows.set(history.flows);
  });

  let ready = false, stopped = false;
  objects.start();
  objects.synced().then(() => {
    if (stopped) return;
    ready = true;
    scraper.start();
    logger.info("the cluster is known; reading the proxies' metrics", { every: `${config.scrapeMs}ms` });
  });
  const handle = consoleHandler({
    objects: () => objects.snapshot(),
    history,
    scraper,
    now: Date.now,
    refresh: (maxAgeMs) => ready ? scraper.refresh(maxAgeMs) : Promise.resolve(),
    hosts: config.hosts,
    ready: () => ready,
  });
  const servers: Served[] = [
    serveHttp(config.address, async (request) => {
      try {
        return await handle(request);
      } catch (error) {
        logger.error("cannot answer a request", { error: describeError(error) });
        return textResponse("internal error\n", 500);
      }
    }),
    serveHttp(config.metricsAddress, statsHandler(registry)),
  ];
  return {
    port: servers[0].port,
    async shutdown() {
      stopped = true;
      await Promise.all([scraper.stop(), objects.stop(), ...servers.map((server) => server.close())]);
    },
  };
}
